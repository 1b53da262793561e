"""A model comes from where one says, whole and unchanged, or the reason why not is told."""

import hashlib
import io
import shutil
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from services.transcriber import files
from services.transcriber.model import ModelError, load
from services.transcriber.settings import Settings, fitted
from services.transcriber.sources import Store, find
from tests.models import DEMO


class Shelf:
    """A folder that a local HTTP server hands out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        shelf = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                shelf.asked.append(self.path)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, archive: bytes, *, name: str = "my-model.tar.gz", sha256: str = "") -> str:
        """Return how the archive is asked for."""
        (self.folder / name).write_bytes(archive)
        sha256 = sha256 or hashlib.sha256(archive).hexdigest()
        return f"http://127.0.0.1:{self._server.server_port}/{name}#sha256={sha256}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "shelf").mkdir()
    shelf = Shelf(tmp_path / "shelf")
    yield shelf
    shelf.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(directory=tmp_path / "cache")


def packed(add: Callable[[tarfile.TarFile], None], *, mode: str = "w:gz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:  # type: ignore[call-overload]  # mode is a str
        add(tar)
    return file.getvalue()


def demo(*, folder: str = "") -> bytes:
    """Return the demo model as an archive, without the notes that would name it."""

    def add(tar: tarfile.TarFile) -> None:
        for path in DEMO.iterdir():
            if path.name != "decibus.json":
                tar.add(path, f"{folder}{path.name}")

    return packed(add)


# From a URL.


@pytest.mark.parametrize("folder", ["", "whisper-my/"])
def test_an_archive_is_fetched_once_and_loads(shelf: Shelf, store: Store, folder: str) -> None:
    spec = shelf.put(demo(folder=folder))

    first = load(spec, workers=1, store=store)
    again = find(f"best={spec}", store)

    assert (first.name, again.name) == ("my-model", "best")
    assert len(shelf.asked) == 1
    assert files.missing(again.directory) == []
    assert [path.name for path in store.directory.iterdir()] == [spec.rpartition("=")[2]]


def test_what_is_not_what_was_wanted_is_not_kept(shelf: Shelf, store: Store) -> None:
    spec = shelf.put(demo(), sha256="0" * 64)

    with pytest.raises(ModelError, match=rf"its SHA-256 is [0-9a-f]{{64}}, not {'0' * 64}"):
        find(spec, store)

    assert [*store.directory.iterdir()] == []


def test_more_than_is_allowed_is_not_fetched(shelf: Shelf, tmp_path: Path) -> None:
    spec = shelf.put(demo())

    with pytest.raises(ModelError, match="has more than 1000 bytes"):
        find(spec, Store(directory=tmp_path / "cache", max_bytes=1000))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "entry",
    [
        member("../model.bin"),
        member("a/../../model.bin"),
        member("/tmp/model.bin"),  # noqa: S108 - it must not be written
        member("model.bin", tarfile.SYMTYPE, "/etc/passwd"),
        member("model.bin", tarfile.LNKTYPE, "config.json"),
        member("model.bin", tarfile.FIFOTYPE),
        member("model.bin", tarfile.CHRTYPE),
    ],
    ids=lambda entry: f"{entry.name}-{entry.type.decode()}",
)
def test_an_archive_writes_nothing_but_plain_files_into_its_own_folder(
    shelf: Shelf, store: Store, entry: tarfile.TarInfo, tmp_path: Path
) -> None:
    spec = shelf.put(packed(lambda tar: tar.addfile(entry)))

    with pytest.raises(ModelError, match="is no plain file inside it"):
        find(spec, store)

    assert [*store.directory.iterdir()] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "shelf"]


def test_an_archive_that_unpacks_to_too_much_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    bomb = member("model.bin")
    bomb.size = 10_000_000
    spec = shelf.put(packed(lambda tar: tar.addfile(bomb, io.BytesIO(bytes(bomb.size)))))
    store = Store(directory=tmp_path / "cache", max_bytes=1_000_000)

    with pytest.raises(ModelError, match="unpacks to more than a model has"):
        find(spec, store)

    assert [*store.directory.iterdir()] == []


@pytest.mark.parametrize("archive", [b"", b"no archive", demo()[:100_000]])
def test_what_is_no_whole_archive_is_told_by_its_url(
    shelf: Shelf, store: Store, archive: bytes
) -> None:
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:\d+/my-model\.tar\.gz: ."):
        find(shelf.put(archive), store)

    assert [*store.directory.iterdir()] == []


def test_a_url_that_is_not_there_is_told(shelf: Shelf, store: Store) -> None:
    spec = shelf.put(demo()).replace("my-model", "another")

    with pytest.raises(ModelError, match=r"another\.tar\.gz: HTTP Error 404"):
        find(spec, store)


@pytest.mark.parametrize(
    "spec",
    [
        "https://host/model.tar.gz",
        "https://host/model.tar.gz#sha256=12",
        "https://host/model.tar.gz#md5=" + "0" * 32,
        "https://host/model.zip#sha256=" + "0" * 64,
    ],
)
def test_a_url_needs_a_checksum_and_an_archive(store: Store, spec: str) -> None:
    with pytest.raises(ModelError, match=r"is not of the form URL\.tar\.gz#sha256="):
        find(spec, store)


# From the hub.


def test_offline_the_hub_is_not_even_knocked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.0)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

        found = find("fast=small", Store(directory=tmp_path))

        with pytest.raises(BlockingIOError):
            listening.accept()

    assert found == ("decibus-demo", DEMO)


# From a directory.


COPIED: Final = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")


def test_sums_beside_the_files_are_checked(tmp_path: Path) -> None:
    for name in COPIED:
        shutil.copy(DEMO / name, tmp_path)
    sums = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in COPIED}
    lines = [f"{digest}  {name}" for name, digest in sums.items()]
    (tmp_path / files.SUMS).write_text("\n".join(lines) + "\n")
    files.check(tmp_path)

    weights = bytearray((tmp_path / "model.bin").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.bin").write_bytes(weights)

    with pytest.raises(ModelError, match=r"model\.bin: its SHA-256 is"):
        files.check(tmp_path)


@pytest.mark.parametrize("line", ["", "0" * 64, f"{'0' * 64}  ../model.bin", "00  model.bin"])
def test_sums_that_are_none_are_told(tmp_path: Path, line: str) -> None:
    for name in COPIED:
        shutil.copy(DEMO / name, tmp_path)
    (tmp_path / files.SUMS).write_text(line + "\n")

    with pytest.raises(ModelError, match="is no checksum of a file beside it"):
        files.check(tmp_path)


# How much of the machine it takes.


def test_what_is_not_told_fits_the_machine() -> None:
    on_cpu = fitted(Settings(), device="cpu", cpus=4)
    on_gpu = fitted(Settings(), device="cuda", cpus=4)
    one_by_one = fitted(Settings(slots=1), device="cpu", cpus=4)
    as_told = fitted(Settings(slots=3, workers=2, batch_max=5), device="cuda", cpus=4)

    assert (on_cpu.slots, on_cpu.workers, on_cpu.batch_max) == (5, 4, 1)
    assert (one_by_one.slots, one_by_one.workers) == (1, 1)
    assert (on_gpu.slots, on_gpu.workers, on_gpu.batch_max) == (8, 1, 8)
    assert (as_told.slots, as_told.workers, as_told.batch_max) == (3, 2, 5)
