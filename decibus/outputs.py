"""
Files that workers make: from a step's thread into the object store `outputs`, and out of it again.

A file has a name of its own in each attempt: one that has lost its job overwrites nobody's.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from typing import BinaryIO, Final, NamedTuple

from msgspec.structs import replace

from decibus.blobs import Blobs
from decibus.broker import Broker
from decibus.messages import Conversion, Result
from decibus.topology import OUTPUT_PREFIX, OUTPUTS

_READ_BYTES: Final = 512 * 1024


class Made(NamedTuple):
    """A result and the file that belongs to it; whoever stores it closes it."""

    result: Conversion
    file: BinaryIO


class Outputs:
    """The store of what was made."""

    def __init__(self, broker: Broker) -> None:
        self._blobs = Blobs(broker.connection, OUTPUTS.name)

    async def store(self, made: Made) -> Conversion:
        """Store the file; returns the result, which knows it then."""
        with made.file:
            name = f"{OUTPUT_PREFIX}{secrets.token_hex(16)}"
            pieces = _pieces(made.file)
            blob = await self._blobs.put(name, pieces, limit=OUTPUTS.max_bytes)
        return replace(
            made.result,
            output=blob.name,
            bytes=blob.size,
            sha256=blob.sha256,
            machine_id=socket.gethostname(),
        )

    async def holds(self, result: Conversion) -> bool:
        """Whether the file is there, and whole."""
        return await self._blobs.is_whole(result.output)

    def read(self, result: Conversion) -> AsyncGenerator[bytes, None]:
        """Yield the file piece by piece, as `Blobs.stream` does."""
        return self._blobs.stream(result.output)

    async def erase(self, result: Result | None) -> None:
        """Erase the file of a result, where it has one."""
        if isinstance(result, Conversion) and result.output:
            await self._blobs.delete(result.output)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := await asyncio.to_thread(file.read, _READ_BYTES):
        yield piece
