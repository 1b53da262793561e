"""What is locked, and under which licence it says that it is: from files and metadata."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

import msgspec
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

ROOT: Final = Path(__file__).parents[2]
_LOCKED: Final = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)
_CLASSIFIER: Final = "License :: OSI Approved :: "
_CLASSIFIED: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_SAID: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "MIT License": "MIT",
    "New BSD": "BSD-3-Clause",
}
UNSAID: Final = {"kubernetes-validate": "Apache-2.0", "rich-click": "MIT"}
"""Of packages whose metadata say nothing that can be read: what stands in their LICENSE."""
ELSEWHERE: Final = {
    "colorama": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "numpy-typing-compat": "BSD-3-Clause",
    "optype": "BSD-3-Clause",
    "tzdata": "Apache-2.0",
}
"""Of packages that other systems and newer Pythons get."""


class Package(msgspec.Struct, frozen=True, order=True):
    """What is locked; `licence` is an SPDX expression, empty where nothing is known."""

    name: str
    version: str
    licence: str


def locked(lock: Path) -> Iterator[Package]:
    """Yield what a lock names, with the licence of each."""
    for name, version in _LOCKED.findall(lock.read_text()):
        yield Package(name, version, _licence(name))


def _licence(name: str) -> str:
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return ELSEWHERE.get(name, "")
    return UNSAID.get(name) or _expression(told)


def _expression(told: PackageMetadata) -> str:
    """Return what the newest of the three ways tells, or nothing."""
    classifiers = told.get_all("Classifier") or []
    found = [
        _CLASSIFIED[each.removeprefix(_CLASSIFIER)]
        for each in classifiers
        if each.removeprefix(_CLASSIFIER) in _CLASSIFIED
    ]
    expression, said = (
        (told[name] if name in told else "").strip()  # noqa: SIM401 - it is typed without `get`
        for name in ("License-Expression", "License")
    )
    for text in (expression, _SAID.get(said, said), " AND ".join(found)):
        try:
            return canonicalize_license_expression(text)
        except InvalidLicenseExpression:
            continue
    return ""


def npm(lock: Path) -> Iterator[Package]:
    """Yield what an npm lock names that ends up in what is built."""
    found = msgspec.json.decode(lock.read_bytes())["packages"]
    for path, told in found.items():
        if path and not told.get("dev"):
            name = path.rpartition("node_modules/")[2]
            yield Package(name, told["version"], told.get("license", ""))
