"""
True peak: the maximum between the samples, ITU-R BS.1770-5 annex 2.

Two interpolators are read: the one that annex 2 prints, which other meters use and which misses up
to 0.3 dB, and a Kaiser-windowed sinc, within 0.05 dB up to 0.45 of any rate.

Most of the signal cannot reach the running maximum, and is not interpolated; the result is bit for
bit that of interpolating all. Each group of 64 windows goes on until a bound shows it out. The
bounds hold for any samples x of largest magnitude |x|, and any row h of taps:

    1  |y| ≤ Σ|h| · |x|
    2  |y| ≤ (|a| + |b|) · |x| + Σ|g| · |Δ²x|
    3  |y| ≤ |inner taps of y| + Σ|outer taps| · |x|, of a coarse point
    4  |y| ≤ the larger of two coarse points beside it + Σ|r| · |x|

1 is the triangle inequality. 2 splits h into linear interpolation between the two middle samples
(a, b), and a rest whose sum and first moment are 0, which is hence a sum (g) of second differences.
3 and 4 are for two stages: first four points a sample, by their inner taps and then by all, and
only then the others. A row between two of these four is a point on their chord, plus a rest:
h = (1 - t) h₀ + t h₁ + r. So |y| ≤ (1 - t) |y₀| + t |y₁| + |r x|, which is 4. What 3 shows out has
no such points either: Σ|r| is added to it.
"""

import math
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.fir import ROWS, add_taps
from services.analyzer.dsp.jit import kernel, larger
from services.analyzer.dsp.scan import STRETCH, stretch_maxima

POINTS: Final = 16
TAPS: Final = 48
_KAISER_BETA: Final = 9.0
_COARSE: Final = 2  # pairs of rows that stage one takes: points at 1/4, 1/2 and 3/4
_PART: Final = 32
_ROUNDING: Final = 2e-5  # of the largest sample: over what float32 may add to 48 products

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
    Rows of taps in pairs that mirror each other: p/q and 1 - p/q of the way between two samples.

    A pair's larger magnitude is |even| + |odd|: of its even part with the sums of the samples at
    the same distance to both sides, and of its odd part with their differences, nearest first.
    `bounds` are the factors of |x| in the bounds 1 to 4, and of |Δ²x| in 2. `inner`: taps on either
    side of a point that are added first. `keeps_samples`: the samples are points of the
    interpolated signal, too, without a row of their own.
    """

    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    bounds: NDArray[np.float32]
    inner: int
    keeps_samples: bool

    @property
    def taps(self) -> int:
        """Count the samples that a point depends on."""
        return 2 * int(self.even.shape[1])

    @property
    def table(self) -> NDArray[np.float64]:
        """Write the rows out."""
        even, odd = self.even.astype(np.float64), self.odd.astype(np.float64)
        rows = np.hstack(((even + odd)[:, ::-1], even - odd))
        return np.unique(np.vstack((rows, rows[:, ::-1])), axis=0)


@cache
def kaiser_sinc() -> Interpolator:
    """Interpolate 15 times between two samples, by 48 of them."""
    quarter = POINTS // 4
    coarse = [quarter, 2 * quarter]
    order = coarse + [p for p in range(1, POINTS // 2) if p not in coarse]
    rows = {p: _sinc_row(p / POINTS) for p in (0, *order)}
    chord = 0.0
    for p in order[_COARSE:]:
        before, t = p - p % quarter, p % quarter / quarter
        rest = rows[p] - (1.0 - t) * rows[before] - t * rows[before + quarter]
        chord = max(chord, float(np.abs(rest).sum()))
    return _interpolator(np.array([rows[p] for p in order]), chord, keeps_samples=True)


@cache
def annex_2() -> Interpolator:
    """Interpolate as BS.1770-5 annex 2 prints it, for 48 kHz: all of it is stage one."""
    return _interpolator(np.array(_ANNEX_2), 0.0, keeps_samples=False)


def _sinc_row(at: float) -> NDArray[np.float64]:
    distance = np.arange(TAPS) - (TAPS // 2 - 1) - at
    # The sample itself (at 0) has its first tap on the window's edge, which is next to nothing.
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / (TAPS / 2)) ** 2)))
    row = np.sinc(distance) * window
    return np.asarray(row / row.sum())


def _interpolator(rows: NDArray[np.float64], chord: float, *, keeps_samples: bool) -> Interpolator:
    half = rows.shape[1] // 2
    inner = half // 3  # of noise and of loud masters, most goes out here
    left, right = rows[:, half - 1 :: -1], rows[:, half:]
    outer = np.abs(left) + np.abs(right)
    b = (rows * (np.arange(2 * half) - (half - 1))).sum(axis=1)
    a = rows.sum(axis=1) - b
    rest = rows.copy()
    rest[:, half - 1] -= a
    rest[:, half] -= b
    g = rest.cumsum(axis=1).cumsum(axis=1)[:, :-2]
    bounds = np.array(
        [
            outer.sum(axis=1).max() + _ROUNDING,
            (abs(a) + abs(b)).max() + _ROUNDING,
            outer[:_COARSE, inner:].sum(axis=1).max() + chord + _ROUNDING,
            chord + _ROUNDING,
            np.abs(g).sum(axis=1).max() * (1.0 + _ROUNDING),
        ]
    )
    even, odd = (left + right) / 2.0, (left - right) / 2.0
    even32, odd32, bounds32 = (matrix.astype(np.float32) for matrix in (even, odd, bounds))
    return Interpolator(even32, odd32, bounds32, inner, keeps_samples)


class TruePeak:
    """
    Follows the largest magnitude of each channel, as interpolated.

    The filter runs in from silence, and out into silence: call `finish` after the last block.
    """

    def __init__(self, interpolator: Interpolator, channels: int) -> None:
        self._interpolator = interpolator
        self._peaks = np.zeros(channels, np.float32)
        # What the first window of the next block may reach back to, and as many as fill a group.
        self._reach = STRETCH + interpolator.taps - 1
        self._rest = np.zeros((channels, self._reach), np.float32)

    def feed(self, block: NDArray[np.float32], maxima: NDArray[np.float32] | None = None) -> None:
        """Interpolate all windows that this block completes; `maxima`: those of its stretches."""
        if block.shape[1] < 2 * self._reach:
            joined = np.concatenate((self._rest, block), axis=1)
            self._interpolate(joined, stretch_maxima(joined))
        else:
            self._interpolate(block, stretch_maxima(block) if maxima is None else maxima)
            joined = np.concatenate((self._rest, block[:, : self._reach]), axis=1)
            self._interpolate(joined, stretch_maxima(joined))
            joined = block
        self._rest = joined[:, -self._reach :].copy()

    def finish(self) -> NDArray[np.float64]:
        """Give the peak of each channel, full scale 1.0."""
        self.feed(np.zeros((len(self._rest), self._reach), np.float32))
        return self._peaks.astype(np.float64)

    def _interpolate(self, samples: NDArray[np.float32], maxima: NDArray[np.float32]) -> None:
        for channel, (row, row_maxima) in enumerate(zip(samples, maxima, strict=True)):
            self._peaks[channel] = _peak(row, row_maxima, *self._interpolator, self._peaks[channel])


def brute_force(samples: NDArray[np.float32], interpolator: Interpolator) -> float:
    """Interpolate all of one channel, leaving nothing out: what the bounds must not change."""
    reach = STRETCH + interpolator.taps - 1
    padded = np.pad(samples, reach)[None]
    boundless = interpolator._replace(bounds=np.full(5, np.inf, np.float32))
    return float(_peak(padded[0], stretch_maxima(padded)[0], *boundless, np.float32(0.0)))


def decibels(magnitude: float) -> float | None:
    """Magnitude to dB; None for 0."""
    return 20.0 * math.log10(magnitude) if magnitude > 0.0 else None


@kernel("b1(f4[::1], i8, i8, f4, f4, f4)")
def _may_exceed(
    samples: NDArray[np.float32],
    at: int,
    n: int,
    least: np.float32,
    factor: np.float32,
    peak: np.float32,
) -> bool:
    """Tell whether `least` and so many times the largest second difference are over the peak."""
    for part in range((n - 2 + _PART - 1) // _PART):  # where it bends much, one is enough
        begin = at + min(part * _PART, n - 2 - _PART)  # the last overlaps another
        left, middle = samples[begin : begin + _PART], samples[begin + 1 : begin + 1 + _PART]
        right = samples[begin + 2 : begin + 2 + _PART]
        bend = np.float32(0.0)
        for i in range(_PART):
            bend = larger(bend, abs(left[i] - middle[i] - middle[i] + right[i]))
        if not least + factor * bend <= peak:
            return True
    return False


@kernel("f4(f4[::1], i8, f4, f4[:,::1], f4[:,::1], f4[::1], i8, b1, f4, f4[:,::1])")
def _complete(
    samples: NDArray[np.float32],
    at: int,
    loud: np.float32,
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    bounds: NDArray[np.float32],
    inner: int,
    keeps_samples: bool,
    peak: np.float32,
    points: NDArray[np.float32],
) -> np.float32:
    """Raise the peak to that of a group, of whose coarse points the inner taps are added."""
    pairs, half = even.shape
    none = int(np.int64(0))
    coarse = add_taps(samples, at, even, odd, none, inner, half, points)
    peak = larger(peak, coarse)
    if keeps_samples:
        coarse = larger(coarse, loud)
    if coarse + bounds[3] * loud <= peak:
        return peak
    for pair in range(_COARSE, pairs, 2):
        peak = larger(peak, add_taps(samples, at, even, odd, pair, none, half, points))
    return peak


@kernel("f4(f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4[::1], i8, b1, f4)")
def _peak(
    samples: NDArray[np.float32],
    maxima: NDArray[np.float32],
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    bounds: NDArray[np.float32],
    inner: int,
    keeps_samples: bool,
    peak: np.float32,
) -> np.float32:
    """Interpolate all windows, which are one group or more; the last group overlaps another."""
    points = np.zeros((ROWS, STRETCH), np.float32)
    taps = 2 * even.shape[1]
    none = int(np.int64(0))  # a bare 0 is a type of its own
    windows = samples.size - taps + 1
    groups = windows // STRETCH
    loudest = 0
    for s in range(maxima.size):
        if maxima[s] > maxima[loudest]:
            loudest = s
    if keeps_samples:
        peak = larger(peak, maxima[loudest])
    # The loudest group first: what is found there spares most others.
    loudest = min(loudest, groups - 1)
    for turn in range(-1, groups + 1):
        group = turn if turn >= 0 else loudest
        if group < groups:
            at, loud = group * STRETCH, larger(maxima[group], maxima[group + 1])
        else:
            at, loud = windows - STRETCH, maxima[maxima.size - 1]
            for s in range(max(0, maxima.size - 3), maxima.size - 1):
                loud = larger(loud, maxima[s])
        if bounds[0] * loud > peak and _may_exceed(
            samples, at, STRETCH + taps - 1, bounds[1] * loud, bounds[4], peak
        ):
            # Not a function of its own: numba would count the references to all these arrays.
            inner_points = add_taps(samples, at, even, odd, none, none, inner, points)
            if not inner_points + bounds[2] * loud <= peak:
                peak = _complete(
                    samples, at, loud, even, odd, bounds, inner, keeps_samples, peak, points
                )
    return peak
