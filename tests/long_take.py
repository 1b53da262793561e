"""A WAV file of hours that is made as it is read: there is no room for it on disk or in memory."""

import io
import resource
import wave
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np

from decibus.messages import AnalyzeOptions
from services.analyzer import warm as analyzer
from services.analyzer.analyze import analyze
from tests.signals import music

_PIECE_S: Final = 5
_PIECES_A_SWELL: Final = 97  # eight minutes, of which no number fills hours


class LongTake(io.RawIOBase):
    """Five seconds of music over and over, 16 bit, now louder, now quieter."""

    def __init__(self, *, hours: float, rate: int, channels: int) -> None:
        super().__init__()
        piece = music(_PIECE_S, rate, channels=channels).T * (2**15 - 1)
        self._piece = piece.astype("<i2")
        self._made: tuple[int, bytes] = (-1, b"")
        pieces = round(hours * 3600.0 / _PIECE_S)
        head = io.BytesIO()
        with wave.open(head, "wb") as wav:
            wav.setnchannels(channels)
            wav.setsampwidth(2)
            wav.setframerate(rate)
            wav.setnframes(pieces * len(piece))
            wav.writeframesraw(b"")
            self._head = head.getvalue()
        self._size = len(self._head) + pieces * self._piece.nbytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        into = memoryview(buffer).cast("B")
        if self._at < len(self._head):
            found = self._head[self._at :]
        else:
            number, begin = divmod(self._at - len(self._head), self._piece.nbytes)
            found = self._bytes_of(number)[begin:] if self._at < self._size else b""
        found = found[: len(into)]
        into[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _bytes_of(self, number: int) -> bytes:
        if self._made[0] != number:
            swell = 0.55 - 0.45 * np.cos(2.0 * np.pi * number / _PIECES_A_SWELL)
            louder = np.int32(round(256.0 * swell))
            self._made = (number, (self._piece * louder >> 8).astype("<i2").tobytes())
        return self._made[1]


class Peak(msgspec.Struct, frozen=True):
    """How long a take was, and how much of its process was in memory at most."""

    duration_s: float
    resident_bytes: int


def measure(file: BinaryIO, options: AnalyzeOptions, progress: Callable[[float], None]) -> Peak:
    """Be the step of a sandbox that measures as many hours as the file says, in 44.1 kHz stereo."""
    take = io.BufferedReader(LongTake(hours=float(file.read()), rate=44_100, channels=2))
    measured = analyze(take, options, progress)
    used_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Peak(measured.audio.duration, used_kib << 10)


def warm() -> None:
    """Load what the step needs: a child can load nothing."""
    analyzer.warm()
    LongTake(hours=1 / 3600, rate=44_100, channels=2)
