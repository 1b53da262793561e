"""
K-weighting: ITU-R BS.1770-5, annex 1, figure 2.

    samples ── shelf (the head) ── high-pass (RLB) ── squared, summed over steps of 10 ms

All loudness measures are made of these sums, at any sample rate: the standard prints the
coefficients for 48 kHz only, so that they are derived here from the analogue filters behind them.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.jit import kernel

STEPS_PER_S: Final = 100

LANES: Final = 16
WARM_UP_STEPS: Final = 15
_TILE: Final = 96
_UNHEARD: Final = 1e-100  # far below what float32 holds, far above what a CPU adds slowly

# The analogue prototypes of tables 1 and 2, from the bilinear transform undone at 48 kHz.
SHELF_HZ: Final = 1681.974450955533
SHELF_DB: Final = 3.999843853973347
SHELF_Q: Final = 0.7071752369554196
SHELF_BAND_EXPONENT: Final = 0.4996667741545416
HIGHPASS_HZ: Final = 38.13547087602444
HIGHPASS_Q: Final = 0.5003270373238773


def coefficients(sample_rate: int) -> NDArray[np.float64]:
    """Derive (b0, b1, b2, a1, a2) of the shelf and of the high-pass; tables 1 and 2 at 48 kHz."""
    k = math.tan(math.pi * SHELF_HZ / sample_rate)
    high = 10.0 ** (SHELF_DB / 20.0)
    band = high**SHELF_BAND_EXPONENT
    a0 = 1.0 + k / SHELF_Q + k * k
    shelf = (
        (high + band * k / SHELF_Q + k * k) / a0,
        2.0 * (k * k - high) / a0,
        (high - band * k / SHELF_Q + k * k) / a0,
        2.0 * (k * k - 1.0) / a0,
        (1.0 - k / SHELF_Q + k * k) / a0,
    )
    k = math.tan(math.pi * HIGHPASS_HZ / sample_rate)
    a0 = 1.0 + k / HIGHPASS_Q + k * k
    # Table 2 leaves the numerator at 1, -2, 1 instead of normalising it.
    highpass = (1.0, -2.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / HIGHPASS_Q + k * k) / a0)
    return np.array([shelf, highpass])


def step_edges(sample_rate: int, first: int, count: int) -> NDArray[np.int64]:
    """Count the samples before each of `count` steps from `first` on, to the nearest sample."""
    steps = np.arange(first, first + count, dtype=np.int64)
    return (steps * sample_rate + STEPS_PER_S // 2) // STEPS_PER_S


Taps = tuple[float, float, float, float, float, float, float, float]
"""Both filters with b0 = 1: b1, b2, a1, a2 of the shelf, then of the high-pass."""


class KWeighting:
    """
    Filters a stream, and sums the squares of each step.

    A filter is a chain: each sample waits for the one before. So 16 lanes are filtered side by
    side, those of a channel being equal parts of its block. A lane that is not its channel's first
    starts 0.15 s early, in silence: in this time the slower pole forgets its past by e^-36, which
    is what float64 rounds off anyway. The state of a channel's last lane is carried on.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        numerators, denominators = np.split(coefficients(sample_rate), [3], axis=1)
        self._power_gain = float(numerators[:, 0].prod()) ** 2
        shapes = numerators[:, 1:] / numerators[:, :1]
        b1, b2, a1, a2, c1, c2, d1, d2 = np.hstack((shapes, denominators)).ravel().tolist()
        self._taps: Taps = (b1, b2, a1, a2, c1, c2, d1, d2)
        self._states = np.zeros((channels, _STATE))
        self._samples = 0
        self._steps = 0

    def feed(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the energies (channels, steps) of the steps that this block completes."""
        end = self._samples + block.shape[1]
        at_most = block.shape[1] * STEPS_PER_S // self._sample_rate + 2
        edges = step_edges(self._sample_rate, self._steps + 1, at_most)
        ends = edges[edges <= end] - self._samples
        energies = np.empty((len(block), len(ends)))
        block = np.ascontiguousarray(block)
        channel = 0
        while channel < len(block):
            together = min(LANES, 1 << ((len(block) - channel).bit_length() - 1))
            group = slice(channel, channel + together)
            self._filter(block[group], ends, self._states[group], energies[group])
            channel += together
        self._samples = end
        self._steps += len(ends)
        return energies * self._power_gain

    def _filter(
        self,
        samples: NDArray[np.float32],
        ends: NDArray[np.int64],
        states: NDArray[np.float64],
        energies: NDArray[np.float64],
    ) -> None:
        """Filter 1, 2, 4, 8 or 16 channels."""
        lanes = LANES // len(samples)
        steps = self._lane_steps(len(ends), lanes)
        if not steps:
            self._filter_each(samples, ends, states, energies)
            return
        # In between: from the end of the first step on, all that the lanes can share equally.
        first, last, rest = ends[0], ends[lanes * steps], lanes * steps + 1
        self._filter_each(samples[:, :first], ends[:1], states, energies[:, :1])
        between = np.empty((len(samples), lanes, steps))
        _filter_lanes(samples, ends[: steps + 1], self._warm_up, self._taps, states, between)
        energies[:, 1:rest] = between.reshape(len(samples), -1)
        self._filter_each(samples[:, last:], ends[rest:] - last, states, energies[:, rest:])

    def _filter_each(
        self,
        samples: NDArray[np.float32],
        ends: NDArray[np.int64],
        states: NDArray[np.float64],
        energies: NDArray[np.float64],
    ) -> None:
        for row, state, row_energies in zip(samples, states, energies, strict=True):
            _filter(row, ends, self._taps, state, row_energies)

    @property
    def _warm_up(self) -> int:
        return WARM_UP_STEPS * self._sample_rate // STEPS_PER_S

    def _lane_steps(self, steps: int, lanes: int) -> int:
        """Choose how many steps a lane has; 0 when lanes do not pay."""
        # After a period the nearest samples come round again: all lanes have the same edges.
        period = STEPS_PER_S // math.gcd(STEPS_PER_S, self._sample_rate)
        lane_steps = (steps - 1) // lanes // period * period
        return lane_steps if lane_steps > WARM_UP_STEPS else 0


# A filter's state: its last two inputs, those of the second (the outputs of the first), the last
# two outputs, and the energy of the step so far.
_STATE: Final = 7


@kernel("UniTuple(f8, 2)(f8, UniTuple(f8, 8), f8, f8, f8, f8, f8, f8)")
def _weigh(
    x: float, taps: Taps, x1: float, x2: float, y1: float, y2: float, w1: float, w2: float
) -> tuple[float, float]:
    """Put a sample through both biquads, in direct form I; what waits for y1 or w1 comes last."""
    b1, b2, a1, a2, c1, c2, d1, d2 = taps
    y = ((x + b1 * x1) + b2 * x2 - a2 * y2) - a1 * y1
    w = ((y + c1 * y1) + c2 * y2 - d2 * w2) - d1 * w1
    return y, w


@kernel("void(f4[::1], i8[::1], UniTuple(f8, 8), f8[::1], f8[::1])")
def _filter(
    samples: NDArray[np.float32],
    ends: NDArray[np.int64],
    taps: Taps,
    state: NDArray[np.float64],
    energies: NDArray[np.float64],
) -> None:
    """Filter all samples; a step ends at each of `ends`."""
    x1, x2, y1, y2, w1, w2, energy = state
    begin = 0
    for step in range(ends.size + 1):
        end = ends[step] if step < ends.size else samples.size
        for i in range(begin, end):
            x = np.float64(samples[i])
            y, w = _weigh(x, taps, x1, x2, y1, y2, w1, w2)
            x1, x2, y1, y2, w1, w2 = x, x1, y, y1, w, w1
            energy += w * w
        if step < ends.size:
            energies[step] = energy
            energy = 0.0
            # After a sound, silence rings on in subnormal numbers, which a CPU adds 50 × slower.
            if abs(y1) + abs(y2) + abs(w1) + abs(w2) < _UNHEARD:
                y1 = y2 = w1 = w2 = 0.0
        begin = end
    state[0], state[1], state[2], state[3] = x1, x2, y1, y2
    state[4], state[5], state[6] = w1, w2, energy


@kernel("f4[::1](f4[:,::1], i8, i8, i8, i8)")
def _part(
    samples: NDArray[np.float32], lane: int, begin: int, stride: int, n: int
) -> NDArray[np.float32]:
    """Give `n` samples of a lane; `begin` is for the first of each channel."""
    lanes = LANES // samples.shape[0]
    # Nothing is before the first sample. Any will do: no first lane keeps what it was warmed with.
    at = max(0, begin + lane % lanes * stride)
    return samples[lane // lanes, at : at + n]


@kernel("void(f4[:,::1], i8, i8, i8, f4[:,::1])")
def _lay_out(
    samples: NDArray[np.float32], begin: int, stride: int, n: int, tile: NDArray[np.float32]
) -> None:
    """Write `n` samples of each lane, one lane a column."""
    for lane in range(0, LANES, 4):
        a = _part(samples, lane, begin, stride, n)
        b = _part(samples, lane + 1, begin, stride, n)
        c = _part(samples, lane + 2, begin, stride, n)
        d = _part(samples, lane + 3, begin, stride, n)
        for t in range(n):
            row = tile[t]
            row[lane], row[lane + 1], row[lane + 2], row[lane + 3] = a[t], b[t], c[t], d[t]


@kernel("void(f4[:,::1], i8, UniTuple(f8, 8), f8[:,::1])")
def _advance(tile: NDArray[np.float32], n: int, taps: Taps, states: NDArray[np.float64]) -> None:
    """Filter `n` rows of the tile in all lanes at once, four in turn without leaving registers."""
    x1s, x2s, y1s, y2s = states[0], states[1], states[2], states[3]
    w1s, w2s, energies = states[4], states[5], states[6]
    fours = n - n % 4
    for t in range(0, fours, 4):
        row0, row1, row2, row3 = tile[t], tile[t + 1], tile[t + 2], tile[t + 3]
        for i in range(LANES):
            x1, y1, y2, w1, w2 = x1s[i], y1s[i], y2s[i], w1s[i], w2s[i]
            p, q = np.float64(row0[i]), np.float64(row1[i])
            r, s = np.float64(row2[i]), np.float64(row3[i])
            yp, wp = _weigh(p, taps, x1, x2s[i], y1, y2, w1, w2)
            yq, wq = _weigh(q, taps, p, x1, yp, y1, wp, w1)
            yr, wr = _weigh(r, taps, q, p, yq, yp, wq, wp)
            ys, ws = _weigh(s, taps, r, q, yr, yq, wr, wq)
            x1s[i], x2s[i], y1s[i], y2s[i], w1s[i], w2s[i] = s, r, ys, yr, ws, wr
            energies[i] = (((energies[i] + wp * wp) + wq * wq) + wr * wr) + ws * ws
    for t in range(fours, n):
        row0 = tile[t]
        for i in range(LANES):
            x = np.float64(row0[i])
            y, w = _weigh(x, taps, x1s[i], x2s[i], y1s[i], y2s[i], w1s[i], w2s[i])
            x2s[i], y2s[i], w2s[i] = x1s[i], y1s[i], w1s[i]
            x1s[i], y1s[i], w1s[i] = x, y, w
            energies[i] += w * w


@kernel("void(f8[:,::1], i8)")
def _hush(states: NDArray[np.float64], lane: int) -> None:
    """End what rings on in silence, as `_filter` does."""
    ringing = 0.0
    for k in range(2, 6):
        ringing += abs(states[k, lane])
    if ringing < _UNHEARD:
        for k in range(2, 6):
            states[k, lane] = 0.0


@kernel("void(f4[:,::1], i8[::1], i8, UniTuple(f8, 8), f8[:,::1], f8[:,:,::1])")
def _filter_lanes(
    samples: NDArray[np.float32],
    edges: NDArray[np.int64],
    warm_up: int,
    taps: Taps,
    channel_states: NDArray[np.float64],
    energies: NDArray[np.float64],
) -> None:
    """Filter (channels, lanes, steps) between edges, of which those of the first lane are given."""
    lanes = LANES // samples.shape[0]
    begin, stride = edges[0], edges[-1] - edges[0]
    tile = np.zeros((_TILE, LANES), np.float32)
    states = np.zeros((_STATE, LANES))
    for at in range(-warm_up, 0, _TILE):
        n = min(_TILE, -at)
        _lay_out(samples, begin + at, stride, n, tile)
        _advance(tile, n, taps, states)
    for lane in range(LANES):
        states[6, lane] = 0.0
        if lane % lanes == 0:
            for k in range(_STATE):
                states[k, lane] = channel_states[lane // lanes, k]
    for step in range(edges.size - 1):
        for at in range(edges[step], edges[step + 1], _TILE):
            n = min(_TILE, edges[step + 1] - at)
            _lay_out(samples, at, stride, n, tile)
            _advance(tile, n, taps, states)
        for lane in range(LANES):
            energies[lane // lanes, lane % lanes, step] = states[6, lane]
            states[6, lane] = 0.0
            _hush(states, lane)
    for channel in range(samples.shape[0]):
        for k in range(_STATE):
            channel_states[channel, k] = states[k, (channel + 1) * lanes - 1]
