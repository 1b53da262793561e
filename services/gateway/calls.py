"""
One point a call: written when the last task of an upload has ended, whoever still waits for it.

    upload accepted ─▶ a watch on its jobs ─▶ all have ended ─▶ points ─▶ METRICS

A cached answer is a call too, one whose tasks had ended before. Nothing here is waited for by a
request. A gateway that is told to stop leaves its open calls to the others, on the queue `CALLS`;
one that is killed takes them with it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog

from decibus.broker import Broker
from decibus.ending import ended
from decibus.errors import DecibusError, StorageFull, Unavailable
from decibus.jobs import Job, State
from decibus.messages import TaskName, read
from decibus.points import NONE, Kind, Point, Status, line_of
from decibus.telemetry import POINTS_DROPPED, TRACEPARENT
from decibus.topology import CALLS, POINTS_PREFIX, QUEUES
from services.gateway.errands import Errands
from services.gateway.intake import Intake
from services.gateway.live import Jobs, Live
from services.gateway.uploads import Door, Upload

log = structlog.get_logger()

_MAX_OPEN: Final = 10_000
"""Calls that are watched at once; others are dropped."""
_WATCH_S: Final = 7200.0
"""Longer than any record of a job stays without a change."""
_PATIENCE_S: Final = 30.0
"""How long a point is offered to a NATS that is away."""
_LEAVE_S: Final = 3.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a call before it has ended; nothing that only its sender may know."""

    row: str
    keys: dict[TaskName, str]
    size: int
    door: Door
    created_at: datetime
    traceparent: str = ""


class Calls:
    """
    Watches every accepted upload until it has ended, and publishes its points.

    What cannot be published is dropped, and counted: NATS was away for too long or had no room, or
    too many were open.
    """

    def __init__(self, broker: Broker, intake: Intake, live: Live) -> None:
        self._broker = broker
        self._intake = intake
        self._live = live
        self._open: dict[str, tuple[Call, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Write points while the block runs; then leave the open calls to another gateway."""
        left_by_others = Errands(self._broker, CALLS, self._take_over, slots=1)
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._intake.when_accepted(self._begin)
            try:
                async with left_by_others.open(grace=timedelta(seconds=_LEAVE_S)):
                    yield
            finally:
                self._group = None
                await self._leave()

    def _begin(self, upload: Upload, headers: Mapping[str, str]) -> None:
        self._watch(
            Call(
                row=upload.row,
                keys=upload.keys,
                size=upload.size,
                door=upload.door,
                created_at=upload.created_at,
                traceparent=headers.get(TRACEPARENT, ""),
            )
        )

    def _watch(self, call: Call) -> None:
        if self._group is None or len(self._open) >= _MAX_OPEN:
            self._drop("too many are open")
            return
        self._open[call.row] = call, self._group.create_task(self._follow(call))

    async def _take_over(self, text: str) -> None:
        self._watch(read(text.encode(), Call))

    async def _follow(self, call: Call) -> None:
        try:
            jobs = await self._ended(call)
            while any(job and not job.is_settled for job in jobs.values()):
                await asyncio.sleep(1)  # the gateway stops, and so will this
                jobs = await self._ended(call)
            await self._publish(call, points_of(call, jobs, now=datetime.now(UTC)))
        except Exception as error:
            # An edge: whatever is wrong with one call, the others are counted.
            log.exception("point_failed", exc_info=error)
            POINTS_DROPPED.inc()
        self._open.pop(call.row, None)

    async def _ended(self, call: Call) -> Jobs:
        return await self._live.settled(call.keys.values(), within_s=_WATCH_S, is_client=False)

    async def _publish(self, call: Call, points: list[Point]) -> None:
        """Write a call's points, once: known by its row, it may be offered again and again."""
        loop = asyncio.get_running_loop()
        body = "\n".join(map(line_of, points)).encode()
        headers = {TRACEPARENT: call.traceparent} if call.traceparent else {}
        deadline = loop.time() + _PATIENCE_S
        while True:
            try:
                await self._broker.append(
                    POINTS_PREFIX + call.door, body, dedup_id=call.row, headers=headers
                )
            except StorageFull as error:
                return self._drop(str(error))
            except Unavailable as error:
                if loop.time() > deadline:
                    return self._drop(str(error))
                await asyncio.sleep(0.25)
            else:
                return None

    @staticmethod
    def _drop(reason: str) -> None:
        POINTS_DROPPED.inc()
        log.warning("point_dropped", reason=reason)

    async def _leave(self) -> None:
        """Stop watching, and put what has not ended yet where another gateway finds it."""
        left = [call for call, _ in self._open.values()]
        watching = [task for _, task in self._open.values()]
        self._open.clear()
        await ended(watching)
        try:
            async with asyncio.timeout(_LEAVE_S):
                for call in left:
                    body = msgspec.json.encode(call)
                    await self._broker.publish(CALLS, call.row, body, dedup_id=call.row, headers={})
        except (DecibusError, TimeoutError) as error:
            self._drop(repr(error))


def points_of(call: Call, jobs: Jobs, *, now: datetime) -> list[Point]:
    """Return the points of a call that has ended: its own, and one a task."""
    tasks = [_of_task(call, task, jobs.get(key), now) for task, key in sorted(call.keys.items())]
    first = tasks[0]
    models = [point.model for point in tasks if point.model != NONE]
    own = Point(
        kind=Kind.CALL,
        service="gateway",
        task="+".join(point.task for point in tasks),
        status=max((point.status for point in tasks), key=list(Status).index),
        source=first.source,
        model=models[0] if models else NONE,
        latency=_most(point.latency for point in tasks),
        queue_wait=_most(point.queue_wait for point in tasks),
        work=_sum(point.work for point in tasks),
        audio_length=_most(point.audio_length for point in tasks),
        bytes=first.bytes,
        attempt=max(point.attempt for point in tasks),
        at_us=max(point.at_us for point in tasks),
    )
    return [own, *tasks]


def _of_task(call: Call, task: TaskName, job: Job | None, now: datetime) -> Point:
    result = job.result if job else None
    audio = getattr(result, "audio", None)
    point = Point(
        kind=Kind.TASK,
        service=QUEUES[task].consumer,
        task=task,
        status=_status(job),
        source=call.door,
        model=getattr(result, "model", NONE),
        audio_length=audio.duration if audio else None,
        bytes=call.size,
        at_us=_microseconds(now),
    )
    if job is None or job.ended_at is None or job.is_withdrawn:
        return point
    if job.ended_at <= call.created_at:  # it was there already
        return msgspec.structs.replace(
            point, latency=0.0, at_us=_microseconds(call.created_at), attempt=0
        )
    started_at = job.started_at or job.ended_at
    return msgspec.structs.replace(
        point,
        latency=_seconds(job.ended_at - call.created_at),
        queue_wait=_seconds(started_at - call.created_at),
        work=_seconds(job.ended_at - started_at),
        attempt=job.attempt,
        at_us=_microseconds(job.ended_at),
    )


def _status(job: Job | None) -> Status:
    if job is None or job.is_withdrawn:
        return Status.WITHDRAWN
    if job.state is State.DONE:
        return Status.DONE
    return Status.REFUSED if job.fault and job.fault.refused else Status.FAILED


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _seconds(duration: timedelta) -> float:
    # The clocks of two machines are compared: what ends before it has begun took no time.
    return max(0.0, duration.total_seconds())


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
