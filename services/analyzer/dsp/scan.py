"""
One look at a block for all that asks how loud its samples are: maxima of stretches of 64.

Sample peak, clipping, silence and both true peaks are read from them, and look at the samples
themselves only where a maximum says that there is something to find.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.jit import kernel

STRETCH: Final = 64


def stretch_maxima(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the largest magnitude of each stretch: (channels, stretches), the last may be short."""
    channels, n = block.shape
    maxima = np.empty((channels, -(-n // STRETCH)), np.float32)
    for samples, row in zip(block, maxima, strict=True):
        _maxima(samples, row)
    return maxima


@kernel("void(f4[::1], f4[::1])")
def _maxima(samples: NDArray[np.float32], maxima: NDArray[np.float32]) -> None:
    # As integers, as LLVM does not vectorise the maximum of floats: their order is the same.
    bits = samples.view(np.int32)
    largest_bits = maxima.view(np.int32)
    for s in range(maxima.size):
        largest = np.int32(0)
        if (s + 1) * STRETCH <= bits.size:
            stretch = bits[s * STRETCH : (s + 1) * STRETCH]
            for i in range(STRETCH):
                largest = max(largest, np.int32(stretch[i] & np.int32(0x7FFFFFFF)))
        else:
            for i in range(s * STRETCH, bits.size):
                largest = max(largest, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
        largest_bits[s] = largest
