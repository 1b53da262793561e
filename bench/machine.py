"""The machine that something was measured on, in general words: no names, no paths."""

import os
import platform
from pathlib import Path

import msgspec


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`memory_gb` in 10^9 bytes."""

    cores: int
    processor: str
    memory_gb: float
    system: str
    python: str


def this_machine() -> Machine:
    """Describe the machine that this runs on; Linux tells."""
    told = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in told.splitlines() if "model name" in line]
    return Machine(
        cores=os.cpu_count() or 1,
        processor=names[0] if names else platform.machine(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        python=platform.python_version(),
    )
