"""METRICS into hourly records: each call counts once, whoever counts and dies over it."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from decibus.broker import Broker, connect
from decibus.calls import Hour
from decibus.pull import Delivery
from decibus.topology import SKETCH, STATS
from services.recorder.counting import count, counting
from tests.conftest import NatsServer
from tests.recorder.conftest import publish

NOW_US = time.time_ns() // 1000


async def hours(broker: Broker) -> list[Hour]:
    walk = broker.walk(STATS.stream, STATS.subject(">"))
    return [msgspec.json.decode(record.body, type=Hour) async for record in walk]


async def total(broker: Broker) -> int:
    return sum(sum(hour.calls.ended.values()) for hour in await hours(broker))


async def test_two_recorders_that_count_each_others_batches_again_count_each_call_once(
    broker: Broker, nats_server: NatsServer
) -> None:
    for number in range(200):
        await publish(broker, number, at_us=NOW_US)
    async with connect(nats_server.url, name="other") as other:
        batches: list[Sequence[Delivery]] = [
            await each.take(SKETCH, most=50, within_s=5) for each in (broker, other) * 2
        ]

        # All at once, twice, the later ones first: as after ack_wait, or a lost ack.
        again = [*reversed(batches), *batches]
        counting_all = (count(one, batch) for batch in again for one in (broker, other))
        await asyncio.gather(*counting_all, return_exceptions=True)  # acked twice, they say

    assert await total(broker) == 200
    assert sum(hour.tasks["analyze"].heard for hour in await hours(broker)) == 200


async def test_a_call_is_counted_within_a_second_or_two(broker: Broker) -> None:
    async with counting(broker):
        for number in range(25):
            await publish(broker, number, at_us=NOW_US)
        async with asyncio.timeout(10):
            while await total(broker) < 25:  # noqa: ASYNC110 - the recorder's
                await asyncio.sleep(0.05)

    assert await broker.lag(SKETCH.stream, SKETCH.consumer) == 0
