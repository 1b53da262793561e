"""
Whatever strangers and workers send is read, or refused in our own words: never another exception.

Each target takes noise, and what is right with a few bytes changed. Kept small: hypothesis finds
what it finds in a few hundred examples a run, other ones each time, and prints what fails.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decibus import jobs
from decibus.blobs import Blob
from decibus.calls import Hour, window_of
from decibus.errors import Refused, Unreadable
from decibus.messages import (
    AnalyzeOptions,
    Checkpoint,
    Fault,
    Segment,
    Task,
    TaskName,
    TranscodeOptions,
    read,
)
from decibus.points import Kind, Point, Status, line_of, points_of, stamped
from decibus.references import load_references
from decibus.telemetry import trace_id
from services.gateway import idempotency, tickets
from services.gateway.callback import Blocked, Rules, read_callback
from services.gateway.callbacks import Callback
from services.gateway.calls import Call
from services.gateway.downloads import disposition, read_range
from services.gateway.forecast import Sign
from services.gateway.form import MAX_PARTS, Form, clean_name, read_form
from services.gateway.keys import shown
from services.gateway.models import read_served
from services.gateway.openai_wishes import read_asked
from services.gateway.prefer import read_prefer
from services.gateway.rate import network_of
from services.gateway.reaper import Advisory
from services.gateway.rpc import ObjectReference
from services.gateway.signing import Signer
from services.gateway.uploads import Retention, Upload, Volume
from services.gateway.wishes import read_conversion, read_resampling, read_wait, read_wishes
from tests.hostile.conftest import multipart

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
REFERENCES: Final = load_references()
NOISE: Final = st.binary(max_size=200)
TEXT: Final = st.text(max_size=60)


@st.composite
def damaged(draw: st.DrawFn, wholes: list[bytes]) -> bytes:
    """Draw one of these with some of its bytes changed, cut out, or doubled."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 20)))
        data[at:to] = draw(st.one_of(st.binary(max_size=8), st.just(bytes(data[at:to]) * 2)))
    return bytes(data)


# The line protocol.

POINT: Final = Point(
    kind=Kind.CALL,
    service="gateway",
    task="analyze+transcribe",
    status=Status.DONE,
    source="http",
    latency=0.5,
    audio_length=11.0,
    bytes=9,
    attempt=1,
    at_us=1_700_000_000_000_000,
)
LINES: Final = [line_of(POINT).encode(), f"{line_of(POINT)}\n{line_of(POINT)}".encode()]
NUMBERS: Final = st.one_of(
    st.floats(width=64).map(str),
    st.integers().map(str),
    st.sampled_from(["1e999", "-1", "9" * 400]),
)


def count(body: bytes) -> None:
    """Count a message as a recorder does, and read it back as a gateway does."""
    hour = Hour().adding([(number, stamped(body, number)) for number in range(1, 40)])
    again = read(msgspec.json.encode(hour), Hour)
    assert again == hour


@given(st.one_of(NOISE, damaged(LINES)))
def test_a_line_is_a_point_or_refused_and_counts_as_what_it_is(body: bytes) -> None:
    with suppress(Refused):
        assert all(isinstance(each, Point) for each in points_of(body))
    count(body)


@given(NUMBERS, st.sampled_from(["latency", "audio_length", "queue_wait", "work"]))
@example("inf", "latency")
@example("nan", "audio_length")
def test_no_number_spoils_the_count(number: str, name: str) -> None:
    line = line_of(POINT).replace(" ", f" {name}={number},", 1).replace(f",{name}=0", ",x=0")

    count(line.encode())


@given(st.lists(TEXT, min_size=1, max_size=300))
def test_names_that_nobody_knows_do_not_fill_the_count(names: list[str]) -> None:
    lines = (f"task,task={name},status=done attempt=1i 17" for name in names)

    hour = Hour().adding([(1, "\n".join(lines).encode())])

    assert len(msgspec.json.encode(hour)) < 64 << 10


# Records and messages.

BLOB: Final = Blob(name="a", bucket="audio", nuid="1", size=4, chunks=1)
HEARD: Final = Segment(
    id=0,
    start=0.0,
    end=1.0,
    text="one",
    avg_logprob=-0.1,
    no_speech_prob=0.0,
    compression_ratio=1.0,
)
UPLOAD: Final = Upload(
    token="t",  # noqa: S106 - no secret
    row="r",
    keys={TaskName.ANALYZE: "k"},
    sha256="0" * 64,
    size=4,
    filename="a.wav",
    genre=None,
    target=None,
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=15),
    received_s=0.1,
    retention=Retention.ONCE,
)
JOB: Final = jobs.fail(
    jobs.claim(
        jobs.open_job("k", AnalyzeOptions(), blob="b", siblings=("s",), now=NOW),
        owner="w",
        now=NOW,
        lease=timedelta(seconds=8),
    ),
    fence=jobs.Fence(int(NOW.timestamp() * 1e9), 1),
    fault=Fault(code="bad_audio", detail="none"),
    now=NOW,
)
SENT: Final[Mapping[str, Any]] = {
    type(each).__name__: each
    for each in (
        JOB,
        BLOB,
        UPLOAD,
        Task(key="k"),
        Checkpoint(number=0, segments=(HEARD,)),
        Volume(upload=UPLOAD),
        Callback(id="msg_1", url="https://example.com", upload=UPLOAD, due=NOW),
        Call(row="r", keys=UPLOAD.keys, size=4, door=UPLOAD.door, created_at=NOW, traceparent=""),
        Advisory(stream="JOBS_ANALYZE", stream_seq=1, deliveries=4),
        ObjectReference(object="a"),
        Hour().adding([(1, LINES[0])]),
        idempotency.open_row(now=NOW),
        tickets.open_ticket("key a", TranscodeOptions(extension="mp3"), now=NOW),
        Sign(options=AnalyzeOptions(), state=jobs.State.QUEUED),
    )
}
DEEP: Final = [
    start + nest * 100_000
    for start in (b"", b'{"x":', b'{"key":', b'{"result":', b'{"partial":[', b'{"report":')
    for nest in (b"[", b'{"a":')
]


@pytest.mark.parametrize("name", SENT)
def test_a_payload_is_read_or_unreadable_and_nothing_else(name: str) -> None:
    sent = SENT[name]
    right = msgspec.json.encode(sent)

    @settings(max_examples=60, deadline=None)
    @given(st.one_of(NOISE, damaged([right])))
    def one(payload: bytes) -> None:
        with suppress(Unreadable):
            assert isinstance(read(payload, type(sent)), type(sent))

    one()
    for payload in DEEP:
        with pytest.raises(Unreadable):
            read(payload, type(sent))
    assert read(right, type(sent)) == sent


# Links.

SIGNER: Final = Signer((b"k" * 32,))
LINK: Final = SIGNER.link("PUT", "/uploads/1", now=NOW, lifetime=timedelta(hours=1), limit=9)
SIGNED: Final = dict(pair.split("=") for pair in LINK.partition("?")[2].split("&"))
VALUES: Final = st.one_of(TEXT, st.sampled_from([*SIGNED.values(), "٣", "1e3", "-1", "9" * 5_000]))


@given(
    st.sampled_from(["GET", "PUT", ""]),
    st.one_of(TEXT, st.just("/uploads/1")),
    st.dictionaries(
        st.one_of(st.sampled_from([*SIGNED]), TEXT), st.lists(VALUES, max_size=3), max_size=5
    ),
)
def test_no_link_that_was_not_made_here_is_good(
    method: str, path: str, query: dict[str, list[str]]
) -> None:
    is_ours = (method, path) == ("PUT", "/uploads/1") and query == {
        name: [value] for name, value in SIGNED.items()
    }
    try:
        SIGNER.check(method, path, query, now=NOW)
    except Refused:
        assert not is_ours
    else:
        assert is_ours


# Forms.


async def read_all(body: bytes, content_type: str, cuts: list[int]) -> Form:
    """Read a form that comes in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        start = 0
        for cut in [*sorted(cuts), len(body)]:
            if start < cut:
                yield body[start:cut]
                start = cut

    return await read_form(
        pieces(), content_type, idempotency.Reader(max_bytes=100_000), limit=100_000
    )


PARTS: Final = [
    ('name="file"; filename="take.wav"', b"RIFF...."),
    ('name="genre"', b"pop"),
    ('name="timestamp_granularities[]"', b"word"),
]
FORMS: Final = [multipart(PARTS), multipart(PARTS[:1] * 2), multipart([])]
KINDS: Final = st.one_of(
    st.just("multipart/form-data; boundary=x"),
    TEXT,
    TEXT.map("multipart/form-data; boundary={}".format),
)


@settings(deadline=None)
@given(st.one_of(NOISE, damaged(FORMS)), KINDS, st.lists(st.integers(0, 400), max_size=5))
def test_a_form_is_read_or_refused_however_it_comes(
    body: bytes, content_type: str, cuts: list[int]
) -> None:
    found: list[Any] = []
    for pieces in (cuts, []):
        try:
            form = asyncio.run(read_all(body, content_type, pieces))
        except Refused:
            found.append(None)
        else:
            assert len(form.fields) + len(form.files) <= MAX_PARTS
            found.append(msgspec.to_builtins(form))

    assert found[0] == found[1] or None in found


# Texts.

READ_ONE: Final[Mapping[str, Callable[[str], object]]] = {
    "a range": lambda text: read_range(text, 100),
    "a wait": lambda text: read_wait(text, default_s=1.0, max_s=300.0),
    "a window": window_of,
    "a preference": lambda text: read_prefer([text, text]),
    "an Idempotency-Key": idempotency.read_key,
    "a key": lambda text: shown({"authorization": text, "x-api-key": text}),
    "a trace": trace_id,
    "an address": network_of,
    "a file's name": lambda text: disposition(clean_name(text) or "audio"),
    "what a transcriber has": lambda text: read_served({"models": text, f"languages.{text}": text}),
}
LIKELY: Final = st.one_of(
    TEXT,
    st.from_regex(r"bytes=[0-9٣]{0,30}-[0-9]{0,30}(,.{0,5})?"),
    st.from_regex(r"[0-9]{0,30}(\.[0-9]+)?(e[0-9]{1,5})?[hd]?"),
    st.from_regex(r"(wait|respond-async)=?\"?[0-9]{0,5000}\"?;?,?"),
    st.sampled_from(["inf", "nan", "-0", "1_0", "0x1", "1" * 5_000, "::1%1", "::ffff:1.2.3.4"]),
)


@pytest.mark.parametrize("name", READ_ONE)
def test_a_text_is_read_or_refused(name: str) -> None:
    @given(LIKELY)
    def one(text: str) -> None:
        with suppress(Refused):
            READ_ONE[name](text)

    one()


FIELDS: Final = (
    *("tasks", "genre", "target", "language", "multilingual", "translate", "words", "prompt"),
    *("temperature", "model", "timeline", "retention", "wait", "callback_url", "extension"),
    *("sample_rate", "bit_rate", "bit_depth", "channels", "quality", "response_format", "stream"),
    *("timestamp_granularities[]", "languages", "keywords"),
)
SAID: Final = st.one_of(
    LIKELY,
    st.sampled_from(["true", "mp3", "ogg", "pop", "loudness,", "44100", "16", "0.5", "word", "en"]),
)


@given(st.dictionaries(st.one_of(st.sampled_from(FIELDS), TEXT), SAID, max_size=4))
def test_what_is_asked_for_is_read_or_refused(fields: dict[str, str]) -> None:
    served = read_served({"models": "small", "languages.small": "en"})
    for ask in (
        lambda: read_wishes(fields, REFERENCES),
        lambda: read_conversion(fields, max_duration_s=1.0),
        lambda: read_resampling(fields, max_duration_s=1.0),
        lambda: read_asked(fields, served, translate=False, may_repeat=True),
    ):
        with suppress(Refused):
            ask()


URLS: Final = st.one_of(
    TEXT.map("https://{}".format),
    TEXT.map("https://example.com{}".format),
    st.from_regex(r"https?://\[?[0-9a-fx:.%]{1,20}\]?(:[0-9]{0,6})?/?", fullmatch=True),
    TEXT,
)


@given(URLS)
@example("https://[::ffff:127.0.0.1]/")
@example("https://2130706433/")
@example("https://0x7f.1/")
@example("https://[fe80::1%25eth0]/")
@example("https://example.com:99999/")
@example("https://\u2488\u24ea.\u24ea.1/")
def test_a_callback_is_taken_or_blocked(url: str) -> None:
    with suppress(Blocked):
        taken = read_callback(url, Rules())
        assert taken == url
        assert taken.startswith("https://")
        assert taken.isascii()


@given(st.text(max_size=300))
def test_a_name_can_be_shown_and_leads_nowhere(name: str) -> None:
    seen = clean_name(name)

    assert seen is None or (0 < len(seen) <= 255 and seen.isprintable())
    assert seen is None or not set(seen) & set("/\\\0\r\n")
    assert seen not in {"", ".", ".."}
