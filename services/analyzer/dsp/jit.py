"""How a kernel is compiled: once for all sample rates, cached on disk, outside the GIL."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

# Contraction to FMA is all the liberty that every kernel takes with IEEE 754.
_CONTRACT = frozenset({"contract"})
_REASSOCIATE = frozenset({"contract", "nsz", "reassoc"})


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile plain loops over arrays on first use; the order of operations stays as written."""
    return _compiled(function, set(_CONTRACT))


def reduction(function: Callable[P, R]) -> Callable[P, R]:
    """Compile sums that may be added up in any order, so that they vectorise."""
    return _compiled(function, set(_REASSOCIATE))


def _compiled(function: Callable[P, R], fastmath: set[str]) -> Callable[P, R]:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:
        # numba 0.68 finds no place for its cache where the root is read-only: compile every time.
        compiled = njit(**options)(function)
    return cast("Callable[P, R]", compiled)
