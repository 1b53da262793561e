"""
Loudness from K-weighted energies: ITU-R BS.1770-5 annex 1, and the windows of EBU Tech 3341.

    energies of steps ── weighted sum of channels ── power of windows ─┬─ gated mean: integrated
                                                                       └─ maxima: M, S
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.kweighting import step_edges

ABSOLUTE_GATE_LUFS: Final = -70.0  # BS.1770-5 annex 1
RELATIVE_GATE_LU: Final = -10.0  # ditto
OFFSET_LU: Final = -0.691  # ditto, equation 2

MOMENTARY_STEPS: Final = 40  # Tech 3341 section 2.2: 0.4 s, also the gating block
SHORT_TERM_STEPS: Final = 300  # ditto: 3 s
GATING_HOP_STEPS: Final = 10  # BS.1770-5 annex 1: blocks overlap by 75 %

_WEIGHT_BESIDE: Final = 1.41
_UNHEARD: Final = frozenset({"LFE", "LFE2"})
_BESIDE: Final = frozenset({"SL", "SR"})
_BEHIND: Final = frozenset({"BL", "BR"})


def channel_weights(names: Sequence[str]) -> NDArray[np.float64]:
    """
    Weigh the channels, named as by FFmpeg: BS.1770-5 annex 1, tables 3 to 5.

    1.41 within 60° to 120° of the front, 0 for LFE, 1 elsewhere. `BL` and `BR` stand at 110° in a
    layout without side channels (5.1), at 135° to 150° in one with them (7.1).
    """
    beside = _BESIDE if _BESIDE & set(names) else _BEHIND
    return np.array(
        [0.0 if n in _UNHEARD else _WEIGHT_BESIDE if n in beside else 1.0 for n in names]
    )


def window_powers(
    step_energies: NDArray[np.float64], sample_rate: int, steps: int, hop: int
) -> NDArray[np.float64]:
    """Give the mean square of each complete window of so many steps, one per `hop`."""
    if len(step_energies) < steps:
        return np.empty(0)
    edges = step_edges(sample_rate, 0, len(step_energies) + 1)
    return _window_sums(step_energies, steps)[::hop] / (edges[steps:] - edges[:-steps])[::hop]


def lufs(power: float) -> float | None:
    """Equation 2 of annex 1: loudness of a weighted sum of mean squares; None if it is 0."""
    return OFFSET_LU + 10.0 * math.log10(power) if power > 0.0 else None


def power_of(loudness_lufs: float) -> float:
    """Undo `lufs`."""
    return float(10.0 ** ((loudness_lufs - OFFSET_LU) / 10.0))


def integrated(block_powers: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """
    Gate blocks of 0.4 s twice (equations 3 to 7): loudness and relative threshold, in LUFS.

    Both are None when no block passes the absolute gate: silence, or less than 0.4 s.
    """
    audible = block_powers[block_powers > power_of(ABSOLUTE_GATE_LUFS)]
    if audible.size == 0:
        return None, None
    threshold = float(audible.mean()) * 10.0 ** (RELATIVE_GATE_LU / 10.0)
    gated = audible[audible > threshold]
    return lufs(float(gated.mean())), lufs(threshold)


def maximum(step_energies: NDArray[np.float64], sample_rate: int, steps: int) -> float | None:
    """
    Find the loudest window of so many steps, at every step, in LUFS.

    Every 10 ms and not every 100 ms, as otherwise a short sound falls between two windows
    (Tech 3341, cases 10 and 13).
    """
    powers = window_powers(step_energies, sample_rate, steps, hop=1)
    return lufs(float(powers.max())) if powers.size else None


def _window_sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sum each window: 300 = 4 + 8 + 32 + 256, and sums of 2n are two sums of n."""
    # Not the difference of two running sums: after a loud passage that has lost the quiet one.
    sums = np.zeros(len(values) - length + 1)
    begin, size, part = 0, 1, values
    while True:
        if length & size:
            sums += part[begin : begin + len(sums)]
            begin += size
        if 2 * size > length:
            return sums
        part = part[:-size] + part[size:]
        size *= 2
