"""
The process whose children open strangers' files: it forks one for each, and buries them all.

    worker ──┬─ control ─▶ nursery: kernels warm, one thread, reads nothing that a stranger wrote
             │               │ fork
             └─ talk ◀────▶ child: confined, one file, ends with it

    python -m decibus.nursery MODULE:WARM MODULE:STEP LIMITS

A process of its own, started by exec: no thread of the worker's is in it, no connection, and none
of its secrets. A byte on `control` comes with three descriptors: the `leash`, on which the worker
hears how its child has ended and which it lets go when the child is to end; `talk`, for the child
alone; and the file.
"""

import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pkgutil import resolve_name
from typing import Annotated, Any, BinaryIO, Final, NoReturn

import msgspec

from decibus.confinement import Limits, confine
from decibus.errors import BadAudio, NotAudio, TooLong
from decibus.messages import Options, Result

Step = Callable[[BinaryIO, Any, Callable[[float], None]], Result]
"""A step of the kind that `worker.Step` is; progress is a fraction and nothing else."""

READY: Final = b"!"
ADMIT: Final = b"+"
HEADER_BYTES: Final = 4
OUT_OF_MEMORY: Final = 12
"""The exit status of a child that ran into the limit of its address space: ENOMEM."""

REFUSALS: Final = {kind.code: kind for kind in (NotAudio, BadAudio, TooLong)}
"""What a step may refuse a file with, by its code."""

_CODES: Final = f"^({'|'.join(REFUSALS)})$"
_MAX_WORDS: Final = 500
_MAX_TRACEBACK: Final = 20_000
_CONTROL_FD: Final = 0


class Told(msgspec.Struct, frozen=True, tag="told"):
    """How far a child is."""

    fraction: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """What a child has found: its last word."""

    result: Result


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The step's refusal: a child's last word."""

    code: Annotated[str, msgspec.Meta(pattern=_CODES)]
    detail: Annotated[str, msgspec.Meta(max_length=_MAX_WORDS)]


class Bug(msgspec.Struct, frozen=True, tag="bug"):
    """The traceback of a step that failed in another way: a child's last word."""

    traceback: Annotated[str, msgspec.Meta(max_length=_MAX_TRACEBACK)]


Word = Told | Done | Refusal | Bug
"""What a child says. It may have been taken over: whoever listens checks all of it."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a child ended, from its nursery.

    `status`: the exit status, or minus the signal; None when there was no child. `late`: it was
    ended by the wall clock. `cpu_s` and `peak_mb`: what it has used.
    """

    status: int | None = None
    late: bool = False
    cpu_s: float = 0.0
    peak_mb: float = 0.0


def frame(message: msgspec.Struct) -> bytes:
    """Encode a message with its length before it."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class _Child:
    def __init__(self, pid: int, leash: socket.socket, deadline: float) -> None:
        self.pid = pid
        self.leash = leash
        self.deadline = deadline
        self.late = False

    def kill(self) -> None:
        """End it, and what it has started."""
        os.kill(self.pid, signal.SIGKILL)  # it is ours until it is buried: nobody else's number
        self.kill_descendants()

    def kill_descendants(self) -> None:
        """End what it has started: it leads a process group, once it has come so far."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class Nursery:
    """Forks a child for each file; on Linux nothing of it outlives it."""

    def __init__(self, control: socket.socket, step: Step, limits: Limits) -> None:
        self._control = control
        self._step = step
        self._limits = limits
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Fork and bury until the worker is gone, however it went; then end all children."""
        bell, rope = socket.socketpair()
        for end in (bell, rope):
            end.settimeout(0.0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(rope.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(bell, selectors.EVENT_READ, partial(bell.recv, 4096))
        try:
            while True:
                for key, _ in self._selector.select(self._patience_s()):
                    if key.fileobj is not self._control:
                        key.data()
                    elif not self._admit():
                        return
                self._end_the_late()
                self._bury()
        finally:
            signal.set_wakeup_fd(-1)
            for child in self._children.values():
                child.kill()

    def _patience_s(self) -> float | None:
        now = time.monotonic()
        left = (child.deadline - now for child in self._children.values() if not child.late)
        nearest = min(left, default=None)
        return None if nearest is None else max(0.0, nearest)

    def _admit(self) -> bool:
        """Fork a child for a file; False when there is no worker any more."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, 1, 3)
        except ConnectionError:
            return False
        if not message:
            return False
        leash_fd, talk_fd, file_fd = descriptors
        leash = socket.socket(fileno=leash_fd)
        nursery = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            _tell(leash, Ending())
        else:
            if pid == 0:
                _live(self._step, self._limits, nursery, talk_fd, file_fd)
            child = _Child(pid, leash, time.monotonic() + self._limits.wall_s)
            self._children[pid] = child
            # The worker never writes on a leash: what there is to read is its end.
            self._selector.register(leash, selectors.EVENT_READ, partial(self._let_go, child))
        finally:
            os.close(talk_fd)
            os.close(file_fd)
        return True

    def _let_go(self, child: _Child) -> None:
        self._selector.unregister(child.leash)
        child.leash.close()
        child.kill()

    def _end_the_late(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.deadline <= now and not child.late:
                child.late = True
                child.kill()

    def _bury(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                child = self._children.pop(pid)
                child.kill_descendants()
                if child.leash.fileno() < 0:
                    continue
                self._selector.unregister(child.leash)
                ending = Ending(
                    status=os.waitstatus_to_exitcode(status),
                    late=child.late,
                    cpu_s=round(used.ru_utime + used.ru_stime, 3),
                    peak_mb=round(used.ru_maxrss / (1 << (10 if sys.platform == "linux" else 20))),
                )
                _tell(child.leash, ending)


def _tell(leash: socket.socket, ending: Ending) -> None:
    with leash, suppress(OSError):  # the worker is gone, or has lost interest
        leash.sendall(msgspec.json.encode(ending))


def _live(step: Step, limits: Limits, nursery: int, talk_fd: int, file_fd: int) -> NoReturn:
    """Be the child, from the fork to its end."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _close_all_but(talk_fd, file_fd)
        talk = socket.socket(fileno=talk_fd)
        talk.sendall(frame(_last_word(step, limits, nursery, talk, os.fdopen(file_fd, "rb"))))
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    finally:
        os._exit(status)


def _last_word(
    step: Step, limits: Limits, nursery: int, talk: socket.socket, file: BinaryIO
) -> Word:
    def progress(fraction: float) -> None:
        talk.sendall(frame(Told(fraction)))

    try:
        confine(limits, parent=nursery)  # before the first byte of the file is read
        return Done(step(file, _options(talk), progress))
    except (NotAudio, BadAudio, TooLong) as refused:
        return Refusal(type(refused).code, str(refused)[:_MAX_WORDS])
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - an edge: the worker gets to see it
        return Bug(traceback.format_exc()[-_MAX_TRACEBACK:])


def _options(talk: socket.socket) -> Options:
    with talk.makefile("rb") as told:
        size = int.from_bytes(told.read(HEADER_BYTES), "big")
        options: Options = msgspec.json.decode(told.read(size), type=Options)
        return options


def _close_all_but(*kept: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    lowest = 3
    for fd in sorted(kept):
        os.closerange(lowest, fd)
        lowest = fd + 1
    os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))


def main(warm: str, step: str, limits: str) -> None:
    """Be the nursery."""
    # Ctrl-C and a rollout are the worker's to decide on: with it we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = socket.socket(fileno=_CONTROL_FD)
    resolve_name(warm)()
    nursery = Nursery(control, resolve_name(step), msgspec.json.decode(limits, type=Limits))
    gc.collect()
    gc.freeze()  # else a child's first collection would copy every page that holds an object
    with suppress(ConnectionError):  # the worker ended meanwhile
        control.sendall(READY)
    nursery.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
