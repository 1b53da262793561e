"""
The images, as their pods run them: read-only, without rights, within limits.

    tests/images/build.sh gateway analyzer transcriber transcoder recorder

builds them from Debian's packages; any other way of `make images` with podman will do as well.
Gateway and analyzer must be there, and what else is there is tested.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest

from tests.conftest import IMAGES, NatsServer, built
from tests.processes import ROOT, free_port, wait_for
from tests.signals import encode, music

pytestmark = [pytest.mark.images, pytest.mark.timeout(120)]

MAX_MB: Final = {
    "gateway": 90,
    "analyzer": 400,
    "transcriber": 450,
    "transcoder": 200,
    "recorder": 50,
}
"""Over the image of Python."""
CONFINED: Final = (
    *("--read-only", "--tmpfs", "/tmp:size=256m", "--cap-drop", "ALL", "--pids-limit", "256"),  # noqa: S108
    *("--security-opt", "no-new-privileges", "--user", "10001:10001", "--memory", "1g"),
)


def podman(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    config = {"CONTAINERS_CONF": str(Path(__file__).parent / "containers.conf")}
    return subprocess.run(
        ["podman", *arguments],
        env=os.environ | config,
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )


class Container:
    """A service in its image, on the host's network."""

    def __init__(self, service: str, **env: str) -> None:
        self._name = f"decibus-test-{service}-{uuid.uuid4().hex[:8]}"
        given = [part for item in env.items() for part in ("--env", "=".join(item))]
        place = ["--detach", "--name", self._name, "--network", "host"]
        podman("run", *place, *CONFINED, *given, IMAGES[service])

    @property
    def printed(self) -> str:
        """All that it has printed."""
        told = podman("logs", self._name)
        return told.stdout + told.stderr

    def until_ready(self) -> None:
        """Return when its log says so."""
        wait_for(lambda: '"ready"' in self.printed, within_s=60, what=self._name)

    def stop(self) -> int:
        """Send SIGTERM; returns the exit code."""
        podman("stop", "--time", "50", self._name)
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self._name).stdout)

    def remove(self) -> None:
        """Leave nothing."""
        podman("rm", "--force", "--time", "0", self._name, check=False)


@pytest.fixture
def run() -> Iterator[Callable[..., Container]]:
    """Run containers; all are removed after the test."""
    started: list[Container] = []

    def start(service: str, **env: str) -> Container:
        started.append(Container(service, **env))
        return started[-1]

    yield start
    for each in started:
        each.remove()


def test_the_services_do_their_work_and_end_when_told(
    configured: Callable[[str], NatsServer], run: Callable[..., Container]
) -> None:
    server, port = configured(""), free_port()
    env = {"NATS_URL": server.url, "HTTP_PORT": str(port), "DECIBUS_MODEL": "demo"}
    running = {service: run(service, **env) for service in built()}
    for each in running.values():
        each.until_ready()

    smoke = ROOT / "charts" / "decibus" / "files" / "smoke.py"
    door = {"GATEWAY_URL": f"http://127.0.0.1:{port}"}
    subprocess.run([sys.executable, smoke], env=os.environ | door, check=True, timeout=60)

    files = {"file": ("take.flac", encode(music(1.0), 48_000, "flac"))}
    if "transcriber" in running:
        report = httpx.post(f"{door['GATEWAY_URL']}/analyze", files=files, timeout=90).json()
        assert report["status"] == "done"
        assert report["transcript"]["model"] == "decibus-demo"
    if "transcoder" in running:
        asked = {"extension": "mp3"}
        made = httpx.post(f"{door['GATEWAY_URL']}/transcode", files=files, data=asked, timeout=90)
        assert made.headers["content-type"] == "audio/mpeg"

    for each in running.values():
        assert each.stop() == 0, each.printed
    kernels = next(line for line in running["analyzer"].printed.splitlines() if "kernels_" in line)
    assert msgspec.json.decode(kernels, type=dict[str, Any])["compiled"] == 0


@pytest.mark.parametrize("service", built())
def test_an_image_has_what_it_needs_and_no_more(service: str) -> None:
    told = msgspec.json.decode(podman("image", "inspect", IMAGES[service]).stdout, type=list[Any])[
        0
    ]
    python = _base(told)
    missing = "import importlib.util, shutil, sys; sys.exit(any(map(shutil.which, ['gcc', 'cc', "
    missing += "'make', 'pip', 'pip3'])) or importlib.util.find_spec('pip') is not None)"

    ran = podman("run", "--rm", *CONFINED, "--entrypoint", "python", IMAGES[service], "-c", missing)

    assert ran.returncode == 0
    assert told["Config"]["User"] == "10001:10001"
    assert told["Config"]["Entrypoint"] == ["python", "-m", f"services.{service}"]
    assert told["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert (told["Size"] - python) / 1e6 < MAX_MB[service]


def _inspect(image: str) -> Any:
    (told,) = msgspec.json.decode(podman("image", "inspect", image).stdout, type=list[Any])
    return told


def _base(image: Any) -> int:
    """Return the size of the image that an image was made from, by the layers they share."""
    found = podman("images", "--format", "{{.ID}}", "--filter", "dangling=false").stdout.split()
    sizes = []
    for name in set(found):
        other = _inspect(name)
        layers = other["RootFS"]["Layers"]
        if len(layers) == 1 and layers == image["RootFS"]["Layers"][:1]:
            sizes.append(other["Size"])
    return max(sizes, default=0)
