"""
Loudness step by step, small enough to be kept with the results of every file.

    energies of 10 ms ── mean square of each 50 ms ── LUFS ── 16-bit hundredths

Of these, any stretch of the file can be measured later, without its audio.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.gating import OFFSET_LU, power_of, window_powers
from services.analyzer.dsp.kweighting import STEPS_PER_S
from services.analyzer.dsp.timeline import SILENT_LUFS

MAX_POINTS: Final = 36_000
"""Half an hour of 50 ms. Longer audio has steps of 0.1 s, 0.2 s and so on: under 0.1 MB as JSON."""

# Two make the hop of the gating blocks, eight a block.
_STEPS: Final = 5
_CODES_PER_LU: Final = 100.0


class Envelope(NamedTuple):
    """Entry k is the mean loudness from `k * step_s` on: n / 100 - 150 LUFS, 0 silence."""

    step_s: float
    levels: NDArray[np.uint16]


def envelope(step_energies: NDArray[np.float64], sample_rate: int) -> Envelope:
    """Reduce the energies to 0.01 LU and at most `MAX_POINTS` steps; an incomplete one is left."""
    stride = _STEPS
    while len(step_energies) // stride > MAX_POINTS:
        stride *= 2
    powers = window_powers(step_energies, sample_rate, stride, stride)
    lufs = OFFSET_LU + 10.0 * np.log10(np.maximum(powers, power_of(SILENT_LUFS)))
    codes = np.rint((lufs - SILENT_LUFS) * _CODES_PER_LU)
    return Envelope(stride / STEPS_PER_S, codes.astype("<u2"))
