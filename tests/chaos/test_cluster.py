"""Three servers, every stream on all of them, and the leaders killed under load."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import msgspec
import pytest

from decibus.broker import Conflict, connect
from decibus.errors import Unavailable
from decibus.topology import ANALYSES, ANALYZE
from tests.chaos.conftest import Load, dose
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service, free_port, wait_for

NODES: Final = 3


class Cluster:
    """Servers that replicate to each other; `url` names them all."""

    def __init__(self, binary: Path, version: str, folder: Path) -> None:
        routes = [free_port() for _ in range(NODES)]
        self.nodes = {
            f"n{number}": _node(binary, version, folder / f"n{number}", number, routes)
            for number in range(NODES)
        }
        for node in self.nodes.values():
            node.start()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return ",".join(node.url for node in self.nodes.values())

    def kill(self) -> None:
        """End all of it."""
        for node in self.nodes.values():
            node.kill()


def _node(binary: Path, version: str, folder: Path, number: int, routes: list[int]) -> NatsServer:
    folder.mkdir()
    peers = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in routes)
    config = f"""
    server_name: n{number}
    cluster {{ name: c, host: 127.0.0.1, port: {routes[number]}, routes: [{peers}] }}
    """
    return NatsServer(binary, version, folder, config=config)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Start three of the newest server."""
    version, binary = list(SERVERS.items())[-1]
    started = Cluster(binary, version, tmp_path)
    yield started
    started.kill()


async def leader_of(url: str, stream: str) -> str:
    """Return the name of the node that leads a stream."""
    async with connect(url, name="test") as broker:
        answer = await broker.connection.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)
    return str(msgspec.json.decode(answer.data)["cluster"]["leader"])


@pytest.mark.timeout(300)
async def test_a_killed_leader_loses_no_accepted_upload(
    cluster: Cluster, service: Callable[..., Service], takes: list[bytes], chance: random.Random
) -> None:
    env = {"NATS_URL": cluster.url, "NATS_REPLICAS": "3", "RATE_LIMIT": "100000"}
    port = free_port()
    await asyncio.to_thread(service("gateway", HTTP_PORT=str(port), **env).until_ready)
    url = f"http://127.0.0.1:{port}"
    await asyncio.to_thread(wait_for, lambda: _is_ready(url), within_s=20, what="the gateway")
    for _ in range(2):
        await asyncio.to_thread(service("analyzer", **env).until_ready)
    load = Load([url])
    sending = asyncio.create_task(load.send(takes))
    outages: list[float] = []

    for stream in [ANALYZE.stream, ANALYSES.stream] * dose(1, 3):
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        leader = await leader_of(cluster.url, stream)
        await asyncio.to_thread(cluster.nodes[leader].kill)
        outages.append(await _until_published(cluster.url))
        await asyncio.to_thread(cluster.nodes[leader].start)
        await asyncio.sleep(3)  # a quorum needs the second one before the next is killed
    await sending
    reports = await load.reports(within_s=90)

    assert max(outages) < 10
    assert len(reports) == len(takes)
    assert {report["status"] for report in reports.values()} == {"done"}


async def _until_published(url: str) -> float:
    """Return how long it takes until a task and a record are stored again."""
    start = time.monotonic()
    async with connect(url, name="test") as broker:
        key = f"probe.{start}"
        while True:
            try:
                with suppress(Conflict):  # it was stored before, and its ack was lost
                    await broker.write(ANALYSES, key, b"{}", revision=0)
                await broker.publish(ANALYZE, key, b"{}", dedup_id=key, headers={})
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                return time.monotonic() - start


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
