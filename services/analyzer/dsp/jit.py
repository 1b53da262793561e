"""
How a kernel is compiled: for one signature and one kind of CPU, cached beside its source.

    python -m services.analyzer.warm ──▶ __pycache__/*.nbc ──▶ build(), in a process that starts

The code is made for x86-64-v3 wherever the CPU has it, so that a cache which was filled while an
image was built fits all machines that run it, and may lie on a file system that is read-only.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding
from numba.core.caching import InTreeCacheLocator
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")

PORTABLE_X86: Final = "x86-64-v3"
_OF_V3: Final = ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")

# Contraction to FMA is all the liberty that every kernel takes with IEEE 754.
_CONTRACT: Final = frozenset({"contract"})
_REASSOCIATE: Final = frozenset({"contract", "nsz", "reassoc"})

_config: Final[Any] = numba.config
_kernels: Final[list[tuple[Any, str]]] = []


class Built(NamedTuple):
    """
    How many kernels came from the cache, and how many had to be compiled, and for which CPU.

    `kept`: what was compiled is in the cache now. `portable`: the code runs on every CPU that the
    cache is meant for, and not just on this one.
    """

    cached: int
    compiled: int
    kept: bool
    cpu: str
    portable: bool


class BesideSource(InTreeCacheLocator):
    """Keep the cache in `__pycache__`, as numba does, but for two things."""

    def ensure_cache_path(self) -> None:
        """Take a cache that cannot be written to, which for numba 0.68 is none at all."""
        with suppress(OSError):
            super().ensure_cache_path()  # type: ignore[no-untyped-call]

    def get_source_stamp(self) -> bytes:
        """Tell by all modules here whether it is stale: a kernel calls kernels of other files."""
        return _sources()


def portable_cpu(triple: str, features: dict[str, bool]) -> str | None:
    """Name the least CPU that the code is made for; None: this one has less, or is unheard of."""
    if triple.startswith("x86_64"):
        return PORTABLE_X86 if all(features.get(name) for name in _OF_V3) else None
    return "generic" if triple.startswith(("aarch64", "arm64")) else None


def kernel(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile plain loops over arrays; the order of operations stays as written."""
    return _registrar(signature, _CONTRACT)


def reduction(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile sums that may be added up in any order, so that they vectorise."""
    return _registrar(signature, _REASSOCIATE)


def build() -> Built:
    """Load every kernel that has been imported, or compile it; no other signature is taken then."""
    cached, kept = 0, True
    for dispatcher, signature in _kernels:
        dispatcher.disable_compile(False)  # noqa: FBT003 - numba's own way, for a second call
        try:
            dispatcher.compile(signature)
        except OSError:  # compiled, but there is no place to keep it
            kept = False
        cached += sum(dispatcher.stats.cache_hits.values())
        dispatcher.disable_compile()
    cpu = _config.CPU_NAME or binding.get_host_cpu_name()
    return Built(cached, len(_kernels) - cached, kept, cpu, _PORTABLE)


@intrinsic
def _larger(_typing: Any, a: Any, b: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        flags = ("nnan", "nsz")  # numba 0.68 sets such flags on the comparison alone
        is_larger = builder.fcmp_ordered(">", *arguments, flags=flags)
        return builder.select(is_larger, *arguments, flags=flags)

    return (a(a, b), generate) if a == b else None


larger: Final = cast("Callable[[np.float32, np.float32], np.float32]", _larger)
"""Take the larger of two floats, neither NaN, in a loop that vectorises: max() does not."""


def _registrar(
    signature: str, fastmath: frozenset[str]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def register(function: Callable[P, R]) -> Callable[P, R]:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
        dispatcher = numba.njit(cache=True, **options)(function)
        _kernels.append((dispatcher, signature))
        return cast("Callable[P, R]", dispatcher)

    return register


@cache
def _sources() -> bytes:
    digest = hashlib.sha256()
    for path in sorted(files(__package__).iterdir(), key=lambda path: path.name):
        if path.name.endswith(".py"):
            digest.update(path.read_bytes())
    return digest.digest()


def _configure() -> bool:
    """Tell numba, before it makes its first kernel."""
    _config.CACHE_LOCATOR_CLASSES = f"{BesideSource.__module__}.{BesideSource.__qualname__}"
    cpu = portable_cpu(binding.get_process_triple(), dict(binding.get_host_cpu_features()))
    if cpu is None or _config.CPU_NAME:
        return False
    _config.CPU_NAME, _config.CPU_FEATURES = cpu, ""
    return True


_PORTABLE: Final = _configure()
