"""WebSockets whose clients speak the protocol badly, or too much of it."""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import httpx
import pytest

from tests.hostile.conftest import Door, multipart, rest_of, statuses

pytestmark = pytest.mark.usefixtures("unharmed")

FIN: Final = 0x80
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK: Final = bytes(4)


def frame(
    opcode: int, data: bytes = b"", *, flags: int = FIN, length: int | None = None, mask: int = 0x80
) -> bytes:
    """Write a frame; its mask is zeros, which leaves the data as they are."""
    size = len(data) if length is None else length
    if size < 126:
        head = struct.pack("!BB", flags | opcode, mask | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", flags | opcode, mask | 126, size)
    else:
        head = struct.pack("!BBQ", flags | opcode, mask | 127, size)
    return head + (MASK if mask else b"") + data


def handshake(path: str, *fields: str, method: str = "GET") -> bytes:
    wanted = fields or ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")
    usual = (f"{method} {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket")
    return "\r\n".join([*usual, *wanted, "", ""]).encode()


@pytest.fixture
def token(door: Door) -> Iterator[str]:
    """Upload something that waits, as there is no worker; nothing stays of it."""
    form = multipart([('name="file"; filename="a"', b"RIFF....")])
    made = httpx.post(
        f"{door.url}/analyze?wait=0&tasks=loudness",
        content=form,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    (token,) = re.findall(r"/result/([\w-]+)", made.headers["location"])
    yield token
    httpx.delete(f"{door.url}/result/{token}").raise_for_status()


def open_socket(stranger: socket.socket, token: str) -> None:
    """Shake hands, and return when that is done."""
    stranger.sendall(handshake(f"/ws/{token}"))
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += stranger.recv(1)
    assert statuses(heard) == [101]


ABUSES: Final = {
    "reserved bits": (frame(TEXT, b"a", flags=FIN | 0x70), 1002),
    "a reserved opcode": (frame(0x3), 1002),
    "no mask": (frame(TEXT, b"a", mask=0), 1002),
    "a continuation of nothing": (frame(CONTINUED, b"a"), 1002),
    "a message within another": (frame(TEXT, b"a", flags=0) + frame(TEXT, b"a"), 1002),
    "a ping in fragments": (frame(PING, b"a", flags=0), 1002),
    "a ping of 126 bytes": (frame(PING, b"a" * 126), 1002),
    "a close with half a code": (frame(CLOSE, b"a"), 1002),
    "a close with a code that is none": (frame(CLOSE, b"\x00\x00"), 1002),
    "not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "not UTF-8, in fragments": (frame(TEXT, b"\xc3", flags=0) + frame(CONTINUED, b"a"), 1007),
    "a frame of 65 kB": (frame(BINARY, b"a" * 66_000), 1009),
    "a frame of 8 EB": (frame(BINARY, length=(1 << 63) - 1), 1009),
    "fragments over 64 KiB": (
        frame(BINARY, b"a" * 9_000, flags=0) + frame(CONTINUED, b"a" * 9_000, flags=0) * 9,
        1009,
    ),
    "fragments without end": (
        frame(BINARY, flags=0) + frame(CONTINUED, flags=0) * 100_000,
        1008,
    ),
    "noise": (bytes(range(255, 0, -1)) * 50, 1002),
}


@pytest.mark.parametrize("name", ABUSES)
def test_a_client_that_breaks_the_protocol_is_told_so_and_cut_off(
    door: Door, token: str, name: str
) -> None:
    sent, code = ABUSES[name]

    with door.connect() as stranger:
        open_socket(stranger, token)
        with suppress(OSError):  # it is cut off in the middle
            stranger.sendall(sent)
        heard = rest_of(stranger)

    assert struct.pack("!H", code) in heard[heard.rindex(b"\x88") :], heard[-100:]


def test_who_speaks_before_the_socket_is_open_harms_nobody(door: Door, token: str) -> None:
    for opcode in (TEXT, CONTINUED, 0x3):
        door.hears([handshake(f"/ws/{token}"), *[frame(opcode, b"a")] * 100], silence_s=0.5)


HANDSHAKES: Final = {
    "no key": ("Sec-WebSocket-Version: 13",),
    "a key that is none": ("Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13"),
    "two keys": (
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",) * 2,
        "Sec-WebSocket-Version: 13",
    ),
    "another version": ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 8"),
    "a body": (
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Content-Length: 5",
    ),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_that_is_none_leads_to_no_socket(door: Door, name: str) -> None:
    heard = door.hears(handshake("/ws/unknown", *HANDSHAKES[name]))

    assert len(statuses(heard)) <= 1
    assert not set(statuses(heard)) - {400, 426}


def test_only_a_socket_is_opened_and_only_by_get(door: Door) -> None:
    for sent in (handshake("/ws/unknown", method="POST"), handshake("/analyze")):
        heard = door.hears(sent)

        assert 101 not in statuses(heard) or b"\x88" in heard, heard


def test_a_socket_is_not_opened_over_an_answer_that_is_on_its_way(door: Door, token: str) -> None:
    waiting = f"GET /result/{token}?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    heard = door.hears([waiting + handshake(f"/ws/{token}")])

    assert heard == b""


def test_pings_whose_answers_are_not_read_are_not_answered_for_ever(door: Door, token: str) -> None:
    before = door.rss_mib
    flood = frame(PING, b"a" * 125) * 500
    sent = 0
    with door.connect(1) as stranger:
        open_socket(stranger, token)
        while sent < 30_000_000:
            try:
                sent += stranger.send(flood)
            except OSError:  # cut off, or not read any more
                break

        assert door.rss_mib < before + 16
        assert door.health_s() < 5


def test_who_closes_in_the_middle_of_a_frame_is_forgotten(door: Door, token: str) -> None:
    for _ in range(20):
        with door.connect() as stranger:
            stranger.sendall(handshake(f"/ws/{token}") + frame(TEXT, b"a" * 100)[:50])
            stranger.shutdown(1)
            rest_of(stranger)
