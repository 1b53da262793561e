"""
What helm makes of the chart, for each of ci/*-values.yaml: valid, safe, and as the code has it.

Helm 3 and helm 4 must make the same. Kubernetes' own schemas come with `kubernetes-validate`.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import msgspec
import pytest
import yaml

from decibus.topology import QUEUES
from services.gateway.settings import Settings
from tests.charts.rendering import (
    CHART,
    CI,
    KUSTOMIZE,
    OVERLAYS,
    SERVICES,
    VALUES,
    Document,
    Refused,
    documents,
    find,
    helm,
    kustomize,
    pods,
    template,
)
from tests.conftest import TOOLS

pytestmark = pytest.mark.helm

VERSIONS: Final = ("1.28.0", "1.32.0", "1.36.0")
DEV: Final = CHART / "ci" / "dev-values.yaml"
SCHEMAS: Final = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
OWN_SCHEMAS: Final = Path(__file__).parent / "schemas"

each = pytest.mark.parametrize("values", VALUES, ids=lambda path: f"{path.parent.name}-{path.stem}")


@each
def test_helm_3_and_4_find_no_fault_and_make_the_same(values: Path) -> None:
    for binary in ("helm3", "helm"):
        helm("lint", "--strict", CHART, "--values", values, binary=binary)

    assert documents(template(values, binary="helm3")) == documents(template(values))


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the charts and the overlays make, a file each."""
    folder = tmp_path_factory.mktemp("rendered")
    for path in VALUES:
        (folder / f"{path.parent.name}-{path.stem}.yaml").write_text(template(path))
    for overlay in OVERLAYS:
        (folder / f"overlay-{overlay.name}.yaml").write_text(kustomize(overlay))
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_in_kubernetes(version: str, rendered: Path, tmp_path: Path) -> None:
    strict = _local(SCHEMAS / f"v{version}-local-strict", tmp_path)
    command: list[str | Path] = [
        TOOLS / "kubeconform",
        "-strict",
        "-summary",
        "-kubernetes-version",
        version,
    ]
    command += ["-schema-location", f"{strict}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"]
    command += ["-schema-location", f"{OWN_SCHEMAS}/{{{{.ResourceKind}}}}.json"]

    told = subprocess.run([*command, rendered], capture_output=True, text=True, check=False).stdout

    assert "Invalid: 0, Errors: 0, Skipped: 0" in told, told


def _local(schemas: Path, into: Path) -> Path:
    """Copy schemas without the addresses in them: kubeconform would look there, in the network."""
    needed = "configmap deployment horizontalpodautoscaler ingress job namespace networkpolicy"
    more = "persistentvolumeclaim pod poddisruptionbudget secret service serviceaccount statefulset"
    for kind in (*needed.split(), *more.split(), "storageclass", "_definitions"):
        for path in (*schemas.glob(f"{kind}-*.json"), *schemas.glob(f"{kind}.json")):
            text = path.read_text().replace("/api/_definitions.json", "_definitions.json")
            schema = msgspec.json.decode(text)
            schema.pop("$id", None)
            (into / path.name).write_bytes(msgspec.json.encode(schema))
    return into


def test_the_oldest_and_the_newest_kubernetes_take_the_plain_installation() -> None:
    for document in documents(template(DEV)):
        for version in ("1.28", "1.36"):
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", ["dev", "hpa", "keda", "influxdb", "model-hub"])
def test_kube_score_finds_nothing_critical(name: str) -> None:
    # Each with its reason.
    left = {
        "container-image-pull-policy": "no tag of ours is ever moved",
        "container-ephemeral-storage-request-and-limit": "emptyDirs have limits",
        "container-security-context-user-group-id": "nats and influxdb are 1000 in their images",
        "pod-networkpolicy": "it does not count two policies together, nor see that Jobs have one",
        "deployment-has-host-podantiaffinity": "the spread over nodes is the same, and newer",
        "statefulset-has-host-podantiaffinity": "nats-dev and influxdb-dev are one pod",
        "statefulset-has-poddisruptionbudget": "ditto",
        "pod-probes": "the same path tells different things to different probes",
        "container-resources": "no CPU limit: a throttled decoder only takes longer",
    }
    command: list[str | Path] = [TOOLS / "kube-score", "score", "--output-format", "ci"]
    for test in left:
        command += ["--ignore-test", test]
    rendered = template(CHART / "ci" / f"{name}-values.yaml")
    told = subprocess.run(
        [*command, "-"], input=rendered, capture_output=True, text=True, check=False
    )

    assert [line for line in told.stdout.splitlines() if line.startswith("[CRITICAL]")] == []
    assert "[OK]" in told.stdout


@pytest.mark.kubelinter
@pytest.mark.parametrize("name", ["dev", "hpa", "keda", "influxdb", "model-hub"])
def test_kube_linter_finds_nothing(name: str, tmp_path: Path) -> None:
    # Each with its reason.
    left = {
        "no-anti-affinity": "the spread over nodes is the same, and newer",
        "job-ttl-seconds-after-finished": "who compares with a repository would see it go",
    }
    (tmp_path / "rendered.yaml").write_text(template(CHART / "ci" / f"{name}-values.yaml"))
    command: list[str | Path] = [
        TOOLS / "kube-linter",
        "lint",
        "--exclude",
        ",".join(left),
        tmp_path,
    ]

    told = subprocess.run(command, capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stdout + told.stderr


@each
def test_every_pod_is_confined(values: Path) -> None:
    for name, pod in pods(documents(template(values))):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] >= 1000, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            assert not container["image"].endswith(":latest"), name
        for volume in pod["volumes"]:
            assert "hostPath" not in volume, name
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], name


@each
def test_every_service_is_probed_and_has_time_to_end(values: Path) -> None:
    for document in documents(template(values)):
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        env = {each["name"]: each.get("value") for each in container["env"]}
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
        pause = container.get("lifecycle", {}).get("preStop", {"exec": {"command": [0]}})
        rest = pod["terminationGracePeriodSeconds"] - int(pause["exec"]["command"][-1])
        assert rest > int(env["GRACE_S"])


@each
def test_what_is_mounted_is_there_and_every_selector_finds_its_pods(values: Path) -> None:
    rendered = documents(template(values))
    for name, pod in pods(rendered):
        volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= volumes, name
            names = [each["name"] for each in container.get("env", ())]
            assert len(names) == len(set(names)), name
    for document in rendered:
        if document["kind"] in {"Deployment", "StatefulSet"}:
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert document["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_names_are_unique_and_of_one_release() -> None:
    for path in VALUES:
        rendered = documents(template(path))
        named = [(each["kind"], each["metadata"]["name"]) for each in rendered]
        assert len(named) == len(set(named)), path
        assert all(name == "release" or name.startswith("release-") for _, name in named), path


@pytest.mark.parametrize(("name", "partitions"), [("keda", 1), ("partitions", 4)])
def test_keda_asks_for_the_queues_that_there_are(name: str, partitions: int) -> None:
    queues = {queue.consumer: queue.split(partitions) for queue in QUEUES.values()}
    scaled = []
    for document in documents(template(CHART / "ci" / f"{name}-values.yaml")):
        if document["kind"] in {"ScaledObject", "ScaledJob"}:
            worker = document["metadata"]["name"].removeprefix("release-")
            asked = [trigger["metadata"] for trigger in document["spec"]["triggers"]]
            assert [(each["stream"], each["consumer"]) for each in asked] == [
                (part.stream, part.consumer) for part in queues[worker]
            ]
            for each in asked:
                assert each["account"] == "DECIBUS"
                place = "release-nats.here.svc.cluster.local:8222"
                assert each["natsServerMonitoringEndpoint"] == place
            scaled.append(document)
    assert len(scaled) >= 2


def test_keda_counts_what_waits_in_all_partitions_together() -> None:
    rendered = documents(template(CHART / "ci" / "partitions-values.yaml"))

    deployed = find(rendered, "ScaledObject", "release-analyzer")["spec"]
    names = [trigger["name"] for trigger in deployed["triggers"]]
    assert deployed["advanced"]["scalingModifiers"] == {
        "formula": " + ".join(names),
        "target": "3",
        "activationTarget": "0",
        "metricType": "AverageValue",
    }
    job = find(rendered, "ScaledJob", "release-transcoder")["spec"]
    assert job["scalingStrategy"]["multipleScalersCalculation"] == "sum"


def test_every_pod_is_told_the_number_of_partitions() -> None:
    for name, partitions in (("dev", "1"), ("partitions", "4")):
        for pod, spec in pods(documents(template(CHART / "ci" / f"{name}-values.yaml"))):
            for container in spec["containers"]:
                env = {each["name"]: each.get("value") for each in container.get("env", ())}
                if "NATS_REPLICAS" in env:
                    assert env["PARTITIONS"] == partitions, pod


@each
def test_only_keda_reaches_the_monitoring_port_of_nats_and_only_where_it_scales(
    values: Path,
) -> None:
    rendered = documents(template(values))
    nats = [
        document["spec"]
        for document in rendered
        if document["kind"] == "NetworkPolicy" and document["metadata"]["name"] == "release-nats"
    ]
    is_asked = any(document["kind"] in {"ScaledObject", "ScaledJob"} for document in rendered)
    doors = [
        (rule, port["port"])
        for spec in nats
        for rule in spec["ingress"]
        for port in rule.get("ports", ())
    ]

    assert not nats or "Ingress" in nats[0]["policyTypes"]
    assert all(rule["from"] for rule, _ in doors)
    keda = {"kubernetes.io/metadata.name": "keda"}
    asking = [rule["from"] for rule, port in doors if port == 8222]
    assert asking == ([[{"namespaceSelector": {"matchLabels": keda}}]] if nats and is_asked else [])


def test_what_is_scaled_has_no_replicas_of_its_own() -> None:
    for path in CI:
        rendered = documents(template(path))
        scaled = {
            document["spec"]["scaleTargetRef"]["name"]
            for document in rendered
            if document["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
        }
        for document in rendered:
            if document["kind"] == "Deployment":
                assert ("replicas" in document["spec"]) != (document["metadata"]["name"] in scaled)


def test_the_gateway_is_told_its_variables_by_their_names() -> None:
    known = {
        field.encode_name if field.encode_name != field.name else field.name.upper()
        for field in msgspec.structs.fields(Settings)
    }
    for path in VALUES:
        gateway = find(documents(template(path)), "Deployment", "release-gateway")
        (container,) = gateway["spec"]["template"]["spec"]["containers"]
        assert {each["name"] for each in container["env"]} <= known, path


def test_changes_of_what_a_pod_is_told_restart_it() -> None:
    def annotations(sets: str) -> Any:
        gateway = find(documents(template(DEV, sets=sets)), "Deployment", "release-gateway")
        return gateway["spec"]["template"]

    assert annotations("") != annotations("nats.auth.devSeed=other")
    assert annotations("") != annotations("gateway.env.LOG_LEVEL=debug")
    assert annotations("") == annotations("gateway.replicas=3")


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ("nats.auth.devSeed=", "nats.auth.existingSecret"),
        ("nats-dev.enabled=false", "there is no NATS"),
        ("nats.url=nats://n:4222", "nats-dev.enabled=false"),
        ("nats.replicas=3", "nats-dev is one server"),
        ("nats.auth.enabled=false", "contradict"),
        ("nats.auth.existingSecret=x", "must name the same secret"),
        ("nats.auth.credsSecret=x", "nats-dev knows passwords only"),
        ("gateway.terminationGracePeriodSeconds=20", "a job in hand would be killed"),
        ("analyzer.autoscaling.mode=hpa,analyzer.autoscaling.min=0", "only keda scales to zero"),
        ("analyzer.autoscaling.min=11", "min is more than max"),
        ("transcoder.mode=job,transcoder.autoscaling.mode=keda", "its own ScaledJob"),
        ("transcriber.model.source=url", "needs url and sha256"),
        ("transcriber.model.source=claim", "needs existingClaim"),
        ("transcriber.model.source=image", "needs image and path"),
        ("transcriber.model.preload=true", "source to hub or url, and cache.size"),
        ("gateway.ingress.enabled=true", "gateway.ingress.hosts"),
        ("gateway.httpRoute.enabled=true", "parentRefs"),
        ("influxdb.url=http://i:8086", "influxdb.existingSecret"),
        ("influxdb-dev.enabled=true", "influxdb-dev.devSeed"),
        ("gateway.colour=red", "additional properties 'colour' not allowed"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(sets: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        template(DEV, sets=sets)


def test_the_notes_tell_how_to_send_a_file() -> None:
    def notes(path: Path) -> str:
        printed = helm("install", "release", CHART, "--dry-run=client", "--values", path)
        return printed.partition("NOTES:")[2]

    assert "port-forward service/release-gateway 8000:80" in notes(DEV)
    assert "curl -F file=@take.wav https://audio.example.com/analyze" in notes(
        CHART / "ci" / "ingress-values.yaml"
    )
    assert "minikube service" in notes(KUSTOMIZE.parent / "charts" / "values" / "minikube.yaml")


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_an_overlay_is_what_helm_makes_of_its_values(overlay: Path) -> None:
    built = documents(kustomize(overlay))
    place = ["--namespace", "decibus", "--kube-version", "1.34", "--skip-tests"]
    place += ["--values", str(overlay / "values.yaml")]
    ours = documents(helm("template", "decibus", CHART, *place))
    kinds = {(each["kind"], each["metadata"]["name"]): each for each in built}

    for document in ours:
        other = kinds.pop((document["kind"], document["metadata"]["name"]))
        assert document["metadata"]["namespace"] == "decibus"
        assert _stripped(other) == _stripped(document)
    assert "Namespace" in {kind for kind, _ in kinds}


def _stripped(document: Document) -> Any:
    """Leave out what components and kustomize add."""
    copied = yaml.safe_load(yaml.safe_dump(document))
    copied["metadata"].pop("annotations", None)
    return copied


@pytest.mark.parametrize(
    ("component", "overlay"),
    [
        ("istio", "minikube"),
        ("linkerd", "minikube"),
        ("external-dns", "onprem"),
        ("cert-manager", "eks"),
        ("gpu", "gke"),
    ],
)
def test_a_component_changes_an_overlay(component: str, overlay: str, tmp_path: Path) -> None:
    built = kustomize(KUSTOMIZE / "overlays" / overlay)
    (tmp_path / "built.yaml").write_text(built)
    shutil.copytree(KUSTOMIZE / "components" / component, tmp_path / component)
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [built.yaml]\ncomponents: [{component}]\n"
    )

    assert documents(kustomize(tmp_path)) != documents(built)


def test_the_component_keda_makes_what_helm_makes_of_its_values(tmp_path: Path) -> None:
    onprem, keda = KUSTOMIZE / "overlays" / "onprem", KUSTOMIZE / "components" / "keda"
    (tmp_path / "built.yaml").write_text(kustomize(onprem))
    shutil.copytree(keda, tmp_path / "keda")
    (tmp_path / "kustomization.yaml").write_text("resources: [built.yaml]\ncomponents: [keda]\n")
    place: list[str | Path] = ["--namespace", "decibus", "--values", onprem / "values.yaml"]
    by_helm = documents(
        helm("template", "decibus", CHART, *place, "--values", keda / "values.yaml")
    )

    built = documents(kustomize(tmp_path))

    scaling = {"ScaledObject", "HorizontalPodAutoscaler"}
    made, wanted = (
        {each["metadata"]["name"]: each["spec"] for each in all_ if each["kind"] in scaling}
        for all_ in (built, by_helm)
    )
    assert made == wanted
    assert set(made) == {"decibus-analyzer", "decibus-transcriber", "decibus-gateway"}
    for name in ("decibus-analyzer", "decibus-transcriber"):
        assert "replicas" not in find(built, "Deployment", name)["spec"]


def test_all_services_have_the_same_block() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    common = set(values["recorder"])

    assert all(common <= set(values[service]) for service in SERVICES)
