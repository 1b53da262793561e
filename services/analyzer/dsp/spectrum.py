"""
Long-term tonal balance: the power of six bands relative to their whole, 20 Hz to 20 kHz.

Frames of a Hann window, some 170 ms long and without overlap, summed over channels; what is quiet
(under -70 dBFS, or 20 dB under the mean) is gated, so that pauses do not count. No level enters.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

FRAME_AT_48_KHZ: Final = 8192
ABSOLUTE_GATE_DBFS: Final = -70.0
RELATIVE_GATE_DB: Final = -20.0


class Range(NamedTuple):
    """A band's name and edges."""

    name: str
    low_hz: float
    high_hz: float


BANDS: Final = (
    Range("sub", 20.0, 60.0),
    Range("bass", 60.0, 250.0),
    Range("low_mid", 250.0, 500.0),
    Range("mid", 500.0, 2_000.0),
    Range("high_mid", 2_000.0, 6_000.0),
    Range("air", 6_000.0, 20_000.0),
)


def frame_length(sample_rate: int) -> int:
    """Choose the power of 2 whose bins are as near as can be to 5.9 Hz."""
    octaves = round(math.log2(sample_rate / 48_000))
    return int(FRAME_AT_48_KHZ * 2.0**octaves)


class TonalBalance:
    """Collects the power of the bands, frame by frame."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._length = frame_length(sample_rate)
        self._window = _hann(self._length)
        self._rest = np.empty((channels, 0), np.float32)
        self._frames: list[NDArray[np.float64]] = []  # (frames, bands) of each block
        edges_hz = [*(band.low_hz for band in BANDS), BANDS[-1].high_hz]
        bins = [math.ceil(hz * self._length / sample_rate) for hz in edges_hz]
        self._edges = np.minimum(bins, self._length // 2 + 1)

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take in all frames that this block completes."""
        samples = np.concatenate((self._rest, block), axis=1)
        channels, n = samples.shape
        whole = n - n % self._length
        if whole:
            frames = samples[:, :whole].reshape(channels, -1, self._length)
            self._frames.append(self._powers(frames * self._window))
        self._rest = samples[:, whole:].copy()

    def finish(self) -> tuple[float | None, ...]:
        """Give the level of each band in dB; None for an empty one, and all None for silence."""
        n = self._rest.shape[1]
        if not self._frames and n:  # a short file: one frame, as long as it is
            padded = np.zeros((len(self._rest), 1, self._length), np.float32)
            padded[:, 0, :n] = self._rest * _hann(n) * np.float32(math.sqrt(self._length / n))
            self._frames.append(self._powers(padded))
        powers = np.concatenate(self._frames) if self._frames else np.empty((0, len(BANDS)))
        balance = _gated_sum(powers)
        total = float(balance.sum())
        return tuple(10.0 * math.log10(p / total) if p > 0.0 else None for p in balance.tolist())

    def _powers(self, windowed: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum the bins of the bands, scaled to mean squares (of a sine of full scale: 0.5)."""
        transform = scipy.fft.rfft(windowed, axis=-1)
        bins = (transform.real**2 + transform.imag**2).sum(axis=0, dtype=np.float64)
        sums = np.concatenate((np.zeros((len(bins), 1)), bins.cumsum(axis=1)), axis=1)
        bands = np.diff(sums[:, self._edges], axis=1)
        scale = 2.0 / (self._length * float((self._window**2).sum()))
        return np.asarray(bands * scale)


def _hann(length: int) -> NDArray[np.float32]:
    return np.hanning(length + 1)[:-1].astype(np.float32)


def _gated_sum(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    level = powers.sum(axis=1)
    audible = level > 10.0 ** (ABSOLUTE_GATE_DBFS / 10.0)
    if not audible.any():
        return np.zeros(powers.shape[1])
    threshold = level[audible].mean() * 10.0 ** (RELATIVE_GATE_DB / 10.0)
    return np.asarray(powers[audible & (level > threshold)].sum(axis=0))
