"""Who sends next to nothing, or reads nothing, is let go, and nobody else waits for that."""

import asyncio
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from services.gateway import pace
from services.gateway.__main__ import Server, configure
from services.gateway.lanes import LARGE_PLACES, SMALL_BYTES, SMALL_PLACES
from services.gateway.settings import Settings
from tests.conftest import SERVERS, NatsServer
from tests.gateway.conftest import replica, report
from tests.hostile.conftest import Door, post, statuses
from tests.processes import free_port

DAWDLERS: Final = 200
LET_GO_S: Final = 30.0
FORM: Final = "Content-Type: multipart/form-data; boundary=x"
FILE: Final = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
REFUSED: Final = b'\r\n--x\r\nContent-Disposition: form-data; name="genre"\r\n\r\nnone\r\n--x--\r\n'
STARTS: Final = {
    "nothing": b"",
    "an address": b"GET /",
    "a head": b"POST /analyze HTTP/1.1\r\nHost: x\r\nX-A: ",
    "a form": post("/analyze", "Content-Length: 99999", FORM),
    "a file": post("/analyze", "Content-Length: 99999", FORM, body=FILE),
    "chunks": post("/transcode", "Transfer-Encoding: chunked", FORM) + b"ffff\r\n" + FILE,
    "JSON": post("/jobs/", "Content-Length: 99999", "Content-Type: application/json"),
    "what is not read": post("/stats", "Content-Length: 99999"),
}


@pytest.mark.usefixtures("unharmed")
def test_200_that_send_a_byte_a_second_are_let_go_and_hold_up_nobody(door: Door) -> None:
    kinds = list(STARTS.values()) * (DAWDLERS // len(STARTS))
    start = time.monotonic()
    healths: list[float] = []
    heard: list[bytes] = []
    with ExitStack() as stack:
        waiting = [stack.enter_context(door.connect()) for _ in kinds]
        silent = [each for each, kind in zip(waiting, kinds, strict=True) if not kind]
        for stranger, kind in zip(waiting, kinds, strict=True):
            stranger.sendall(kind)
            stranger.setblocking(False)  # noqa: FBT003 - socket's signature
        while waiting and time.monotonic() - start < LET_GO_S + 5:
            healths.append(door.health_s())
            waiting = [each for each in waiting if not is_let_go(each, heard)]
            for stranger in waiting:
                if stranger not in silent:
                    with suppress(OSError):
                        stranger.send(b"a")
            time.sleep(1.0)
        took_s = time.monotonic() - start

    assert not waiting
    assert took_s < LET_GO_S + 2
    assert len(healths) >= 15
    assert statistics.median(healths) < 0.2
    told = [status for each in heard for status in statuses(each)]
    assert told.count(408) >= DAWDLERS // 2, "of those who had said what they want"
    assert set(told) == {408, 200}


def is_let_go(stranger: socket.socket, heard: list[bytes]) -> bool:
    try:
        said = stranger.recv(1 << 16)
    except BlockingIOError:
        return False
    except OSError:
        return True
    if said:
        heard.append(said)
    return not said


@pytest.mark.usefixtures("unharmed")
def test_who_stops_in_the_middle_holds_up_no_upload(door: Door) -> None:
    head = post("/analyze", "Content-Length: 5000000", "Connection: close", FORM)
    body = FILE + os.urandom(5_000_000 - len(FILE) - len(REFUSED)) + REFUSED
    with ExitStack() as stack:
        for _ in range(3 * (SMALL_PLACES + LARGE_PLACES)):
            stopped = stack.enter_context(door.connect())
            stopped.sendall(head + body[: SMALL_BYTES * 2])
        start = time.monotonic()

        heard = door.hears(head + body, silence_s=LET_GO_S)
        took_s = time.monotonic() - start

    assert statuses(heard) == [400], "all of it was read"
    assert took_s < pace.PATIENCE_S / 2


# Readers, with less patience for them than there is.


@pytest.fixture
async def impatient(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    """Run a gateway in the test's own loop that lets a stuck reader go after a second."""
    monkeypatch.setattr(pace, "STUCK_S", 1.0)
    version = list(SERVERS)[-1]
    nats = NatsServer(SERVERS[version], version, tmp_path)
    await asyncio.to_thread(nats.start)
    settings = Settings(http_port=free_port(), rate_limit=0)
    async with replica(nats, settings) as running, asyncio.TaskGroup() as group:
        server = Server(configure(running.app, settings))
        group.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{settings.http_port}"
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            yield server, http
        server.should_exit = True
    await asyncio.to_thread(nats.kill)


async def test_who_does_not_read_what_it_asked_for_is_let_go(
    impatient: tuple[Server, httpx.AsyncClient],
) -> None:
    server, http = impatient
    job = report(await http.post("/jobs/", json={"transcode": {"format": {"extension": "mp3"}}}))
    await http.put(job["source"]["upload_url"], content=bytes(30_000_000))
    link = report(await http.get(f"/jobs/{job['_id']}/"))["source"]["download_url"]
    before = len(server.server_state.connections)

    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as idle:
        idle.sendall(f"GET {link} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(20):
            while len(server.server_state.connections) == before:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
            while len(server.server_state.connections) > before:  # noqa: ASYNC110 - ditto
                await asyncio.sleep(0.1)

    assert len((await http.get(link)).content) == 30_000_000, "who reads gets all of it"
