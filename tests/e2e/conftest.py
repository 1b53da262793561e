"""The pipeline as its users run it: real processes, real ports, `curl` and `nats`."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest

from tests.conftest import NatsServer
from tests.processes import ROOT, Service, free_port, wait_for

Start = Callable[..., Service]
READY: Final = re.compile(r"decibus is ready")


class MakeRun:
    """`make run` in a process group of its own, with what it prints."""

    def __init__(self, var: Path, *, http_port: int, nats_port: int, **more: str) -> None:
        self.http_port = http_port
        self.nats_port = nats_port
        self._log = var.with_suffix(".log")
        env = os.environ | {
            "HTTP_PORT": str(http_port),
            "NATS_PORT": str(nats_port),
            "VAR_DIR": str(var),
            "DECIBUS_MODEL": "demo",
            **more,
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=ROOT,
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return f"http://127.0.0.1:{self.http_port}"

    def until_ready(self, *, within_s: float = 60.0) -> None:
        """Return when it has said that it is ready."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.printed
            return bool(READY.search(self.printed))

        wait_for(is_ready, within_s=within_s, what="ready")

    def ctrl_c(self) -> int:
        """Interrupt the foreground's process group as a terminal does; returns the status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=30)


@dataclass(frozen=True)
class Gateway:
    """A gateway's process, and where it listens."""

    service: Service
    port: int

    @property
    def url(self) -> str:
        """Where clients send to."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """Open a connection, to say what no decent client would."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@pytest.fixture
def gateway(nats_server: NatsServer, service: Start) -> Gateway:
    """Start a gateway."""
    port = free_port()
    env = {"NATS_URL": nats_server.url, "HTTP_PORT": str(port), "GRACE_S": "8"}
    running = service("gateway", **env).until_ready()
    wait_for(lambda: _answers(port), within_s=10, what="the gateway's port")
    return Gateway(running, port)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def var() -> Iterator[Path]:
    """Where `make run` keeps its data."""
    folder = Path(tempfile.mkdtemp(prefix="decibus-e2e-"))
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture
def make_run(var: Path) -> Iterator[MakeRun]:
    """Start the whole pipeline; whatever the test does, nothing of it stays."""
    run = MakeRun(var, http_port=free_port(), nats_port=free_port())
    try:
        run.until_ready()
        yield run
    finally:
        if run.process.poll() is None:
            run.ctrl_c()


def report(answer: httpx.Response) -> Any:
    """Return the JSON of an answer."""
    return msgspec.json.decode(answer.content)
