"""
What NATS holds for us, asked every few seconds and shown to Prometheus by each gateway.

The same figures from all replicas: a dashboard takes their maximum, and misses nothing when one of
them goes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import structlog

from decibus import telemetry
from decibus.broker import Broker
from decibus.ending import ended
from decibus.errors import DecibusError
from decibus.topology import (
    BUCKETS,
    DEAD,
    DEAD_PREFIX,
    ERRANDS,
    INFLUX,
    JOURNALS,
    LOGS,
    QUEUES,
    STORES,
)

log = structlog.get_logger()

EVERY_S: Final = 5.0
_STREAMS: Final = (
    *(queue.stream for queue in ERRANDS),
    *(bucket.stream for bucket in BUCKETS),
    *(stream for store in STORES for stream in (store.stream, store.seals)),
    *(journal.stream for journal in JOURNALS),
    *(log.stream for log in LOGS),
)
# Not that of `influx`: without an InfluxDB nobody reads there, and a recorder tells its own.
_READERS: Final = tuple(reader for log in LOGS for reader in log.readers if reader is not INFLUX)


@asynccontextmanager
async def gauges(broker: Broker) -> AsyncIterator[None]:
    """Keep them true while the block runs."""

    async def read_again() -> None:
        while True:
            try:
                await read(broker)
            except DecibusError as error:  # what was read last stands; NATS_CONNECTED tells
                log.debug("gauges_not_read", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read_again())
        try:
            yield
        finally:
            await ended([reading])


async def read(broker: Broker) -> None:
    """Ask NATS once, one question after the other."""
    for task, queue in QUEUES.items():
        state = await broker.condition(queue)
        age = datetime.now(UTC) - state.oldest_at if state.oldest_at else None
        telemetry.QUEUE_WAITING.labels(task).set(state.waiting)
        telemetry.QUEUE_IN_HAND.labels(task).set(state.in_hand)
        telemetry.QUEUE_REDELIVERED.labels(task).set(state.redelivered)
        telemetry.QUEUE_CAP.labels(task).set(broker.cap(queue))
        telemetry.QUEUE_OLDEST_SECONDS.labels(task).set(age.total_seconds() if age else 0.0)
    queues = [part.stream for queue in QUEUES.values() for part in broker.partitions(queue)]
    for stream in (*queues, *_STREAMS):
        held, cap = await broker.stream_bytes(stream)
        telemetry.STREAM_BYTES.labels(stream).set(held)
        telemetry.STREAM_CAP_BYTES.labels(stream).set(cap)
    telemetry.DEAD_LETTERS.set(await broker.count_subjects(DEAD.stream, f"{DEAD_PREFIX}>"))
    for reader in _READERS:
        lag = await broker.lag(reader.stream, reader.consumer)
        telemetry.CONSUMER_LAG.labels(reader.consumer).set(lag)
