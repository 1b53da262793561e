"""
Loudness over time: a meter in EBU mode (EBU Tech 3341 section 2.2), read ten times a second.

    powers of windows, one per 10 ms ── each tenth ── the loudest of each longer step ── LUFS
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.gating import (
    GATING_HOP_STEPS,
    MOMENTARY_STEPS,
    OFFSET_LU,
    SHORT_TERM_STEPS,
    power_of,
    window_powers,
)
from services.analyzer.dsp.kweighting import STEPS_PER_S

MAX_POINTS: Final = 36_000
"""An hour of 0.1 s. Longer audio has longer steps: as JSON, a timeline stays under 0.6 MB."""
SILENT_LUFS: Final = -150.0
"""Less than 24 bits can hold: here a filter rings on in what is silence."""

_DECIMALS: Final = 2


class Timeline(NamedTuple):
    """
    Entry k is the window that ends `(k + 1) * step_s` after the start, in LUFS.

    None is silence, or a window that would begin before the audio does.
    """

    step_s: float
    momentary: tuple[float | None, ...]
    short_term: tuple[float | None, ...]


def timeline(step_energies: NDArray[np.float64], sample_rate: int) -> Timeline:
    """
    Read both windows at each 100 ms, to 0.01 LU.

    Of more than `MAX_POINTS` readings each entry is the loudest of several.
    """
    points = len(step_energies) // GATING_HOP_STEPS
    stride = max(1, math.ceil(points / MAX_POINTS))
    momentary, short_term = (
        _readings(step_energies, sample_rate, steps, points, stride)
        for steps in (MOMENTARY_STEPS, SHORT_TERM_STEPS)
    )
    return Timeline(stride * GATING_HOP_STEPS / STEPS_PER_S, momentary, short_term)


def _readings(
    step_energies: NDArray[np.float64], sample_rate: int, steps: int, points: int, stride: int
) -> tuple[float | None, ...]:
    powers = window_powers(step_energies, sample_rate, steps, GATING_HOP_STEPS)
    entries = math.ceil(points / stride)
    readings = np.zeros(entries * stride)
    first = steps // GATING_HOP_STEPS - 1
    readings[first : first + len(powers)] = powers
    loudest = readings.reshape(entries, stride).max(axis=1)
    floor = power_of(SILENT_LUFS)
    lufs = OFFSET_LU + 10.0 * np.log10(np.maximum(loudest, floor))
    return tuple(
        level if power > floor else None
        for level, power in zip(lufs.round(_DECIMALS).tolist(), loudest.tolist(), strict=True)
    )
