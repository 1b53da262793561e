"""How a service's process starts and ends: SIGTERM and SIGINT, whenever they come."""

import asyncio
import ctypes
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger()

_TRIM_THRESHOLD: Final = -1  # glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 32 << 20  # as far as glibc goes by itself, when larger buffers are freed


class Process:
    """The life of a process: it starts, is ready, is told to `stop`, and ends."""

    def __init__(self, starting: "asyncio.Task[int]") -> None:
        self.stop = asyncio.Event()
        self._starting = starting
        self._is_ready = False

    def ready(self, **fields: object) -> None:
        """Say that work is taken from now on; from here a signal only sets `stop`."""
        self._is_ready = True
        log.info("ready", **fields)

    def not_ready(self) -> str | None:
        """Return why no work is taken, or None while it is."""
        if self.stop.is_set():
            return "stopping"
        return None if self._is_ready else "starting"

    def end(self) -> None:
        """Begin the end. What is not ready yet has nothing in hand, and is cut short."""
        self.stop.set()
        if not self._is_ready:
            self._starting.cancel()


async def run(main: Callable[[Process], Awaitable[int]]) -> int:
    """Run a service until it ends by itself or by a signal; returns its exit code."""
    _keep_what_is_freed()
    loop = asyncio.get_running_loop()
    handed_over: asyncio.Future[Process] = loop.create_future()

    async def work() -> int:
        return await main(await handed_over)

    async with asyncio.TaskGroup() as group:
        working = group.create_task(work())
        process = Process(working)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.end)
        handed_over.set_result(process)
    if working.cancelled():
        log.info("stopped_before_ready")
        return 0
    return working.result()


def _keep_what_is_freed() -> None:
    """
    Have glibc's malloc, where it is that, give less back to the kernel.

    It does so with nearly each buffer of a chunk's size, and the next one is faulted in page by
    page: some 250 of them for a megabyte of audio.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
