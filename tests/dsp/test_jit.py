"""Kernels start warm: from a cache that is filled ahead, and read where nobody can write."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.analyzer.dsp import jit
from tests.processes import ROOT

# What lets root write where it may not.
OVERRIDES = "-dac_override,-dac_read_search"
V3 = dict.fromkeys(("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"), True)


def start(root: Path, *, obedient: bool = False, **env: str) -> tuple[int, dict[str, object]]:
    """
    Load the kernels of a checkout in a process of its own: exit code, and what it logged.

    With `obedient`, root too may only write where modes allow it.
    """
    command = [sys.executable, "-B", "-m", "services.analyzer.warm"]
    if obedient and os.geteuid() == 0:
        command = ["setpriv", f"--bounding-set={OVERRIDES}", f"--inh-caps={OVERRIDES}", *command]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "HOME": "/nowhere"} | env
    done = subprocess.run(
        command, cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return done.returncode, msgspec.json.decode(lines[0], type=dict[str, object])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copy what an image holds, and fill its cache."""
    root = tmp_path_factory.mktemp("image")
    for package in ("decibus", "services"):
        shutil.copytree(ROOT / package, root / package)
    for folder in (root, *root.parents[:-2]):
        folder.chmod(0o755)
    code, logged = start(root)
    assert code == 0
    assert logged["event"] in {"kernels_loaded", "kernels_compiled"}
    yield root
    for folder in [root, *root.rglob("*/")]:
        folder.chmod(0o755)


def seal(root: Path) -> None:
    for folder in [root, *root.rglob("*/")]:
        folder.chmod(0o555)


@pytest.mark.timeout(180)
def test_a_filled_cache_is_read_where_nobody_may_write(image: Path) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to take that away")
    seal(image)

    begin = time.monotonic()
    code, logged = start(image, obedient=True)

    assert code == 0
    assert (logged["event"], logged["compiled"]) == ("kernels_loaded", 0)
    assert float(str(logged["seconds"])) < min(5.0, time.monotonic() - begin)


@pytest.mark.timeout(180)
def test_a_filled_cache_is_read_from_a_file_system_that_is_read_only(image: Path) -> None:
    script = f"mount --bind {image} {image} && mount -o remount,bind,ro {image} && touch {image}/x"
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    probe = subprocess.run([*unshare, script], capture_output=True, text=True, check=False)
    if "Read-only" not in probe.stderr:
        pytest.skip(f"no read-only mount to be had here: {probe.stderr.strip()}")
    command = f"PYTHONPATH={image} HOME=/nowhere {sys.executable} -B -m services.analyzer.warm"

    script = script.replace(f"touch {image}/x", f"cd / && {command}")
    done = subprocess.run([*unshare, script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert '"kernels_loaded"' in done.stderr


@pytest.mark.timeout(180)
def test_a_cache_that_does_not_fit_is_told_and_made_up_for(image: Path) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to take that away")
    stale = image / "services" / "analyzer" / "dsp" / "stereo.py"
    stale.chmod(0o644)
    stale.write_text(stale.read_text() + "\n")
    seal(image)

    code, logged = start(image, obedient=True)

    assert code == 1  # the command's promise is a filled cache; an analyzer goes on
    assert (logged["event"], logged["cached"], logged["kept"]) == ("kernels_compiled", 0, False)


@pytest.mark.parametrize(
    ("triple", "features", "cpu"),
    [
        ("x86_64-unknown-linux-gnu", V3, "x86-64-v3"),
        ("x86_64-unknown-linux-gnu", V3 | {"avx512f": True}, "x86-64-v3"),
        ("x86_64-unknown-linux-gnu", V3 | {"fma": False}, None),
        ("aarch64-unknown-linux-gnu", {}, "generic"),
        ("riscv64-unknown-linux-gnu", {}, None),
    ],
)
def test_the_code_is_for_the_least_cpu_that_has_what_it_needs(
    triple: str, features: dict[str, bool], cpu: str | None
) -> None:
    assert jit.portable_cpu(triple, features) == cpu


@pytest.mark.timeout(180)
def test_a_cpu_that_somebody_chose_is_told(image: Path) -> None:
    _, logged = start(image, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")

    assert (logged["event"], logged["cpu"]) == ("kernels_unportable", "generic")
