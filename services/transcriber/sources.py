"""
Where a model comes from: what one writes, and the directory that it becomes.

    directory ──────────────────────────────▶ itself
    https://…/model.tar.gz#sha256=… ────────▶ fetched once, checked, unpacked
    name ───▶ the hub's cache ───▶ the hub ─▶ the cache
                                     └ away ▶ the demo model, and a warning
    demo ───────────────────────────────────▶ the demo model
"""

import hashlib
import re
import shutil
import tarfile
import tempfile
import threading
import urllib.request
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeVar
from urllib.parse import urldefrag, urlsplit

import msgspec
import structlog
from faster_whisper.utils import available_models, download_model
from huggingface_hub import constants as hub
from huggingface_hub import get_session
from huggingface_hub.errors import RepositoryNotFoundError

from services.transcriber import files
from services.transcriber.files import ModelError

log = structlog.get_logger()
T = TypeVar("T")

DEMO: Final = "demo"
_DEMO_DIRECTORY: Final = Path(__file__).parent / "demo_model"
_HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_HUB_PATIENCE_S: Final = 4.0
_SUM: Final = re.compile(r"sha256=([0-9a-f]{64})")
_ARCHIVE: Final = re.compile(r"\.(tar|tar\.gz|tgz)$")
_SILENCE_S: Final = 60.0  # of a server, in the middle of a download
_CHUNK_BYTES: Final = 1 << 20
_MAX_FILES: Final = 100


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Where archives are kept, and how many bytes one may have, packed and unpacked."""

    directory: Path = Path("~/.cache/decibus/models")
    max_bytes: int = 16 << 30


class Found(NamedTuple):
    """A model's directory, and what to call the model."""

    name: str
    directory: Path


_NAMED: Final = re.compile(r"(?:([\w.-]+)=)?(.+)")


def find(spec: str, store: Store) -> Found:
    """Return a model's directory, after fetching it if need be: `small`, or `name=small`."""
    match = _NAMED.fullmatch(spec.strip())
    if match is None:
        raise ModelError(f"{spec!r} is no model")
    name, place = match.groups()
    try:
        directory, own = _place(place, store)
    except _NoHubError as error:
        log.warning("demo_model_used", wanted=place, reason=str(error))
        name, directory, own = None, _DEMO_DIRECTORY, DEMO
    return Found(name or files.manifest(directory).name or own, directory)


def _place(place: str, store: Store) -> tuple[Path, str]:
    """Return the directory, and what to call a model that has no name."""
    directory = Path(place).expanduser()
    if place == DEMO:
        return _DEMO_DIRECTORY, DEMO
    if urlsplit(place).scheme in {"http", "https"}:
        return _from_url(place, store)
    if directory.is_dir():
        return directory, directory.resolve().name
    if place not in available_models() and not _HUB_ID.fullmatch(place):
        raise ModelError(
            f"{place!r} is neither a directory nor a model that faster-whisper knows: "
            f"{', '.join(available_models())}"
        )
    return _cached(place) or _fetch(place), place


# The hub.


class _NoHubError(Exception):
    """The hub cannot be asked, or breaks off; the message says why."""


def _cached(name: str) -> Path | None:
    """Return a model that was fetched before; not one of which a fetch was broken off."""
    try:
        directory = Path(download_model(name, local_files_only=True))
    except OSError:
        return None
    return None if files.missing(directory) else directory


def _fetch(name: str) -> Path:
    """Fetch a model from the hub, into its local cache."""
    if hub.HF_HUB_OFFLINE:
        raise _NoHubError("HF_HUB_OFFLINE is set")
    try:
        knock = partial(get_session().head, hub.ENDPOINT, timeout=_HUB_PATIENCE_S)
        _within(_HUB_PATIENCE_S, knock)
        log.info("model_fetching", model=name)
        return Path(download_model(name))
    except RepositoryNotFoundError as error:
        raise ModelError(f"the hub has no model {name!r}, or none that is public") from error
    # The hub's client lets its HTTP library's errors through, and has changed that library twice.
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        raise _NoHubError(f"{type(error).__name__}: {first_line}") from error


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Wait so long for a call. Its thread may be left behind: name resolution has no timeout."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.result(timeout=seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


# A URL.


def _from_url(place: str, store: Store) -> tuple[Path, str]:
    url, fragment = urldefrag(place)
    wanted = _SUM.fullmatch(fragment)
    archive = urlsplit(url).path.rpartition("/")[2]
    if wanted is None or not _ARCHIVE.search(archive):
        raise ModelError(f"{place!r} is not of the form URL.tar.gz#sha256=<64 hex digits>")
    kept = store.directory.expanduser() / wanted[1]
    if not kept.is_dir():
        try:
            _keep(url, wanted[1], kept, store.max_bytes)
        except (OSError, HTTPException, tarfile.TarError, EOFError, zlib.error) as error:
            raise ModelError(f"{url}: {str(error) or type(error).__name__}") from error
    return _root(kept), _ARCHIVE.sub("", archive)


def _keep(url: str, sha256: str, kept: Path, max_bytes: int) -> None:
    """Fetch an archive and unpack it; it is there as a whole, or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".fetching-") as folder:
        unpacked = Path(folder) / "model"
        with tempfile.TemporaryFile(dir=folder) as archive:
            log.info("model_fetching", url=url)
            _download(url, sha256, archive, max_bytes)
            archive.seek(0)
            _unpack(archive, unpacked, max_bytes)
        try:
            unpacked.rename(kept)
        except OSError:
            if not kept.is_dir():  # else another process was quicker
                raise


def _download(url: str, sha256: str, into: IO[bytes], max_bytes: int) -> None:
    """Write what is there; raise unless it is what was wanted."""
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=_SILENCE_S) as answer:  # noqa: S310 - http(s) alone
        while chunk := answer.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise ModelError(f"{url} has more than {max_bytes} bytes")
            digest.update(chunk)
            into.write(chunk)
    if digest.hexdigest() != sha256:
        raise ModelError(f"{url}: its SHA-256 is {digest.hexdigest()}, not {sha256}")


def _unpack(archive: IO[bytes], into: Path, max_bytes: int) -> None:
    """
    Unpack plain files and folders; anything else, or anything outside, is refused.

    By hand, as `tarfile` has its filters since 3.11.4, and Debian 12 has 3.11.2. Modes and owners
    of a stranger are nothing to us.
    """
    into.mkdir()
    left = max_bytes
    with tarfile.open(fileobj=archive) as tar:
        for number, member in enumerate(tar):
            path = Path(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                raise ModelError(f"{member.name!r} in the archive is no plain file inside it")
            left -= member.size
            if left < 0 or number >= _MAX_FILES:
                raise ModelError("the archive unpacks to more than a model has")
            if member.isdir():
                (into / path).mkdir(parents=True, exist_ok=True)
            elif content := tar.extractfile(member):
                (into / path).parent.mkdir(parents=True, exist_ok=True)
                with content, (into / path).open("wb") as file:
                    shutil.copyfileobj(content, file)


def _root(unpacked: Path) -> Path:
    """Return where the files are: an archive may have them in one folder."""
    entries = [*unpacked.iterdir()]
    is_folder = len(entries) == 1 and entries[0].is_dir()
    return entries[0] if is_folder else unpacked
