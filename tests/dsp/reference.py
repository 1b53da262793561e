"""
The standards word by word, in float64: what the meters are held to.

Slow, plain NumPy and SciPy, and no line of it shared with the code under test. A signal is an array
(channels, samples), full scale 1.0; a level that does not exist is -inf.

    tables 1 and 2 ── undo the bilinear transform ── any rate ── sosfilt ── mean squares of windows
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import scipy.signal
from numpy.typing import ArrayLike, NDArray

Signal = NDArray[np.float64]

# BS.1770-5 annex 1, tables 1 and 2, for 48 kHz: b0, b1, b2, a1, a2.
TABLE_1: Final = (
    1.53512485958697,
    -2.69169618940638,
    1.19839281085285,
    -1.69065929318241,
    0.73248077421585,
)
TABLE_2: Final = (1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621)


def k_weighting(rate: int) -> NDArray[np.float64]:
    """
    Give both filters as second-order sections.

    A table is a fraction in u = (z - 1) / (z + 1), which a bilinear transform puts in the place of
    s / tan(π f₀ / rate); its f₀ stands in its poles. Table 2 keeps its numerator at every rate.
    """
    shelf, highpass = (_at_rate(table, rate) for table in (TABLE_1, TABLE_2))
    return np.array([shelf, (*TABLE_2[:3], *highpass[3:])])


def _at_rate(table: Sequence[float], rate: int) -> tuple[float, ...]:
    b0, b1, b2, a1, a2 = table
    warp = math.sqrt((1.0 + a1 + a2) / (1.0 - a1 + a2))  # tan(π f₀ / 48 kHz)
    ratio = warp / math.tan(math.atan(warp) * 48_000 / rate)
    b, a = (
        _in_z(_in_u(np.array(row)) * (ratio**2, ratio, 1.0))
        for row in ([b0, b1, b2], [1.0, a1, a2])
    )
    return (*(b / a[0]), *(a / a[0]))


def _in_u(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put (1 + u) / (1 - u) in the place of z in a polynomial, times (1 - u)²."""
    return np.array([p[0] - p[1] + p[2], 2.0 * (p[0] - p[2]), p[0] + p[1] + p[2]])


def _in_z(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put (z - 1) / (z + 1) in the place of u in a polynomial, times (z + 1)²."""
    return np.array([p[0] + p[1] + p[2], 2.0 * (p[2] - p[0]), p[0] - p[1] + p[2]])


def gain_db(hz: float, rate: int = 48_000) -> float:
    """Give what K-weighting does to a tone."""
    _, response = scipy.signal.sosfreqz(k_weighting(rate), [hz], fs=rate)
    return float(20.0 * np.log10(np.abs(response[0])))


def loudness(power: ArrayLike) -> NDArray[np.float64]:
    """Equation 2."""
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + 10.0 * np.log10(power))


def windows(
    samples: NDArray[np.floating],
    rate: int,
    weights: Sequence[float],
    *,
    window_ms: int,
    hop_ms: int,
) -> NDArray[np.float64]:
    """Give the weighted power of each complete window, its edges at the nearest samples."""
    squares = scipy.signal.sosfilt(k_weighting(rate), samples.astype(np.float64), axis=1) ** 2
    means, start_ms = [], 0
    while (end := _nearest(start_ms + window_ms, rate)) <= samples.shape[1]:
        means.append(squares[:, _nearest(start_ms, rate) : end].mean(axis=1))
        start_ms += hop_ms
    return np.asarray(np.array(means).reshape(-1, len(samples)) @ np.array(weights))


def _nearest(ms: int, rate: int) -> int:
    """Give the sample at that time, halves up."""
    return (2 * ms * rate + 1_000) // 2_000


def integrated(
    samples: NDArray[np.floating], rate: int = 48_000, weights: Sequence[float] = (1.0, 1.0)
) -> float:
    """BS.1770-5 annex 1, equations 3 to 7."""
    powers = windows(samples, rate, weights, window_ms=400, hop_ms=100)
    above = powers[loudness(powers) > -70.0]
    if not above.size:
        return -math.inf
    threshold = float(loudness(above.mean())) - 10.0
    return float(loudness(above[loudness(above) > threshold].mean()))


def maximum(
    samples: NDArray[np.floating],
    rate: int = 48_000,
    weights: Sequence[float] = (1.0, 1.0),
    *,
    window_ms: int,
) -> float:
    """Tech 3341 section 2.2, looked at every 10 ms."""
    powers = windows(samples, rate, weights, window_ms=window_ms, hop_ms=10)
    return float(loudness(powers.max())) if powers.size else -math.inf


def loudness_range(
    samples: NDArray[np.floating], rate: int = 48_000, weights: Sequence[float] = (1.0, 1.0)
) -> float:
    """Tech 3342 section 3: the listing in its appendix, in LU."""
    levels = loudness(windows(samples, rate, weights, window_ms=3_000, hop_ms=100))
    levels = levels[levels >= -70.0]
    threshold = 10.0 * np.log10((10.0 ** (levels / 10.0)).mean()) - 20.0
    ordered = np.sort(levels[levels >= threshold])
    low, high = (ordered[math.floor((len(ordered) - 1) * p + 0.5)] for p in (0.1, 0.95))
    return float(high - low)


def true_peak(samples: NDArray[np.floating], points: int = 16) -> float:
    """
    BS.1770-5 annex 2 with an ideal filter, in dBTP: the whole spectrum, padded, at every point.

    The signal is put between silences first, as a spectrum goes round in a circle.
    """
    padded = np.pad(samples.astype(np.float64), ((0, 0), (512, 512)))
    finer = scipy.signal.resample(padded, points * padded.shape[1], axis=1)
    return float(20.0 * np.log10(np.abs(finer).max()))
