"""
The inner loop of interpolation, in vector instructions: 16 windows by two pairs of rows at once.

LLVM, which vectorises all other kernels by itself, would keep the sums in memory. As it is written
here they stay in registers over all taps: 12 operations for 4 loads of samples and 4 of taps.
"""

from typing import Any, Final, Protocol, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from services.analyzer.dsp.scan import STRETCH

ROWS: Final = 4
"""Of the working space: the even parts of two points, and their odd ones."""

_cgutils: Final[Any] = cgutils
_array: Final[Any] = make_array

_WIDTH: Final = 16
_VECTOR: Final = ir.VectorType(ir.FloatType(), _WIDTH)
_ZERO: Final = ir.Constant(_VECTOR, None)
_UNDEFINED: Final = ir.Constant(_VECTOR, ir.Undefined)
_FIRST: Final = ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), None)
_FUSED: Final = ("contract",)
_INDEX: Final = ir.IntType(64)


class _Emitter:
    """Writes vector instructions that work on contiguous arrays of float32."""

    def __init__(self, context: Any, builder: Any) -> None:
        self._context = context
        self._builder = builder
        self._fabs = _cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.fabs.v{_WIDTH}f32"
        )

    def vector_at(self, typed_array: tuple[Any, Any], *index: Any) -> Any:
        return self._builder.bitcast(self._element(typed_array, *index), _VECTOR.as_pointer())

    def load(self, typed_array: tuple[Any, Any], *index: Any) -> Any:
        """Read a vector, of which no more is aligned than its elements."""
        return self._builder.load(self.vector_at(typed_array, *index), align=4)

    def splat(self, typed_array: tuple[Any, Any], *index: Any) -> Any:
        """Read one element into all places."""
        element = self._builder.load(self._element(typed_array, *index))
        single = self._builder.insert_element(_UNDEFINED, element, ir.IntType(32)(0))
        return self._builder.shuffle_vector(single, _UNDEFINED, _FIRST)

    def magnitude(self, even: Any, odd: Any) -> Any:
        parts = (self._builder.call(self._fabs, [part]) for part in (even, odd))
        return self._builder.fadd(*parts)

    def larger(self, a: Any, b: Any) -> Any:
        flags = ("nnan", "nsz")
        is_larger = self._builder.fcmp_ordered(">", a, b, flags=flags)
        return self._builder.select(is_larger, a, b, flags=flags)

    def largest(self, vector: Any) -> Any:
        """Halve a vector until one element is left."""
        width = _WIDTH
        while width > 1:
            width //= 2
            places = ir.Constant(
                ir.VectorType(ir.IntType(32), _WIDTH),
                [*range(width, 2 * width)] * (_WIDTH // width),
            )
            vector = self.larger(vector, self._builder.shuffle_vector(vector, _UNDEFINED, places))
        return self._builder.extract_element(vector, ir.IntType(32)(0))

    def columns(self, typed_array: tuple[Any, Any]) -> Any:
        array_type, value = typed_array
        array = _array(array_type)(self._context, self._builder, value)
        return _cgutils.unpack_tuple(self._builder, array.shape)[-1]

    def _element(self, typed_array: tuple[Any, Any], *index: Any) -> Any:
        array_type, value = typed_array
        array = _array(array_type)(self._context, self._builder, value)
        offset = index[-1]
        if len(index) > 1:
            row = self._builder.mul(index[0], self.columns(typed_array))
            offset = self._builder.add(row, offset)
        return self._builder.gep(array.data, [offset])


@intrinsic
def _add_taps(
    _typing: Any,
    samples: Any,
    at: Any,
    even: Any,
    odd: Any,
    pair: Any,
    begin: Any,
    end: Any,
    points: Any,
) -> Any:
    """
    Add the taps from `begin` to `end` of the rows `pair` and `pair` + 1 to 64 windows from `at` on.

    Gives the largest magnitude of so much of the points; `points` holds them between two calls, and
    is cleared where `begin` is 0.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        typed = list(zip(signature.args, arguments, strict=True))
        samples, even, odd, points = (typed[i] for i in (0, 2, 3, 7))
        at, pair, begin, end = (arguments[i] for i in (1, 4, 5, 6))
        emit = _Emitter(context, builder)
        rows = [_INDEX(row) for row in range(ROWS)]
        is_first = builder.icmp_signed("==", begin, _INDEX(0))
        middle = builder.add(at, emit.columns(even))
        largest = _cgutils.alloca_once_value(builder, _ZERO)
        sums = [_cgutils.alloca_once(builder, _VECTOR) for _ in rows]

        with _cgutils.for_range(builder, _INDEX(STRETCH // _WIDTH)) as block:
            i = builder.mul(block.index, _INDEX(_WIDTH))
            for row, total in zip(rows, sums, strict=True):
                builder.store(builder.select(is_first, _ZERO, emit.load(points, row, i)), total)
            first_right = builder.add(middle, i)
            first_left = builder.sub(first_right, _INDEX(1))
            with _cgutils.for_range(builder, builder.sub(end, begin)) as loop:
                k = builder.add(begin, loop.index)
                left = emit.load(samples, builder.sub(first_left, k))
                right = emit.load(samples, builder.add(first_right, k))
                parts = ((even, builder.fadd(left, right)), (odd, builder.fsub(left, right)))
                terms = [
                    (emit.splat(taps, builder.add(pair, row), k), part)
                    for taps, part in parts
                    for row in rows[:2]
                ]
                for total, (tap, part) in zip(sums, terms, strict=True):
                    product = builder.fmul(tap, part, flags=_FUSED)
                    builder.store(builder.fadd(builder.load(total), product, flags=_FUSED), total)
            e, f, o, p = (builder.load(total) for total in sums)
            for row, vector in zip(rows, (e, f, o, p), strict=True):
                builder.store(vector, emit.vector_at(points, row, i), align=4)
            magnitudes = emit.larger(emit.magnitude(e, o), emit.magnitude(f, p))
            builder.store(emit.larger(builder.load(largest), magnitudes), largest)
        return emit.largest(builder.load(largest))

    return types.float32(samples, at, even, odd, pair, begin, end, points), generate


class AddTaps(Protocol):
    """What a kernel calls."""

    def __call__(
        self,
        samples: NDArray[np.float32],
        at: int,
        even: NDArray[np.float32],
        odd: NDArray[np.float32],
        pair: int,
        begin: int,
        end: int,
        points: NDArray[np.float32],
        /,
    ) -> np.float32:
        """Add, and give the largest magnitude."""


add_taps: Final = cast("AddTaps", _add_taps)
