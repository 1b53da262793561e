"""Workers killed, frozen and told to stop: no job is lost, none is seen twice."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from decibus.broker import connect
from tests.chaos.conftest import Load, dose, lasting
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service

Start = Callable[..., Service]
StartGateway = Callable[[NatsServer], tuple[Service, str]]

NEWEST = list(SERVERS)[-1:]
MEASURED = ("status", "loudness", "peak", "spectrum", "stereo", "dc_offset", "silence", "errors")


async def work_through(url: str, takes: list[bytes]) -> dict[int, Any]:
    """Return the reports of a run in which nothing goes wrong."""
    load = Load([url])
    await load.send(takes)
    return await load.reports(within_s=60)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("nats_server", NEWEST, indirect=True)
async def test_killed_workers_lose_nothing_and_do_nothing_twice(
    nats_server: NatsServer,
    service: Start,
    start_gateway: StartGateway,
    takes: list[bytes],
    chance: random.Random,
) -> None:
    takes = takes[: dose(40, 120)]
    _, url = await asyncio.to_thread(start_gateway, nats_server)
    crew = [service("analyzer", NATS_URL=nats_server.url) for _ in range(2)]
    quiet = lasting(await work_through(url, takes))

    for batch in range(dose(1, 10)):
        load = Load([url])
        fresh = [take + b"\0" * (batch + 1) for take in takes]  # so that nothing is cached
        sending = asyncio.create_task(load.send(fresh))
        for _ in range(dose(3, 5)):
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            victim = chance.randrange(len(crew))
            await asyncio.to_thread(crew[victim].kill)
            crew[victim] = service("analyzer", NATS_URL=nats_server.url)
        await sending
        for each in crew:
            await asyncio.to_thread(each.until_ready)
        restarted = time.monotonic()
        reports = await load.reports(within_s=60)

        assert time.monotonic() - restarted < 10
        assert len(reports) == len(takes)
        for number, report in lasting(reports).items():
            assert report["bytes"] == quiet[number]["bytes"] + batch + 1
            assert {name: report[name] for name in MEASURED} == {
                name: quiet[number][name] for name in MEASURED
            }


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nats_server", dose(NEWEST, list(SERVERS)), indirect=True)
async def test_a_frozen_worker_that_thaws_changes_nothing_and_settles_nothing(
    nats_server: NatsServer, service: Start, start_gateway: StartGateway, long_take: bytes
) -> None:
    _, url = await asyncio.to_thread(start_gateway, nats_server)
    frozen = await asyncio.to_thread(
        service("analyzer", NATS_URL=nats_server.url, SLOTS="1").until_ready
    )
    load = Load([url])
    async with connect(nats_server.url, name="witness") as witness:
        settled: list[str] = []

        async def note(message: Any) -> None:
            settled.append(message.subject.split(".")[4])  # the delivery's number

        await witness.connection.subscribe("$JS.ACK.JOBS_ANALYZE.>", cb=note)
        await witness.settle_subscriptions()
        await load.send([long_take])
        async with asyncio.timeout(10):
            while await load.state(0) != "running":  # noqa: ASYNC110 - it is the worker's
                await asyncio.sleep(0.01)
        frozen.pause()
        await asyncio.sleep(0.2)
        first = len(settled)
        heir = service("analyzer", NATS_URL=nats_server.url)
        done = (await load.reports(within_s=60))[0]
        frozen.resume()
        await asyncio.sleep(3)
        again = (await load.reports(within_s=10))[0]

    assert done["status"] == "done"
    assert again == done, "no flip"
    assert "superseded" in frozen.printed or "stale" in frozen.printed
    assert set(settled[first:]) == {"2"}, "the heir's only: nothing of the thawed one reached NATS"
    assert heir.process.poll() is None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("nats_server", NEWEST, indirect=True)
async def test_workers_told_to_stop_finish_or_hand_back(
    nats_server: NatsServer,
    service: Start,
    start_gateway: StartGateway,
    takes: list[bytes],
    chance: random.Random,
) -> None:
    _, url = await asyncio.to_thread(start_gateway, nats_server)
    worker = await asyncio.to_thread(service("analyzer", NATS_URL=nats_server.url).until_ready)
    load = Load([url])
    sending = asyncio.create_task(load.send(takes))

    for _ in range(dose(3, 20)):
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        successor = service("analyzer", NATS_URL=nats_server.url)
        start = time.monotonic()
        assert await asyncio.to_thread(worker.terminate) == 0
        assert time.monotonic() - start < 25
        worker = await asyncio.to_thread(successor.until_ready)
    await sending
    reports = await load.reports(within_s=60)

    assert load.refused == 0
    assert {report["status"] for report in reports.values()} == {"done"}
    assert len(reports) == len(takes)
