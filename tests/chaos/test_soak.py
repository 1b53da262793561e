"""
Hours in little: a steady load at 70 % of what the machine can do, and what it leaves behind.

Whoever leaks shows here: memory and file descriptors of each process are read while uploads come
by HTTP and NATS, are watched, fetched and deleted. `make soak` takes half an hour; in the suite it
takes seconds, in which only errors and descriptors can be told.
"""

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import numpy as np
import pytest
from websockets.asyncio.client import connect as open_socket

from decibus.broker import Broker, connect
from services.transcriber.model import DEMO
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service, free_port, wait_for
from tests.signals import encode, music
from tests.speech import say, wav

Start = Callable[..., Service]

SOAK_S: Final = float(os.getenv("SOAK_S", "12"))
FULL: Final = SOAK_S >= 600
LOAD: Final = 0.7
WARM_UP: Final = 1 / 3
"""Of the time. Reports live that long, so that by then as many expire as come."""
LOOK_EVERY_S: Final = min(10.0, SOAK_S / 10)
MIB: Final = 1 << 20


@dataclass
class Watched:
    """A process, and what it has taken so far."""

    name: str
    pid: int
    at_s: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, now_s: float) -> None:
        """Take down what it has now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.at_s.append(now_s)
        self.rss_mib.append(pages * os.sysconf("SC_PAGE_SIZE") / MIB)
        self.descriptors.append(len(list(Path(f"/proc/{self.pid}/fd").iterdir())))

    def slope_mib_per_h(self) -> float:
        """Theil and Sen's median of slopes, which a garbage collection does not tilt."""
        pairs = itertools.combinations(zip(self.at_s, self.rss_mib, strict=True), 2)
        return 3600 * statistics.median((b - a) / (t - s) for (s, a), (t, b) in pairs)

    def __str__(self) -> str:
        start, end = statistics.median(self.rss_mib[:6]), statistics.median(self.rss_mib[-6:])
        return (
            f"{self.name:12} RSS {start:7.1f} -> {end:7.1f} MiB, "
            f"slope {self.slope_mib_per_h():+6.2f} MiB/h, "
            f"descriptors {min(self.descriptors)}..{max(self.descriptors)}"
        )


@dataclass
class Users:
    """People at every door, each upload another file."""

    url: str
    http: httpx.AsyncClient
    broker: Broker
    takes: list[bytes]
    spoken: bytes
    done: int = 0
    errors: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    speech_every: int = 25
    _numbers: Any = field(default_factory=itertools.count)

    async def one(self) -> None:
        """Use one of the doors, by turns."""
        number = next(self._numbers)
        # What comes after the audio is no audio, and makes another file of it.
        take = self.takes[number % len(self.takes)] + number.to_bytes(8, "big")
        doors = (self._wait, self._wait, self._poll_and_delete, self._watch, self._over_nats)
        speaks = number % self.speech_every == self.speech_every - 1
        door = self._speak if speaks else doors[number % len(doors)]
        start = time.monotonic()
        try:
            async with asyncio.timeout(60):
                report = await door(self.spoken + number.to_bytes(8, "big"), take)
            if report["status"] != "done":
                self.errors.append(str(report)[:300])
        except Exception as error:  # noqa: BLE001 - all of them count
            self.errors.append(repr(error)[:300])
        self.done += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - start)

    async def _post(self, take: bytes, **fields: str) -> Any:
        files, data = {"file": ("take.flac", take)}, {"tasks": "loudness"} | fields
        answer = await self.http.post(f"{self.url}/analyze", files=files, data=data)
        answer.raise_for_status()
        return answer.json()

    async def _wait(self, _: bytes, take: bytes) -> Any:
        return await self._post(take)

    async def _speak(self, spoken: bytes, _: bytes) -> Any:
        return await self._post(spoken, tasks="loudness,transcribe")

    async def _poll_and_delete(self, _: bytes, take: bytes) -> Any:
        token = (await self._post(take, wait="0"))["token"]
        path = f"{self.url}/result/{token}"
        report = (await self.http.get(path, params={"wait": "55"})).json()
        (await self.http.delete(path)).raise_for_status()
        return report

    async def _watch(self, _: bytes, take: bytes) -> Any:
        token = (await self._post(take, wait="0", retention="once"))["token"]
        async with open_socket(f"{self.url.replace('http', 'ws')}/ws/{token}") as socket:
            messages = [msgspec.json.decode(message) async for message in socket]
        return messages[-1]["report"]

    async def _over_nats(self, _: bytes, take: bytes) -> Any:
        headers = {"Tasks": "loudness"}
        connection = self.broker.connection
        reply = await connection.request("audio.process", take, timeout=60, headers=headers)
        return msgspec.json.decode(reply.data)


@pytest.fixture(scope="session")
def short_takes() -> list[bytes]:
    """Return files of a second to half a minute, as they come."""
    return [encode(music(s, seed=n), 48_000, "flac") for n, s in enumerate((1, 4, 9, 15, 30))]


@pytest.fixture(scope="session")
def spoken() -> bytes:
    """Return a few words."""
    return wav(say("one two three")).getvalue()


@pytest.mark.timeout(SOAK_S * 1.5 + 300)
@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
async def test_a_steady_load_leaves_nothing_behind(
    nats_server: NatsServer, service: Start, short_takes: list[bytes], spoken: bytes
) -> None:
    port = free_port()
    env = {"NATS_URL": nats_server.url, "OMP_NUM_THREADS": "1", "DECIBUS_MODEL": DEMO}
    door = {"HTTP_PORT": str(port), "RATE_LIMIT": "0", "REPORT_TTL_S": str(SOAK_S * WARM_UP / 2)}
    crew = {
        "gateway": service("gateway", **env, **door),
        "analyzer": service("analyzer", **env),
        "transcriber": service("transcriber", **env),
        "transcoder": service("transcoder", **env),
        "recorder": service("recorder", **env),
    }
    for each in crew.values():
        await asyncio.to_thread(each.until_ready)
    url = f"http://127.0.0.1:{port}"
    await asyncio.to_thread(wait_for, lambda: _is_ready(url), within_s=20, what="readiness")

    async with (
        httpx.AsyncClient(timeout=60) as http,
        connect(nats_server.url, name="soak") as broker,
    ):
        users = Users(url, http, broker, short_takes, spoken)
        await _speak_first(users, 400 if FULL else 4)
        rate = LOAD * await _capacity(users)
        processes = [Watched(name, each.process.pid) for name, each in crew.items()]
        processes += [Watched("nursery", pid) for pid in children_of(crew["analyzer"].process.pid)]
        assert processes[-1].name == "nursery"
        processes.append(Watched("nats-server", nats_server.pid))
        await _soak(users, rate, processes)

    figures = f"{users.done} uploads, {rate:.1f}/s, {len(users.errors)} errors"
    print(f"{figures}, slowest {users.slowest_s:.2f} s", *processes, sep="\n")  # noqa: T201
    assert users.errors == []
    for process in processes[:-1]:
        low, high = np.percentile(process.descriptors, [10, 90])
        assert high - low <= 8, f"{process}: as many as there are requests at once, and no more"
        if FULL:
            assert process.slope_mib_per_h() < 1, str(process)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started, and that still run."""
    by_thread = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for told in by_thread for each in told.read_text().split()]


def _is_ready(url: str) -> bool:
    try:
        found = httpx.get(f"{url}/readyz").json()
    except httpx.TransportError:
        return False
    return found["status"] == "ready" and all(found["workers"].values())


async def _speak_first(users: Users, count: int) -> None:
    """Let the model hear more than the soak will: its libraries grow with the first hundreds."""
    usual, users.speech_every = users.speech_every, 1
    for _ in range(0, count, 4):
        await asyncio.gather(*(users.one() for _ in range(4)))
    users.speech_every = usual


async def _capacity(users: Users) -> float:
    """Uploads per second that the pipeline gets done when four users do not pause."""
    seconds, start = max(3.0, SOAK_S / 60), time.monotonic()
    before = users.done

    async def user() -> None:
        while time.monotonic() - start < seconds:
            await users.one()

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(user())
    return (users.done - before) / (time.monotonic() - start)


async def _soak(users: Users, rate: float, processes: list[Watched]) -> None:
    """Send at this rate, whatever comes back, and look at the processes after the warm-up."""
    start = time.monotonic()
    next_look = SOAK_S * WARM_UP
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            due = number / rate
            if due > SOAK_S:
                return
            await asyncio.sleep(max(0.0, due - (time.monotonic() - start)))
            group.create_task(users.one())
            if due >= next_look:
                next_look += LOOK_EVERY_S
                for process in processes:
                    await asyncio.to_thread(process.look, due)
