"""METRICS into the hourly records of KV stats, each message once."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from decibus.broker import Broker, Conflict
from decibus.calls import Hour, hour_of, key_of
from decibus.messages import read
from decibus.pull import Delivery
from decibus.topology import SKETCH, STATS
from services.recorder.reading import reading

_MESSAGES: Final = 5000
_WITHIN_S: Final = 0.5
"""How old a count is at most before it is written."""


def counting(broker: Broker) -> AbstractAsyncContextManager[None]:
    """Count while the block runs."""
    return reading(broker, SKETCH, partial(count, broker), most=_MESSAGES, within_s=_WITHIN_S)


async def count(broker: Broker, batch: Sequence[Delivery]) -> None:
    """
    Count a batch, and only then ack it.

    What it is counted in is the hour in which NATS has stored it: no sender's clock decides.
    """
    hours: dict[datetime, list[Delivery]] = defaultdict(list)
    for delivery in batch:
        hours[hour_of(delivery.stored_at)].append(delivery)
    for hour, deliveries in hours.items():
        await _add(broker, hour, [(each.sequence, each.body) for each in deliveries])
    for delivery in batch:
        await delivery.ack_soon()


async def _add(broker: Broker, hour: datetime, messages: Sequence[tuple[int, bytes]]) -> None:
    key = key_of(hour)
    while True:
        record = await broker.read(STATS, key)
        known = read(record.value, Hour) if record else Hour()
        counted = known.adding(messages)
        if counted.counted == known.counted:
            return
        revision = record.revision if record else 0
        try:
            await broker.write(STATS, key, msgspec.json.encode(counted), revision=revision)
        except Conflict:  # another recorder counts in this hour, too
            continue
        return
