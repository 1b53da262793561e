"""
How long a queue will take, from how fast it went lately. Pure.

    records as they change ─▶ Activity: who works since when, how long the last jobs took
                                  └─ position in the queue ─▶ seconds until that job is done

What was never measured is unknown: a forecast is made of observations, or it is None.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from decibus.jobs import State
from decibus.messages import Options

# A worker is heard with each heartbeat, every 1.6 s: after this it works no more.
SILENT_AFTER: Final = timedelta(seconds=10)
# How much the latest job counts: after five of them, what was before has a weight of a sixth.
_LATEST: Final = 0.3


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """What of a job's record tells about its queue; decoding no more of it is many times faster."""

    options: Options
    state: State
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Pace(msgspec.Struct, frozen=True):
    """How long a job takes, and how many are worked on at once: weighted means."""

    work_s: float
    at_once: float


class Activity:
    """What is heard of one queue's workers."""

    def __init__(self) -> None:
        self.pace: Pace | None = None
        self._running: dict[str, tuple[datetime, datetime]] = {}
        self._heard_at: datetime | None = None

    def hear(self, key: str, sign: Sign, *, now: datetime) -> bool:
        """Take in a change of a job's record; returns whether work on it has just begun."""
        if sign.started_at is None:
            return False
        if sign.state is State.RUNNING:
            is_new = key not in self._running
            self._running[key] = (sign.started_at, now)
            self._heard_at = now
            return is_new
        running = len(self._current(now))
        was_running = self._running.pop(key, None) is not None
        # A job that was given back, and one whose workers had all died, tell nothing of the pace.
        if sign.ended_at is not None and was_running:
            work_s = max(0.0, (sign.ended_at - sign.started_at).total_seconds())
            self.pace = observed(self.pace, Pace(work_s, max(running, 1)))
            self._heard_at = now
        return False

    def eta_s(self, position: int, *, now: datetime) -> float | None:
        """Say in how many seconds the job at a position (1: the next) is done, or None."""
        if self.pace is None or self._heard_at is None or now - self._heard_at > SILENT_AFTER:
            return None
        return eta_s(self.pace, position, (now - start for start in self._current(now)))

    def _current(self, now: datetime) -> list[datetime]:
        """Return when the jobs at work began; whose worker is silent is not at work."""
        silent = [
            key for key, (_, heard_at) in self._running.items() if now - heard_at > SILENT_AFTER
        ]
        for key in silent:
            del self._running[key]
        return [start for start, _ in self._running.values()]


def observed(pace: Pace | None, latest: Pace) -> Pace:
    """Let the latest job count more than the ones before."""
    if pace is None:
        return latest
    return Pace(
        pace.work_s + _LATEST * (latest.work_s - pace.work_s),
        pace.at_once + _LATEST * (latest.at_once - pace.at_once),
    )


def eta_s(pace: Pace, position: int, at_work: Iterable[timedelta]) -> float:
    """
    Return in how many seconds the job at a position is done, when each takes as long as usual.

    `at_work`: how long each running job has been worked on. The slots become free in the order of
    what is left of those, and go on in that order.
    """
    left = sorted(
        min(max(pace.work_s - done.total_seconds(), 0.0), pace.work_s) for done in at_work
    )
    slots = max(round(pace.at_once), len(left), 1)
    free_in = [0.0] * (slots - len(left)) + left
    rounds, slot = divmod(position - 1, slots)
    return free_in[slot] + (rounds + 1) * pace.work_s
