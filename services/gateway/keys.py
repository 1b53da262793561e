"""
API keys: who may ask for work.

    alice:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08    # its SHA-256

`python -m services.gateway.keys new alice` makes a key: shown once, kept as its hash. A plain
SHA-256 is enough: a key is 256 random bits, which nobody guesses at any speed. A slow hash protects
what people choose, and here would only give each stranger's request a price that we pay.

Two lines may bear one name, so that a key is replaced without a gap: add, hand over, remove.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import structlog

from decibus.errors import Unauthorized
from decibus.settings import SettingsError

log = structlog.get_logger()

POLL_S: Final = 1.0
_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<digest>[0-9a-f]{64})")
_PREFIX: Final = "decibus_"  # so that a scanner for leaked secrets knows what it has found

Keys = tuple[tuple[str, bytes], ...]
"""Names and digests, in the order of the file."""


class BadKeys(ValueError):
    """Some line is no key; the message says which, and nothing that stands in it."""


def read_keys(lines: Iterable[str]) -> Keys:
    """Read lines of `name:sha256hex`; blank ones and what follows a `#` are not looked at."""
    keys = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise BadKeys(f"entry {number} is not name:sha256, 64 digits in lower-case hex")
        keys.append((match["name"], bytes.fromhex(match["digest"])))
    return tuple(keys)


def owner(keys: Keys, key: str) -> str | None:
    """Return the name of a key; every digest is compared, so that no answer is faster."""
    given = digest(key)
    found = None
    for name, known in keys:
        if hmac.compare_digest(given, known):
            found = name
    return found


def digest(key: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def shown(headers: Mapping[str, str]) -> str | None:
    """Return the key that a request shows; header names are in lower case."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key") or headers.get("api-key") or None


class Keyring:
    """The keys in force. None at all: everybody may ask."""

    def __init__(self, fixed: Keys = (), file: Path | None = None) -> None:
        self._fixed = fixed
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._of_file: Keys = ()

    @classmethod
    def load(cls, *, api_keys: str, api_keys_file: str) -> Self:
        """
        Read the keys at start; raises `SettingsError`.

        A file that is named but cannot be used must not leave the door open.
        """
        try:
            fixed = read_keys(api_keys.split(","))  # empty, it has no entry either
        except BadKeys as error:
            raise SettingsError(f"API_KEYS: {error}") from error
        ring = cls(fixed, Path(api_keys_file) if api_keys_file else None)
        try:
            ring.look()
        except (OSError, ValueError) as error:
            raise SettingsError(f"API_KEYS_FILE: {_why(error)}") from error
        return ring

    @property
    def is_open(self) -> bool:
        """Whether no key is asked for."""
        return not (self._fixed or self._of_file)

    def name_of(self, key: str | None) -> str | None:
        """Return whose key it is, None where none is asked for; else raise `Unauthorized`."""
        if self.is_open:
            return None
        if key is None:
            raise Unauthorized("send `Authorization: Bearer <key>`, or the key as `X-API-Key`")
        name = self.find(key)
        if name is None:
            raise Unauthorized("the key is not known here, or no longer")
        return name

    def find(self, key: str | None) -> str | None:
        """Return whose key it is, None where it is nobody's."""
        return owner(self._fixed + self._of_file, key) if key else None

    def look(self) -> bool:
        """Read the file when it has changed, and tell whether it had. Blocks: not on the loop."""
        if self._file is None:
            return False
        found = self._file.stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        keys = read_keys(self._file.read_text(encoding="utf-8").splitlines())
        if not keys:
            # Half-written, or emptied by mistake: that must not open the door to everybody.
            raise BadKeys("there is no key in it")
        self._of_file = keys
        return True

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Follow the file while the block runs; one that cannot be used leaves the old keys."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            yield
            watching.cancel()

    async def _watch(self) -> None:
        is_broken = False
        while self._file is not None:
            await asyncio.sleep(POLL_S)
            try:
                if await asyncio.to_thread(self.look):
                    is_broken = False
                    log.info("keys_reloaded", keys=len(self._of_file))
            except (OSError, ValueError) as error:  # ValueError: not UTF-8, or BadKeys
                if not is_broken:
                    log.warning("keys_kept", reason=_why(error))
                is_broken = True
                self._stamp = None  # look again: it may be half-way through being written


def _why(error: Exception) -> str:
    """Say what is wrong with the file, and nothing that stands in it."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) if isinstance(error, BadKeys) else "it is not text in UTF-8"


def main(arguments: list[str]) -> int:
    """Make a key: `new NAME`."""
    match arguments:
        case ["new", name] if _LINE.fullmatch(f"{name}:{'0' * 64}"):
            key = _PREFIX + secrets.token_urlsafe(32)
            sys.stdout.write(
                f"the key, shown this once:   {key}\n"
                f"the line for API_KEYS_FILE: {name}:{digest(key).hex()}\n"
            )
            return 0
        case _:
            sys.stderr.write(f"usage: python -m {__spec__.name} new NAME  # letters, digits, _.-\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
