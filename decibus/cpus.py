"""How many CPUs this process may use: its cgroup's limit, as Kubernetes and Docker set it."""

import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")


def cpu_limit(cgroup: Path = _CGROUP) -> int:
    """Return the whole CPUs that this process may use, at least 1."""
    return max(1, min(_affinity(), int(_v2(cgroup) or _v1(cgroup) or _affinity())))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has none
        return os.cpu_count() or 1


def _v2(cgroup: Path) -> float | None:
    """Read `200000 100000`: so many microseconds in each period; `max` is without a limit."""
    match _read(cgroup / "cpu.max").split():
        case [quota, period] if quota.isdigit():
            return int(quota) / int(period)
    return None


def _v1(cgroup: Path) -> float | None:
    """Read the same from two files; a quota of -1 is without a limit."""
    quota = _read(cgroup / "cpu/cpu.cfs_quota_us").strip()
    period = _read(cgroup / "cpu/cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
