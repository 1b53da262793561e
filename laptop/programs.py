"""
The programs that pip does not install: found on this machine, or got for it.

`python -m laptop.programs nats-server espeak-ng` makes sure that both are there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from laptop import CannotRun

ROOT: Final = Path(__file__).parent.parent
TOOLS: Final = ROOT / ".tools" / "bin"
GO_TOOLS: Final = ROOT / "tests" / "gotools"
"""A Go module that pins the versions of the tools in `GO_MODULES`."""
GO_MODULES: Final = {"nats-server": "github.com/nats-io/nats-server/v2"}
ALSO: Final = f"/usr/sbin{os.pathsep}/usr/local/sbin{os.pathsep}{TOOLS}"
"""Debian has nats-server in a directory that is not on every user's PATH."""


def ensure(name: str) -> Path:
    """Return the path of a program, and install it when it is not there yet."""
    if found := find(name):
        return found
    for command, directory in _ways(name):
        print(f"decibus: getting {name}: {' '.join(command)}", file=sys.stderr)  # noqa: T201
        _succeeds(command, cwd=directory)
        if found := find(name):
            return found
    raise CannotRun(
        f"{name} is missing: install it (apt install {name}, brew install {name})"
        + (", or set NATS_SERVER to its path" if name == "nats-server" else "")
    )


def find(name: str) -> Path | None:
    """Look on the PATH, then where programs stand that are not on every PATH."""
    found = shutil.which(name) or shutil.which(name, path=ALSO)
    return Path(found) if found else None


def _ways(name: str) -> Iterator[tuple[Sequence[str], Path]]:
    """Yield the commands that may get a program on this machine, and where each is to be run."""
    if shutil.which("apt-get"):
        install = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qqy", name)
        sudo = () if os.geteuid() == 0 else ("sudo", "-n")
        if not sudo or (shutil.which("sudo") and _succeeds(("sudo", "-n", "true"), quiet=True)):
            yield (*sudo, *install), ROOT
            # A fresh machine knows no packages before its first update.
            yield (*sudo, "sh", "-c", f"apt-get update -qq && {' '.join(install)}"), ROOT
    if shutil.which("brew"):
        yield ("brew", "install", "--quiet", name), ROOT
    if shutil.which("go") and name in GO_MODULES:
        yield ("env", f"GOBIN={TOOLS}", "go", "install", GO_MODULES[name]), GO_TOOLS


def _succeeds(command: Sequence[str], *, cwd: Path = ROOT, quiet: bool = False) -> bool:
    errors = subprocess.DEVNULL if quiet else None
    ran = subprocess.run(  # noqa: S603 - the commands above, and names from our own code
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        check=False,
    )
    return ran.returncode == 0


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:]:
            ensure(wanted)
    except CannotRun as error:
        sys.exit(f"decibus: {error}")
