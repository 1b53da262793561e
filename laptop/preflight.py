"""What must hold before anything starts: the ports are free, and the data directory is ours."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from laptop import CannotRun


def check_port(host: str, port: int, variable: str) -> None:
    """Refuse a port that we cannot listen on; `variable` chooses another one."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotRun(
                f"port {port} is taken: stop what listens there, or choose another one, "
                f"{variable}={port + 1} make run"
            ) from error
        raise CannotRun(f"cannot listen on {host}:{port}: {error.strerror}") from error


def nats_port(asked: int | None, *, usual: int) -> int:
    """Return the port that was asked for, else the usual one, or a free one when it is taken."""
    if asked is not None:
        check_port("127.0.0.1", asked, "NATS_PORT")
        return asked
    for port in (usual, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as server:
                free: int = server.getsockname()[1]
                return free
        except OSError:
            continue
    raise CannotRun("no port is free on 127.0.0.1")


@contextmanager
def claimed(var: Path) -> Iterator[int]:
    """
    Keep every other `make run` off the directory.

    Yields the lock's descriptor. nats-server inherits it, so that the directory stays claimed
    for as long as it writes there, even when we are killed.
    """
    try:
        var.mkdir(parents=True, exist_ok=True)
        lock = os.open(var / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotRun(
            f"cannot write to {var}: {error.strerror}; choose another place with VAR_DIR"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(lock, 20, 0).decode() or "unknown"
        os.close(lock)
        raise CannotRun(
            f"another `make run` (process {owner}), or a nats-server that it left behind, uses "
            f"{var}: stop it, or choose another place with VAR_DIR"
        ) from error
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
    finally:
        os.close(lock)
