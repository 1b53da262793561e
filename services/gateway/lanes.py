"""
How many bodies are read side by side: few enough that nobody waits long for the loop.

    small   4 at once   the first MiB of each body
    large   4 at once   the rest, a quarter of a second a turn

Who has more to send than we have read waits for a place, in the order of coming, and for another
one when its turn is over; meanwhile nothing is read of it, and TCP holds it back. Small bodies have
places of their own, lest they wait behind large ones. A sender that is slower than we are needs no
place: it gives its own up when it pauses, or when there is less of it than a full piece.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SMALL_PLACES: Final = 4
LARGE_PLACES: Final = 4
"""With four chunks of each on their way to the store, a fifth one would only wait there."""
SMALL_BYTES: Final = 1 << 20
TURN_S: Final = 0.25
"""Some MB of a fast sender: what is whole is worked on while the next one comes. But clients give
up that can send nothing for some seconds: 64 that wait have a turn each 4 s."""
FULL_BYTES: Final = 64 << 10
"""At which uvicorn stops reading until the piece is fetched: less is all that there was."""
PAUSE_S: Final = 0.05


class Lanes:
    """The places, for all bodies of one gateway."""

    def __init__(self) -> None:
        self._small = asyncio.Semaphore(SMALL_PLACES)  # it wakes the one that has waited longest
        self._large = asyncio.Semaphore(LARGE_PLACES)

    def after(self, size: int) -> asyncio.Semaphore:
        """Return the lane of a body of which so many bytes have come."""
        return self._small if size <= SMALL_BYTES else self._large


class Place:
    """What one body holds of the lanes: one place, or none."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._lane: asyncio.Semaphore | None = None
        self._bytes = 0
        self._turn_ends = 0.0

    async def take(self, size: int) -> None:
        """Hold a place for a piece of so many bytes, and for those that follow at once."""
        self._bytes += size
        lane = self._lanes.after(self._bytes)
        now = asyncio.get_running_loop().time
        if size < FULL_BYTES:
            self.leave()
        elif lane is not self._lane or now() > self._turn_ends:
            self.leave()
            await lane.acquire()
            self._lane, self._turn_ends = lane, now() + TURN_S

    def leave(self) -> None:
        """Let another one have it."""
        if self._lane is not None:
            self._lane.release()
            self._lane = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait in the block for what comes next; the place is kept for a moment."""
        timer = asyncio.get_running_loop().call_later(PAUSE_S, self.leave)
        try:
            yield
        finally:
            timer.cancel()
