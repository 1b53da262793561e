"""Loudness range: EBU Tech 3342, section 3."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.gating import ABSOLUTE_GATE_LUFS, power_of

RELATIVE_GATE_LU: Final = -20.0
LOW_PERCENTILE: Final = 10
HIGH_PERCENTILE: Final = 95
STABLE_S: Final = 60.0  # Tech 3341 section 2.4: shorter programmes have no dependable range


def loudness_range(short_term_powers: NDArray[np.float64]) -> float | None:
    """
    Spread of the short-term loudness, in LU, from windows of 3 s at 10 Hz.

    None without a window over the absolute gate. No silence is appended, as no file meter does.
    """
    audible = short_term_powers[short_term_powers >= power_of(ABSOLUTE_GATE_LUFS)]
    if audible.size == 0:
        return None
    threshold = float(audible.mean()) * 10.0 ** (RELATIVE_GATE_LU / 10.0)
    gated = np.sort(audible[audible >= threshold])
    low, high = (_percentile(gated, percent) for percent in (LOW_PERCENTILE, HIGH_PERCENTILE))
    return 10.0 * math.log10(high / low)


def _percentile(ascending: NDArray[np.float64], percent: int) -> float:
    # The standard's listing rounds halves up, Python's round() to even.
    return float(ascending[math.floor((len(ascending) - 1) * percent / 100 + 0.5)])
