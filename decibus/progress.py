"""How far a step is: what it tells from its thread, and what it is told in turn."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from decibus import jobs
from decibus.errors import Superseded
from decibus.messages import Checkpoint, Segment


class News(NamedTuple):
    """What there is to publish; as in a job's record."""

    fraction: float
    partial: tuple[Segment, ...]
    taken_over: int


class Progress:
    """
    How far a step is: called by the step, in its thread, with 0 to 1.

    The call is also where a step is stopped: it raises `Superseded` once the job is lost. `kept` is
    what attempts before this one had done, in order: a step that keeps something goes on behind it.
    `audio_s` is how long the audio is, as far as the step has found out; it gives it its time.
    """

    def __init__(self, kept: tuple[Checkpoint, ...] = ()) -> None:
        self.fraction = 0.0
        self.partial: tuple[Segment, ...] = ()
        self.kept = kept
        self.audio_s: float | None = None
        self._taken_over = 0
        self._is_told = True
        self._on_news: Callable[[], object] = bool
        self._store: Callable[[Checkpoint], Future[None]] | None = None
        self._storing: Future[None] | None = None
        self._lost = threading.Event()

    def __call__(self, fraction: float, new: tuple[Segment, ...] = ()) -> None:
        """
        Tell how far the step is and what it has heard since it last told anything.

        `new` is published within about a second, the fraction with the next heartbeat.
        """
        self._raise_if_lost()
        self.fraction = fraction
        if new:
            self.partial = jobs.latest((*self.partial, *new))
            self._tell()

    def take_over(self, segments: int) -> None:
        """Tell that the step goes on behind what was kept, and how many segments that has."""
        self._taken_over = segments
        if segments:
            self._tell()

    def lasts(self, seconds: float) -> None:
        """Tell how long the audio is; of several answers the longest counts."""
        self.audio_s = max(seconds, self.audio_s or 0.0)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep a part of the work for attempts to come; the one before it has been stored then."""
        self._raise_if_lost()
        if self._storing is not None:
            self._storing.result()
        if self._store is not None:
            self._storing = self._store(checkpoint)

    @property
    def has_kept(self) -> bool:
        """Whether this attempt, or one before it, may have left checkpoints."""
        return bool(self.kept) or self._storing is not None

    def when_news(self, callback: Callable[[], object]) -> None:
        """Call `callback`, in the step's thread, for the first news after each `take`."""
        self._on_news = callback

    def store_with(self, store: Callable[[Checkpoint], Future[None]]) -> None:
        """Have `store` called, in the step's thread, with each checkpoint."""
        self._store = store

    def take(self) -> News:
        """Return what there is to publish."""
        # In this order: what comes in between is told once too often, never lost.
        self._is_told = True
        return News(self.fraction, self.partial, self._taken_over)

    def stop(self) -> None:
        """Make the step's next call raise."""
        self._lost.set()

    def _raise_if_lost(self) -> None:
        if self._lost.is_set():
            raise Superseded("the attempt has lost its job")

    def _tell(self) -> None:
        if self._is_told:
            self._is_told = False
            self._on_news()
