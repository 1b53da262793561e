"""The command line as its users run it, in this process: the kernels are then loaded once."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.__main__ import main
from tests.signals import encode, music, sine

Run = Callable[..., "Printed"]


class Printed(msgspec.Struct, frozen=True):
    """What a command has left: its exit code, and what it has printed."""

    code: int
    out: str
    err: str

    @property
    def reports(self) -> list[Any]:
        """The reports, where it was asked for JSON."""
        return list(msgspec.json.decode(self.out)["reports"])


@pytest.fixture
def decibus(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `decibus ARGUMENTS...`."""

    def run(*arguments: object) -> Printed:
        monkeypatch.setattr(sys, "argv", ["decibus", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "120")
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return Printed(end.value.code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory as people have them: audio, also further down, and other things."""
    folder = tmp_path_factory.mktemp("takes")
    (folder / "live").mkdir()
    (folder / ".trash").mkdir()
    (folder / "song.wav").write_bytes(encode(music(3.0), 48_000, "wav16"))
    (folder / "live" / "tone.FLAC").write_bytes(encode(sine(3.0, -23.0), 48_000, "flac"))
    (folder / "live" / "bass.mp3").write_bytes(encode(sine(3.0, -9.0, hz=100.0), 44_100, "mp3"))
    (folder / ".trash" / "old.wav").write_bytes(b"deleted")
    (folder / "notes.txt").write_text("Not audio, and not looked at in a directory. " * 20)
    return folder
