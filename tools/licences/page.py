"""docs/licences.md as it should be, and what may be in an image."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from tools.licences.bundled import BUNDLED
from tools.licences.metadata import ROOT, Package, locked, npm

PAGE: Final = ROOT / "docs" / "licences.md"
SERVICES: Final = ("gateway", "analyzer", "transcriber", "transcoder", "recorder")
WEB: Final = ROOT / "services" / "gateway" / "web" / "package-lock.json"
DEVELOPING: Final = ROOT / "tests" / "requirements.txt"
MAY_BE_SHIPPED: Final = frozenset(
    (
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC"),
        *("MIT", "MIT-0", "OFL-1.1", "PSF-2.0", "Unlicense", "Zlib"),
        *("LGPL-2.1-or-later", "LGPL-3.0-or-later", "MPL-2.0"),
    )
)
"""Permissive ones, and those that reach no further than their own files or their own library."""
_HEAD: Final = """\
# Licences

<!-- Written by `make licences` from the locks and the metadata of what is installed. -->

decibus is [Apache-2.0](../LICENSE). What it is installed with, as the locks have it, and the
licence that each names in its metadata (SPDX); a test holds that this is all of it, and that no
image has another than {allowed}.

"""
_BESIDE: Final = """
## What wheels bring along

Native libraries that lie in the packages of Linux. x264 and x265 encode video: nothing here calls
them, but FFmpeg's libavcodec is linked with them, and does not load without. Whoever may not hand
on what is under the GPL builds `av` from source against an FFmpeg that has neither.
`transcriber-cuda` has NVIDIA's cuBLAS and cuDNN besides, under NVIDIA's own terms.

| in | what | licence |
|---|---|---|
"""


def is_allowed(expression: str) -> bool:
    """Say whether an SPDX expression leaves a way to ship it."""
    parts = expression.replace("(", "").replace(")", "").split(" AND ")
    ways = (part.partition(" WITH ")[0].split(" OR ") for part in parts)
    return all(any(each in MAY_BE_SHIPPED for each in way) for way in ways)


def shipped() -> Mapping[Package, list[str]]:
    """Return each package of the images, with the services that have it."""
    found = defaultdict(list)
    for service in SERVICES:
        for package in locked(ROOT / "services" / service / "requirements.txt"):
            found[package].append(service)
    return found


def written() -> str:
    """Return the page."""
    images = shipped()
    text = _HEAD.format(allowed=", ".join(sorted(MAY_BE_SHIPPED, key=str.lower)))
    text += "## In the images\n\n| package | version | licence | in |\n|---|---|---|---|\n"
    for package, services in sorted(images.items()):
        everywhere = len(services) == len(SERVICES)
        text += _row(package, "all" if everywhere else ", ".join(services))
    if WEB.exists():
        text += "\n## In the page\n\n" + _table(npm(WEB))
    text += _BESIDE
    for each in BUNDLED:
        text += f"| {each.package} | {each.what} | {each.licence} |\n"
    rest = {package for package in locked(DEVELOPING) if package not in images}
    return text + "\n## For developing\n\nIn no image.\n\n" + _table(rest)


def _table(packages: Iterable[Package]) -> str:
    head = "| package | version | licence |\n|---|---|---|\n"
    return head + "".join(map(_row, sorted(set(packages))))


def _row(package: Package, *more: str) -> str:
    cells = (package.name, package.version, package.licence or "not told", *more)
    return "| " + " | ".join(cells) + " |\n"
