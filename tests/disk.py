"""What a nats-server has in its files, of what should not be there any more."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
from nats.aio.msg import Msg

from decibus.broker import Broker


def count_on_disk(store: Path, needles: Iterable[bytes]) -> int:
    """Count pieces of files in all that lies under a folder."""
    found = 0
    for path in store.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):  # a block that was removed meanwhile
            content = path.read_bytes()
            found += sum(content.count(needle) for needle in needles)
    return found


@asynccontextmanager
async def keys_of_objects(broker: Broker) -> AsyncIterator[list[bytes]]:
    """Collect, while the block runs, what objects are encrypted with, as it is stored."""
    keys: list[bytes] = []

    async def on_seal(message: Msg) -> None:
        keys.append(msgspec.json.decode(message.data)["key"].encode())

    heard = await broker.connection.subscribe("seals.>", cb=on_seal)
    await broker.settle_subscriptions()
    yield keys
    await heard.unsubscribe()
