"""
What is to be done once an upload's jobs are settled, by whichever gateway is free.

    intake ─▶ work queue: the row of an upload ─▶ an errand ─▶ done, or again after a while

The queue outlives every gateway: what one did not finish, the next one takes up after `ack_wait`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from decibus.broker import Broker, Conflict
from decibus.ending import ended
from decibus.errors import DecibusError
from decibus.pull import Delivery, Pull
from decibus.topology import Queue

log = structlog.get_logger()

_AFTER_TROUBLE: Final = timedelta(seconds=5)

Errand = Callable[[str], Awaitable[timedelta | None]]
"""Does what a row asks for; returns None when that is done, or when to be called again."""


class Errands:
    """Runs the errands of one queue, at most `slots` of them at once."""

    def __init__(self, broker: Broker, queue: Queue, errand: Errand, *, slots: int) -> None:
        self._queue = queue
        self._errand = errand
        self._pulls = [broker.pull(queue) for _ in range(slots)]

    @asynccontextmanager
    async def open(self, *, grace: timedelta) -> AsyncIterator[None]:
        """Run errands while the block runs; then finish what is in hand, within the grace."""
        async with asyncio.TaskGroup() as group:
            slots = [group.create_task(self._slot(pull)) for pull in self._pulls]
            try:
                yield
            finally:
                for pull in self._pulls:
                    pull.stop()
                _, late = await asyncio.wait(slots, timeout=grace.total_seconds())
                await ended(late)

    async def _slot(self, pull: Pull) -> None:
        async for delivery in pull:
            try:
                await self._run(delivery)
            except DecibusError as error:  # not settled: it comes again after ack_wait
                log.warning("errand_left", errand=self._queue.task, reason=repr(error))

    async def _run(self, delivery: Delivery) -> None:
        try:
            again = await self._errand(delivery.body.decode())
        except Conflict:
            again = timedelta(seconds=1)  # somebody else is at it
        except Exception as error:
            # Kept, whatever is wrong: the queue's max_age is the end of it.
            log.warning("errand_failed", errand=self._queue.task, exc_info=error)
            again = _AFTER_TROUBLE
        if again is None:
            await delivery.ack()
        else:
            await delivery.nak(again)
