"""Services as processes of their own, for tests that kill, freeze and restart them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(holds: Callable[[], Any], *, within_s: float, what: str) -> Any:
    """Poll until it holds; returns what it returned."""
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return found


def family(pid: int) -> set[int]:
    """Return a process and all its descendants, without those that are dead; Linux tells."""
    parents: dict[int, int] = {}
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # no process, or one that has ended meanwhile
            _, _, told = process.joinpath("stat").read_text().rpartition(")")
            state, parent = told.split()[:2]
            if process.name.isdigit() and state != "Z":
                parents[int(process.name)] = int(parent)
    found = {pid} & parents.keys()
    while more := {each for each, parent in parents.items() if parent in found} - found:
        found |= more
    return found


class Service:
    """
    `python -m services.NAME`, to be killed and started again.

    In a session of its own, as `make run` starts it: Linux shares cores between sessions first, as
    it does between pods, so that a gateway need not wait in one row with threads that compute.
    """

    def __init__(self, name: str, env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                cwd=ROOT,
                env=os.environ | env,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    def until_ready(self) -> "Service":
        """Return when its log says so."""
        wait_for(lambda: '"ready"' in self.printed, within_s=30, what=str(self._log))
        return self

    def peak_rss_mb(self) -> float:
        """How much memory it has had at most; Linux tells."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Freeze it: its connections stay open, and it does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, as if nothing had happened."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> int:
        """End it as a rollout does."""
        self.process.terminate()
        return self.process.wait(timeout=40)
