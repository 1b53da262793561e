import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from honcho.environ import parse_procfile

from laptop import CannotRun, nats_server, preflight, programs
from laptop.nats_server import Version
from laptop.readiness import Readiness

COMMAND: Final = [sys.executable, "-m", "laptop"]

GATEWAY: Final = """
    import http.server, os

    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            workers = b'{"analyze": true, "transcribe": true}'
            body = b'{"status": "ready", "workers": ' + workers + b', "recorder": true}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    address = os.environ["HTTP_HOST"], int(os.environ["HTTP_PORT"])
    http.server.HTTPServer(address, Ready).serve_forever()
"""
WORKER: Final = """
    import os, signal, socket, subprocess, sys, urllib.parse

    def drain(number, frame):
        nats = urllib.parse.urlsplit(os.environ["NATS_URL"])
        with socket.create_connection((nats.hostname, nats.port), timeout=5) as connection:
            print("drained", connection.recv(4))
        sys.exit(0)

    signal.signal(signal.SIGTERM, drain)
    held = socket.create_server(("127.0.0.1", 0))
    print("child holds", held.getsockname()[1])
    subprocess.run(["sleep", "600"], pass_fds=[held.fileno()])
"""
CRASHES: Final = """
    import sys

    sys.exit("no model")
"""


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let every test have its own ports and data."""
    monkeypatch.chdir(programs.ROOT)
    monkeypatch.delenv("NATS_SERVER", raising=False)
    monkeypatch.setenv("HTTP_PORT", str(_free_port()))
    monkeypatch.setenv("NATS_PORT", str(_free_port()))
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def procfile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Let stand-ins take the place of the services."""

    def write(**scripts: str) -> None:
        lines = []
        for name, script in scripts.items():
            path = tmp_path / f"{name}.py"
            path.write_text(textwrap.dedent(script))
            lines.append(f"{name}: python {shlex.quote(str(path))}")
        (tmp_path / "Procfile").write_text("\n".join(lines))
        monkeypatch.setenv("PROCFILE", str(tmp_path / "Procfile"))

    return write


def _fails() -> str:
    """Run it, and return its one line of complaint."""
    ran = subprocess.run(COMMAND, capture_output=True, text=True, timeout=30, check=False)

    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    return ran.stderr


@contextmanager
def _ready() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start it, wait for the banner, and hand over the process and what it has printed."""
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            printed = ""
            while "Ctrl-C" not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            yield process, printed
        finally:
            process.terminate()


def test_a_taken_port_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("HTTP_PORT", str(port))

        complaint = _fails()

    assert f"port {port} is taken" in complaint
    assert "HTTP_PORT" in complaint


def test_the_usual_nats_port_gives_way_and_a_chosen_one_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        another = preflight.nats_port(None, usual=port)

        assert another != port
        with pytest.raises(CannotRun, match="NATS_PORT"):
            preflight.nats_port(port, usual=nats_server.PORT)


def test_an_unwritable_data_directory_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file, so that root cannot write there either")

    complaint = _fails()

    assert f"cannot write to {tmp_path / 'var'}" in complaint


def test_a_nats_server_that_does_not_exist_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NATS_SERVER", "/nowhere/nats-server")

    complaint = _fails()

    assert "/nowhere/nats-server" in complaint


def test_a_program_that_is_no_nats_server_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NATS_SERVER", sys.executable)

    complaint = _fails()

    assert f"{sys.executable} is no nats-server" in complaint


def test_a_machine_without_nats_server_is_told_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "ALSO", "")

    with pytest.raises(CannotRun) as complaint:
        nats_server.obtain(None)

    assert "apt install nats-server" in str(complaint.value)
    assert "NATS_SERVER" in str(complaint.value)


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("nats-server: v2.9.10\n", Version(2, 9, 10)),
        ("nats-server: v2.12.0-RC.1\n", Version(2, 12, 0)),
        ("Python 3.11.2\n", None),
        ("", None),
    ],
)
def test_a_version_is_read_from_what_the_server_prints(
    printed: str, version: Version | None
) -> None:
    assert nats_server.parse_version(printed) == version


def test_only_a_server_that_knows_sync_interval_is_told_of_it(tmp_path: Path) -> None:
    old = nats_server.config(Version(2, 9, 25), port=4222, var=tmp_path)
    new = nats_server.config(Version(2, 10, 0), port=4222, var=tmp_path)

    assert "sync_interval" not in old
    assert "sync_interval: always" in new


def test_an_older_server_never_sees_the_store_of_a_newer_one(tmp_path: Path) -> None:
    old = nats_server.store(tmp_path, Version(2, 9, 10))
    new = nats_server.store(tmp_path, Version(2, 10, 27))

    assert old != new
    assert new == nats_server.store(tmp_path, Version(2, 10, 29))


@pytest.mark.parametrize(
    ("readiness", "is_complete"),
    [
        (Readiness(), False),
        (Readiness("ready", {}), False),
        (Readiness("ready", {"analyze": True, "transcribe": False}), False),
        (Readiness("unavailable", {"analyze": True}), False),
        (Readiness("ready", {"analyze": True}), False),
        (Readiness("ready", {"analyze": True, "transcribe": True}, recorder=True), True),
    ],
)
def test_ready_means_that_every_task_has_a_worker(readiness: Readiness, is_complete: bool) -> None:  # noqa: FBT001 - a table's column
    assert readiness.is_complete == is_complete


def test_every_service_is_in_the_procfile() -> None:
    services = {path.parent.name for path in (programs.ROOT / "services").glob("*/__init__.py")}

    processes = parse_procfile((programs.ROOT / "Procfile").read_text()).processes

    assert processes.keys() == services
    for name, command in processes.items():
        assert command.endswith(f"python -m services.{name}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_services_then_nats_and_leaves_nothing(
    procfile: Callable[..., None], number: signal.Signals
) -> None:
    procfile(gateway=GATEWAY, worker=WORKER)

    with _ready() as (process, printed):
        process.send_signal(number)
        last, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "drained b'INFO'" in last  # nats-server was still there
    held = int((printed + last).partition("child holds ")[2].split()[0])
    socket.create_server(("127.0.0.1", held)).close()  # the child has let go of it


def test_a_second_run_is_ready_again_at_once(procfile: Callable[..., None]) -> None:
    procfile(gateway=GATEWAY)
    with _ready():
        pass
    started = time.monotonic()

    with _ready():
        ready = time.monotonic()

    assert ready - started < 10


def test_a_service_that_dies_ends_everything(procfile: Callable[..., None]) -> None:
    procfile(gateway=GATEWAY, worker=CRASHES)

    ran = subprocess.run(COMMAND, capture_output=True, text=True, timeout=30, check=False)

    assert ran.returncode == 1
    assert "| no model" in ran.stdout
    assert "worker ended by itself (exit status 1)" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_two_runs_do_not_share_a_data_directory(
    procfile: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    procfile(gateway=GATEWAY)

    with _ready() as (process, _):
        monkeypatch.setenv("HTTP_PORT", str(_free_port()))
        complaint = _fails()

    assert f"process {process.pid}" in complaint
