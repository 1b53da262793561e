"""
Peak to short-term loudness ratio (PSR): how far peaks stand out of what is heard around them.

    samples ── largest magnitude of each step of 10 ms ── of each 3 s, in dB ─┐
    K-weighted energies ── short-term loudness of the same 3 s ───────────────┴─ smallest difference

A master that was limited hard has a small one: under 8 LU ears take it for squashed. No standard
defines it; it is PLR (peak minus integrated loudness) within the window of EBU Tech 3341.
"""

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.gating import (
    ABSOLUTE_GATE_LUFS,
    GATING_HOP_STEPS,
    OFFSET_LU,
    SHORT_TERM_STEPS,
    power_of,
    window_powers,
)
from services.analyzer.dsp.jit import kernel
from services.analyzer.dsp.kweighting import STEPS_PER_S, step_edges
from services.analyzer.dsp.scan import STRETCH, stretch_maxima


class StepPeaks:
    """Finds the largest magnitude of each step in any channel, full scale 1.0."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._samples = 0
        self._steps = 0
        self._rest = np.zeros(1, np.float32)  # of the step that has only begun

    def feed(
        self, block: NDArray[np.float32], maxima: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """
        Give the peaks of the steps that this block completes, the same as `KWeighting` does.

        `maxima`: those of its stretches.
        """
        if maxima is None:
            maxima = stretch_maxima(block)
        end = self._samples + block.shape[1]
        steps = (end * STEPS_PER_S + STEPS_PER_S // 2 - 1) // self._sample_rate
        first, count = self._steps + 1, steps - self._steps
        ends = step_edges(self._sample_rate, first, count) - self._samples
        peaks = np.zeros(count + 1, np.float32)
        peaks[0] = self._rest[0]
        for samples, samples_maxima in zip(block, maxima, strict=True):
            _follow(samples, samples_maxima, ends, peaks)
        self._rest = peaks[-1:]
        self._samples = end
        self._steps = steps
        return peaks[:-1]


def smallest(
    step_peaks: NDArray[np.float32], step_energies: NDArray[np.float64], sample_rate: int
) -> float | None:
    """
    Give the smallest ratio of all windows of 3 s at 10 Hz, in LU; None without an audible one.

    Audible is what is over the absolute gate of BS.1770-5, -70 LUFS.
    """
    powers = window_powers(step_energies, sample_rate, SHORT_TERM_STEPS, GATING_HOP_STEPS)
    audible = powers > power_of(ABSOLUTE_GATE_LUFS)
    if not audible.any():
        return None
    windows = np.lib.stride_tricks.sliding_window_view(step_peaks, SHORT_TERM_STEPS)
    peaks = windows[::GATING_HOP_STEPS].max(axis=1)[audible].astype(np.float64)
    return float(10.0 * np.log10(peaks**2 / powers[audible]).min() - OFFSET_LU)


@kernel("void(f4[::1], f4[::1], i8[::1], f4[::1])")
def _follow(
    samples: NDArray[np.float32],
    maxima: NDArray[np.float32],
    ends: NDArray[np.int64],
    peaks: NDArray[np.float32],
) -> None:
    # As integers, as LLVM does not vectorise the maximum of floats: their order is the same.
    bits, maxima_bits, largest = samples.view(np.int32), maxima.view(np.int32), peaks.view(np.int32)
    begin = 0
    for step in range(ends.size + 1):
        end = ends[step] if step < ends.size else bits.size
        first, past = (begin + STRETCH - 1) // STRETCH, end // STRETCH  # of the stretches within
        peak = largest[step]
        if first < past:
            for i in range(begin, first * STRETCH):
                peak = max(peak, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
            for s in range(first, past):
                peak = max(peak, maxima_bits[s])
            begin = past * STRETCH
        within = bits[begin:end]  # a slice, as only its indices are known not to be negative
        for i in range(within.size):
            peak = max(peak, np.int32(within[i] & np.int32(0x7FFFFFFF)))
        largest[step] = peak
        begin = end
