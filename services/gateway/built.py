"""The page as `make web` has built it: its files, in memory, also compressed."""

import gzip
from pathlib import Path
from typing import Final

import msgspec

from services.gateway.fresh import etag_of

FOLDER: Final = Path(__file__).parent / "web" / "dist"
INDEX: Final = "index.html"
HASHED: Final = "assets/"
"""Where each file has its content's hash in its name: another content is another file."""

_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_UNKNOWN: Final = "application/octet-stream"
_WORTH_IT: Final = 0.9  # of its size, for a file that is compressed already


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `zipped` is the same by gzip, where that is smaller."""

    body: bytes
    zipped: bytes | None
    media_type: str
    etag: str
    is_hashed: bool


class Built(msgspec.Struct, frozen=True):
    """The files, by their paths in the folder."""

    files: dict[str, Asset]


def find_built(folder: Path = FOLDER) -> Built | None:
    """Read the page, once, at start; None where it was not built. Hidden files are none of it."""
    if not (folder / INDEX).is_file():
        return None
    paths = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    return Built({path.relative_to(folder).as_posix(): _read(path, folder) for path in paths})


def _read(path: Path, folder: Path) -> Asset:
    body = path.read_bytes()
    zipped = gzip.compress(body, compresslevel=9, mtime=0)
    return Asset(
        body=body,
        zipped=zipped if len(zipped) < _WORTH_IT * len(body) else None,
        media_type=_TYPES.get(path.suffix, _UNKNOWN),
        etag=etag_of(body),
        is_hashed=path.relative_to(folder).as_posix().startswith(HASHED),
    )
