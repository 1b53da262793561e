"""
True peak: the maximum between the samples, ITU-R BS.1770-5 annex 2.

An interpolator is a table (phases, taps). Two are read: the one that annex 2 prints, which other
meters use and which misses up to 0.3 dB, and a Kaiser-windowed sinc of 48 taps, within 0.05 dB up
to 0.45 of the sample rate.

Most of the signal cannot reach the running maximum, and is not interpolated. Two bounds tell, for
each stretch of 64 samples, and both hold exactly for a row h of the table:

    |y| ≤ Σ|h| · max|x|
    |y| ≤ (|a| + |b|) · max|x| + Σ|g| · max|Δ²x|

The second splits h into linear interpolation between the two middle samples (a, b), and a rest
whose sum and first moment are 0, which is hence a sum (g) of second differences.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.jit import kernel

BLOCK: Final = 64
_TAPS: Final = 48
_KAISER_BETA: Final = 9.0
_ROUNDING: Final = 1.00001  # what float32 may add to 48 products

# BS.1770-5 annex 2, table 1: phases 0 and 1. Phases 3 and 2 are their mirror images.
_ANNEX_2: Final = (
    (
        *(0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000),
        *(-0.0594482421875, 0.1373291015625, 0.9721679687500, -0.1022949218750),
        *(0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500),
    ),
    (
        *(-0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250),
        *(-0.1665039062500, 0.4650878906250, 0.7797851562500, -0.2003173828125),
        *(0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375),
    ),
)


class Interpolator(NamedTuple):
    """
    Rows of taps, and what bounds them: Σ|h|, |a| + |b| and Σ|g|, each of the worst row.

    `keeps_samples`: they are points of the interpolated signal, too, without a row of their own.
    """

    table: NDArray[np.float32]
    bounds: NDArray[np.float32]
    keeps_samples: bool


def oversampling(sample_rate: int) -> int:
    """Give the points per sample: the faster the samples, the fewer are needed between them."""
    if sample_rate < 96_000:  # noqa: PLR2004
        return 16
    return 8 if sample_rate < 192_000 else 4  # noqa: PLR2004


def kaiser_sinc(points: int) -> Interpolator:
    """Interpolate `points` - 1 times between two samples."""
    offsets = np.arange(_TAPS) - (_TAPS // 2 - 1)
    distance = offsets - np.arange(1, points)[:, None] / points
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / (_TAPS / 2)) ** 2)))
    rows = np.sinc(distance) * window
    return _interpolator(rows / rows.sum(axis=1, keepdims=True), keeps_samples=True)


def annex_2() -> Interpolator:
    """Interpolate as BS.1770-5 annex 2 prints it."""
    rows = np.array([*_ANNEX_2, *(row[::-1] for row in reversed(_ANNEX_2))])
    return _interpolator(np.pad(rows, ((0, 0), (2, 2))), keeps_samples=False)


def _interpolator(rows: NDArray[np.float64], *, keeps_samples: bool) -> Interpolator:
    taps = rows.shape[1]
    middle = taps // 2 - 1
    b = (rows * (np.arange(taps) - middle)).sum(axis=1)
    a = rows.sum(axis=1) - b
    rest = rows.copy()
    rest[:, middle] -= a
    rest[:, middle + 1] -= b
    g = rest.cumsum(axis=1).cumsum(axis=1)[:, :-2]
    bounds = [np.abs(rows).sum(axis=1).max(), (abs(a) + abs(b)).max(), np.abs(g).sum(axis=1).max()]
    bounds32 = np.array(bounds, np.float32) * np.float32(_ROUNDING)
    return Interpolator(rows.astype(np.float32), bounds32, keeps_samples)


class TruePeak:
    """
    Follows the largest magnitude of each channel, as interpolated.

    The filter runs in from silence, and out into silence: call `finish` after the last block.
    """

    def __init__(self, interpolator: Interpolator, channels: int) -> None:
        self._interpolator = interpolator
        self._peaks = np.zeros(channels, np.float32)
        # The stretch before the next one to be interpolated, and all samples from there on.
        self._rest = np.zeros((channels, 2 * BLOCK), np.float32)

    def feed(self, block: NDArray[np.float32]) -> None:
        """Interpolate all stretches whose neighbours on both sides are known."""
        samples = np.concatenate((self._rest, block), axis=1)
        stretches = samples.shape[1] // BLOCK
        for channel, row in enumerate(samples):
            self._peaks[channel] = _scan(row, *self._interpolator, self._peaks[channel])
        self._rest = samples[:, (stretches - 2) * BLOCK :].copy()

    def finish(self) -> NDArray[np.float64]:
        """Give the peak of each channel, full scale 1.0."""
        self.feed(np.zeros((len(self._rest), 3 * BLOCK), np.float32))
        return self._peaks.astype(np.float64)


def brute_force(samples: NDArray[np.float32], interpolator: Interpolator) -> float:
    """Interpolate all of one channel, leaving nothing out: what the bounds must not change."""
    padded = np.pad(samples, (2 * BLOCK, 2 * BLOCK + -len(samples) % BLOCK))
    boundless = interpolator._replace(bounds=np.full(3, np.inf, np.float32))
    return float(_scan(padded, *boundless, np.float32(0.0)))


def decibels(magnitude: float) -> float | None:
    """Magnitude to dB; None for 0."""
    return 20.0 * math.log10(magnitude) if magnitude > 0.0 else None


@kernel
def _scan(
    samples: NDArray[np.float32],
    table: NDArray[np.float32],
    bounds: NDArray[np.float32],
    keeps_samples: bool,  # noqa: FBT001
    peak: np.float32,
) -> np.float32:
    stretches = samples.size // BLOCK
    maxima = np.empty(stretches, np.float32)
    cell = np.empty(1, np.float32)
    loudest = 1
    for s in range(stretches):
        maxima[s] = _magnitude(samples[s * BLOCK : (s + 1) * BLOCK], cell)
        if 1 <= s < stretches - 1 and maxima[s] > maxima[loudest]:
            loudest = s
    if keeps_samples:
        peak = max(peak, _magnitude(maxima, cell))
    taps = table.shape[1]
    ahead = taps // 2 - 1
    scratch = np.empty(BLOCK + taps, np.float32)
    # The loudest stretch first: what is found there spares most others.
    for turn in range(stretches - 1 if stretches > 2 else 0):  # noqa: PLR2004
        s = turn if turn > 0 else loudest
        begin = s * BLOCK - ahead
        window = samples[begin : begin + BLOCK + taps - 1]
        here = max(maxima[s], maxima[s + 1])
        if bounds[0] * max(maxima[s - 1], here) <= peak:
            continue
        if bounds[1] * here + bounds[2] * _bend(window, scratch, cell) <= peak:
            continue
        peak = max(peak, _interpolated(window, table, scratch, cell))
    return peak


@kernel
def _magnitude(samples: NDArray[np.float32], cell: NDArray[np.float32]) -> np.float32:
    # As integers, as LLVM does not vectorise the maximum of floats: their order is the same.
    largest = np.int32(0)
    bits = samples.view(np.int32)
    for i in range(bits.size):
        largest = max(largest, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    cell.view(np.int32)[0] = largest
    return np.float32(cell[0])


@kernel
def _bend(
    window: NDArray[np.float32], scratch: NDArray[np.float32], cell: NDArray[np.float32]
) -> np.float32:
    """Largest second difference."""
    n = window.size - 2
    left, middle, right = window[:n], window[1 : n + 1], window[2:]
    for i in range(n):
        scratch[i] = left[i] - middle[i] - middle[i] + right[i]
    return _magnitude(scratch[:n], cell)


@kernel
def _interpolated(
    window: NDArray[np.float32],
    table: NDArray[np.float32],
    scratch: NDArray[np.float32],
    cell: NDArray[np.float32],
) -> np.float32:
    peak = np.float32(0.0)
    y = scratch[:BLOCK]
    for row in table:
        y[:] = np.float32(0.0)
        for k in range(0, row.size, 8):
            h0, h1, h2, h3 = row[k], row[k + 1], row[k + 2], row[k + 3]
            h4, h5, h6, h7 = row[k + 4], row[k + 5], row[k + 6], row[k + 7]
            x0, x1 = window[k : k + BLOCK], window[k + 1 : k + 1 + BLOCK]
            x2, x3 = window[k + 2 : k + 2 + BLOCK], window[k + 3 : k + 3 + BLOCK]
            x4, x5 = window[k + 4 : k + 4 + BLOCK], window[k + 5 : k + 5 + BLOCK]
            x6, x7 = window[k + 6 : k + 6 + BLOCK], window[k + 7 : k + 7 + BLOCK]
            for i in range(BLOCK):
                y[i] += ((h0 * x0[i] + h1 * x1[i]) + (h2 * x2[i] + h3 * x3[i])) + (
                    (h4 * x4[i] + h5 * x5[i]) + (h6 * x6[i] + h7 * x7[i])
                )
        peak = max(peak, _magnitude(y, cell))
    return peak
