"""
What a process may still do that is about to open a stranger's file: little, and not for long.

Linux keeps all of it. Elsewhere (a laptop) the limits hold that the system knows: processor time,
files and cores; the wall clock is the worker's anyway.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Annotated, Final

import msgspec

IS_LINUX: Final = sys.platform == "linux"

MIN_MEMORY_BYTES: Final = 1 << 30
"""The least address space in which code, kernels and the blocks of eight channels have room."""

_OPEN_FILES: Final = 32

# Made once: each call of `CDLL` makes classes, and a child pays for each page that it writes to.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# Of prctl.
_SET_PDEATHSIG: Final = 1
_SET_NO_NEW_PRIVS: Final = 38

# Of Landlock: its system calls have the same numbers on all architectures. Each version of the ABI
# knows more rights, and refuses a rule set with those that it does not know.
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_ASK_FOR_VERSION: Final = 1
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}  # since which version how many bits
_NET_RIGHTS: Final = {4: 2}  # bind and connect, TCP
_SCOPES: Final = {6: 2}  # abstract sockets, signals


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one file may take: seconds of processor time, seconds on the wall clock, address space.

    On the wall clock counts what somebody waits for the file, and not what it waits for others. The
    address space holds the code and the kernels too, some 600 MB of it.
    """

    cpu_s: Annotated[int, msgspec.Meta(ge=1)] = 60
    wall_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    memory_bytes: Annotated[int, msgspec.Meta(ge=MIN_MEMORY_BYTES)] = 2 << 30


def confine(limits: Limits, *, parent: int) -> None:
    """
    Give up, for good, whatever decoding does not need; what is open already stays usable.

    No file can be opened and none grows, no TCP connection is made, nothing is executed, nobody
    outside is signalled or traced; threads and children are for root alone. On Linux the process
    ends with its `parent`, and where memory is short the kernel ends it before anything else.
    """
    if IS_LINUX:
        _end_with(parent)
        _be_the_first_to_go()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    # The kernel's own signal at the soft limit says what it was; the hard one is there for those
    # who ignore it.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    if IS_LINUX:
        _limit(resource.RLIMIT_NPROC, 0)
        _limit(resource.RLIMIT_AS, limits.memory_bytes)
        _prctl(_SET_NO_NEW_PRIVS, 1)
        _lock_the_land()


def _limit(which: int, value: int) -> None:
    resource.setrlimit(which, (value, value))


def _end_with(parent: int) -> None:
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before we could ask
        os.kill(os.getpid(), signal.SIGKILL)


def _be_the_first_to_go() -> None:
    with suppress(OSError):
        adjustment = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(adjustment, b"1000")
        os.close(adjustment)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


class _Ruleset(ctypes.Structure):
    """Linux's `struct landlock_ruleset_attr`."""

    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def landlock_version() -> int:
    """Tell which version of Landlock's ABI the kernel has; 0 where it has none."""
    if not IS_LINUX:
        return 0
    version: int = _LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_FOR_VERSION)
    return max(0, version)


def _lock_the_land() -> None:
    """Allow nothing of what Landlock can forbid; a kernel without it (before 5.13) goes without."""
    version = landlock_version()
    if not version:
        return
    rules = _Ruleset(*(_bits(each, version) for each in (_FILE_RIGHTS, _NET_RIGHTS, _SCOPES)))
    size = ctypes.c_size_t(ctypes.sizeof(rules))
    ruleset = _LIBC.syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0)
    if ruleset < 0 or _LIBC.syscall(_RESTRICT_SELF, ruleset, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"landlock version {version}: {os.strerror(code)}")
    os.close(ruleset)


def _bits(known: dict[int, int], version: int) -> int:
    counts = [count for since, count in known.items() if since <= version]
    return (1 << max(counts, default=0)) - 1
