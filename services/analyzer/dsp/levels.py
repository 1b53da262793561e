"""Levels of the samples as they are: peak, clipping, DC offset, silence at both ends."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.jit import kernel, reduction
from services.analyzer.dsp.scan import STRETCH, Look, look

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

    def feed(self, block: NDArray[np.float32], seen: Look | None = None) -> None:
        """Take in a block, of which this has been `seen`."""
        maxima, sums, _ = seen or look(block)
        n = block.shape[1]
        if self._first is None:
            first = min(map(_first_sound, block, maxima))
            self._first = self._samples + first if first < n else None
        last = max(map(_last_sound, block, maxima))
        self._last = self._samples + last if last >= 0 else self._last
        peaks = maxima.max(axis=1)
        for samples, peak in zip(block, peaks, strict=True):
            if peak >= CLIPPED:
                self.clipped_samples += _count_clipped(samples)
        self._sums += sums
        self.peaks = np.maximum(self.peaks, peaks)
        self._samples += n

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


@kernel("i8(f4[::1], f4[::1])")
def _first_sound(samples: NDArray[np.float32], maxima: NDArray[np.float32]) -> int:
    """Find the first sample over the line: only a stretch over it has one; `size` when none is."""
    for s in range(maxima.size):
        if maxima[s] > np.float32(SILENT):
            for i in range(s * STRETCH, min((s + 1) * STRETCH, samples.size)):
                if abs(samples[i]) > np.float32(SILENT):
                    return i
    return samples.size


@kernel("i8(f4[::1], f4[::1])")
def _last_sound(samples: NDArray[np.float32], maxima: NDArray[np.float32]) -> int:
    """Find the last sample over the line; -1 when none is."""
    for s in range(maxima.size - 1, -1, -1):
        if maxima[s] > np.float32(SILENT):
            for i in range(min((s + 1) * STRETCH, samples.size) - 1, s * STRETCH - 1, -1):
                if abs(samples[i]) > np.float32(SILENT):
                    return i
    return -1


@reduction("i8(f4[::1])")
def _count_clipped(samples: NDArray[np.float32]) -> int:
    count = 0
    for i in range(samples.size):
        count += abs(samples[i]) >= np.float32(CLIPPED)
    return count
