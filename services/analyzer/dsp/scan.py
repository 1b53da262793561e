"""
One look at a block for all that asks how loud its samples are: maxima of stretches of 64, and sums.

Sample peak, clipping, silence and both true peaks are read from the maxima, and look at the samples
themselves only where one says that there is something to find. DC offset, correlation and balance
are made of the sums, which cost little while the samples are at hand.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.jit import kernel, reduction

STRETCH: Final = 64
_PAIR: Final = 2


class Look(NamedTuple):
    """
    What a pass over a block has seen.

    `maxima`: the largest magnitude of each stretch, (channels, stretches), the last may be short.
    `sums`: of each channel. `products`: Σl², Σr² and Σlr of two channels, 0 of any other number.
    """

    maxima: NDArray[np.float32]
    sums: NDArray[np.float64]
    products: NDArray[np.float64]


def look(block: NDArray[np.float32]) -> Look:
    """See all of it, once; two channels side by side."""
    seen = Look(_room_for_maxima(block), np.zeros(len(block)), np.zeros(3))
    if len(block) == _PAIR:
        _look_at_both(block[0], block[1], seen.maxima[0], seen.maxima[1], seen.sums, seen.products)
    else:
        for channel, samples in enumerate(block):
            seen.sums[channel] = _look_at(samples, seen.maxima[channel])
    return seen


def stretch_maxima(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the largest magnitude of each stretch: (channels, stretches), the last may be short."""
    maxima = _room_for_maxima(block)
    for samples, row in zip(block, maxima, strict=True):
        _maxima(samples, row)
    return maxima


def _room_for_maxima(block: NDArray[np.float32]) -> NDArray[np.float32]:
    channels, n = block.shape
    return np.empty((channels, -(-n // STRETCH)), np.float32)


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


@reduction("f8(f4[::1], f4[::1])")
def _look_at(samples: NDArray[np.float32], maxima: NDArray[np.float32]) -> float:
    """Find the maxima of one channel, and give its sum."""
    bits, largest_bits = samples.view(np.int32), maxima.view(np.int32)
    whole = samples.size // STRETCH
    total = 0.0
    for s in range(whole):
        stretch = samples[s * STRETCH : (s + 1) * STRETCH]
        stretch_bits = bits[s * STRETCH : (s + 1) * STRETCH]
        largest, stretch_total = np.int32(0), 0.0
        for i in range(STRETCH):
            largest = max(largest, np.int32(stretch_bits[i] & np.int32(0x7FFFFFFF)))
            stretch_total += np.float64(stretch[i])
        largest_bits[s] = largest
        total += stretch_total
    if whole < maxima.size:
        _maxima(samples[whole * STRETCH :], maxima[whole:])
        for i in range(whole * STRETCH, samples.size):
            total += np.float64(samples[i])
    return total


@reduction("void(f4[::1], f4[::1], f4[::1], f4[::1], f8[::1], f8[::1])")
def _look_at_both(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    left_maxima: NDArray[np.float32],
    right_maxima: NDArray[np.float32],
    sums: NDArray[np.float64],
    products: NDArray[np.float64],
) -> None:
    """Find the maxima of two channels, their sums, and the sums of their products."""
    left_bits, right_bits = left.view(np.int32), right.view(np.int32)
    left_largest, right_largest = left_maxima.view(np.int32), right_maxima.view(np.int32)
    l_sum = r_sum = ll = rr = lr = 0.0
    for s in range(left_maxima.size):
        begin, end = s * STRETCH, min((s + 1) * STRETCH, left.size)
        a, b = left[begin:end], right[begin:end]
        a_bits, b_bits = left_bits[begin:end], right_bits[begin:end]
        a_largest = b_largest = np.int32(0)
        for i in range(a.size):
            a_largest = max(a_largest, np.int32(a_bits[i] & np.int32(0x7FFFFFFF)))
            b_largest = max(b_largest, np.int32(b_bits[i] & np.int32(0x7FFFFFFF)))
        for i in range(a.size):
            x, y = np.float64(a[i]), np.float64(b[i])
            l_sum += x
            r_sum += y
            ll += x * x
            rr += y * y
            lr += x * y
        left_largest[s], right_largest[s] = a_largest, b_largest
    sums[0], sums[1] = l_sum, r_sum
    products[0], products[1], products[2] = ll, rr, lr
