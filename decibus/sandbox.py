"""
A step run on a stranger's file where it can do no harm: in a confined child, which can be ended.

The decoders are large, and written in C. What one of them does over a crafted file stays in a
child that has the file, a line to us, and nothing else: see `confinement`. What it says is checked
like anything from outside. A file that breaks its limits, or its decoder, is refused as
`BadAudio`: trying it again would break them again. A child that somebody else has killed, as the
kernel does when memory is short, says nothing against its file.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, Final, NoReturn

import msgspec
import structlog

from decibus.confinement import Limits
from decibus.errors import BadAudio, DecibusError, Unavailable
from decibus.messages import Options, Result
from decibus.nursery import (
    ADMIT,
    HEADER_BYTES,
    OUT_OF_MEMORY,
    READY,
    REFUSALS,
    Bug,
    Done,
    Ending,
    Refusal,
    Told,
    Word,
    frame,
)

log = structlog.get_logger()

_WARM_S: Final = 120.0  # kernels without a cache are compiled
_BURIAL_S: Final = 2.0
_SLACK_S: Final = 10.0  # by when the nursery must have ended what is late
_TICK_S: Final = 0.2  # how soon a lost job is noticed
_MAX_BYTES: Final = 16 << 20  # of all that a child says
_PIECE_BYTES: Final = 1 << 16

# What the nursery gets of our environment: how to run, nothing that opens a door.
_HANDED_ON: Final = ("PATH", "HOME", "LANG", "LC_", "LD_", "DYLD_", "NUMBA_", "PYTHON", "TMPDIR")
# One thread each: a fork takes only the thread that forks along.
_SINGLE_THREADED: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}


class StepFailed(DecibusError):
    """The step has a bug; the message is its traceback."""


class Sandbox:
    """
    Runs `step` on files, each in a child of its own; as many at once as there are threads calling.

    `step` and `warm` are named `module:function`: they are imported by the nursery, not here. What
    `warm` has loaded or compiled is there in each child; a child opens no module and no cache.
    """

    def __init__(self, step: str, *, warm: str, limits: Limits) -> None:
        self._step = step
        self._warm = warm
        self._limits = limits
        self._lock = threading.Lock()
        self._nursery: _Nursery | None = None

    def start(self) -> None:
        """Return once the step is warm. Raises `Unavailable` when it cannot be loaded."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """End the nursery, and with it whatever still runs."""
        with self._lock:
            if self._nursery is not None:
                self._nursery.end()
            self._nursery = None

    def run(self, file: BinaryIO, options: Options, progress: Callable[[float], None]) -> Result:
        """
        Run the step on an open file of the system; it is a `worker.Step`, and blocks its thread.

        `progress` is called several times a second, and what it raises ends the child. Raises the
        step's own refusals; `BadAudio` for a file over which the child died or went over its
        limits; `StepFailed` for the step's bugs; `Unavailable` when there can be no child, or
        somebody else has killed it.
        """
        leash, leash_there = socket.socketpair()
        talk, talk_there = socket.socketpair()
        with leash, talk:
            with leash_there, talk_there:
                file.seek(0)
                descriptors = [leash_there.fileno(), talk_there.fileno(), file.fileno()]
                nursery = self._admit(descriptors)
            try:
                return _Visit(leash, talk, self._limits).result(options, progress)
            except _Silence as silence:
                nursery.end()
                raise Unavailable(f"the nursery {silence}") from silence

    def _admit(self, descriptors: list[int]) -> "_Nursery":
        with self._lock:
            nursery = self._running()
            try:
                nursery.admit(descriptors)
            except OSError:  # it has died since the last file
                nursery.end()
                nursery = self._running()
                nursery.admit(descriptors)
            return nursery

    def _running(self) -> "_Nursery":
        if self._nursery is not None and (status := self._nursery.poll()) is not None:
            log.error("sandbox_lost", status=status)
            self._nursery.end()
            self._nursery = None
        if self._nursery is None:
            self._nursery = _Nursery(self._step, self._warm, self._limits)
        return self._nursery


class _Nursery:
    """The nursery's process, as its worker sees it."""

    def __init__(self, step: str, warm: str, limits: Limits) -> None:
        self._control, there = socket.socketpair()
        arguments = (warm, step, msgspec.json.encode(limits).decode())
        with there:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-m", "decibus.nursery", *arguments],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                env=_environment(),
            )
        self._control.settimeout(_WARM_S)
        try:
            is_ready = self._control.recv(1) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            self.end()
            raise Unavailable(f"the nursery did not start: exit status {self.poll()}")

    def admit(self, descriptors: list[int]) -> None:
        """Hand over a file: see `decibus.nursery` for the descriptors."""
        socket.send_fds(self._control, [ADMIT], descriptors)

    def poll(self) -> int | None:
        """Return its exit status, once it has ended."""
        return self._process.poll()

    def end(self) -> None:
        """End it. Its children go with it, even where the kernel does not see to that."""
        self._control.close()
        try:
            self._process.wait(_BURIAL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Visit:
    """One file's time in the sandbox."""

    def __init__(self, leash: socket.socket, talk: socket.socket, limits: Limits) -> None:
        self._leash = leash
        self._talk = talk
        self._limits = limits
        self._selector = selectors.DefaultSelector()
        self._unread = bytearray()
        self._heard_bytes = 0

    def result(self, options: Options, progress: Callable[[float], None]) -> Result:
        """Listen until there is a last word, or none can come any more."""
        with suppress(ConnectionError):  # there is no child: the leash tells why
            self._talk.sendall(frame(options))
        self._talk.settimeout(0.0)
        fraction = 0.0
        deadline = time.monotonic() + self._limits.wall_s + _SLACK_S
        with self._selector:
            for line in (self._talk, self._leash):
                self._selector.register(line, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                ready = [key.fileobj for key, _ in self._selector.select(_TICK_S)]
                # The talk first: when a child has ended, all that it had to say is there.
                for word in self._words():
                    if isinstance(word, Told):
                        fraction = word.fraction
                    else:
                        return _answer(word)
                progress(fraction)
                if self._leash in ready:
                    self._refuse()
        raise _Silence("does not answer")

    def _words(self) -> Iterator[Word]:
        """Yield what has arrived; never waits."""
        while piece := self._piece():
            self._heard_bytes += len(piece)
            if self._heard_bytes > _MAX_BYTES:
                raise _untrustworthy(f"more than {_MAX_BYTES} bytes")
            self._unread += piece
            yield from self._whole_words()

    def _piece(self) -> bytes:
        try:
            piece = self._talk.recv(_PIECE_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionError:
            piece = b""
        if not piece and self._talk in self._selector.get_map():
            self._selector.unregister(self._talk)
        return piece

    def _whole_words(self) -> Iterator[Word]:
        while len(self._unread) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(self._unread[:HEADER_BYTES], "big")
            if len(self._unread) < end:
                return
            body = bytes(self._unread[HEADER_BYTES:end])
            del self._unread[:end]
            try:
                yield msgspec.json.decode(body, type=Word)
            except msgspec.DecodeError as error:
                raise _untrustworthy(str(error)) from error

    def _refuse(self) -> NoReturn:
        """Raise what it means that the child has ended without a last word."""
        try:
            ending = msgspec.json.decode(self._leash.recv(_PIECE_BYTES), type=Ending)
        except (ConnectionError, msgspec.DecodeError) as error:
            raise _Silence("has ended") from error
        if ending.status is None:
            raise Unavailable("the nursery cannot fork")
        if _was_killed(ending, self._limits):
            raise Unavailable("somebody killed the child: the kernel, where memory is short?")
        reason = _reason(ending, self._limits)
        log.warning(
            "sandbox_killed", reason=reason, cpu_s=ending.cpu_s, peak_mb=round(ending.peak_mb)
        )
        raise BadAudio(reason)


class _Silence(Exception):
    """The nursery does not tell how a child has ended; the message says why."""


def _answer(word: Done | Refusal | Bug) -> Result:
    match word:
        case Done(result):
            return result
        case Refusal(code, detail):
            raise REFUSALS[code](detail)
        case Bug(words):
            raise StepFailed(words)


def _untrustworthy(why: str) -> BadAudio:
    log.warning("sandbox_killed", reason=f"no answer of ours: {why}")
    return BadAudio("its decoder was broken by it")


def _was_killed(ending: Ending, limits: Limits) -> bool:
    """Tell whether it was neither its own fault nor a limit of ours that ended a child."""
    return ending.status == -signal.SIGKILL and not ending.late and ending.cpu_s < limits.cpu_s


def _reason(ending: Ending, limits: Limits) -> str:
    status = 0 if ending.status is None else ending.status
    if ending.late:
        return f"it takes more than {limits.wall_s:g} s to decode"
    if status in {-signal.SIGXCPU, -signal.SIGKILL}:
        return f"it takes more than {limits.cpu_s} s of processor time to decode"
    if status == OUT_OF_MEMORY:
        return f"it takes more than {limits.memory_bytes >> 20} MiB of memory to decode"
    return f"its decoder crashed ({_status_name(status)})"


def _status_name(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"status {status}"


def _environment() -> dict[str, str]:
    handed_on = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - not read, handed on
        if name.startswith(_HANDED_ON)
    }
    return handed_on | _SINGLE_THREADED
