"""
One call for the windows of several jobs, and a limit to how long a call may take.

    job ─┐                     ┌─ thread: at most `most` with the same key, in one call
    job ─┼─▶ waiting, by key ──┤
    job ─┘                     └─ thread: …

A call into a native library cannot be ended from outside. So it runs in a thread of ours, and who
waits for it gets `WorkerBroken` when it does not come back.
"""

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar

from decibus.errors import WorkerBroken

T = TypeVar("T")
R = TypeVar("R")

GATHER_S: Final = 0.05
"""How long a window waits at most for others to join it."""
_BUDGET_RATIO: Final = 10.0
_RECENT: Final = 64


class _Call:
    def __init__(
        self, work: Callable[[Sequence[Any]], Sequence[Any]], item: object, key: Hashable
    ) -> None:
        self.work = work
        self.item = item
        self.key = (work, key)
        self.done: Future[Any] = Future()
        self.since = time.monotonic()
        self.started: float | None = None


class Batcher:
    """
    Runs work in `threads` threads of its own; each takes up to `most` items of one key at once.

    Work that takes ten times as long as it usually does, and at least `patience_s`, is given up.
    """

    def __init__(self, *, threads: int, most: int = 1, patience_s: float = 30.0) -> None:
        self._most = most
        self._patience_s = patience_s
        self._waiting: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._took_s: deque[float] = deque(maxlen=_RECENT)
        for _ in range(threads):
            # Daemons: one that hangs must not keep the process from ending.
            threading.Thread(target=self._serve, name="inference", daemon=True).start()

    def do(self, work: Callable[[Sequence[T]], Sequence[R]], item: T, key: Hashable) -> R:
        """
        Return what `work` makes of an item, alone or together with others of the same key.

        Raises what the work raises for this item, and `WorkerBroken` when it does not return.
        """
        call = _Call(work, item, key)
        with self._changed:
            self._waiting.append(call)
            self._changed.notify_all()
        while True:
            wait([call.done], timeout=min(1.0, self._patience_s / 4))
            if call.done.done():
                found: R = call.done.result()
                return found
            self._check(call.started)

    def _check(self, started: float | None) -> None:
        took_s = tuple(self._took_s)
        usual_s = statistics.median(took_s) if took_s else 0.0
        budget_s = max(self._patience_s, _BUDGET_RATIO * usual_s)
        if started is not None and time.monotonic() - started > budget_s:
            raise WorkerBroken(f"an inference has not returned within {budget_s:.0f} s")

    def _serve(self) -> None:
        while True:
            calls = self._take()
            started = time.monotonic()
            for call in calls:
                call.started = started
            _run(calls)
            del calls
            self._took_s.append(time.monotonic() - started)

    def _take(self) -> list[_Call]:
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            calls = [self._waiting.popleft()]
            while True:
                alike = [call for call in self._waiting if call.key == calls[0].key]
                for call in alike[: self._most - len(calls)]:
                    self._waiting.remove(call)
                    calls.append(call)
                left_s = calls[0].since + GATHER_S - time.monotonic()
                if len(calls) == self._most or left_s <= 0:
                    return calls
                self._changed.wait(left_s)


def _run(calls: Sequence[_Call]) -> None:
    try:
        found = calls[0].work([call.item for call in calls])
    except Exception as error:  # noqa: BLE001 - it is raised where the outcome is awaited
        if len(calls) == 1:
            calls[0].done.set_exception(error)
            return
        for call in calls:  # it is the fault of one, or of some
            _run([call])
        return
    for call, each in zip(calls, found, strict=True):
        call.done.set_result(each)
