"""compose.yaml: valid, whole, shut to the outside, and with dashboards that find their data."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from tests.charts.rendering import CHART, ROOT, SERVICES
from tests.conftest import TOOLS

FILE: Final = ROOT / "compose.yaml"
COMPOSE: Final[Any] = yaml.safe_load(FILE.read_text())
ALL: Final[Any] = COMPOSE["services"]


def filled_in(text: str) -> str:
    """Return what Docker makes of a text when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def config(name: str) -> Any:
    """Return a configuration that is written in the file, as its reader sees it."""
    return yaml.safe_load(filled_in(COMPOSE["configs"][name]["content"]))


@pytest.mark.helm
def test_the_library_of_docker_compose_takes_it() -> None:
    ran = subprocess.run(
        [TOOLS / "compose-spec", FILE], capture_output=True, text=True, check=False, timeout=30
    )

    assert ran.returncode == 0, ran.stderr
    assert set(yaml.safe_load(ran.stdout)["services"]) == set(ALL)


def test_our_images_run_as_the_chart_runs_them() -> None:
    containerfile = (ROOT / "services" / "Containerfile").read_text()
    targets = set(re.findall(r"^FROM service AS (\S+)$", containerfile, re.MULTILINE))

    for name in SERVICES:
        service = ALL[name]
        assert service["build"]["target"] == name
        assert service["image"] == f"decibus/{name}:{version('decibus')}"
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert "no-new-privileges:true" in service["security_opt"]
    assert {*SERVICES, "transcriber-cuda"} == targets
    assert {"nats", "influxdb", "prometheus", "grafana"} == set(ALL) - set(SERVICES)


def test_images_have_versions_and_the_charts_ones_where_it_has_them() -> None:
    dev = {
        path.parent.name.removesuffix("-dev"): yaml.safe_load(path.read_text())["appVersion"]
        for path in (CHART / "charts").glob("*/Chart.yaml")
    }

    for name, service in ALL.items():
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
    for name, app_version in dev.items():
        assert ALL[name]["image"] == f"{name}:{app_version}-alpine"


def test_what_is_mounted_is_there_and_what_is_named_is_declared() -> None:
    for name, service in ALL.items():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            is_there = (
                (ROOT / source).exists() if source[0] == "." else source in COMPOSE["volumes"]
            )
            assert is_there, (name, source)
        for each in service.get("configs", ()):
            assert each["source"] in COMPOSE["configs"], name
        assert set(service.get("networks", ())) <= set(COMPOSE["networks"]), name
        assert set(service.get("depends_on", ())) <= set(ALL), name


def test_nothing_is_reached_from_outside_but_the_page_and_grafana_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in ALL.items() if "ports" in service}

    assert published == {
        "gateway": ["127.0.0.1:8000:8000"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    # Who opens strangers' files reaches no database, and who shows figures no queue.
    assert all("networks" not in ALL[name] for name in ("analyzer", "transcriber", "transcoder"))
    assert ALL["influxdb"]["networks"] == ALL["grafana"]["networks"] == ["figures"]


def test_each_dashboard_finds_its_data_sources() -> None:
    sources = {each["type"]: each for each in config("grafana-datasources")["datasources"]}
    (provider,) = config("grafana-dashboards")["providers"]
    (mount,) = ALL["grafana"]["volumes"]
    folder, inside, _ = mount.split(":")

    assert provider["options"]["path"] == inside
    boards = sorted((ROOT / folder).glob("*.json"))
    assert len(boards) == 4
    for board in boards:
        asked = msgspec.json.decode(board.read_bytes())["templating"]["list"]
        assert {each["query"] for each in asked if each["type"] == "datasource"} <= set(sources)
    grafana, influxdb = ALL["grafana"]["environment"], ALL["influxdb"]["environment"]
    told = sources["influxdb"]
    assert told["url"] == "$INFLUXDB_URL"
    assert told["secureJsonData"]["token"] == "$INFLUXDB_TOKEN"  # noqa: S105 - a variable's name
    assert filled_in(grafana["INFLUXDB_URL"]) == "http://influxdb:8086"
    assert grafana["INFLUXDB_TOKEN"] == influxdb["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"]
    assert told["jsonData"]["defaultBucket"] == influxdb["DOCKER_INFLUXDB_INIT_BUCKET"]
    home = Path(grafana["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.name in {board.name for board in boards}
    assert str(home.parent) == inside


@pytest.mark.prometheus
def test_prometheus_takes_its_configuration_and_scrapes_all_services(tmp_path: Path) -> None:
    told = config("prometheus")
    told["rule_files"] = [str(CHART / "alerts.yaml")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(told))
    promtool = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]

    ran = subprocess.run(promtool, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    (scraped,) = told["scrape_configs"][0]["dns_sd_configs"]
    assert set(scraped["names"]) == set(SERVICES)
    for name in SERVICES:
        assert ALL[name]["environment"]["METRICS_PORT"] == str(scraped["port"])
        assert ALL[name]["environment"]["METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - in a container
