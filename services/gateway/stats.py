"""
What calls have come to, for `GET /stats` and `audio.stats`.

    KV stats ─▶ every hour in memory, ready to be merged ─▶ the hours of a window, merged ─▶ Stats

Each gateway looks for what has changed twice a second; an answer needs nothing but its memory.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from decibus.broker import Broker
from decibus.calls import LONGEST, Hour, Stats, Tally, TaskStats, Window, hour_named, window_of
from decibus.ending import ended
from decibus.errors import BadRequest, DecibusError, Unavailable, Unreadable
from decibus.messages import read
from decibus.points import Status
from decibus.sketches import Spread
from decibus.topology import INFLUX_ASKED, STATS
from services.gateway.openapi import ANY_KEY, ASKED

log = structlog.get_logger()

_LOOK_EVERY_S: Final = 0.5
_ASK_WITHIN_S: Final = 15.0
_MAX_MERGED: Final = 16
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Totals:
    """What calls, or the calls with one task, have come to: a tally that can be merged."""

    def __init__(self, tally: Tally | None = None) -> None:
        tally = tally or Tally()
        self.ended = tally.ended
        self.heard = tally.heard
        self.audio_s = tally.audio_s
        self.latency = Spread(tally.latency)
        self.queue_wait = Spread(tally.queue_wait)
        self.work = Spread(tally.work)

    @classmethod
    def merged(cls, parts: Sequence["Totals"]) -> "Totals":
        """Return what all of them have come to."""
        whole = cls()
        whole.ended = {
            status: sum(part.ended.get(status, 0) for part in parts) for status in Status
        }
        whole.heard = sum(part.heard for part in parts)
        whole.audio_s = sum(part.audio_s for part in parts)
        whole.latency = Spread.merged(part.latency for part in parts)
        whole.queue_wait = Spread.merged(part.queue_wait for part in parts)
        whole.work = Spread.merged(part.work for part in parts)
        return whole

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.ended.values())

    @property
    def error_rate(self) -> float | None:
        """The share that failed by no fault of the sender; None of nothing."""
        return round(self.ended.get(Status.FAILED, 0) / self.total, 6) if self.total else None


class Hours:
    """One hour, or several merged: all calls, and those with each task."""

    def __init__(self, hour: Hour | None = None) -> None:
        hour = hour or Hour()
        self.calls = Totals(hour.calls)
        self.tasks = {task: Totals(tally) for task, tally in hour.tasks.items()}

    @classmethod
    def merged(cls, parts: Sequence["Hours"]) -> "Hours":
        """Return all of them as one."""
        whole = cls()
        whole.calls = Totals.merged([part.calls for part in parts])
        whole.tasks = {
            task: Totals.merged([part.tasks[task] for part in parts if task in part.tasks])
            for task in sorted({task for part in parts for task in part.tasks})
        }
        return whole


class Statistics:
    """The hours as this gateway knows them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._hours: dict[datetime, Hours] = {}
        self._seen = 0
        self._merged: dict[tuple[datetime, datetime, int], Hours] = {}
        self._older_changes = 0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Keep up with the recorders while the block runs."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            try:
                yield
            finally:
                await ended([watching])

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except DecibusError as error:  # what was known is told until it is back
                log.debug("stats_not_read", reason=str(error))
            except Exception as error:
                # An edge: the gateway answers on, whatever is wrong with a record.
                log.exception("stats_not_read", exc_info=error)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """Read what has changed since the last look."""
        prefix = STATS.subject("")
        async for record in self._broker.walk(STATS.stream, f"{prefix}>", after=self._seen):
            self._seen = record.sequence
            try:
                hour = hour_named(record.subject.removeprefix(prefix))
                self._learn(hour, Hours(read(record.body, Hour)))
            except Unreadable as error:  # the other hours are told
                log.warning("stats_unreadable", reason=str(error))

    def _learn(self, hour: datetime, known: Hours) -> None:
        if self._hours and hour < max(self._hours):
            self._older_changes += 1
        self._hours[hour] = known
        for old in [each for each in self._hours if hour - each > LONGEST + timedelta(hours=1)]:
            del self._hours[old]

    def tell(self, window: Window, *, now: datetime) -> Stats:
        """Return what the calls of a window have come to."""
        since = window.since(now)
        newest = max(self._hours, default=_NEVER)
        whole = self._before(newest, since)
        if newest >= since:
            whole = Hours.merged([whole, self._hours[newest]])
        return _stats(whole, window, since)

    def _before(self, newest: datetime, since: datetime) -> Hours:
        """Return what was before the newest hour: merged once, until one of those hours changes."""
        stamp = (since, newest, self._older_changes)
        if stamp not in self._merged:
            if len(self._merged) >= _MAX_MERGED:
                self._merged.clear()
            parts = [known for hour, known in self._hours.items() if since <= hour < newest]
            self._merged[stamp] = Hours.merged(parts)
        return self._merged[stamp]

    async def ask_influx(self, window: Window) -> Stats:
        """Have a recorder ask InfluxDB itself; `Unavailable` when there is none, or it is away."""
        asked = window.text.encode()
        answer = await self._broker.ask(INFLUX_ASKED, asked, within_s=_ASK_WITHIN_S)
        if answer.is_refusal:
            raise Unavailable("InfluxDB does not answer, or is not configured")
        return read(answer.body, Stats)


async def tell(statistics: Statistics, window: str | None, source: str | None) -> Stats:
    """Answer a question, by whichever door it came; raises `BadRequest` for what makes no sense."""
    asked = window_of(window)
    if source == "influx":
        return await statistics.ask_influx(asked)
    if source and source != "sketches":
        raise BadRequest(f"source is {source[:20]!r}, not influx or sketches")
    return statistics.tell(asked, now=datetime.now(UTC))


def _stats(hours: Hours, window: Window, since: datetime) -> Stats:
    calls = hours.calls
    median, p95, p99 = calls.latency.quantiles(0.5, 0.95, 0.99)
    length_s = calls.audio_s / calls.heard if calls.heard else 0.0
    return Stats(
        total_calls=calls.total,
        median_latency=_rounded(median) or 0.0,
        average_audio_length=f"{length_s:.3f}s",
        average_audio_length_seconds=round(length_s, 6),
        p95_latency=_rounded(p95),
        p99_latency=_rounded(p99),
        error_rate=calls.error_rate,
        tasks={task: _task(totals) for task, totals in hours.tasks.items()},
        window=window.text,
        since=since,
        quantile_error=max(
            spread.relative_error
            for totals in (calls, *hours.tasks.values())
            for spread in (totals.latency, totals.queue_wait, totals.work)
        ),
        source="sketches",
    )


def _task(totals: Totals) -> TaskStats:
    median, p95, p99 = map(_rounded, totals.latency.quantiles(0.5, 0.95, 0.99))
    median_wait, p95_wait = map(_rounded, totals.queue_wait.quantiles(0.5, 0.95))
    median_work, p95_work = map(_rounded, totals.work.quantiles(0.5, 0.95))
    return TaskStats(
        total=totals.total,
        error_rate=totals.error_rate,
        median_latency=median,
        p95_latency=p95,
        p99_latency=p99,
        median_queue_wait=median_wait,
        p95_queue_wait=p95_wait,
        median_work=median_work,
        p95_work=p95_work,
    )


def _rounded(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s, 6)


@get("/stats", responses=ASKED, security=ANY_KEY)
async def stats_by_get(
    statistics: NamedDependency[Statistics],
    window: FromQuery[str | None] = None,
    source: FromQuery[str | None] = None,
) -> Stats:
    """
    Tell what the calls of a window (1h to 30d, the default) have come to.

    With `source=influx`, what InfluxDB says itself; else the counts that the gateways keep in
    memory, to which a call belongs a second after its end.
    """
    return await tell(statistics, window, source)


@post("/stats", status_code=200, responses=ASKED, security=ANY_KEY)
async def stats_by_post(
    statistics: NamedDependency[Statistics],
    window: FromQuery[str | None] = None,
    source: FromQuery[str | None] = None,
) -> Stats:
    """Tell the same as `GET /stats`, to those who ask that way."""
    return await tell(statistics, window, source)


ROUTES: Final = (stats_by_get, stats_by_post)
