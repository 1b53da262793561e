"""
A step run on a stranger's file where it can do no harm: in a confined child, which can be ended.

The decoders are large, and written in C. What one of them does over a crafted file stays in a
child that has the file, a line to us, and nothing else: see `confinement`. What it says is checked
like anything from outside. A file that breaks its limits, or its decoder, is refused as
`BadAudio`: trying it again would break them again. A child that somebody else has killed, as the
kernel does when memory is short, says nothing against its file.

A step that streams is held back by whoever takes its bytes: the line between them has little room,
and both sides hold one piece.
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
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final, Generic, NoReturn, TypeVar

import msgspec
import structlog

from decibus.confinement import Limits
from decibus.errors import BadAudio, DecibusError, Unavailable, Unreadable
from decibus.messages import Options, read
from decibus.nursery import (
    ADMIT,
    HEADER_BYTES,
    LATE,
    MAX_PIECE_BYTES,
    OUT_OF_MEMORY,
    PIECE,
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
R = TypeVar("R", bound=msgspec.Struct)

_WARM_S: Final = 120.0  # kernels without a cache are compiled
_BURIAL_S: Final = 2.0
_SLACK_S: Final = 10.0  # by when the nursery must have ended what is late
_TICK_S: Final = 0.2  # how soon a lost job is noticed
_MAX_BYTES: Final = 16 << 20  # of all words of a child
_READ_BYTES: Final = 1 << 16

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


class Sandbox(Generic[R]):
    """
    Runs `step` on files, each in a child of its own; as many at once as there are threads calling.

    `step` and `warm` are named `module:function`: they are imported by the nursery, not here. What
    `warm` has loaded or compiled is there in each child; a child opens no module and no cache.
    `returns` is what the step returns: a child that says anything else is not believed.
    """

    def __init__(self, step: str, *, warm: str, returns: type[R], limits: Limits) -> None:
        self._step = step
        self._warm = warm
        self._returns = returns
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

    def run(self, file: BinaryIO, options: Options, progress: Callable[[float], None]) -> R:
        """
        Run the step on an open file of the system; it is a `worker.Step`, and blocks its thread.

        `progress` is called several times a second, and what it raises ends the child. Raises the
        step's own refusals; `BadAudio` for a file over which the child died or went over its
        limits; `StepFailed` for the step's bugs; `Unavailable` when there can be no child, or
        somebody else has killed it.
        """
        with self.stream(file, options, progress, max_bytes=0) as stream:
            for _ in stream:
                pass
            return stream.result

    @contextmanager
    def stream(
        self,
        file: BinaryIO,
        options: Options,
        progress: Callable[[float], None],
        *,
        max_bytes: int,
    ) -> "Iterator[Stream[R]]":
        """
        Run a step that streams; the child ends with the block, however that is left.

        Iterating over the stream, once, calls `progress` and raises as `run` does, and `BadAudio`
        behind `max_bytes`.
        """
        leash, leash_there = socket.socketpair()
        talk, talk_there = socket.socketpair()
        with leash, talk, selectors.DefaultSelector() as selector:
            with leash_there, talk_there:
                file.seek(0)
                descriptors = [leash_there.fileno(), talk_there.fileno(), file.fileno()]
                nursery = self._admit(descriptors)
            with suppress(ConnectionError):  # there is no child: the leash tells why
                talk.sendall(frame(options))
            talk.settimeout(0.0)
            line = _Line(leash, talk, selector, self._limits, max_bytes)
            yield Stream(line, nursery, self._returns, progress)

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


class Stream(Generic[R]):
    """What a child yields, as it comes."""

    def __init__(
        self,
        line: "_Line",
        nursery: _Nursery,
        returns: type[R],
        progress: Callable[[float], None],
    ) -> None:
        self._line = line
        self._nursery = nursery
        self._returns = returns
        self._progress = progress
        self._result: R | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield each piece as the step did, those of more than 1 MiB in several."""
        try:
            for heard in self._line.hear(self._progress):
                if isinstance(heard, bytes):
                    yield heard
                else:
                    self._result = self._answer(heard)
        except _Silence as silence:
            self._nursery.end()
            raise Unavailable(f"the nursery {silence}") from silence

    @property
    def result(self) -> R:
        """What the step has returned, once the last piece was taken."""
        if self._result is None:
            raise RuntimeError("the stream has not ended")
        return self._result

    def _answer(self, word: Done | Refusal | Bug) -> R:
        match word:
            case Done(result):
                try:
                    return read(result, self._returns)
                except Unreadable as error:
                    raise _untrustworthy(str(error)) from error
            case Refusal(code, detail):
                raise REFUSALS[code](detail)
            case Bug(words):
                raise StepFailed(words)


class _Line:
    """The two lines to one file's child."""

    def __init__(
        self,
        leash: socket.socket,
        talk: socket.socket,
        selector: selectors.BaseSelector,
        limits: Limits,
        max_bytes: int,
    ) -> None:
        self._leash = leash
        self._talk = talk
        self._selector = selector
        self._limits = limits
        self._left_bytes = max_bytes
        self._unread = bytearray()
        self._word_bytes = 0
        self._waited_s = 0.0
        self._is_late = False

    def hear(self, progress: Callable[[float], None]) -> Iterator[bytes | Done | Refusal | Bug]:
        """Listen until there is a last word, which is yielded too, or none can come any more."""
        fraction = 0.0
        for line in (self._talk, self._leash):
            self._selector.register(line, selectors.EVENT_READ)
        while self._waited_s < self._limits.wall_s + _SLACK_S:
            has_ended = self._wait()
            # The talk first: when a child has ended, all that it had to say is there.
            is_drained = not self._read()
            while (heard := self._next()) is not None:
                if isinstance(heard, Told):
                    fraction = heard.fraction
                    continue
                yield heard
                if not isinstance(heard, bytes):
                    return
            progress(fraction)
            if has_ended and is_drained:
                self._refuse()
        raise _Silence("does not answer")

    def _wait(self) -> bool:
        """
        Wait a moment for a word; tell whether the child has ended.

        Only this time counts against its limit: while nobody listens, it waits for us. All of it
        counts, and not each silence for itself, so that nobody gains by saying little and often.
        """
        start = time.monotonic()
        ready = [key.fileobj for key, _ in self._selector.select(_TICK_S)]
        self._waited_s += time.monotonic() - start
        if self._waited_s >= self._limits.wall_s and not self._is_late:
            self._is_late = True
            with suppress(OSError):  # it has ended just now
                self._leash.send(LATE)
        return self._leash in ready

    def _read(self) -> bool:
        """Take some of what has arrived; never waits. False when there was nothing."""
        try:
            some = self._talk.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError:
            some = b""
        if not some and self._talk in self._selector.get_map():
            self._selector.unregister(self._talk)
        self._unread += some
        return bool(some)

    def _next(self) -> Word | bytes | None:
        """Return the next word or piece, once it is whole."""
        if len(self._unread) < HEADER_BYTES:
            return None
        header = int.from_bytes(self._unread[:HEADER_BYTES], "big")
        size = header & ~PIECE
        if header & PIECE:
            most = min(self._left_bytes, MAX_PIECE_BYTES)
        else:
            most = _MAX_BYTES - self._word_bytes
        if not 0 < size <= most:
            raise _untrustworthy(f"{size} bytes, and not 1 to {most}")
        end = HEADER_BYTES + size
        if len(self._unread) < end:
            return None
        body = bytes(memoryview(self._unread)[HEADER_BYTES:end])
        del self._unread[:end]
        if header & PIECE:
            self._left_bytes -= size
            return body
        self._word_bytes += size
        try:
            word: Word = read(body, Word)  # type: ignore[arg-type] # a union
        except Unreadable as error:
            raise _untrustworthy(str(error)) from error
        return word

    def _refuse(self) -> NoReturn:
        """Raise what it means that the child has ended without a last word."""
        try:
            ending = read(self._leash.recv(_READ_BYTES), Ending)
        except (ConnectionError, Unreadable) as error:
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
