"""
Whether a model's directory can be right, before anything of it is loaded.

CTranslate2 and faster-whisper would find it out in the first job, or never.
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

T = TypeVar("T")

MAX_WINDOW_S: Final = 30.0  # the positions a Whisper encoder has
SUMS: Final = "SHA256SUMS"
"""A file that may lie beside the others, as the `sha256sum` command writes it."""
_SUM: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class ModelError(Exception):
    """The model cannot be loaded; the message names what is wrong, and where."""


class Manifest(msgspec.Struct, frozen=True):
    """
    Our own notes in a model's directory; the well-known models have none.

    `window_s`: the longest stretch that it hears well. `short_context`: it was trained on less than
    30 s at a time, so that it may be given less.
    """

    name: str = ""
    window_s: Annotated[float, msgspec.Meta(ge=1.0, le=MAX_WINDOW_S)] = MAX_WINDOW_S
    short_context: bool = False


class _Config(msgspec.Struct, frozen=True):
    """What CTranslate2 reads with every window, and fails over if it is not there."""

    suppress_ids: list[int]
    suppress_ids_begin: list[int]
    lang_ids: list[int] = []


class _AddedToken(msgspec.Struct, frozen=True):
    id: int
    content: str


class _Bpe(msgspec.Struct, frozen=True):
    vocab: dict[str, int]


class _Tokenizer(msgspec.Struct, frozen=True):
    model: _Bpe
    added_tokens: list[_AddedToken] = []

    def ids(self) -> dict[str, int]:
        return self.model.vocab | {token.content: token.id for token in self.added_tokens}


_VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
_MULTILINGUAL: Final = ""  # the token by which CTranslate2 tells a multilingual model, since 4.7
_SAME_TOKEN: Final = {"<|nocaptions|>": "<|nospeech|>"}  # it was renamed after the first models


def manifest(directory: Path) -> Manifest:
    """Return the notes in a model's directory."""
    return _read(directory / "decibus.json", Manifest, default=Manifest())


def check(directory: Path) -> None:
    """Raise `ModelError` where a file is missing, is damaged or contradicts another."""
    if lacking := missing(directory):
        raise ModelError(f"{directory} lacks {', '.join(lacking)}")
    _check_sums(directory)
    config = _read(directory / "config.json", _Config)
    vocabulary = _vocabulary(directory)
    if _MULTILINGUAL in vocabulary and not config.lang_ids:
        raise ModelError(f"{directory}/config.json: lang_ids is empty, but the vocabulary is not")
    for token, number in _read(directory / "tokenizer.json", _Tokenizer).ids().items():
        there = vocabulary[number] if number < len(vocabulary) else None
        if there is None or _SAME_TOKEN.get(there, there) != _SAME_TOKEN.get(token, token):
            raise ModelError(
                f"{directory}: token {number} is {token!r} in tokenizer.json, "
                f"{there!r} in the vocabulary"
            )


def missing(directory: Path) -> list[str]:
    """Return which files a model needs and this directory does not have."""
    # Without tokenizer.json, faster-whisper would fetch another model's.
    needed = [("model.bin",), ("config.json",), ("tokenizer.json",), _VOCABULARIES]
    return [
        " or ".join(names)
        for names in needed
        if not any((directory / name).is_file() for name in names)
    ]


def _check_sums(directory: Path) -> None:
    if not (directory / SUMS).is_file():
        return
    for line in (directory / SUMS).read_text("utf-8").splitlines():
        match = _SUM.fullmatch(line)
        if match is None or Path(match[2]).name != match[2]:
            raise ModelError(f"{directory}/{SUMS}: {line!r} is no checksum of a file beside it")
        wanted, name = match.groups()
        try:
            with (directory / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"{directory}/{name}: {error.strerror}") from error
        if found != wanted:
            raise ModelError(f"{directory}/{name}: its SHA-256 is {found}, not {wanted}")


def _vocabulary(directory: Path) -> list[str]:
    as_json = directory / "vocabulary.json"
    if as_json.is_file():
        return _read(as_json, list[str])
    return (directory / "vocabulary.txt").read_text("utf-8").removesuffix("\n").split("\n")


def _read(path: Path, into: type[T], *, default: T | None = None) -> T:
    if default is not None and not path.exists():
        return default
    try:
        return msgspec.json.decode(path.read_bytes(), type=into)
    except msgspec.DecodeError as error:
        raise ModelError(f"{path}: {error}") from error
