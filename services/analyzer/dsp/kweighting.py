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


class KWeighting:
    """Filters a stream, and sums the squares of each step."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._coefficients = coefficients(sample_rate)
        self._states = np.zeros((channels, 5))
        self._samples = 0
        self._steps = 0

    def feed(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the energies (channels, steps) of the steps that this block completes."""
        end = self._samples + block.shape[1]
        at_most = block.shape[1] * STEPS_PER_S // self._sample_rate + 2
        edges = step_edges(self._sample_rate, self._steps + 1, at_most)
        ends = edges[edges <= end] - self._samples
        energies = np.empty((len(block), len(ends)))
        for channel, samples in enumerate(block):
            _filter(samples, self._coefficients, ends, self._states[channel], energies[channel])
        self._samples = end
        self._steps += len(ends)
        return energies


@kernel
def _filter(
    samples: NDArray[np.float32],
    coefficients: NDArray[np.float64],
    ends: NDArray[np.int64],
    state: NDArray[np.float64],
    energies: NDArray[np.float64],
) -> None:
    b0, b1, b2, a1, a2 = coefficients[0]
    c0, c1, c2, d1, d2 = coefficients[1]
    s1, s2, z1, z2, energy = state
    begin = 0
    for step in range(ends.size + 1):
        end = ends[step] if step < ends.size else samples.size
        for i in range(begin, end):  # both biquads in transposed direct form II
            x = np.float64(samples[i])
            y = b0 * x + s1
            s1 = b1 * x - a1 * y + s2
            s2 = b2 * x - a2 * y
            w = c0 * y + z1
            z1 = c1 * y - d1 * w + z2
            z2 = c2 * y - d2 * w
            energy += w * w
        if step < ends.size:
            energies[step] = energy
            energy = 0.0
            # After a sound, silence rings on in subnormal numbers, which a CPU adds 50 × slower.
            if abs(s1) + abs(s2) + abs(z1) + abs(z2) < 1e-100:  # noqa: PLR2004
                s1 = s2 = z1 = z2 = 0.0
        begin = end
    state[0], state[1], state[2], state[3], state[4] = s1, s2, z1, z2, energy
