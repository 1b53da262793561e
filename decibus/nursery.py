"""
The process whose children open strangers' files: it forks one for each, and buries them all.

    worker ──┬─ control ─▶ nursery: kernels warm, one thread, reads nothing that a stranger wrote
             │               │ fork
             └─ talk ◀────▶ child: confined, one file, ends with it

    python -m decibus.nursery MODULE:WARM MODULE:STEP LIMITS

A process of its own, started by exec: no thread of the worker's is in it, no connection, and none
of its secrets. A byte on `control` comes with three descriptors: the `leash`, on which the worker
hears how its child has ended, on which it says `LATE`, and which it lets go when the child is to
end; `talk`, for the child alone; and the file. What a child says on `talk` is words, and between
them the pieces of a stream: it goes on as fast as the worker takes them.
"""

import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from pkgutil import resolve_name
from typing import Annotated, Any, BinaryIO, Final, NoReturn

import msgspec

from decibus.confinement import Limits, confine
from decibus.errors import BadAudio, NotAudio, TooLong
from decibus.messages import Options

Streaming = Generator[bytes, None, msgspec.Struct]
Step = Callable[[BinaryIO, Any, Callable[[float], None]], msgspec.Struct | Streaming]
"""
A step of the kind that `worker.Step` is; progress is a fraction and nothing else.

One that streams is a generator: it yields bytes and returns its result.
"""

READY: Final = b"!"
ADMIT: Final = b"+"
LATE: Final = b"-"
HEADER_BYTES: Final = 4
PIECE: Final = 1 << 31
"""In a header: what follows is a piece of the stream and no word. The rest is its length."""
MAX_PIECE_BYTES: Final = 1 << 20
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
    """What a child has found: its last word. The worker knows what it must be."""

    result: msgspec.Raw


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
    ended because the worker had waited long enough. `cpu_s` and `peak_mb`: what it has used.
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
    def __init__(self, pid: int, leash: socket.socket) -> None:
        self.pid = pid
        self.leash = leash
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
                for key, _ in self._selector.select():
                    if key.fileobj is not self._control:
                        key.data()
                    elif not self._admit():
                        return
                self._bury()
        finally:
            signal.set_wakeup_fd(-1)
            for child in self._children.values():
                child.kill()

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
            child = _Child(pid, leash)
            self._children[pid] = child
            self._selector.register(leash, selectors.EVENT_READ, partial(self._heed, child))
        finally:
            os.close(talk_fd)
            os.close(file_fd)
        return True

    def _heed(self, child: _Child) -> None:
        """End a child for which the worker has waited long enough, or that it has let go."""
        try:
            child.late = child.leash.recv(1) == LATE
        except ConnectionError:
            child.late = False
        if not child.late:
            self._selector.unregister(child.leash)
            child.leash.close()
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
        result = step(file, _options(talk), progress)
        if isinstance(result, Generator):
            result = _send(result, talk)
        return Done(msgspec.Raw(msgspec.json.encode(result)))
    except (NotAudio, BadAudio, TooLong) as refused:
        return Refusal(type(refused).code, str(refused)[:_MAX_WORDS])
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - an edge: the worker gets to see it
        return Bug(traceback.format_exc()[-_MAX_TRACEBACK:])


def _send(stream: Streaming, talk: socket.socket) -> msgspec.Struct:
    """Say all that a step yields, and return its result; waits while the worker takes nothing."""
    while True:
        try:
            yielded = memoryview(next(stream))
        except StopIteration as end:
            result: msgspec.Struct = end.value
            return result
        for at in range(0, len(yielded), MAX_PIECE_BYTES):
            piece = yielded[at : at + MAX_PIECE_BYTES]
            # As one: a header alone would wake the worker, which has to wait for the rest.
            talk.sendall(b"".join(((PIECE | len(piece)).to_bytes(HEADER_BYTES, "big"), piece)))


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
