"""Batches of points out of METRICS, one after the other, until the recorder is told to stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog

from decibus.broker import Broker
from decibus.ending import ended
from decibus.errors import DecibusError
from decibus.pull import Delivery
from decibus.topology import Reader

log = structlog.get_logger()

_AFTER_TROUBLE: Final = timedelta(seconds=1)
_GRACE_S: Final = 15.0

Handle = Callable[[list[Delivery]], Awaitable[timedelta | None]]
"""Settles a batch; returns None, or how long there is no use in taking another one."""


@asynccontextmanager
async def reading(
    broker: Broker, reader: Reader, handle: Handle, *, most: int, within_s: float
) -> AsyncIterator[None]:
    """Hand on what comes while the block runs, at most `most` messages or those of `within_s`."""
    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            wait: timedelta | None = None
            try:
                if batch := await broker.take(reader, most=most, within_s=within_s):
                    wait = await handle(batch)
            except DecibusError as error:  # nothing is settled: it is delivered again
                log.warning("points_left", consumer=reader.consumer, reason=str(error))
                wait = _AFTER_TROUBLE
            except Exception as error:
                # An edge: the other consumer goes on, and so do we.
                log.exception("points_left", consumer=reader.consumer, exc_info=error)
                wait = _AFTER_TROUBLE
            if wait is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait.total_seconds()):
                        await stop.wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(read())
        try:
            yield
        finally:
            stop.set()
            _, late = await asyncio.wait({task}, timeout=_GRACE_S)
            await ended(late)
