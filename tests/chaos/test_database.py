"""The database away, and worse: every point is in it once, and no request is slower for it."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from decibus.broker import Broker, connect
from decibus.points import Kind, Point, Status, line_of
from decibus.topology import INFLUX, POINTS_PREFIX
from tests.chaos.conftest import dose
from tests.conftest import SERVERS, NatsServer
from tests.databases import TOKEN, Mood, Unreliable, databases
from tests.processes import Service

A_SECOND = 100
NEWEST = list(SERVERS)[-1:]
WORSE = dose(
    # Each failure makes the recorder more patient; tests/recorder has them all.
    (Mood.FAILING,),
    (Mood.FAILING, Mood.BUSY, Mood.GARBAGE, Mood.SILENT, Mood.FORGETFUL),
)
FIRST = 1_000_000
"""Sizes that no upload of this test has."""


def point(number: int, at_us: int) -> bytes:
    return line_of(
        Point(
            kind=Kind.CALL,
            service="chaos",
            task="analyze",
            status=Status.DONE,
            source="http",
            latency=0.1,
            bytes=FIRST + number,
            at_us=at_us,
        )
    ).encode()


async def load(broker: Broker, stop: asyncio.Event) -> int:
    """Publish 100 points a second, as gateways do; returns how many."""
    start = time.monotonic()
    base_us = time.time_ns() // 1000
    number = 0
    while not stop.is_set():
        await broker.append(
            f"{POINTS_PREFIX}http",
            point(number, base_us + number * 1_000_000 // A_SECOND),
            dedup_id=f"{number}",
            headers={},
        )
        number += 1
        await asyncio.sleep(max(0.0, start + number / A_SECOND - time.monotonic()))
    return number


async def ask(url: str, stop: asyncio.Event) -> list[float]:
    """Upload the same file again and again; returns how long each took, in seconds."""
    took_s: list[float] = []
    async with httpx.AsyncClient(timeout=30) as client:
        while not stop.is_set():
            start = time.perf_counter()
            answer = await client.post(
                f"{url}/analyze", files={"file": b"RIFF"}, data={"tasks": "loudness"}
            )
            assert answer.status_code == 415
            took_s.append(time.perf_counter() - start)
            await asyncio.sleep(0.1)
    return took_s


@pytest.mark.database
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("nats_server", NEWEST, indirect=True)
@pytest.mark.parametrize("kind", list(databases())[: dose(1, 2)] or ["no database here"])
async def test_an_outage_of_the_database_loses_no_point_and_doubles_none(
    nats_server: NatsServer,
    service: Callable[..., Service],
    start_gateway: Callable[[NatsServer], tuple[Service, str]],
    tmp_path: Path,
    kind: str,
) -> None:
    _, url = await asyncio.to_thread(start_gateway, nats_server)
    analyzer = service("analyzer", NATS_URL=nats_server.url)
    await asyncio.to_thread(analyzer.until_ready)
    (tmp_path / kind).mkdir()
    database = databases()[kind](tmp_path / kind)
    await asyncio.to_thread(database.start)
    async with (
        connect(nats_server.url, name="test") as broker,
        Unreliable(database.url).open() as proxy,
    ):
        influx = {"INFLUXDB_URL": proxy.url, "INFLUXDB_TOKEN": TOKEN, "INFLUXDB_TIMEOUT_S": "1"}
        recorder = service("recorder", NATS_URL=nats_server.url, **influx)
        await asyncio.to_thread(recorder.until_ready)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load(broker, stop))
            quiet_s = await asking(url, for_s=dose(1.0, 120.0))
            group.create_task(trouble(database, proxy, stop))
            troubled_s = await asking(url, until=stop)
        async with asyncio.timeout(dose(60, 300)):
            while await broker.lag(INFLUX.stream, INFLUX.consumer):  # noqa: ASYNC110 - NATS's
                await asyncio.sleep(0.1)
        own = await asyncio.to_thread(database.values, "call", "bytes")
        await asyncio.to_thread(database.stop)

    published = loading.result()
    print(  # noqa: T201 - the figures of the runbook
        f"{kind}: {published} points; a request took, quiet and in trouble:"
        f" p50 {p(quiet_s, 50)} and {p(troubled_s, 50)} ms,"
        f" p99 {p(quiet_s, 99)} and {p(troubled_s, 99)} ms"
    )
    assert all(proxy.seen[mood] for mood in WORSE)
    assert [value for value in sorted(own) if value >= FIRST] == list(
        range(FIRST, FIRST + published)
    )


async def trouble(database: Any, proxy: Unreliable, stop: asyncio.Event) -> None:
    """Have the database away, then every fault, then all well."""
    await asyncio.to_thread(database.stop)
    await asyncio.sleep(dose(1.0, 600.0))
    for mood in WORSE:
        proxy.mood = mood
        async with asyncio.timeout(60):
            while not proxy.seen[mood]:  # noqa: ASYNC110 - the recorder comes when it likes
                await asyncio.sleep(0.05)
        await asyncio.sleep(dose(0.0, 10.0))
    await asyncio.to_thread(database.start)
    proxy.mood = Mood.GOOD
    stop.set()


async def asking(
    url: str, *, for_s: float = 3600.0, until: asyncio.Event | None = None
) -> list[float]:
    """Ask for so long, or until something has happened."""
    stop = until or asyncio.Event()
    asking = asyncio.ensure_future(ask(url, stop))
    await asyncio.wait({asking}, timeout=for_s)
    stop.set()
    return await asking


def p(took_s: list[float], share: int) -> float:
    """Return a percentile in ms."""
    return round(sorted(took_s)[len(took_s) * share // 100] * 1000, 1)
