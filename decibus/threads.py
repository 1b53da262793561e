"""
Blocking work beside the event loop, in daemon threads that are used again.

Not an executor's: work that does not look at its `Progress` must not hold up a process that was
told to stop. A thread that never comes back is simply not used again.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, TypeVar

T = TypeVar("T")
Work = Callable[[], Callable[[], None]]
"""What a thread does; it returns how that is told."""

AT_WORK: Final = "step"
"""How a thread is called while it has something to do."""
_IDLE: Final = "idle"

_waiting: Final[list[SimpleQueue[Work]]] = []


def in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Run a function in a thread that is free, or else in a new one; its result is a future's."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()  # so that its log lines carry what is bound here

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]  # T unless error
        else:
            future.set_exception(error)

    def work() -> Callable[[], None]:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = context.run(function)
        except StopIteration as raised:  # which no future takes
            error = RuntimeError(repr(raised))
        except BaseException as raised:  # noqa: BLE001 - handed on to whoever awaits
            error = raised

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        return tell

    _free_thread().put(work)
    return future


def _free_thread() -> SimpleQueue[Work]:
    """Return where a thread takes its work from."""
    with suppress(IndexError):
        return _waiting.pop()
    orders: SimpleQueue[Work] = SimpleQueue()
    threading.Thread(target=_serve, args=(orders,), name=_IDLE, daemon=True).start()
    return orders


def _serve(orders: SimpleQueue[Work]) -> None:
    me = threading.current_thread()
    while True:
        work = orders.get()
        me.name = AT_WORK
        tell = work()
        me.name = _IDLE
        _waiting.append(orders)  # first: who is told may have more to do at once
        tell()
        del work, tell  # and with them the file, and the result
