"""
What calls come to: counted hour by hour, and told as /stats. Pure.

    METRICS ─▶ recorder: an Hour in KV stats ─▶ gateway: the hours of a Window, as Stats

An hour knows the sequences of the messages that are counted in it, so that one that is delivered
again counts once, in whatever order they come and however many recorders count.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from decibus.errors import BadRequest, Unreadable
from decibus.points import Kind, Point, Status, points_of
from decibus.sketches import Sketch

LONGEST: Final = timedelta(days=30)
"""How far back /stats can look."""
MAX_TASKS: Final = 32
"""How many kinds of tasks an hour tells apart: there are three, and names cost memory."""
_WINDOW: Final = re.compile(r"([1-9]\d{0,3})([hd])", re.ASCII)
_HOURS: Final = {"h": 1, "d": 24}


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """
    How many ended in which way, and how long those that were done took.

    `heard` of them had an audio length, `audio_s` in all.
    """

    ended: dict[Status, int] = {}
    heard: int = 0
    audio_s: float = 0.0
    latency: Sketch = Sketch()
    queue_wait: Sketch = Sketch()
    work: Sketch = Sketch()

    def adding(self, points: Sequence[Point]) -> "Tally":
        """Return the tally with these points, too."""
        done = [point for point in points if point.status is Status.DONE]
        lengths = [point.audio_length for point in points if point.audio_length is not None]
        ended = dict(self.ended)
        for point in points:
            ended[point.status] = ended.get(point.status, 0) + 1
        return Tally(
            ended=ended,
            heard=self.heard + len(lengths),
            audio_s=self.audio_s + sum(lengths),
            latency=self.latency.adding(_known(point.latency for point in done)),
            queue_wait=self.queue_wait.adding(_known(point.queue_wait for point in done)),
            work=self.work.adding(_known(point.work for point in done)),
        )


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """
    One hour of calls. `counted`: the first and last sequences of the runs of messages in it.

    The sequences are those of one stream: after METRICS was deleted and made anew, they begin at 1.
    """

    counted: tuple[tuple[int, int], ...] = ()
    calls: Tally = Tally()
    tasks: dict[str, Tally] = {}

    def adding(self, messages: Iterable[tuple[int, bytes]]) -> "Hour":
        """Return the hour with what it has not counted yet of these messages, by sequence."""
        fresh = {sequence: body for sequence, body in messages if not self._has(sequence)}
        calls: list[Point] = []
        tasks: dict[str, list[Point]] = {}
        for body in fresh.values():
            for point in _readable(body):
                if point.kind is Kind.CALL:
                    calls.append(point)
                elif point.task in tasks or self._has_room_for(point.task, tasks):
                    tasks.setdefault(point.task, []).append(point)
        return Hour(
            counted=_joined([*self.counted, *((sequence, sequence) for sequence in fresh)]),
            calls=self.calls.adding(calls),
            tasks=self.tasks
            | {task: self.tasks.get(task, Tally()).adding(new) for task, new in tasks.items()},
        )

    def _has_room_for(self, task: str, new: Collection[str]) -> bool:
        return task in self.tasks or len(self.tasks) + len(new) < MAX_TASKS

    def _has(self, sequence: int) -> bool:
        return any(first <= sequence <= last for first, last in self.counted)


class TaskStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task; the times are in seconds, of those that were done."""

    total: int
    error_rate: float | None
    median_latency: float | None
    p95_latency: float | None
    p99_latency: float | None
    median_queue_wait: float | None
    p95_queue_wait: float | None
    median_work: float | None
    p95_work: float | None


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """
    What /stats tells: of every upload that was accepted, by whichever door.

    Latency is the time from the end of the upload to its last result, of those that were done;
    `error_rate` the share that failed by no fault of the sender. Both of the window that begins at
    `since`, a whole hour. A quantile is off by `quantile_error` at most, relative to itself.
    """

    total_calls: int
    median_latency: float
    average_audio_length: str
    average_audio_length_seconds: float
    p95_latency: float | None
    p99_latency: float | None
    error_rate: float | None
    tasks: dict[str, TaskStats]
    window: str
    since: datetime
    quantile_error: float
    source: str


class Window(msgspec.Struct, frozen=True):
    """How far back is looked: whole hours, from the one on in which the window begins."""

    text: str = "30d"
    length: timedelta = LONGEST

    def since(self, now: datetime) -> datetime:
        """Return when the first of its hours has begun."""
        return hour_of(now - self.length)


def window_of(text: str | None) -> Window:
    """Read `1h` to `720h`, or `1d` to `30d`; nothing is the longest. Raises `BadRequest`."""
    if not text:
        return Window()
    match = _WINDOW.fullmatch(text)
    length = timedelta(hours=int(match[1]) * _HOURS[match[2]]) if match else timedelta()
    if not timedelta(hours=1) <= length <= LONGEST:
        raise BadRequest(f"window is {text[:20]!r}, not within 1h and 30d")
    return Window(text, length)


def hour_of(at: datetime) -> datetime:
    """Return when the hour of an instant has begun."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def key_of(hour: datetime) -> str:
    """Return the key of an hour's record, `2026-11-21T19`; they sort as the hours do."""
    return hour.strftime("%Y-%m-%dT%H")


def hour_named(key: str) -> datetime:
    """Return the hour that a key names; raises `Unreadable` when it names none."""
    try:
        return datetime.strptime(key, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError as error:
        raise Unreadable(f"{key[:32]!r} names no hour") from error


def _readable(body: bytes) -> list[Point]:
    """Return a message's points; one that is not ours counts for nothing."""
    try:
        return list(points_of(body))
    except BadRequest:
        return []


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _joined(runs: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the runs of sequences in order; those that touch are one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)
