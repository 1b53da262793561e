"""
A new version is rolled out under load, as Kubernetes does it: no request fails, no job is lost.

Of each service a new process starts, and when that is ready the old one is told to stop. A gateway
besides is given no new connections from then on, some time before.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import nats
import pytest

from decibus import topology
from decibus.broker import connect
from tests.chaos.conftest import Load, dose
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service
from tests.signals import encode, music

Start = Callable[..., Service]
StartGateway = Callable[[NatsServer], tuple[Service, str]]

WORKERS: Final = ("analyzer", "transcriber", "transcoder")
PRE_STOP_S: Final = 0.5
"""`preStopSeconds` of the chart: 5, until every node knows. Here there is one."""
TAKE: Final = encode(music(1.0, 24_000), 24_000, "wav16")


class Balancer:
    """A Service of Kubernetes: a new connection goes to a pod that is ready, and stays there."""

    def __init__(self) -> None:
        self.port = 0  # of the one pod that is ready

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listen; yields the URL."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        server.close()

    async def _forward(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        pod, forth = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(_copy(client, forth), _copy(pod, back))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await source.read(65_536):
            sink.write(some)
            await sink.drain()
    sink.close()


class Traffic:
    """Requests without end, one after the other in each lane, each with a file of its own."""

    def __init__(self, url: str, nats_url: str) -> None:
        self.load = Load([url])
        self.answers: Counter[str] = Counter()
        self._nats_url = nats_url
        self._is_over = False

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Send for as long as the block does; what is under way then is still answered."""
        async with asyncio.TaskGroup() as lanes:
            for lane in (self._measure, self._measure, self._convert, self._request):
                lanes.create_task(lane())
            try:
                yield
            finally:
                self._is_over = True

    def _fresh(self) -> bytes:
        """Return a file that nobody has sent before."""
        return TAKE[:-4] + self.answers.total().to_bytes(4, "little")

    async def _measure(self) -> None:
        await self._post("/analyze", {"wait": "30"})

    async def _convert(self) -> None:
        await self._post("/transcode", {"wait": "30", "extension": "flac"})

    async def _post(self, path: str, fields: dict[str, str]) -> None:
        # It keeps its connections, as proxies do.
        async with httpx.AsyncClient(base_url=self.load.urls[0], timeout=40) as client:
            while not self._is_over:
                files = {"file": ("take.wav", self._fresh())}
                self.answers[path] += 1
                answer = await client.post(path, files=files, data=fields)
                assert answer.status_code in {200, 202}, answer.text
                self.answers[f"{path} {answer.status_code}"] += 1
                if answer.headers["content-type"] == "application/json":
                    self._accepted(answer.json())
                else:
                    assert answer.content.startswith(b"fLaC")

    async def _request(self) -> None:
        client = await nats.connect(self._nats_url)
        while not self._is_over:
            take = self._fresh()
            self.answers["audio.process"] += 1
            reply = await client.request("audio.process", take, timeout=40)
            assert "Nats-Service-Error-Code" not in (reply.headers or {}), reply.data
            self._accepted(msgspec.json.decode(reply.data))
        await client.close()

    def _accepted(self, report: dict[str, Any]) -> None:
        self.load.tokens[len(self.load.tokens)] = report["token"]


@pytest.mark.timeout(dose(120, 600))
@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
async def test_a_rolling_update_under_load_fails_no_request_and_loses_no_job(
    nats_server: NatsServer, service: Start, start_gateway: StartGateway
) -> None:
    env = {"NATS_URL": nats_server.url, "DECIBUS_MODEL": "demo", "OMP_NUM_THREADS": "1"}
    balancer = Balancer()

    async def start() -> dict[str, tuple[Service, str]]:
        started = {name: (service(name, **env), "") for name in WORKERS}
        started["gateway"] = await asyncio.to_thread(start_gateway, nats_server)
        for name in WORKERS:
            await asyncio.to_thread(started[name][0].until_ready)
        return started

    def let_in(pods: dict[str, tuple[Service, str]]) -> None:
        balancer.port = urlsplit(pods["gateway"][1]).port or 0

    running = await start()
    let_in(running)
    async with balancer.open() as url:
        traffic = Traffic(url, nats_server.url)
        async with traffic.flowing():
            for _ in range(dose(2, 10)):
                before, running = running, await start()
                let_in(running)
                await asyncio.sleep(PRE_STOP_S)
                ends = [asyncio.to_thread(each.terminate) for each, _ in before.values()]
                assert await asyncio.gather(*ends) == [0] * len(before)
        reports = await traffic.load.reports(within_s=30)

    print(dict(traffic.answers))  # noqa: T201 - shown with a failure
    assert {report["status"] for report in reports.values()} == {"done"}
    assert not [error for report in reports.values() for error in report["errors"]]
    assert traffic.answers["audio.process"] > 1
    assert await dead_letters(nats_server) == 0


async def dead_letters(server: NatsServer) -> int:
    """Return how many jobs have failed for good."""
    async with connect(server.url, name="witness") as witness:
        info = await witness.connection.jetstream().stream_info(topology.DEAD.stream)
        return info.state.messages
