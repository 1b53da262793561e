"""
Samples as whole numbers, with dither where bits are lost.

Rounding alone makes an error that follows the signal and is heard as distortion; noise of a
triangular density of two steps' width makes both its mean and its power constant (Lipshitz,
Wannamaker, Vanderkooy: Quantization and Dither, J. Audio Eng. Soc. 40, 1992).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SEED: Final = 1770  # the same file becomes the same file
_INT32: Final = 32


class Quantizer:
    """Makes whole numbers of `bits` of samples, full scale = 1.0; beyond it they are clipped."""

    def __init__(self, bits: int, *, dither: bool) -> None:
        self._bits = bits
        self._random = np.random.default_rng(_SEED) if dither else None
        self._most = 2.0 ** (bits - 1)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.int16] | NDArray[np.int32]:
        """Return int16, or int32 left-justified: 24 bits in the upper ones."""
        scaled = samples * np.float32(self._most)
        if self._random is not None:
            scaled += self._random.random(samples.shape, np.float32)
            scaled -= self._random.random(samples.shape, np.float32)
        np.rint(scaled, out=scaled)
        # float32 holds both ends of 24 bits.
        np.clip(scaled, -self._most, self._most - 1.0, out=scaled)
        if self._bits <= np.iinfo(np.int16).bits:
            return scaled.astype(np.int16)
        return scaled.astype(np.int32) << (_INT32 - self._bits)
