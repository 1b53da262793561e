"""A real Prometheus scrapes real services; dashboards and alerts ask for what is there."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from prometheus_client.metrics import MetricWrapperBase

from decibus import telemetry
from tests.conftest import SERVERS, NatsServer
from tests.processes import ROOT, Service, free_port, wait_for
from tests.signals import encode, music
from tools.dashboards.boards import BOARDS
from tools.dashboards.grafana import written

CHART: Final = ROOT / "charts" / "decibus"
ALERTS: Final = CHART / "alerts.yaml"
FROM_THE_LIBRARY: Final = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
"""What prometheus-client tells of any Python process."""

SERVICES: Final = ("gateway", "analyzer", "transcriber", "transcoder", "recorder")

pytestmark = pytest.mark.prometheus
Start = Callable[..., Service]


def declared() -> set[str]:
    """Return every series that telemetry.py can make."""
    found = set()
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            endings = {
                "counter": ("_total",),
                "gauge": ("",),
                "histogram": ("_bucket", "_count", "_sum"),
                "info": ("_info",),
            }[family.type]
            found |= {family.name + ending for ending in endings}
    return found


def questions() -> list[str]:
    """Return the PromQL of all dashboards and alerts."""
    shown = [
        query.text.replace("$__rate_interval", "1m")
        for board in BOARDS
        for panel in board.panels
        if panel.source == "prometheus"
        for query in panel.queries
    ]
    alerts = re.findall(r"expr: (?:\|\n)?((?:.|\n)*?)\n +(?:for|labels):", ALERTS.read_text())
    return [*shown, *(" ".join(alert.split()) for alert in alerts)]


def test_every_query_asks_for_what_is_declared() -> None:
    names = {
        name
        for question in questions()
        for name in re.findall(r"\b(?:decibus|http|process)_\w+", question)
        if not name.startswith(("http_route", "http_response", "http_request"))
    }

    assert len(questions()) > 40
    assert names - declared() - FROM_THE_LIBRARY == set()


def test_the_dashboards_are_those_of_the_code() -> None:
    for board in BOARDS:
        file = CHART / "dashboards" / f"{board.uid}.json"
        assert file.read_bytes() == written(board), "run make dashboards"


def test_the_alerts_fire_when_they_should_and_name_a_runbook_that_is_there() -> None:
    promtool = ["promtool", "test", "rules", str(ROOT / "tests" / "e2e" / "alerts_test.yaml")]
    ran = subprocess.run(promtool, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr

    operations = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^###? (.+)$", operations, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}
    named = set(re.findall(r"docs/operations\.md#([\w-]+)", ALERTS.read_text()))
    assert named - anchors == set()


@contextmanager
def prometheus(folder: Path, targets: dict[str, int]) -> Iterator[str]:
    """Run one that scrapes these ports every second; yields where it answers."""
    scraped = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in targets.items()
    ]
    config = folder / "prometheus.yaml"
    config.write_bytes(
        msgspec.yaml.encode({"global": {"scrape_interval": "1s"}, "scrape_configs": scraped})
    )
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        shutil.rmtree(folder / "tsdb")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
def test_prometheus_scrapes_all_services_and_every_query_is_answered(
    nats_server: NatsServer, service: Start, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in SERVICES}
    http_port = free_port()
    given = {"NATS_URL": nats_server.url, "DECIBUS_MODEL": "demo", "HTTP_PORT": str(http_port)}
    started = [service(name, METRICS_PORT=str(port), **given) for name, port in ports.items()]
    for each in started:
        each.until_ready()
    url = f"http://127.0.0.1:{http_port}"
    wait_for(lambda: _answers(url), within_s=10, what="the gateway")

    with prometheus(tmp_path, ports) as server:

        def ask(query: str) -> list[Any]:
            told = httpx.get(f"{server}/api/v1/query", params={"query": query}, timeout=20)
            assert told.status_code == 200, (query, told.text)
            found: list[Any] = msgspec.json.decode(told.content)["data"]["result"]
            return found

        def number(query: str) -> float:
            return float(ask(query)[0]["value"][1]) if ask(query) else 0.0

        for seconds in (1.0, 2.0):
            take = {"file": ("take.wav", encode(music(seconds), 48_000, "wav16"))}
            assert httpx.post(f"{url}/analyze", files=take, timeout=60).status_code == 200
        httpx.post(f"{url}/analyze", files={"file": ("a.txt", b"no audio")}, timeout=60)

        ended = "sum by (task) (decibus_jobs_ended_total)"
        wait_for(lambda: _by_task(ask(ended)).get("analyze") == 3, within_s=20, what="3 jobs")

        # What is ready is told once a second, and scraped once a second.
        wait_for(lambda: number("sum(decibus_ready)") == len(ports), within_s=10, what="all ready")
        assert number("sum(up)") == len(ports)
        assert number('sum(decibus_audio_seconds_total{task="analyze"})') == pytest.approx(3.0)
        assert number('sum(http_server_requests_total{http_response_status_code="415"})') == 1
        assert number('sum(decibus_slots{task="analyze"})') == 1
        assert _by_task(ask("sum by (task) (decibus_job_work_seconds_count)"))["analyze"] == 2
        for question in questions():
            ask(question)
        series = number('max(count by (__name__) ({__name__=~"decibus_.+|http_.+"}))')
        assert series < 500, "of one metric"


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _by_task(found: list[Any]) -> dict[str, float]:
    return {each["metric"]["task"]: float(each["value"][1]) for each in found}
