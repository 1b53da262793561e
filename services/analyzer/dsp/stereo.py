"""How two channels relate: correlation and balance."""

import math

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.jit import reduction


class StereoImage:
    """Sums the products of two channels."""

    def __init__(self) -> None:
        self._products = np.zeros(3)  # left², right², left · right

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take in a block of two channels."""
        _add_products(block[0], block[1], self._products)

    @property
    def correlation(self) -> float | None:
        """+1 for mono, -1 for opposite phase; None when a channel is silent."""
        left, right, both = self._products.tolist()
        if not (left and right):
            return None
        return max(-1.0, min(1.0, both / math.sqrt(left) / math.sqrt(right)))

    @property
    def balance_db(self) -> float | None:
        """Power of the right over the left channel; None when one is silent."""
        left, right, _ = self._products.tolist()
        return 10.0 * math.log10(right / left) if left and right else None


@reduction("void(f4[::1], f4[::1], f8[::1])")
def _add_products(
    left: NDArray[np.float32], right: NDArray[np.float32], products: NDArray[np.float64]
) -> None:
    ll = rr = lr = 0.0
    for i in range(left.size):
        x, y = np.float64(left[i]), np.float64(right[i])
        ll += x * x
        rr += y * y
        lr += x * y
    products[0] += ll
    products[1] += rr
    products[2] += lr
