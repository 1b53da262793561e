"""METRICS into a real database: every point once, whatever the database does."""

import asyncio
import time

import pytest

from decibus.broker import Broker
from decibus.topology import DEAD, DEAD_POINTS, INFLUX
from services.recorder.influx import Influx
from services.recorder.writing import Writer, pause_after
from tests.conftest import SERVERS
from tests.databases import Database, Mood, Unreliable
from tests.recorder.conftest import message, publish, settings_for

pytestmark = [
    pytest.mark.database,
    pytest.mark.timeout(120),
    pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True),
]
NOW_US = time.time_ns() // 1000


async def settled(broker: Broker, *, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while await broker.lag(INFLUX.stream, INFLUX.consumer):  # noqa: ASYNC110 - NATS's
            await asyncio.sleep(0.05)


async def test_a_line_that_is_refused_is_put_away_and_the_others_are_written(
    broker: Broker, database: Database, proxy: Unreliable
) -> None:
    for number in range(20):
        body = message(number, at_us=NOW_US + 10_000 * number)
        rubbish = body.replace(b" bytes=", b" rubbish,bytes=").replace(b" attempt", b" rubbish x=")
        await publish(broker, number, at_us=0, body=rubbish if number == 7 else body)
    proxy.mood = Mood.STRICT

    async with Writer(broker, Influx(settings_for(proxy.url))).open():
        await settled(broker)

    others = [number for number in range(20) if number != 7]
    assert sorted(database.values("call", "bytes")) == others
    assert sorted(database.values("task", "bytes")) == others
    dead = [each async for each in broker.walk(DEAD.stream, DEAD_POINTS)]
    assert len(dead) == 2, "both of its lines, once"
    assert all(b"rubbish" in each.body for each in dead)
    assert all("rubbish" in each.headers["Decibus-Detail"] for each in dead)
    assert dead[0].headers["traceparent"] == "trace-7"


async def test_whatever_the_database_does_every_point_is_in_it_once(
    broker: Broker, database: Database, proxy: Unreliable
) -> None:
    influx = Influx(settings_for(proxy.url, influxdb_timeout_s=0.3))
    faults = (Mood.FAILING, Mood.BUSY, Mood.GARBAGE, Mood.SILENT, Mood.FORGETFUL)
    writer = Writer(broker, influx)
    for number in range(300):
        await publish(broker, number, at_us=NOW_US + 10_000 * number)

    for mood in faults:
        proxy.mood = mood
        batch = await broker.take(INFLUX, most=300, within_s=5)
        assert batch, mood
        assert await writer.write(batch) is not None, mood
        writer._failures = 0  # noqa: SLF001 - the pause is not what this is about
    await asyncio.to_thread(database.stop)
    proxy.mood = Mood.GOOD
    async with writer.open():
        await asyncio.sleep(1)
        await asyncio.to_thread(database.start)
        await settled(broker)

    assert all(proxy.seen[mood] for mood in faults)
    assert sorted(database.values("call", "bytes")) == list(range(300))
    assert sorted(database.values("task", "bytes")) == list(range(300))


async def test_who_says_when_to_come_back_is_left_alone_until_then(
    broker: Broker, proxy: Unreliable
) -> None:
    proxy.mood = Mood.BUSY
    await publish(broker, 1, at_us=NOW_US)
    writer = Writer(broker, Influx(settings_for(proxy.url)))

    batch = await broker.take(INFLUX, most=1, within_s=5)
    pause = await writer.write(batch)

    assert pause is not None
    assert pause.total_seconds() == 1.0
    assert pause_after(0).total_seconds() == 1.0
    assert pause_after(3).total_seconds() == 8.0
    assert pause_after(999).total_seconds() == 30.0
