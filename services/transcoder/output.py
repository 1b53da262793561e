"""
A file as it is made in a child that may write none: its pieces, and where each belongs.

Most formats say at their head how long they are, which is known at the end: a piece may lie before
those that came earlier.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from decibus.errors import BadAudio, TooLarge

_PLACE_BYTES: Final = 8
_PIECE_BYTES: Final = 512 * 1024  # a sandbox's child cuts larger ones


class Pieces(io.RawIOBase):
    """What an encoder takes for a file; `take` hands on what it has written."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self.size = 0
        self._written: list[bytes] = []

    def writable(self) -> bool:
        """Writing is all that can be done here."""
        return True

    def seekable(self) -> bool:
        """Whether one may go back."""
        return True

    def write(self, data: object) -> int:
        """Take some bytes at this place."""
        whole = bytes(data)  # type: ignore[call-overload]  # io calls it Buffer, from Python 3.12
        for start in range(0, len(whole), _PIECE_BYTES):
            piece = whole[start : start + _PIECE_BYTES]
            self._written.append(self._at.to_bytes(_PLACE_BYTES, "big") + piece)
            self._at += len(piece)
        self.size = max(self.size, self._at)
        return len(whole)

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
        written, self._written = self._written, []
        return iter(written)


def put(piece: bytes, into: BinaryIO, *, limit: int) -> None:
    """Put a piece where it belongs; raises `TooLarge` for a file of more than `limit` bytes."""
    place, data = int.from_bytes(piece[:_PLACE_BYTES], "big"), piece[_PLACE_BYTES:]
    if len(piece) < _PLACE_BYTES:
        raise BadAudio("its decoder was broken by it")
    if place + len(data) > limit:
        raise TooLarge(f"it becomes a file of more than {limit} bytes")
    into.seek(place)
    into.write(data)
