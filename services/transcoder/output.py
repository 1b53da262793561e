"""
A file as it is made in a child that may write none: its pieces, and where each belongs.

Most formats say at their head how long they are, which is known at the end: a piece may lie before
those that came earlier.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from decibus.errors import BadAudio, TooLarge

_PLACE_BYTES: Final = 8
_PIECE_BYTES: Final = 512 * 1024  # a sandbox's child cuts larger ones


class _Run(NamedTuple):
    """Where some bytes begin, and the bytes."""

    place: int
    written: bytearray

    @property
    def end(self) -> int:
        return self.place + len(self.written)


class Pieces(io.RawIOBase):
    """What an encoder takes for a file; `take` hands on what it has written."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self.size = 0
        self._runs: list[_Run] = []

    def writable(self) -> bool:
        """Writing is all that can be done here."""
        return True

    def seekable(self) -> bool:
        """Whether one may go back."""
        return True

    def write(self, data: object) -> int:
        """Take some bytes at this place; what follows on one another goes on as one."""
        before = self._at
        if not self._runs or self._runs[-1].end != before:
            self._runs.append(_Run(before, bytearray()))
        run = self._runs[-1]
        run.written.extend(data)  # type: ignore[arg-type]  # io calls it Buffer, from Python 3.12
        self._at = run.end
        self.size = max(self.size, self._at)
        return self._at - before

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Say which place this is."""
        return self._at

    def take(self) -> Iterator[bytes]:
        """Return what was written since this was last asked."""
        runs, self._runs = self._runs, []
        for place, written in runs:
            for start in range(0, len(written), _PIECE_BYTES):
                piece = written[start : start + _PIECE_BYTES]
                yield (place + start).to_bytes(_PLACE_BYTES, "big") + piece


def put(piece: bytes, into: BinaryIO, *, limit: int) -> None:
    """Put a piece where it belongs; raises `TooLarge` for a file of more than `limit` bytes."""
    place, data = int.from_bytes(piece[:_PLACE_BYTES], "big"), piece[_PLACE_BYTES:]
    if len(piece) < _PLACE_BYTES:
        raise BadAudio("its decoder was broken by it")
    if place + len(data) > limit:
        raise TooLarge(f"it becomes a file of more than {limit} bytes")
    into.seek(place)
    into.write(data)
