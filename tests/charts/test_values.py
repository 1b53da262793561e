"""What the charts say of themselves, without helm: values, schema, README, permissions."""

import ast
import re
from importlib.metadata import version
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from charts import readme
from decibus.topology import BUCKETS, ERRANDS, JOURNALS, LOGS, QUEUES, STORES
from tests.charts.rendering import (
    CHART,
    CURATED,
    OVERLAY_VALUES,
    ROOT,
    VALUES,
    matches,
)

SCHEMA: Any = msgspec.json.decode((CHART / "values.schema.json").read_bytes())
DEFAULTS: Any = yaml.safe_load((CHART / "values.yaml").read_text())
PERMISSIONS: Any = yaml.safe_load((CHART / "files" / "nats-permissions.yaml").read_text())


def test_the_schema_takes_our_own_values() -> None:
    for path in (CHART / "values.yaml", *VALUES):
        jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)


def test_the_schema_knows_every_value_and_the_values_all_that_it_knows() -> None:
    def keys(schema: Any, path: str = "") -> set[str]:
        schema = SCHEMA["definitions"].get(schema.get("$ref", "").rpartition("/")[2], schema)
        below = schema.get("properties", {})
        if path and path.rpartition(".")[2] in {"image", "resources"}:
            return {path}
        return (
            {path} if not below else set.union(*(keys(s, f"{path}.{k}") for k, s in below.items()))
        )

    def given(values: Any, path: str = "") -> set[str]:
        is_leaf = (
            not isinstance(values, dict) or not values or path.rpartition(".")[2] == "resources"
        )
        if is_leaf or path.endswith((".labels", ".annotations")) or path == ".image":
            return {path}
        return set.union(*(given(v, f"{path}.{k}") for k, v in values.items()))

    subcharts = (".nats-dev", ".influxdb-dev")
    assert {path for path in keys(SCHEMA) if not path.startswith(subcharts)} == {
        path for path in given(DEFAULTS) if not path.startswith(subcharts)
    }


@pytest.mark.parametrize(
    "wrong",
    [
        "gatway: {}",
        "gateway: {replica: 2}",
        "analyzer: {autoscaling: {mode: vpa}}",
        "gateway: {autoscaling: {mode: keda}}",
        "nats: {url: 'http://nats:4222'}",
        "nats: {replicas: 2}",
        "transcriber: {model: {sha256: abc}}",
        "gateway: {env: {max_upload_bytes: '1'}}",
        "gateway: {env: {MAX_UPLOAD_BYTES: 1}}",
        "image: {digest: 'sha256:e3b0'}",
    ],
)
def test_the_schema_refuses(wrong: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(wrong), SCHEMA)


def test_the_readme_is_current() -> None:
    assert readme.readme(CHART) == (CHART / "README.md").read_text(), "make chart-readme"


def test_the_chart_has_the_projects_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == version("decibus")


def test_permissions_name_what_the_topology_has() -> None:
    queues = (*QUEUES.values(), *ERRANDS)
    assets = [*(q.stream for q in queues), *(b.stream for b in BUCKETS)]
    assets += [journal.stream for journal in JOURNALS]
    known = {*assets, *(s.stream for s in STORES), *(s.seals for s in STORES)}
    known |= {*(log.stream for log in LOGS), "RATE"}
    consumers = {(queue.stream, queue.consumer) for queue in queues}
    consumers |= {(reader.stream, reader.consumer) for log in LOGS for reader in log.readers}

    verbs = (
        "API ACK STREAM CONSUMER MSG NEXT DIRECT GET DELETE CREATE UPDATE PURGE INFO NAMES DURABLE"
        " * >"
    )
    for user, permissions in PERMISSIONS.items():
        for subject in permissions["publish"]["allow"]:
            root, *rest = subject.split(".")
            if f".*.{user}" in subject:
                continue  # its own queue, see below
            stream, consumer = ([*(t for t in rest if t not in verbs.split()), "", ""])[:2]
            if root == "$JS" and stream:
                assert stream in known, user
                assert not consumer or (stream, consumer) in consumers, user
            if root in {"$KV", "$O"} and stream:
                assert f"{root.strip('$').replace('O', 'OBJ')}_{stream}" in known, user


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_worker_may_take_from_each_partition_of_its_own_queue_only(partitions: int) -> None:
    for worker in QUEUES.values():
        allowed = PERMISSIONS[worker.consumer]["publish"]["allow"]
        for queue in (*QUEUES.values(), *ERRANDS):
            for part in queue.split(partitions):
                consumer = f"{part.stream}.{part.consumer}"
                for subject in (
                    f"$JS.API.CONSUMER.MSG.NEXT.{consumer}",
                    f"$JS.ACK.{consumer}.1.1.1.1.1",
                ):
                    may = any(matches(pattern, subject) for pattern in allowed)
                    assert may is (queue is worker), subject


def test_nats_dev_and_nats_ha_are_given_the_password_of_every_user() -> None:
    dev = (CHART / "charts" / "nats-dev" / "templates" / "nats.yaml").read_text()
    (listed,) = re.findall(r"\$users := list (.*) }}", dev)
    ha = yaml.safe_load((ROOT / "charts" / "values" / "nats-ha.yaml").read_text())
    env = ha["container"]["env"]

    assert set(listed.replace('"', "").split()) == set(PERMISSIONS)
    for user in PERMISSIONS:
        assert env[f"PASSWORD_{user.upper()}"]["valueFrom"]["secretKeyRef"]["key"] == user
        assert env[f"QUOTED_{user.upper()}"] == f'"$(PASSWORD_{user.upper()})"'


def test_nats_in_production_has_users_tls_and_no_other_visitors() -> None:
    ha = yaml.safe_load((ROOT / "charts" / "values" / "nats-ha.yaml").read_text())
    told = (ROOT / "docs" / "deploy.md").read_text()
    made = set(re.findall(r"create secret (?:generic|tls) (\S+)", told))

    for path in (*CURATED, *OVERLAY_VALUES):
        if path.parent.name == "minikube":
            continue
        values = yaml.safe_load(path.read_text())
        nats = values["nats"]
        assert nats["url"].startswith("tls://"), path
        assert {nats["auth"]["existingSecret"], nats["tls"]["existingSecret"]} <= made, path
        # What the chart of nats-io labels the pods of a release `nats` with.
        assert values["networkPolicy"]["natsPods"] == {
            "app.kubernetes.io/name": "nats",
            "app.kubernetes.io/instance": "nats",
        }
    assert ha["config"]["nats"]["tls"]["enabled"]
    assert ha["config"]["nats"]["tls"]["secretName"] in made
    assert f"create secret tls {ha['config']['nats']['tls']['secretName']}" in told


def test_the_scripts_of_the_chart_parse_and_its_values_are_where_they_are_told() -> None:
    ast.parse((CHART / "files" / "smoke.py").read_text())

    assert all(path.exists() for path in (*CURATED, *OVERLAY_VALUES))
