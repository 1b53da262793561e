"""
Both sides of the race as processes of this machine: started, measured from outside, killed.

    decibus     nats-server, gateway, a worker with two slots      configured as `make run` does it
    the peer    redis-server, uvicorn, Celery with two processes   bench/peer/README.md
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from bench.sandbox import children_cpu_s
from laptop import nats_server
from tests.processes import ROOT, family, free_port, wait_for

SLOTS: Final = 2
_UP_S: Final = 60.0


class Stack:
    """
    Processes that belong together, by name; `worker` can be killed and started again.

    `url` is where uploads go, `broker` what carries the tasks, with its version.
    """

    def __init__(self, url: str, broker: str, folder: Path, env: Mapping[str, str]) -> None:
        self.url = url
        self.broker = broker
        self._folder = folder
        self._env = env
        self._commands: dict[str, Sequence[str | Path]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._spent_s = 0.0

    def start(self, name: str, *command: str | Path) -> None:
        """Start a process in a group of its own; what it prints goes into a file."""
        self._commands[name] = command
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - the commands below
                command,
                cwd=ROOT,
                env=os.environ | self._env,  # noqa: TID251 - handed on to processes
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a process and its children as a power cut does."""
        process = self._running.pop(name)
        self._spent_s += sum(map(_cpu_s, family(process.pid)))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Start a process again that was killed."""
        self.start(name, *self._commands[name])

    def end(self) -> None:
        """Kill all."""
        for name in tuple(self._running):
            self.kill(name)

    def printed(self, name: str) -> str:
        """Return what a process has printed."""
        return (self._folder / f"{name}.log").read_text()

    @property
    def pids(self) -> set[int]:
        """All processes, children included."""
        return set[int]().union(*(family(each.pid) for each in self._running.values()))

    def cpu_s(self) -> float:
        """Return the processor time of all processes so far, user and system."""
        return self._spent_s + sum(map(_cpu_s, self.pids))

    def cpu_by_name(self) -> dict[str, float]:
        """Return the same by process."""
        return {
            name: sum(map(_cpu_s, family(process.pid))) for name, process in self._running.items()
        }

    def forget_peak(self) -> None:
        """Begin anew with `peak_mb`."""
        for pid in self.pids:
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mb(self) -> float:
        """Return the resident memory of all processes at their peaks, in MB."""
        return sum(map(_peak_mb, self.pids))


def _cpu_s(pid: int) -> float:
    with suppress(OSError):
        return children_cpu_s(pid)
    return 0.0


def _peak_mb(pid: int) -> float:
    with suppress(OSError, IndexError):
        told = Path(f"/proc/{pid}/status").read_text()
        return int(told.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return 0.0


@contextmanager
def decibus(
    folder: Path,
    *,
    worker: str = "bench.worker",
    slots: int | None = SLOTS,
    server: str | None = None,
) -> Iterator[Stack]:
    """
    Run the pipeline with one kind of worker, by default the one that measures nothing.

    With as many `slots` as it takes by itself where that is None, and on the nats-server that
    `make run` would take, if no other one is named.
    """
    obtained = nats_server.obtain(server)
    port, http = free_port(), free_port()
    config = nats_server.write_config(obtained.version, port=port, var=folder)
    env = nats_server.ENV | {
        "NATS_URL": f"nats://127.0.0.1:{port}",
        "HTTP_PORT": str(http),
        "RATE_LIMIT": "0",
        "SLOTS": str(slots or ""),
        "OMP_NUM_THREADS": "1",
    }
    stack = Stack(f"http://127.0.0.1:{http}", f"nats-server {obtained.version}", folder, env)
    try:
        stack.start("nats-server", obtained.program, "--config", config)
        stack.start("gateway", sys.executable, "-m", "services.gateway")
        stack.start("worker", sys.executable, "-m", worker)
        for name in ("gateway", "worker"):
            wait_for(partial(_says_ready, stack, name), within_s=_UP_S, what=f"{name} up")
        wait_for(lambda: _answers(f"{stack.url}/healthz"), within_s=_UP_S, what="HTTP up")
        yield stack
    finally:
        stack.end()


@contextmanager
def peer(folder: Path, python: Path) -> Iterator[Stack]:
    """Run the peer with the Python that has what it needs."""
    redis, http = free_port(), free_port()
    audio = folder / "audio"
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("there is no redis-server: apt install redis-server")
    env = {"REDIS_URL": f"redis://127.0.0.1:{redis}/0", "AUDIO": str(audio)}
    stack = Stack(f"http://127.0.0.1:{http}", _version(program), folder, env)
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    fast = ("--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log")
    audio.mkdir()
    try:
        where = ("--port", str(redis), "--bind", "127.0.0.1", "--dir", folder)
        stack.start("redis-server", program, *where, "--save", "", "--appendonly", "no")
        app = ("bench.peer.app:app", "--port", str(http))
        stack.start("uvicorn", python, "-m", "uvicorn", *app, *fast)
        work = ("--app", "bench.peer.tasks", "worker", "--concurrency", str(SLOTS))
        stack.start("worker", python, "-m", "celery", *work, *quiet)
        wait_for(lambda: _answers(f"{stack.url}/openapi.json"), within_s=_UP_S, what="uvicorn up")
        yield stack
    finally:
        stack.end()


def _says_ready(stack: Stack, name: str) -> bool:
    return '"ready"' in stack.printed(name)


def _version(program: str) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - from the PATH
    return f"redis-server {told.stdout.split('v=')[1].split()[0]}"


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310 - our own
            return bool(answer.status)
    except OSError:
        time.sleep(0.1)
        return False
