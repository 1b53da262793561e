"""
A gateway's process that strangers talk to, and what must be true of it after each of them.

It lives and answers, is small, has let go of their connections, has stored nothing of theirs, and
has logged no error.
"""

import asyncio
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from decibus.broker import connect
from decibus.topology import ANALYSES, AUDIO, OUTPUTS, QUEUES, REPORTS, TICKETS
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service, free_port, wait_for

STORED: Final = tuple(each.stream for each in (AUDIO, OUTPUTS, REPORTS, ANALYSES, TICKETS)) + tuple(
    queue.stream for queue in QUEUES.values()
)
MAX_RSS_MIB: Final = 256
_SILENCE_S: Final = 2.0


@dataclass(frozen=True)
class Door:
    """A gateway's process, and where it listens."""

    service: Service
    server: NatsServer
    port: int

    @property
    def url(self) -> str:
        """Where clients send to."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout_s: float = 10.0) -> socket.socket:
        """Open a connection, to say what no decent client would."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def hears(self, pieces: bytes | Iterable[bytes], silence_s: float = _SILENCE_S) -> bytes:
        """Send pieces, whatever comes back meanwhile; return all that came until the end."""
        pieces = [pieces] if isinstance(pieces, bytes) else pieces
        with self.connect(silence_s) as stranger:
            with suppress(OSError):  # it is cut off in the middle
                for piece in pieces:
                    stranger.sendall(piece)
            return rest_of(stranger)

    def health_s(self) -> float:
        """Return how long it takes to say that it lives."""
        start = time.monotonic()
        assert httpx.get(f"{self.url}/healthz", timeout=30).status_code == 200
        return time.monotonic() - start

    @property
    def descriptors(self) -> int:
        """How many files and connections it has open."""
        return len(list(Path(f"/proc/{self.service.process.pid}/fd").iterdir()))

    @property
    def rss_mib(self) -> float:
        """How much memory it has now."""
        pages = int(Path(f"/proc/{self.service.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def stored(self) -> int:
        """Count what is stored of uploads, wherever."""

        async def count() -> int:
            async with connect(self.server.url, name="test") as broker:
                js = broker.connection.jetstream()
                infos = [await js.stream_info(stream) for stream in STORED]
                return sum(info.state.messages for info in infos)

        return asyncio.run(count())


def rest_of(stranger: socket.socket) -> bytes:
    """Return all that comes until the connection ends, or says nothing any more."""
    heard = b""
    with suppress(OSError):
        while piece := stranger.recv(1 << 16):
            heard += piece
    return heard


def statuses(heard: bytes) -> list[int]:
    """Return the status of each answer."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", heard)]


def post(path: str, *fields: str, body: bytes = b"") -> bytes:
    """Write a request as it goes over the wire; the fields are not looked at."""
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *fields])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def multipart(parts: Iterable[tuple[str, bytes]], boundary: str = "x") -> bytes:
    """Write a form: the head of each part, without its `Content-Disposition: form-data`."""
    form = b"".join(
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
        % (boundary.encode(), head.encode(), content)
        for head, content in parts
    )
    return form + b"--%s--\r\n" % boundary.encode()


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """Start a gateway for all tests of a module, and a nats-server for it."""
    folder = Path(tempfile.mkdtemp(prefix="decibus-hostile-"))
    version = list(SERVERS)[-1]
    server = NatsServer(SERVERS[version], version, folder)
    server.start()
    port = free_port()
    env = {"NATS_URL": server.url, "HTTP_PORT": str(port), "RATE_LIMIT": "0", "METRICS_PORT": "0"}
    service = Service("gateway", env, folder / "gateway.log")
    try:
        door = Door(service.until_ready(), server, port)
        wait_for(lambda: _answers(port), within_s=10, what="the gateway's port")
        yield door
    finally:
        if service.process.poll() is None:
            service.kill()
        server.kill()
        shutil.rmtree(folder)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def _spotless(door: Door) -> Iterator[None]:
    """See after all tests of a module that nothing has come of them."""
    door.health_s()
    before = door.descriptors
    yield
    wait_for(lambda: door.descriptors <= before, within_s=15, what="connections are let go")
    wait_for(lambda: door.stored() == 0, within_s=10, what="nothing is stored")


@pytest.fixture
def unharmed(door: Door, _spotless: None) -> Iterator[None]:
    """See after a test that the gateway lives, is small, and has met no bug."""
    yield
    assert door.service.process.poll() is None, door.service.printed
    assert door.health_s() < 5
    assert door.rss_mib < MAX_RSS_MIB
    assert '"level": "error"' not in door.service.printed, door.service.printed
