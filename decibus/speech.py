"""
How loud the speech is: the analyzer's envelope, where the transcriber has found any. Pure.

    Measurement ── levels of 50 ms ──┬─ blocks within speech ── absolute gate ──▶ speech-gated
    Transcript ─── stretches, or ────┤
                   else segments     └─ each segment's extent ──▶ its loudness

No standard defines it all. Blocks, absolute gate and equation are those of ITU-R BS.1770-5,
annex 1. That speech takes the place of the relative gate is the practice of dialogue-gated meters:
streaming services ask for "dialog-gated" loudness by BS.1770-1, which has no relative gate.
"""

import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from operator import add, itemgetter
from typing import Final

import msgspec

from decibus.messages import Envelope, Measurement, Transcript

ABSOLUTE_GATE_LUFS: Final = -70.0  # BS.1770-5 annex 1
BLOCK_S: Final = 0.4  # ditto
HOP_S: Final = 0.1  # ditto: blocks overlap by 75 %

SILENT_LUFS: Final = -150.0
"""What an envelope's 0 stands for, and whatever is less."""

_POWER_A_CODE: Final = 10.0**0.001  # a hundredth of a dB
_ROUNDING: Final = 1e-6

Stretch = tuple[float, float]
"""From, to, in seconds."""


class FoundBy(StrEnum):
    """What said where the speech is: voice activity detection, or the extents of the segments."""

    VAD = "vad"
    SEGMENTS = "segments"


class Speech(msgspec.Struct, frozen=True, kw_only=True):
    """
    The loudness of the speech itself, and how much of the audio it is (0 to 1).

    `loudest_segment` and `quietest_segment` are ids. `found_by` says what was taken for speech.
    """

    speech_gated_lufs: float | None
    speech_ratio: float
    loudest_segment: int | None
    quietest_segment: int | None
    found_by: FoundBy


def measure_speech(
    measurement: Measurement, transcript: Transcript
) -> tuple[Speech, tuple[float | None, ...]]:
    """
    Return how loud the speech is, and how loud each segment, in LUFS to two decimals.

    Neither a silent segment has a loudness, nor speech of which no stretch lasts for a block and
    passes the absolute gate.
    """
    duration_s = measurement.audio.duration
    segments = tuple((each.id, each.start, each.end) for each in transcript.segments)
    return _measure(measurement.envelope, duration_s, transcript.speech, segments)


# A thousand sockets may be told of the same report at once.
@lru_cache(maxsize=16)
def _measure(
    envelope: Envelope | None,
    duration_s: float,
    found: tuple[Stretch, ...],
    segments: tuple[tuple[int, float, float], ...],
) -> tuple[Speech, tuple[float | None, ...]]:
    powers, step_s = _read(envelope)
    loudness = tuple(
        _lufs(_mean_power(powers, start / step_s, end / step_s)) for _, start, end in segments
    )
    heard = [
        (lufs, number)
        for lufs, (number, _, _) in zip(loudness, segments, strict=True)
        if lufs is not None
    ]
    stretches = _united(found or [(start, end) for _, start, end in segments], duration_s)
    speech_s = sum(end - start for start, end in stretches)
    speech = Speech(
        speech_gated_lufs=_lufs(_gated_power(powers, step_s, stretches)),
        speech_ratio=round(speech_s / duration_s, 4) if duration_s else 0.0,
        loudest_segment=max(heard, key=itemgetter(0))[1] if heard else None,
        quietest_segment=min(heard, key=itemgetter(0))[1] if heard else None,
        found_by=FoundBy.VAD if found else FoundBy.SEGMENTS,
    )
    return speech, loudness


def _united(stretches: Iterable[Stretch], duration_s: float) -> list[Stretch]:
    """Return them in order, within the audio, none touching another."""
    united: list[Stretch] = []
    for begun, ended in sorted(stretches):
        start, end = max(0.0, begun), min(ended, duration_s)
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        elif start < end:
            united.append((start, end))
    return united


def _read(envelope: Envelope | None) -> tuple[list[float], float]:
    """Return the power of each step, of which 1.0 is silence, and its length in seconds."""
    if envelope is None:  # measured before there were envelopes
        return [], BLOCK_S
    levels = array("H")
    levels.frombytes(envelope.levels)
    if sys.byteorder == "big":
        levels.byteswap()
    return list(map(_POWER_A_CODE.__pow__, levels)), envelope.step_s


def _gated_power(powers: list[float], step_s: float, stretches: list[Stretch]) -> float:
    """Average the blocks that lie in speech from end to end, and pass the absolute gate."""
    # A step of an envelope that is very long is longer than a hop, or than a block.
    hop = max(1, round(HOP_S / step_s))
    length = max(1, round(BLOCK_S / step_s))
    blocks = _sums(powers, length, hop)
    gate = length * 10.0 ** ((ABSOLUTE_GATE_LUFS - SILENT_LUFS) / 10.0)
    gated: list[float] = []
    for start, end in stretches:
        first = math.ceil(start / step_s / hop - _ROUNDING)
        last = math.floor((end / step_s - length) / hop + _ROUNDING)
        gated += (power for power in blocks[first : max(0, last + 1)] if power > gate)
    return sum(gated) / (len(gated) * length) if gated else 0.0


def _sums(steps: list[float], length: int, hop: int) -> list[float]:
    """Sum each block of `length` steps, one per `hop`; both are powers of two."""
    size = 1
    while size < hop:
        steps = list(map(add, steps[::2], steps[1::2]))
        size *= 2
    shift = 1
    while size < length:
        steps = list(map(add, steps, steps[shift:]))
        size, shift = size * 2, shift * 2
    return steps


def _mean_power(powers: Sequence[float], start: float, end: float) -> float:
    """Average what lies between two instants, which are counted in steps."""
    start, end = max(0.0, start), min(end, len(powers))
    if start >= end:
        return 0.0
    first, last = int(start), math.ceil(end) - 1
    if first == last:
        return powers[first]
    energy = powers[first] * (first + 1 - start) + powers[last] * (end - last)
    return (energy + sum(powers[first + 1 : last])) / (end - start)


def _lufs(power: float) -> float | None:
    return round(SILENT_LUFS + 10.0 * math.log10(power), 2) if power > 1.0 else None
