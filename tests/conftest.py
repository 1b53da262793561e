"""
What every test can ask for: a real nats-server of its own, and the `nats` command line tool.

    nats_server    started for this test, on a free port, with its store in tmp_path: the newest
                   there is. In CI, and with SERVERS=all, the test runs once for each server found:
                   the installed one, and the newest, from tests/gotools; in CI a test of
                   tests/gateway takes one of them
    nats_cli       the `nats` of tests/gotools, for tests marked `natscli`
    service        starts services as processes, and ends them after the test

Tests marked `natscli`, `actionlint`, `helm`, `kubelinter`, `images`, `espeak`, `prometheus`,
`database`, `influxd` and `page` are left out, and told, where what they need is missing.

A test that blocks the event loop from within our own code fails.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import pytest
from blockbuster import blockbuster_ctx

from decibus.telemetry import configure_logs
from tests.databases import INFLUXD, databases
from tests.processes import Service

TOOLS: Final = Path(__file__).parent.parent / ".tools" / "bin"
TIMEOUT_S: Final = 10.0
CHART_TOOLS: Final = ("helm", "helm3", "kustomize", "kubeconform", "kube-score", "compose-spec")
WEB: Final = Path(__file__).parent.parent / "services" / "gateway" / "web"
BUILD_TOOLS: Final = "cd tests/gotools && GOBIN=$(realpath ../..)/.tools/bin go install tool"
LEFT_OUT: Final = pytest.StashKey[list[str]]()

CONFIG: Final = """
host: 127.0.0.1
port: {port}
ports_file_dir: "{folder}"
max_payload: 8MB
max_pending: 64MB
jetstream {{
  store_dir: "{folder}/store"
  {sync}
}}
"""


class Ports(msgspec.Struct):
    """What nats-server writes into its ports file."""

    nats: list[str]


class NatsServer:
    """A nats-server process; whatever happens to it, port and store stay the same."""

    def __init__(self, binary: Path, version: str, folder: Path, *, config: str = "") -> None:
        self.version = version
        self._more = config
        self._binary = binary
        self._folder = folder
        self._port = -1  # nats-server's word for: choose one
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process, until the next restart."""
        return self._running.pid

    @property
    def log(self) -> str:
        """What it has printed since the first start."""
        return (self._folder / "log").read_text()

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        config = self._folder / "server.conf"
        # 2.9 refuses to start with a field that it does not know.
        sync = "sync_interval: always" if _number(self.version) >= (2, 10) else ""
        text = CONFIG.format(port=self._port, folder=self._folder, sync=sync)
        config.write_text(text + self._more)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "--config", config], stdout=log, stderr=log
            )
        ports = self._folder / f"{self._binary.name}_{self._process.pid}.ports"
        deadline = time.monotonic() + TIMEOUT_S
        while not self._is_ready(ports):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.002)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it as a rollout does."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """End it, where it still runs, and start it on the same port and store."""
        self.terminate()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing is answered."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after a pause."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process, "the server does not run"
        return self._process

    def _end(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # in case it is paused
            self._process.wait(timeout=TIMEOUT_S)
            self._process = None

    def _is_ready(self, ports: Path) -> bool:
        if self._running.poll() is not None:
            raise RuntimeError(f"{self._binary} ended:\n{self.log}")
        try:
            url = msgspec.json.decode(ports.read_bytes(), type=Ports).nats[0]
        except (FileNotFoundError, msgspec.DecodeError):
            return False
        self._port = urlsplit(url).port or self._port
        return True


def _version(binary: Path) -> str:
    printed = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    return printed.stdout.rpartition("v")[2].strip()


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.partition("-")[0].split(".")))


def _servers() -> dict[str, Path]:
    """Return each server to test with, by version, the oldest first; by default the newest only."""
    installed = os.getenv("NATS_SERVER") or shutil.which("nats-server")
    binaries = [Path(path) for path in (installed, _tool("nats-server")) if path]
    found = {_version(binary): binary for binary in binaries}
    versions = sorted(found, key=_number)
    if not (os.getenv("CI") or os.getenv("SERVERS") == "all"):
        versions = versions[-1:]
    return {version: found[version] for version in versions}


def _tool(name: str) -> Path | None:
    return TOOLS / name if (TOOLS / name).exists() else None


SERVERS: Final = _servers()


@pytest.fixture(params=SERVERS or ["no nats-server here"])
def nats_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NatsServer]:
    """Start a server for one test, and leave no store behind."""
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(SERVERS[request.param], request.param, folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[[str], NatsServer]]:
    """Start the newest server with more configuration; ended after the test."""
    started: list[NatsServer] = []

    def start(config: str) -> NatsServer:
        folder = tmp_path / f"configured-{len(started)}"
        folder.mkdir()
        version = list(SERVERS)[-1]
        server = NatsServer(SERVERS[version], version, folder, config=config)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def nats_cli() -> Path:
    """The `nats` tool."""
    tool = _nats_cli()
    assert tool, "mark this test natscli: it is then left out where there is no nats"
    return tool


def _nats_cli() -> Path | None:
    found = shutil.which("nats")
    return _tool("nats") or (Path(found) if found else None)


IMAGES: Final = {
    service: f"localhost/decibus/{service}:{metadata.version('decibus')}"
    for service in ("gateway", "analyzer", "transcriber", "transcoder", "recorder")
}
"""The images that `make images` makes with podman or buildah."""


@cache
def built() -> tuple[str, ...]:
    """Return the services whose image is here, with a podman that can run it."""
    if not (podman := shutil.which("podman")):
        return ()
    return tuple(
        service
        for service, name in IMAGES.items()
        if subprocess.run([podman, "image", "exists", name], check=False).returncode == 0
    )


def _has_images() -> bool:
    return {"gateway", "analyzer"} <= set(built())


NEEDED: Final[dict[str, tuple[str, Callable[[], object], str]]] = {
    "natscli": ("nats", _nats_cli, BUILD_TOOLS),
    "actionlint": ("actionlint", lambda: _tool("actionlint"), BUILD_TOOLS),
    "helm": (
        "helm, kustomize or kubeconform",
        lambda: all(_tool(name) for name in CHART_TOOLS),
        "with Go, make setup",
    ),
    "kubelinter": ("kube-linter", lambda: _tool("kube-linter"), "make kube-linter, with Go"),
    "images": ("podman, with our images", _has_images, "tests/images/build.sh gateway analyzer"),
    "espeak": ("espeak-ng", lambda: shutil.which("espeak-ng"), "apt install espeak-ng"),
    "influxd": (
        "influxd",
        INFLUXD.exists,
        "make influxd, with go and cargo",
    ),
    "database": ("victoria-metrics", databases, "apt install victoria-metrics"),
    "page": (
        "chromium, or no page that was built",
        lambda: shutil.which("chromium") and WEB.joinpath("dist", "index.html").exists(),
        "apt install chromium, and with node make web",
    ),
    "prometheus": ("prometheus", lambda: shutil.which("promtool"), "apt install prometheus"),
}
"""Marker: the command that its tests need, whether it is here, how to get it."""
NOT_IN_CI: Final = {"images", "influxd", "kubelinter"}
"""They take too long to build, and a kernel may let nobody run a container."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services; all are ended after the test."""
    started: list[Service] = []

    def start(name: str, **env: str) -> Service:
        log = tmp_path / f"{name}-{len(started)}.log"
        started.append(Service(name, env, log))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.kill()


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with blockbuster_ctx(scanned_modules=["decibus", "services"]) as blocking:
        # A traceback in the log names and quotes source files.
        for reads in ("os.path.abspath", "os.stat", "io.TextIOWrapper.read"):
            blocking.functions[reads].can_block_in("structlog/_base.py", "_proxy_to_logger")
        yield


@pytest.fixture(autouse=True, scope="session")
def _logs() -> None:
    configure_logs("test")


def pytest_configure(config: pytest.Config) -> None:
    for marker, (program, _, _) in NEEDED.items():
        config.addinivalue_line("markers", f"{marker}: needs the `{program}` command")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a command that is not here; CI must have them all."""
    left_out = []
    for marker, (program, is_here, how) in NEEDED.items():
        out = [item for item in items if item.get_closest_marker(marker)]
        if is_here() or not out:
            continue
        if os.getenv("CI") and marker not in NOT_IN_CI:
            raise pytest.UsageError(f"CI has no `{program}`, {len(out)} tests need it: {how}")
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=out)
        left_out.append(f"{len(out)} tests left out, no `{program}` here: {how}")
    config.stash[LEFT_OUT] = left_out


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was left out, and how to have it."""
    for line in config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(line)
