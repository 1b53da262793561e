"""The start of the kernels, and what there is to say about it."""

import time

import structlog

from services.analyzer.dsp import jit

log = structlog.get_logger()


def load() -> jit.Built:
    """Load the kernels from their cache, some 0.3 s; what it does not hold is compiled, loudly."""
    start = time.monotonic()
    built = jit.build()
    fields = {
        "cached": built.cached,
        "compiled": built.compiled,
        "cpu": built.cpu,
        "seconds": round(time.monotonic() - start, 3),
    }
    if not built.portable:
        log.warning("kernels_unportable", **fields)
    elif built.compiled:
        log.warning("kernels_compiled", kept=built.kept, **fields)
    else:
        log.info("kernels_loaded", **fields)
    return built
