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

from services.analyzer.dsp.jit import kernel, reduction

FRAME_AT_48_KHZ: Final = 8192
Frame = NDArray[np.float32]

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


HALVED_FROM_HZ: Final = 176_400
"""From this rate on, frames are reduced to half of it, which still has room for 20 kHz."""

_HALF_BAND: Final = (np.sinc(np.arange(1, 8, 2) / 2) * np.kaiser(15, 6.0)[8::2]).astype(np.float32)
"""Taps to both sides of a middle one of 1: flat up to 20 kHz, -62 dB for what would fold there."""


class TonalBalance:
    """Collects the power of the bands, frame by frame."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._length = frame_length(sample_rate)
        self._full_scale = float((_hann(self._length) ** 2).sum()) * self._length
        self._is_halved = sample_rate >= HALVED_FROM_HZ
        self._transformed = self._length // 2 if self._is_halved else self._length
        self._window = _hann(self._transformed)
        self._rest = np.empty((channels, 0), np.float32)
        self._frames: list[NDArray[np.float64]] = []  # (frames, bands) of each block
        edges_hz = [*(band.low_hz for band in BANDS), BANDS[-1].high_hz]
        bins = [math.ceil(hz * self._length / sample_rate) for hz in edges_hz]
        self._edges = np.minimum(bins, self._length // 2 + 1)
        self._silence = np.zeros(self._length, np.float32)
        self._pairs = np.empty((0, 0, 0), np.complex64)
        # Kept, as the system clears new memory for more than it takes to fill.
        self._halves = np.empty((2, self._length // 2), np.float32)
        self._odd = np.zeros(self._length // 2 + 2 * len(_HALF_BAND), np.float32)

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take in all frames that this block completes."""
        channels, n = block.shape
        begin = 0
        if held := self._rest.shape[1]:
            begin = min(n, self._length - held)
            self._rest = np.concatenate((self._rest, block[:, :begin]), axis=1)
            if self._rest.shape[1] < self._length:
                return
            self._take(self._rest[:, None, :], self._window)
        end = n - (n - begin) % self._length
        if end > begin:
            self._take(block[:, begin:end].reshape(channels, -1, self._length), self._window)
        self._rest = block[:, end:].copy()

    def finish(self) -> tuple[float | None, ...]:
        """Give the level of each band in dB; None for an empty one, and all None for silence."""
        n = self._rest.shape[1]
        if not self._frames and n:  # a short file: one frame, as long as it is
            padded = np.zeros((len(self._rest), 1, self._length), np.float32)
            padded[:, 0, :n] = self._rest * _hann(n) * np.float32(math.sqrt(self._length / n))
            self._take(padded, np.ones(self._transformed, np.float32))
        powers = np.concatenate(self._frames) if self._frames else np.empty((0, len(BANDS)))
        balance = _gated_sum(powers)
        total = float(balance.sum())
        return tuple(10.0 * math.log10(p / total) if p > 0.0 else None for p in balance.tolist())

    def _take(self, frames: NDArray[np.float32], window: NDArray[np.float32]) -> None:
        """Sum the bins of the bands, scaled to mean squares (of a sine of full scale: 0.5)."""
        channels, n, _ = frames.shape
        shape = (-(-channels // 2), n, self._transformed)
        if self._pairs.shape != shape:
            self._pairs = np.empty(shape, np.complex64)
        silence = [self._silence] * n
        for channel in range(0, channels, 2):
            beside = frames[channel + 1] if channel + 1 < channels else silence
            for both, pair in zip(
                zip(frames[channel], beside, strict=True), self._pairs[channel // 2], strict=True
            ):
                left, right = self._halved(both) if self._is_halved else both
                _join(left, right, window, pair.view(np.float32).reshape(-1, 2))
        powers = np.zeros((n, len(BANDS)))
        for transform in scipy.fft.fft(self._pairs, axis=-1, overwrite_x=True):
            _add_powers(transform.view(np.float32), self._edges, powers)
        self._frames.append(powers / self._full_scale)

    def _halved(self, both: tuple[Frame, Frame]) -> tuple[Frame, Frame]:
        """Keep every other sample of what a half-band filter leaves of two frames."""
        for frame, half in zip(both, self._halves, strict=True):
            _halve(frame.reshape(-1, 2), _HALF_BAND, self._odd, half)
        return self._halves[0], self._halves[1]


@kernel("void(f4[:,::1], f4[::1], f4[::1], f4[::1])")
def _halve(
    samples: NDArray[np.float32],
    taps: NDArray[np.float32],
    odd: NDArray[np.float32],
    half: NDArray[np.float32],
) -> None:
    """Halve a frame, whose samples come in pairs; `odd` holds half of them, between zeros."""
    n, reach = half.size, taps.size
    odd_samples = odd[reach : reach + n]
    for i in range(n):
        half[i] = samples[i, 0]
        odd_samples[i] = samples[i, 1]
    l0, r0 = odd[reach - 1 : reach - 1 + n], odd[reach : reach + n]
    l1, r1 = odd[reach - 2 : reach - 2 + n], odd[reach + 1 : reach + 1 + n]
    l2, r2 = odd[reach - 3 : reach - 3 + n], odd[reach + 2 : reach + 2 + n]
    l3, r3 = odd[reach - 4 : reach - 4 + n], odd[reach + 3 : reach + 3 + n]
    a, b, c, d = taps[0], taps[1], taps[2], taps[3]
    for i in range(n):
        near = a * (l0[i] + r0[i]) + b * (l1[i] + r1[i])
        half[i] += near + c * (l2[i] + r2[i]) + d * (l3[i] + r3[i])


@kernel("void(f4[::1], f4[::1], f4[::1], f4[:,::1])")
def _join(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    window: NDArray[np.float32],
    pair: NDArray[np.float32],
) -> None:
    """Weigh two channels, which are transformed as one: l + ir."""
    for i in range(window.size):
        pair[i, 0], pair[i, 1] = left[i] * window[i], right[i] * window[i]


@reduction("void(f4[:,::1], i8[::1], f8[:,::1])")
def _add_powers(
    bins: NDArray[np.float32], edges: NDArray[np.int64], powers: NDArray[np.float64]
) -> None:
    """Add up |Z(k)|² + |Z(-k)|² between the edges, which is twice |L(k)|² + |R(k)|²."""
    length = bins.shape[1] // 2
    for frame in range(powers.shape[0]):
        for band in range(powers.shape[1]):
            begin, end = edges[band], edges[band + 1]
            parts = bins[frame, 2 * begin : 2 * end]
            mirrored = bins[frame, 2 * (length - end + 1) : 2 * (length - begin + 1)]
            total = 0.0
            for i in range(parts.size):
                total += np.float64(parts[i]) * np.float64(parts[i])
                total += np.float64(mirrored[i]) * np.float64(mirrored[i])
            powers[frame, band] += total


def _hann(length: int) -> NDArray[np.float32]:
    return np.hanning(length + 1)[:-1].astype(np.float32)


def _gated_sum(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    level = powers.sum(axis=1)
    audible = level > 10.0 ** (ABSOLUTE_GATE_DBFS / 10.0)
    if not audible.any():
        return np.zeros(powers.shape[1])
    threshold = level[audible].mean() * 10.0 ** (RELATIVE_GATE_DB / 10.0)
    return np.asarray(powers[audible & (level > threshold)].sum(axis=0))
