"""Which files are meant: those that are named, and the audio in the directories that are."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

AUDIO: Final = frozenset(
    f".{suffix}"
    for suffix in (
        *("aac", "ac3", "aif", "aifc", "aiff", "ape", "asf", "au", "caf", "eac3", "flac", "m4a"),
        *("m4b", "mka", "mkv", "mov", "mp3", "mp4", "oga", "ogg", "opus", "snd", "tta", "w64"),
        *("wav", "webm", "wma", "wv"),
    )
)
"""Suffixes that are looked for in directories; a file that is named may be called as it likes."""


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """Return each file once, those of a directory in the order of their names, hidden ones not."""
    found: dict[Path, None] = {}
    for path in paths:
        within = sorted(path.rglob("*")) if path.is_dir() else [path]
        found |= dict.fromkeys(
            file for file in within if file == path or _is_audio(file.relative_to(path), file)
        )
    return list(found)


def _is_audio(name: Path, file: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in name.parts)
    return not is_hidden and name.suffix.lower() in AUDIO and file.is_file()
