"""What a nats-server has in its files, of what should not be there any more."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def count_on_disk(store: Path, needles: Iterable[bytes]) -> int:
    """Count pieces of files in all that lies under a folder."""
    found = 0
    for path in store.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):  # a block that was removed meanwhile
            content = path.read_bytes()
            found += sum(content.count(needle) for needle in needles)
    return found
