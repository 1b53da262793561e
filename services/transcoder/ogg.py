"""
The comments of an Ogg Vorbis file, written in place of its encoder's.

libsndfile knows eight tags and no cover. So its pages pass through here: the second packet of three
headers is replaced, and as that may take more pages, all that follow get another number.

    page 0: identification │ pages 1…: comments, setup │ audio
    RFC 3533 (Ogg), Vorbis I specification, sections 4 and 5
"""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from services.transcoder.output import Pieces

_HEAD: Final = struct.Struct("<4sBBqIIIB")  # capture, version, flags, granule, serial, number, CRC
_CRC_AT: Final = 22
_CONTINUED: Final = 1
_MAX_SEGMENTS: Final = 255
_FULL: Final = 255  # bytes of a segment after which its packet goes on
_HEADERS: Final = 3
_COMMENTS: Final = b"\x03vorbis"

_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES: Final = 0xFFFF_FFFF

_NAMES: Final = {
    "album_artist": "ALBUMARTIST",
    "track": "TRACKNUMBER",
    "disc": "DISCNUMBER",
    "comment": "DESCRIPTION",
}
"""FFmpeg's words for these; it translates them so for the other Ogg codecs."""


class Relabelled(io.RawIOBase):
    """A file to write an Ogg Vorbis stream into; it arrives in `Pieces` with these comments."""

    def __init__(self, into: Pieces, comments: Mapping[str, str]) -> None:
        super().__init__()
        self._into = into
        self._comments = comments
        self._unread = b""
        self._headers: list[bytes] | None = []
        self._more_pages = 0
        self._at = 0

    def writable(self) -> bool:
        """Writing is all that can be done here."""
        return True

    def seekable(self) -> bool:
        """Pretend so: libsndfile asks where it is, and does not go back in an Ogg file."""
        return True

    def tell(self) -> int:
        """Say how much was written."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Stay at the end, where all writing is."""
        del offset, whence
        return self._at

    def write(self, data: object) -> int:
        """Take some bytes; pages go on when they are whole."""
        some = bytes(data)  # type: ignore[call-overload]  # io calls it Buffer, from Python 3.12
        self._at += len(some)
        self._unread += some
        while page := self._page():
            if self._headers is None:
                self._into.write(_renumbered(page, self._more_pages))
            else:
                self._headers.append(page)
                self._relabel(self._headers)
        return len(some)

    def _page(self) -> bytes:
        """Cut off the next page, where it is whole."""
        if len(self._unread) < _HEAD.size:
            return b""
        body_at = _HEAD.size + self._unread[_HEAD.size - 1]
        end = body_at + sum(self._unread[_HEAD.size : body_at])
        if len(self._unread) < max(body_at, end):
            return b""
        page, self._unread = self._unread[:end], self._unread[end:]
        return page

    def _relabel(self, pages: list[bytes]) -> None:
        """Write the headers anew, once they are complete: the last of them ends its page."""
        packets = list(_packets(pages))
        if len(packets) < _HEADERS:
            return
        _, old, setup = packets
        vendor_end = len(_COMMENTS) + 4 + int.from_bytes(old[7:11], "little")
        comments = _comment_packet(old[len(_COMMENTS) : vendor_end], self._comments)
        serial = _HEAD.unpack_from(pages[0])[4]
        new = list(_paged((comments, setup), serial, first=1))
        self._into.write(pages[0])
        for page in new:
            self._into.write(page)
        self._more_pages = 1 + len(new) - len(pages)
        self._headers = None


def _packets(pages: Iterable[bytes]) -> Iterator[bytes]:
    """Put the packets together that end in these pages."""
    packet = b""
    for page in pages:
        count = page[_HEAD.size - 1]
        at = _HEAD.size + count
        for segment in page[_HEAD.size : at]:
            packet += page[at : at + segment]
            at += segment
            if segment < _FULL:
                yield packet
                packet = b""


def _paged(packets: Iterable[bytes], serial: int, *, first: int) -> Iterator[bytes]:
    """Lay packets out in pages: granule 0, and -1 where none ends."""
    segments: list[tuple[bytes, bool]] = []
    for packet in packets:
        cut = [packet[at : at + _FULL] for at in range(0, len(packet) + 1, _FULL)]
        segments += [(piece, piece is cut[-1]) for piece in cut]
    goes_on = False
    for number, at in enumerate(range(0, len(segments), _MAX_SEGMENTS), first):
        some = segments[at : at + _MAX_SEGMENTS]
        granule = 0 if any(is_end for _, is_end in some) else -1
        flags = _CONTINUED if goes_on else 0
        head = _HEAD.pack(b"OggS", 0, flags, granule, serial, number, 0, len(some))
        table = bytes(len(piece) for piece, _ in some)
        yield _checked(head + table + b"".join(piece for piece, _ in some))
        goes_on = not some[-1][1]


def _renumbered(page: bytes, by: int) -> bytes:
    if not by:
        return page
    number = _HEAD.unpack_from(page)[5] + by
    return _checked(page[:18] + number.to_bytes(4, "little") + bytes(4) + page[_HEAD.size - 1 :])


def _checked(page: bytes) -> bytes:
    """
    Fill in the checksum, whose place holds zeros.

    Ogg's CRC-32 is zlib's with all bits the other way round, from 0 and not inverted.
    """
    crc = zlib.crc32(page.translate(_REVERSED), _ONES) ^ _ONES
    turned = int(f"{crc:032b}"[::-1], 2)
    return page[:_CRC_AT] + turned.to_bytes(4, "little") + page[_CRC_AT + 4 :]


def _comment_packet(vendor: bytes, comments: Mapping[str, str]) -> bytes:
    named = {_NAMES.get(name.lower(), name.upper()): text for name, text in comments.items()}
    fields = [
        f"{name}={text}".encode()
        for name, text in named.items()
        if name.isascii() and name.isprintable() and "=" not in name and "~" not in name
    ]
    listed = b"".join(len(field).to_bytes(4, "little") + field for field in fields)
    return _COMMENTS + vendor + len(fields).to_bytes(4, "little") + listed + b"\x01"
