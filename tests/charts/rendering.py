"""What helm and kustomize make of the charts, as mappings."""

import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conftest import TOOLS

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / "decibus"
CI: Final = sorted((CHART / "ci").glob("*-values.yaml"))
CURATED: Final = [ROOT / "charts" / "values" / "decibus-on-nats-ha.yaml"]
KUSTOMIZE: Final = ROOT / "kustomize"
OVERLAYS: Final = sorted((KUSTOMIZE / "overlays").iterdir())
OVERLAY_VALUES: Final = [overlay / "values.yaml" for overlay in OVERLAYS]
VALUES: Final = [*CI, *CURATED, *OVERLAY_VALUES]
SERVICES: Final = ("gateway", "analyzer", "transcriber", "transcoder", "recorder")

Document = Mapping[str, Any]


class Refused(Exception):
    """Helm does not take these values."""


def helm(*arguments: str | Path, binary: str = "helm") -> str:
    """Run helm; returns what it prints."""
    command = [TOOLS / binary, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    if ran.returncode:
        raise Refused(ran.stderr)
    return ran.stdout


@cache
def template(*values: Path, binary: str = "helm", chart: Path = CHART, sets: str = "") -> str:
    """Render a release called `release`, as helm prints it."""
    files = [part for path in values for part in ("--values", str(path))]
    more = ["--set", sets] if sets else []
    place = ["--namespace", "here", "--kube-version", "1.34"]
    return helm("template", "release", chart, *place, *files, *more, binary=binary)


def documents(text: str) -> list[Document]:
    """Read what helm or kustomize has printed."""
    return [document for document in yaml.safe_load_all(text) if document]


@cache
def kustomize(overlay: Path) -> str:
    """Build an overlay."""
    command: list[str | Path] = [TOOLS / "kustomize", "build", "--enable-helm"]
    command += ["--helm-command", TOOLS / "helm", overlay]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    return ran.stdout


def pods(rendered: list[Document]) -> Iterator[tuple[str, Document]]:
    """Yield kind and name, and the spec, of every pod there will be."""
    for document in rendered:
        spec: Any = document.get("spec", {})
        match document["kind"]:
            case "Pod":
                pass
            case "Deployment" | "StatefulSet" | "Job":
                spec = spec["template"]["spec"]
            case "ScaledJob":
                spec = spec["jobTargetRef"]["template"]["spec"]
            case _:
                continue
        yield f"{document['kind']} {document['metadata']['name']}", spec


def find(rendered: list[Document], kind: str, name: str) -> Document:
    """Return the one object of this kind and name."""
    (found,) = (
        document
        for document in rendered
        if document["kind"] == kind and document["metadata"]["name"] == name
    )
    return found


def matches(pattern: str, subject: str) -> bool:
    """Return whether a subject is one of those that NATS takes the pattern for."""
    want, have = pattern.split("."), subject.split(".")
    for i, wanted in enumerate(want):
        if wanted == ">":
            return len(have) > i
        if i >= len(have) or wanted not in {"*", have[i]}:
            return False
    return len(want) == len(have)
