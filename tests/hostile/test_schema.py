"""
The OpenAPI description is true: what it allows is answered as it says, and what it does not, too.

Schemathesis asks, with all of its checks, in turns of its own making and along the links of the
description. `SCHEMA_SEED=N` asks other things; `schemathesis.toml` has what is expected besides,
`takes.py` and `ways.py` what it is to know. `SCHEMA_REPORT=FILE` keeps what it says.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.conftest import SERVERS, NatsServer
from tests.hostile.takes import TAKES
from tests.processes import ROOT, Service, free_port, wait_for

SEED: Final = os.getenv("SCHEMA_SEED", "1")
HERE: Final = Path(__file__).parent
LINKS: Final = re.compile(r"API Links: +(?P<walked>\d+) covered / (?P<all>\d+) selected")
CASES: Final = re.compile(r"^  (\d+) generated", re.MULTILINE)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Start the whole pipeline, a process a service, and return where it answers."""
    version = list(SERVERS)[-1]
    server = NatsServer(SERVERS[version], version, tmp_path)
    server.start()
    port = free_port()
    limits = {"MAX_WAIT_S": "10", "WAIT_S": "10", "OPENAI_WAIT_S": "15", "RATE_LIMIT": "0"}
    env = {"NATS_URL": server.url, "HTTP_PORT": str(port), "DECIBUS_MODEL": "demo", **limits}
    services = [
        Service(name, env | {"METRICS_PORT": "0"}, tmp_path / f"{name}.log")
        for name in ("gateway", "analyzer", "transcriber", "transcoder")
    ]
    try:
        for service in services:
            service.until_ready()
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _is_up(url), within_s=30, what="the pipeline")
        yield url
        assert '"level": "error"' not in services[0].printed, services[0].printed
    finally:
        for service in services:
            service.kill()
        server.kill()


def _is_up(url: str) -> bool:
    try:
        workers = httpx.get(f"{url}/readyz").json()["workers"]
    except httpx.TransportError:
        return False
    return bool(workers) and all(workers.values())


@pytest.mark.timeout(300)
def test_every_answer_is_as_the_description_says(url: str, tmp_path: Path) -> None:
    """In turns first, whatever comes into mind; then along the links, what can be had."""
    asked = _asked(url, "takes", tmp_path, "--phases=coverage,fuzzing", "--workers=2")
    _keep_some(url)
    walked = _asked(url, "ways", tmp_path, "--phases=stateful")

    assert asked.returncode == 0, asked.stdout[-20_000:]
    assert walked.returncode == 0, walked.stdout[-20_000:]
    assert sum(int(CASES.findall(each.stdout)[-1]) for each in (asked, walked)) >= 1_000
    links = LINKS.search(walked.stdout)
    assert links, walked.stdout
    assert int(links["walked"]) >= 0.75 * int(links["all"])


def _asked(url: str, hooks: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    st = str(Path(sys.executable).with_name("st"))
    command = [st, "--config-file", str(HERE / "schemathesis.toml"), "run", "--no-color"]
    asked = subprocess.run(
        [*command, "--checks=all", f"--seed={SEED}", *options, f"{url}/schema"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": f"tests.hostile.{hooks}"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"SCHEMA_SEED={SEED}", asked.stderr)  # noqa: T201 - shown with a failure
    if kept := os.getenv("SCHEMA_REPORT"):
        Path(f"{kept}-{hooks}").write_text(asked.stdout + asked.stderr)
    return asked


def _keep_some(url: str) -> None:
    """Put reports into the library, so that there are some to be listed."""
    files = [("file", (f"{number}.flac", TAKES[1])) for number in range(12)]
    fields = {"retention": "library", "wait": "10"}
    kept = httpx.post(f"{url}/analyze", files=files, data=fields, timeout=30)
    assert kept.status_code == 200, kept.text
