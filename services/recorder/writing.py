"""
METRICS into InfluxDB: acked when InfluxDB has taken it, and as often offered as that needs.

    batch ─▶ written ─▶ ack
        ├──▶ not now ─▶ nak, later
        └──▶ refused ─▶ halves, until one line is left ─▶ JOBS_DEAD
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog

from decibus.broker import Broker
from decibus.ending import ended
from decibus.errors import DecibusError
from decibus.points import stamped
from decibus.pull import Delivery
from decibus.telemetry import CONSUMER_LAG, POINTS_REFUSED, POINTS_WRITTEN, TRACEPARENT
from decibus.topology import DEAD_POINTS, INFLUX
from services.recorder.influx import Away, Influx, LinesRefused
from services.recorder.reading import reading

log = structlog.get_logger()

_MESSAGES: Final = 1250
"""A call with three tasks is four lines: 5,000 of them, what InfluxDB likes best."""
_WITHIN_S: Final = 1.0
_TELL_EVERY_S: Final = 5.0
_MAX_PAUSE: Final = timedelta(seconds=30)
_MAX_WORDS: Final = 300


class Line:
    """One line, and the message that it came in."""

    def __init__(self, text: bytes, delivery: Delivery) -> None:
        self.text = text
        self.delivery = delivery


class Writer:
    """Writes batches; remembers for how long InfluxDB has been away."""

    def __init__(self, broker: Broker, influx: Influx) -> None:
        self._broker = broker
        self._influx = influx
        self._failures = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Write while the block runs, and tell how much there is to write."""
        batches = reading(self._broker, INFLUX, self.write, most=_MESSAGES, within_s=_WITHIN_S)
        async with batches, asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell_lag())
            try:
                yield
            finally:
                await ended([telling])

    async def _tell_lag(self) -> None:
        while True:
            with suppress(DecibusError):  # what was read last stands
                lag = await self._broker.lag(INFLUX.stream, INFLUX.consumer)
                CONSUMER_LAG.labels(INFLUX.consumer).set(lag)
            await asyncio.sleep(_TELL_EVERY_S)

    async def write(self, batch: Sequence[Delivery]) -> timedelta | None:
        """Write a batch and ack it; or give all of it back, and say how long to pause."""
        lines = [
            Line(text, delivery)
            for delivery in batch
            for text in stamped(delivery.body, delivery.sequence).splitlines()
        ]
        try:
            await self._write(lines)
        except Away as error:
            pause = error.retry_after or pause_after(self._failures)
            tell = log.info if self._failures else log.warning
            tell("influxdb_away", reason=str(error), seconds=pause.total_seconds())
            self._failures += 1
            for delivery in batch:
                await delivery.nak(pause)
            return pause
        if self._failures:
            log.info("influxdb_back")
        self._failures = 0
        POINTS_WRITTEN.inc(len(batch))
        for delivery in batch:
            await delivery.ack_soon()
        return None

    async def _write(self, lines: Sequence[Line]) -> None:
        """Write lines; of those that are refused, put away the wrong ones and write the others."""
        if not lines:
            return
        try:
            await asyncio.to_thread(self._influx.write, b"\n".join(line.text for line in lines))
        except LinesRefused as error:
            if len(lines) == 1:
                await self._bury(lines[0], str(error))
                return
            middle = len(lines) // 2
            await self._write(lines[:middle])
            await self._write(lines[middle:])

    async def _bury(self, line: Line, reason: str) -> None:
        POINTS_REFUSED.inc()
        log.warning("point_refused", sequence=line.delivery.sequence, reason=reason)
        words = reason.encode("ascii", "replace").decode()[:_MAX_WORDS]
        trace = line.delivery.headers.get(TRACEPARENT, "")
        headers = {"Decibus-Detail": words} | ({TRACEPARENT: trace} if trace else {})
        measurement = line.text.partition(b",")[0].decode("ascii", "replace")
        await self._broker.append(
            DEAD_POINTS,
            line.text,
            dedup_id=f"{DEAD_POINTS}.{line.delivery.sequence}.{measurement}",
            headers=headers,
        )


def pause_after(failures: int) -> timedelta:
    """Return how long to leave InfluxDB alone: 1 s, then twice as long each time, up to 30 s."""
    return min(_MAX_PAUSE, timedelta(seconds=2 ** min(failures, 10)))
