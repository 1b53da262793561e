"""Levels of the samples as they are: peak, clipping, DC offset, silence at both ends."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.jit import reduction

CLIPPED: Final = 0.9999
"""Just under what 16 bits can hold (32767/32768): a sample at full scale counts as clipped."""

SILENT: Final = 1e-3
"""-60 dBFS, at which FFmpeg's silencedetect draws the line, too."""


class Levels:
    """
    Follows a stream's samples.

    `peaks` per channel, full scale 1.0; `clipped_samples` in all channels; `lead` and `tail`:
    samples before the first and after the last one that is not silent, all of them in silence.
    """

    def __init__(self, channels: int) -> None:
        self.peaks = np.zeros(channels, np.float32)
        self.clipped_samples = 0
        self._sums = np.zeros(channels)
        self._samples = 0
        self._first: int | None = None
        self._last = -1

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take in a block."""
        peaks = np.maximum(block.max(axis=1), -block.min(axis=1))
        if peaks.max() >= CLIPPED:
            self.clipped_samples += int(np.count_nonzero(np.abs(block) >= CLIPPED))
        if peaks.max() > SILENT:
            sound = np.flatnonzero((np.abs(block) > SILENT).any(axis=0))
            if self._first is None:
                self._first = self._samples + int(sound[0])
            self._last = self._samples + int(sound[-1])
        for channel, samples in enumerate(block):
            self._sums[channel] += _sum(samples)
        self.peaks = np.maximum(self.peaks, peaks)
        self._samples += block.shape[1]

    @property
    def dc_offsets(self) -> NDArray[np.float64]:
        """Give the mean of each channel."""
        return self._sums / max(1, self._samples)

    @property
    def lead(self) -> int:
        """Count the samples before the first sound."""
        return self._samples if self._first is None else self._first

    @property
    def tail(self) -> int:
        """Count the samples after the last sound."""
        return self._samples - 1 - self._last


@reduction
def _sum(samples: NDArray[np.float32]) -> float:
    total = 0.0
    for i in range(samples.size):
        total += np.float64(samples[i])
    return total
