"""Steps that no service has: what a file, or a decoder that it has taken over, might do."""

import ctypes
import errno
import inspect
import io
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from itertools import count as numbers
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from decibus import nursery
from decibus.messages import AudioFormat, Options, Transcript
from decibus.nursery import Streaming

Tell = Callable[[float], None]


def warm() -> None:
    """There is nothing to warm."""


def forbid_forks() -> None:
    """Make this process one that cannot fork, as where the system has no place for another."""

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    os.fork = fork


def become_nobody() -> None:
    """Be who a container's image would have us be."""
    os.setgroups([])
    os.setgid(65_534)
    os.setuid(65_534)


def words(text: str) -> Transcript:
    """Wrap words in a result."""
    return Transcript(
        text=text,
        language=None,
        language_probability=None,
        model="test",
        segments=(),
        audio=AudioFormat(
            container="raw",
            codec="none",
            sample_rate=48_000,
            channels=1,
            layout="mono",
            bit_depth=None,
            bit_rate=None,
            duration=0.0,
        ),
    )


def obey(file: BinaryIO, options: Options, tell: Tell) -> Transcript:
    """Do what the first word of the file says; the rest of it is for that."""
    del options
    order, _, rest = file.read().decode().partition(" ")
    said: Any = ORDERS[order](rest, tell)
    return words(str(said))


def pour(file: BinaryIO, options: Options, tell: Tell) -> Streaming:
    """Stream what the first word of the file says; what else it says is done after that."""
    order, _, rest = file.read().decode().partition(" ")
    yield from STREAMS[order](tell)
    return obey(io.BytesIO(rest.encode()), options, tell) if rest else words("poured")


def emptiness(_: Tell) -> Iterator[bytes]:
    yield b""


def three(tell: Tell) -> Iterator[bytes]:
    for number in range(3):
        tell(number / 3)
        yield bytes([number]) * (number * nursery.MAX_PIECE_BYTES + 5)


def headless(_: Tell) -> Iterator[bytes]:
    yield b"{}"


def uneven(_: Tell) -> Iterator[bytes]:
    yield b'{"expected_duration_s":1.0}'
    yield bytes(5)


def infinite(_: Tell) -> Iterator[bytes]:
    yield b'{"expected_duration_s":1.0}'
    yield np.array([0.0, np.inf], np.float32).tobytes()


def clock(_: Tell) -> Iterator[bytes]:
    """Say what time it is, 64 KiB a time."""
    while True:
        yield struct.pack("d", time.monotonic()).ljust(1 << 16)


def trickle(_: Tell) -> Iterator[bytes]:
    for number in numbers():
        time.sleep(0.05)
        yield number.to_bytes(4, "big")


def refuse(rest: str, _: Tell) -> None:
    code, detail = rest.split(" ", 1)
    raise nursery.REFUSALS[code](detail)


def fail(rest: str, _: Tell) -> None:
    raise ZeroDivisionError(rest)


def end_by(rest: str, _: Tell) -> None:
    os.kill(os.getpid(), int(rest))


def crash(_: str, __: Tell) -> None:
    ctypes.string_at(1)


def leave(rest: str, _: Tell) -> None:
    os._exit(int(rest))


def spin(_: str, __: Tell) -> None:
    while True:
        pass


def spin_and_ignore(_: str, __: Tell) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def sleep(rest: str, _: Tell) -> str:
    time.sleep(float(rest))
    return "awake"


def hog(_: str, __: Tell) -> None:
    held = []
    while True:
        held.append(np.empty(1 << 24))


def count(rest: str, tell: Tell) -> str:
    for n in range(int(rest)):
        tell((n + 1) / int(rest))
        time.sleep(0.02)
    return rest


def who(_: str, __: Tell) -> str:
    return f"{os.getpid()} {os.getppid()}"


def open_file(rest: str, _: Tell) -> str:
    return Path(rest).read_text()


def write_file(rest: str, _: Tell) -> int:
    return Path(rest).write_text("mine")


def connect(rest: str, _: Tell) -> str:
    socket.create_connection(("127.0.0.1", int(rest)), timeout=1).close()
    return "connected"


def run_program(rest: str, _: Tell) -> int:
    os.execv(rest, [rest])  # noqa: S606


def signal_process(rest: str, _: Tell) -> str:
    os.kill(int(rest), signal.SIGTERM)
    return "signalled"


def descriptors(_: str, __: Tell) -> str:
    def is_open(fd: int) -> bool:
        try:
            os.fstat(fd)
        except OSError:
            return False
        return True

    return " ".join(str(fd) for fd in range(1024) if is_open(fd))


def environment(_: str, __: Tell) -> str:
    return "\n".join(os.environ)


def open_many(_: str, __: Tell) -> int:
    held = 0
    try:
        while True:
            os.dup(0)
            held += 1
    except OSError:
        return held


def multiply(_: str, __: Tell) -> str:
    """Fork without end, as far as it goes; each child stays."""
    born = 0
    try:
        while born < 20:
            if os.fork() == 0:
                time.sleep(60)
            born += 1
    except OSError:
        return f"{born} refused"
    time.sleep(60)
    return str(born)


def limits(_: str, __: Tell) -> str:
    names = ("AS", "CORE", "CPU", "FSIZE", "NOFILE", "NPROC")
    found = {
        f"RLIMIT_{name}": resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names
    }
    status = prctl_no_new_privs()
    return "\n".join(f"{name}={value}" for name, value in found.items()) + f"\nNoNewPrivs={status}"


def prctl_no_new_privs() -> int:
    """Ask the kernel; /proc cannot be opened here."""
    get_no_new_privs = 39
    said: int = ctypes.CDLL(None).prctl(get_no_new_privs, 0, 0, 0, 0)
    return said


def babble(rest: str, tell: Tell) -> None:
    del rest
    while True:
        tell(0.5)


def forge(rest: str, tell: Tell) -> None:
    """Say something that the protocol does not have, given in hex, and leave."""
    line = inspect.getclosurevars(tell).nonlocals["talk"]
    line.sendall(bytes.fromhex(rest))
    os._exit(0)


ORDERS: dict[str, Callable[[str, Tell], Any]] = {
    step.__name__: step
    for step in (
        refuse, fail, end_by, crash, leave, spin, spin_and_ignore, sleep, hog, count, who,
        open_file, write_file, connect, run_program, signal_process, descriptors, environment,
        open_many, multiply, limits, babble, forge,
    )
}  # fmt: skip

STREAMS: dict[str, Callable[[Tell], Iterator[bytes]]] = {
    step.__name__: step for step in (emptiness, three, headless, uneven, infinite, clock, trickle)
}
