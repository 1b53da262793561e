"""
How durations are spread: exactly while they are few, then to 1 %.

A sketch counts values in buckets, each 2 % wider than the one before, so that every quantile is
within 1 % of the true one: DDSketch, https://arxiv.org/abs/1908.10693. Sketches of several hours
merge without any further error.
"""

import math
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final

import msgspec

RELATIVE_ERROR: Final = 0.01
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LEAST_S: Final = 1e-4
"""What is shorter counts as 0: the answers that were there already."""
_LAST_BUCKET: Final = 1200
"""That of all that takes longer than a month."""
_FEW: Final = 512
"""So many values a sketch keeps as they are."""
_FEW_MERGED: Final = 4096
_LANE_BITS: Final = 32


class Sketch(msgspec.Struct, frozen=True):
    """All `values` while they are few; else how many are in each bucket, from bucket `first` on."""

    values: tuple[float, ...] = ()
    first: int = 0
    counts: tuple[int, ...] = ()

    def adding(self, values: Sequence[float]) -> "Sketch":
        """Return the sketch with these values, in seconds, too."""
        if not self.counts and len(self.values) + len(values) <= _FEW:
            return Sketch((*self.values, *values))
        buckets = Counter(map(_bucket, (*self.values, *values)))
        for bucket, count in enumerate(self.counts, self.first):
            buckets[bucket] += count
        return _sketch_of(buckets)


class Spread:
    """
    Sketches as they are merged, and asked for quantiles.

    The counters of all buckets stand side by side in one large integer, 32 bits each: a sum of two
    adds them all at once, in about a microsecond, so that a month is merged while a reader waits.
    """

    def __init__(self, sketch: Sketch | None = None) -> None:
        sketch = sketch or Sketch()
        self._values = None if sketch.counts else sketch.values
        if sketch.values:
            sketch = _sketch_of(Counter(map(_bucket, sketch.values)))
        packed = struct.pack(f"<{len(sketch.counts)}I", *sketch.counts)
        self._lanes = int.from_bytes(packed, "little") << (_LANE_BITS * sketch.first)
        self.count = sum(sketch.counts)

    @classmethod
    def merged(cls, spreads: Iterable["Spread"]) -> "Spread":
        """Return how the values of all of them are spread."""
        parts, whole = list(spreads), cls()
        whole.count = sum(part.count for part in parts)
        whole._lanes = sum(part._lanes for part in parts)  # noqa: SLF001 - its own
        values = [part._values for part in parts]  # noqa: SLF001 - ditto
        if None in values or whole.count > _FEW_MERGED:
            whole._values = None
        else:
            whole._values = tuple(value for few in values for value in few or ())
        return whole

    @property
    def relative_error(self) -> float:
        """How far a quantile may be off, at most."""
        return RELATIVE_ERROR if self._values is None else 0.0

    def quantiles(self, *shares: float) -> list[float | None]:
        """Return the values under which these shares of all lie, in seconds; None of nothing."""
        if not self.count:
            return [None for _ in shares]
        values = self._values
        if values is None:
            size = -(-self._lanes.bit_length() // _LANE_BITS) * _LANE_BITS // 8
            counts = struct.unpack(f"<{size // 4}I", self._lanes.to_bytes(size, "little"))
            ends = list(accumulate(counts))

            def value_at(rank: int) -> float:
                return _middle_s(bisect_right(ends, rank))

        else:
            ordered = sorted(values)

            def value_at(rank: int) -> float:
                return ordered[rank]

        return [_between_ranks(value_at, share * (self.count - 1)) for share in shares]


def _between_ranks(value_at: Callable[[int], float], rank: float) -> float:
    """Interpolate between the two values around a rank (0 is the first), as `numpy` does."""
    below = math.floor(rank)
    low, high = value_at(below), value_at(math.ceil(rank))
    return low + (high - low) * (rank - below)


def _sketch_of(buckets: Counter[int]) -> Sketch:
    first, last = min(buckets), max(buckets)
    return Sketch((), first, tuple(buckets[bucket] for bucket in range(first, last + 1)))


def _bucket(value_s: float) -> int:
    """Return the bucket of a value: bucket n ends at `_LEAST_S * _GAMMA**n`."""
    if value_s < _LEAST_S:
        return 0
    return min(1 + math.floor(math.log(value_s / _LEAST_S, _GAMMA)), _LAST_BUCKET)


def _middle_s(bucket: int) -> float:
    """Return the value that is equally far, in per cent, from both ends of a bucket."""
    return _LEAST_S * _GAMMA**bucket * 2 / (1 + _GAMMA) if bucket else 0.0
