"""How two channels relate: correlation and balance."""

import math

import numpy as np
from numpy.typing import NDArray

from services.analyzer.dsp.scan import Look, look


class StereoImage:
    """Sums the products of two channels."""

    def __init__(self) -> None:
        self._products = np.zeros(3)  # left², right², left · right

    def feed(self, block: NDArray[np.float32], seen: Look | None = None) -> None:
        """Take in a block of two channels, of which this has been `seen`."""
        self._products += (seen or look(block)).products

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
