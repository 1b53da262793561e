"""What runs on GitHub: valid, pinned, with the rights it needs; `make lint` asks zizmor."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.conftest import TOOLS
from tests.processes import ROOT

WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


@pytest.mark.actionlint
def test_actionlint_finds_nothing() -> None:
    # It asks shellcheck and pyflakes where they are: the same everywhere is without.
    command: list[str | Path] = [TOOLS / "actionlint", "-shellcheck=", "-pyflakes=", *WORKFLOWS]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout


@each
def test_every_action_is_pinned_by_its_digest(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())

    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@each
def test_rights_are_given_to_jobs_one_by_one(path: Path) -> None:
    workflow: Any = yaml.safe_load(path.read_text())

    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]["contents"] in {"read", "write"}
        assert job["timeout-minutes"] <= 90


def test_every_image_is_built() -> None:
    containerfile = (ROOT / "services" / "Containerfile").read_text()
    targets = set(re.findall(r"^FROM service AS (\S+)$", containerfile, re.MULTILINE))
    images: Any = yaml.safe_load((ROOT / ".github" / "workflows" / "images.yml").read_text())
    matrix = images["jobs"]["build"]["strategy"]["matrix"]

    assert {*matrix["target"], *(more["target"] for more in matrix["include"])} == targets
