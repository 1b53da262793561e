"""Requests that no decent client sends: each is answered, or cut off, and nothing comes of it."""

import re
from collections.abc import Iterator
from typing import Final

import httpx
import msgspec
import pytest

from services.gateway import connection, restraints
from tests.hostile.conftest import Door, multipart, post, rest_of, statuses

pytestmark = pytest.mark.usefixtures("unharmed")

FORM: Final = "Content-Type: multipart/form-data; boundary=x"
TAKE: Final = multipart([('name="file"; filename="take.wav"', b"RIFF....")])
SMUGGLED: Final = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def get(path: str = "/healthz", *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode("latin-1")


def problem(heard: bytes) -> dict[str, str]:
    """Return the one problem that was told, as everywhere."""
    head, _, body = heard.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), heard
    for name, _ in restraints.HEADERS:
        assert name in head.lower(), name
    told: dict[str, str] = msgspec.json.decode(body)
    return told


# Heads.

HEADS: Final = {
    "a field of 1 MB": (get("/", "X-Large: " + "a" * (1 << 20)), "head_too_large"),
    "a name of 1 MB": (get("/", "a" * (1 << 20) + ": 1"), "head_too_large"),
    "many fields": (get("/", *(f"X-{n}: 1" for n in range(5_000))), "head_too_large"),
    "an address of 1 MB": (get("/" + "a" * (1 << 20)), "head_too_large"),
    "a query of 9 kB": (get("/?" + "a" * 9_000), "head_too_large"),
    "NUL in a field": (get("/", "X-A: \0"), "bad_request"),
    "a space before the colon": (get("/", "X-A : 1"), "bad_request"),
    "a folded field": (get("/", "X-A: 1", " 2"), "bad_request"),
    "a field without a colon": (get("/", "X-A"), "bad_request"),
    "a field without a name": (get("/", ": 1"), "bad_request"),
    "bare line feeds": (get().replace(b"\r\n", b"\n"), "bad_request"),
    "bare carriage returns": (get("/", "X-A: 1\rX-B: 2"), "bad_request"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", "bad_request"),
    "two hosts": (get("/", "Host: y"), "bad_request"),
    "a host that is none": (
        get("/", "Connection: close").replace(b"Host: x", b"Host: <script>"),
        "bad_request",
    ),
    "HTTP/0.9": (b"GET /\r\n\r\n", "bad_request"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad_request"),
    "HTTP/3.1": (get().replace(b"HTTP/1.1", b"HTTP/3.1"), "bad_request"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "bad_request"),
    "no method": (b" / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
    "CONNECT": (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
    "an address that is none": (b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
    "an address in Latin-1": (get("/result/\xff"), "bad_request"),
    "NUL in the address": (b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_is_none_is_refused(door: Door, name: str) -> None:
    sent, code = HEADS[name]

    heard = door.hears(sent)

    assert problem(heard)["code"] == code
    assert len(statuses(heard)) == 1


@pytest.mark.parametrize(
    "path", ["/*", "/%00", "/%ff%fe", "/result/%2e%2e%2f%2e%2e", "/ws/..%2f.."]
)
def test_a_path_that_leads_nowhere_is_not_found(door: Door, path: str) -> None:
    heard = door.hears(get(path, "Connection: close"))

    assert problem(heard)["code"] == "not_found"


def test_an_old_client_is_answered_and_let_go(door: Door) -> None:
    heard = door.hears(b"GET /healthz HTTP/1.0\r\n\r\n")

    assert statuses(heard) == [200]
    assert b"connection: close" in heard


def test_a_head_that_never_ends_is_cut_off_and_not_kept(door: Door) -> None:
    heard = door.hears([get()[:-2], b"X: ", *(b"a" * 60_000 for _ in range(1_000))])

    assert problem(heard)["code"] == "head_too_large"


# Lengths, and who may be fooled by them.

LENGTHS: Final = {
    "negative": ("Content-Length: -1",),
    "with a sign": ("Content-Length: +5",),
    "in hex": ("Content-Length: 0x10",),
    "of 30 digits": ("Content-Length: " + "9" * 30,),
    "a list": ("Content-Length: 5, 5",),
    "two that differ": ("Content-Length: 5", "Content-Length: 6"),
    "two that agree": ("Content-Length: 5", "Content-Length: 5"),
    "empty": ("Content-Length: ",),
    "and chunked": ("Content-Length: 5", "Transfer-Encoding: chunked"),
    "chunked and": ("Transfer-Encoding: chunked", "Content-Length: 5"),
    "chunked and more": ("Transfer-Encoding: chunked, identity",),
    "not quite chunked": ("Transfer-Encoding: xchunked",),
    "chunked, padded": ("Transfer-Encoding: \x0bchunked",),
    "chunked twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_that_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_answered(
    door: Door, name: str
) -> None:
    heard = door.hears(post("/analyze", *LENGTHS[name], FORM, body=b"0\r\n\r\n" + SMUGGLED))

    assert statuses(heard) == [400]
    assert problem(heard)["code"] == "bad_request"


def test_a_body_longer_than_it_says_is_no_second_request(door: Door) -> None:
    heard = door.hears(post("/analyze", "Content-Length: 3", FORM, body=TAKE + SMUGGLED))

    assert statuses(heard)[0] == 400
    assert 200 not in statuses(heard)


def test_a_body_shorter_than_it_says_is_given_up_with_its_sender(door: Door) -> None:
    with door.connect() as stranger:
        stranger.sendall(post("/analyze", "Content-Length: 999999", FORM, body=TAKE[:-6]))


def test_behind_an_upgrade_that_there_is_none_of_nothing_is_a_request(door: Door) -> None:
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    length = f"Content-Length: {len(SMUGGLED)}"
    with door.connect(2) as stranger:
        stranger.sendall(post("/nowhere", *fields, length))
        heard = stranger.recv(1 << 16)
        stranger.sendall(SMUGGLED)
        heard += rest_of(stranger)

    assert statuses(heard) == [404]


# Chunks.


CHUNKED: Final = post("/analyze", "Transfer-Encoding: chunked", FORM)
WRONG_CHUNKS: Final = {
    "a size of 20 digits": b"F" * 20 + b"\r\n",
    "a size that is none": b"x\r\n",
    "a negative size": b"-5\r\n",
    "a size with a sign": b"+5\r\naaaaa\r\n",
    "a size in another base": b"0x5\r\naaaaa\r\n",
    "no line end after the data": b"5\r\naaaaaa\r\n",
    "a bare line feed after the size": b"5\naaaaa\r\n",
}
ENDLESS: Final = {
    "an extension": (b"5;", b"a" * 4_096),
    "extensions": (b"", b"1;" + b"a" * 4_096 + b"\r\na\r\n"),
    "a trailer": (b"0\r\nX-A: ", b"a" * 4_096),
    "trailers": (b"0\r\n", b"X-A: 1\r\n" * 512),
    "chunks of one byte": (b"", b"1\r\na\r\n" * 700),
}


@pytest.mark.parametrize("name", WRONG_CHUNKS)
def test_a_chunk_that_is_none_is_refused(door: Door, name: str) -> None:
    heard = door.hears(CHUNKED + WRONG_CHUNKS[name])

    assert statuses(heard) == [400]


@pytest.mark.parametrize("name", ENDLESS)
def test_what_is_around_a_body_does_not_go_on_for_ever(door: Door, name: str) -> None:
    first, again = ENDLESS[name]
    told = 0

    def pieces() -> Iterator[bytes]:
        nonlocal told
        yield CHUNKED + first
        for told in range(20_000):  # noqa: B007 - how far it comes
            yield again

    heard = door.hears(pieces())

    assert statuses(heard) in ([400], []), "or a reset, which takes the answer with it"
    assert told < 20_000


def test_a_trailer_is_no_header(door: Door) -> None:
    body = b"%x\r\n%s\r\n0\r\nPrefer: respond-async\r\nX-API-Key: no\r\n\r\n" % (len(TAKE), TAKE)
    url = "/analyze?wait=0&tasks=loudness"

    with door.connect() as stranger:
        stranger.sendall(post(url, "Transfer-Encoding: chunked", FORM, "Connection: close") + body)
        heard = rest_of(stranger)

    assert statuses(heard) == [202]
    assert b"preference-applied" not in heard
    _forget(door, heard)


# Requests ahead of answers.


def test_a_few_requests_may_be_sent_ahead(door: Door) -> None:
    heard = door.hears(get() * 5 + get("/healthz", "Connection: close"))

    assert statuses(heard) == [200] * 6


def test_thousands_of_requests_sent_ahead_are_not_kept(door: Door) -> None:
    before = door.rss_mib
    for _ in range(20):
        heard = door.hears(get() * 5_000)
        assert len(statuses(heard)) <= connection.MAX_PIPELINED + 1

    assert door.rss_mib < before + 16


def test_what_comes_behind_a_close_is_not_answered(door: Door) -> None:
    heard = door.hears(get("/healthz", "Connection: close") + SMUGGLED * 3)

    assert statuses(heard) == [200]


# Forms.


def sent(door: Door, body: bytes, content_type: str = FORM) -> bytes:
    url = "/analyze?wait=0&tasks=loudness"
    head = post(url, content_type, f"Content-Length: {len(body)}", "Connection: close")
    return door.hears([head, body])


FILE: Final = ('name="file"; filename="a"', b"RIFF....")
FORMS: Final = {
    "a field of 1 MB": (multipart([FILE, ('name="genre"', b"a" * (1 << 20))]), 413),
    "17 files": (multipart([FILE] * 17), 400),
    "65 fields": (multipart([('name="genre"', b"")] * 65), 400),
    "a part's head of 1 MB": (
        multipart([(f'name="file"; filename="{"a" * (1 << 20)}"', b"")]),
        400,
    ),
    "a part with 100 fields": (
        multipart([('name="file"\r\n' + "X-A: 1\r\n" * 100 + "X-A: 1", b"")]),
        400,
    ),
    "a part without a name": (multipart([('filename="a"', b"RIFF....")]), 400),
    "no end": (TAKE[:-6], 400),
    "no beginning": (b"a" * (1 << 20), 400),
    "nothing": (b"", 400),
    "a field that is not UTF-8": (multipart([FILE, ('name="genre"', b"\xff")]), 400),
    "a name that is not UTF-8": (TAKE.replace(b"take", b"\xff"), 400),
    "bare line feeds": (TAKE.replace(b"\r\n", b"\n"), 400),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none_is_refused(door: Door, name: str) -> None:
    body, status = FORMS[name]

    heard = sent(door, body)

    assert statuses(heard) == [status], heard[:2_000]


def test_a_million_tiny_parts_are_not_looked_at(door: Door) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'

    heard = sent(door, part * 1_000_000)

    assert statuses(heard) in ([400], [])


@pytest.mark.parametrize(
    "boundary",
    [';a="\\' * 8_000, '"' + "\\" * 30_000, "; " * 20_000, "a" * 30_000, "=" * 30_000, "\xff"],
)
def test_no_content_type_takes_long_to_read(door: Door, boundary: str) -> None:
    heard = sent(door, TAKE, f"Content-Type: multipart/form-data; boundary={boundary}")

    assert statuses(heard) == [400]


# Names (R6).

NAMES: Final = {
    "../../../../etc/passwd": "passwd",
    "..\\..\\boot.ini": "boot.ini",
    "/etc/passwd": "passwd",
    "a%00.wav": "a%00.wav",
    "a\0.wav": "a.wav",
    "a%0D%0ASet-Cookie: a=b.wav": "aSet-Cookie: a=b.wav",
    "\u202egpj.wav": "gpj.wav",
    "<script>alert(1)<": "<script>alert(1)<",
    "-i": "-i",
    "CON": "CON",
    "\x1b[2Ja.wav": "[2Ja.wav",
    "ü" * 2_000: "ü" * 255,
    "..": None,
    ".": None,
    "/": None,
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:24])
def test_a_file_is_called_what_can_be_shown_and_is_no_path(door: Door, name: str) -> None:
    heard = sent(door, multipart([(f'name="file"; filename="{name}"', b"RIFF....")]))

    assert statuses(heard) == [202], heard
    assert _report(heard)["filename"] == NAMES[name]
    _forget(door, heard)


def _report(heard: bytes) -> dict[str, str]:
    body = heard.partition(b"\r\n\r\n")[2]
    told: dict[str, str] = msgspec.json.decode(body)
    return told


def _forget(door: Door, heard: bytes) -> None:
    (token,) = re.findall(rb"/result/([\w-]+)", heard)
    httpx.delete(f"{door.url}/result/{token.decode()}").raise_for_status()


# Every answer.


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/schema", "/nowhere", "/result/x", "/v1/models/x", "/style.css"]
)
def test_every_answer_tells_a_browser_what_not_to_do(door: Door, path: str) -> None:
    answer = httpx.get(f"{door.url}{path}")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"]
    assert "server" not in answer.headers


def test_the_doors_tell_nothing_of_what_is_for_operators(door: Door) -> None:
    assert httpx.get(f"{door.url}/metrics").status_code == 404
