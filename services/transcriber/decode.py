"""
A file as what the model hears, 16 kHz in mono: decoded here, or where a stranger's can do no harm.

    child: decode ─▶ mono ─▶ 16 kHz ══ heading, then seconds of float32 ══▶ worker: blocks, checked
"""

import io
import wave
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Final, Protocol

import msgspec
import numpy as np
import soxr
from numpy.typing import NDArray

from decibus.audio import Audio, open_audio
from decibus.errors import BadAudio, Unreadable
from decibus.messages import AudioFormat, TranscribeOptions, read
from decibus.sandbox import Sandbox, Stream

Samples = NDArray[np.float32]
"""Mono at `RATE_HZ`, full scale = 1.0."""

RATE_HZ: Final = 16_000

_SLACK_S: Final = 2.0  # what a resampler may add, and the heading
_MAX_HEADING_BYTES: Final = 1_000


class Decoded(Protocol):
    """Audio while it is being decoded."""

    @property
    def expected_duration_s(self) -> float | None:
        """What the header says: good enough for a progress bar, not more."""
        ...

    def blocks(self) -> Iterator[Samples]:
        """Decode once, a second at a time."""
        ...

    def format(self) -> AudioFormat:
        """Describe the audio, once all blocks are decoded."""
        ...


Decode = Callable[
    [BinaryIO, TranscribeOptions, Callable[[float], None]], AbstractContextManager[Decoded]
]
"""Opens a file. The callback is called while there is nothing yet; what it raises comes out."""


@contextmanager
def decoded(
    file: BinaryIO, options: TranscribeOptions, progress: Callable[[float], None]
) -> Iterator[Decoded]:
    """Decode in this very process."""
    del progress  # nobody waits here
    with open_audio(file, max_duration_s=options.max_duration_s) as audio:
        yield _Here(audio)


@contextmanager
def decoded_in(
    sandbox: Sandbox[AudioFormat],
    file: BinaryIO,
    options: TranscribeOptions,
    progress: Callable[[float], None],
) -> Iterator[Decoded]:
    """Decode in a child of a sandbox whose step is `stream`; raises what `Sandbox.run` raises."""
    size = round((options.max_duration_s + _SLACK_S) * RATE_HZ) * np.float32().itemsize
    with sandbox.stream(file, options, progress, max_bytes=size) as pieces:
        yield _There(pieces)


class _Heading(msgspec.Struct, frozen=True):
    """What is known before the first block."""

    expected_duration_s: float | None


def stream(
    file: BinaryIO, options: TranscribeOptions, progress: Callable[[float], None]
) -> Generator[bytes, None, AudioFormat]:
    """Be the step of a sandbox: decode in its child."""
    with decoded(file, options, progress) as audio:
        yield msgspec.json.encode(_Heading(audio.expected_duration_s))
        for block in audio.blocks():
            yield block.tobytes()
        return audio.format()


def warm() -> None:
    """Decode some silence, so that all modules are there that a confined child cannot import."""
    silence = io.BytesIO()
    with wave.open(silence, "wb") as wav:
        wav.setparams((2, 2, 44_100, 0, "NONE", ""))
        wav.writeframes(bytes(44_100))
    for _ in stream(silence, TranscribeOptions(), lambda _: None):
        pass


class _Here:
    def __init__(self, audio: Audio) -> None:
        self._audio = audio
        self.expected_duration_s = audio.expected_duration_s
        self.format = audio.format

    def blocks(self) -> Iterator[Samples]:
        rate = self._audio.sample_rate
        mono = (block.mean(axis=0) for block in self._audio.blocks(rate))
        if rate == RATE_HZ:
            yield from mono
            return
        resampler = soxr.ResampleStream(rate, RATE_HZ, 1, dtype="float32", quality="HQ")
        for block in mono:
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


class _There:
    """What the child says has been decoded from a stranger's file: none of it is taken on trust."""

    def __init__(self, stream: Stream[AudioFormat]) -> None:
        self._stream = stream
        self._pieces = iter(stream)
        heading = next(self._pieces, b"")
        try:
            if len(heading) > _MAX_HEADING_BYTES:
                raise _untrustworthy()
            found = read(heading, _Heading)
        except Unreadable as error:
            raise _untrustworthy() from error
        self.expected_duration_s = found.expected_duration_s

    def blocks(self) -> Iterator[Samples]:
        for piece in self._pieces:
            if len(piece) % np.float32().itemsize:
                raise _untrustworthy()
            block = np.frombuffer(piece, np.float32)
            if not np.isfinite(block).all():
                raise _untrustworthy()
            yield block

    def format(self) -> AudioFormat:
        return self._stream.result


def _untrustworthy() -> BadAudio:
    return BadAudio("its decoder was broken by it")
