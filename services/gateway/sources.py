"""
The source of a ticket, as it is sent by its link: at once, or in parts after it had broken off.

    PUT     all of it; what came before a break stays     HEAD   how far it has come
    PATCH   more of it, from there                        GET    what has come

Each request becomes one object of the store. A start makes one of several.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

from litestar.exceptions import InternalServerException
from multipart import parse_options_header

from decibus.blobs import Blob, Blobs
from decibus.broker import Broker
from decibus.errors import BadRequest, TooLarge, TooSlow, Unavailable, WrongOffset, WrongType
from decibus.telemetry import UPLOAD_BYTES
from decibus.topology import AUDIO, SOURCE_PREFIX
from services.gateway import tickets as moves
from services.gateway.form import clean_name
from services.gateway.reception import AnyRequest
from services.gateway.tickets import Arrived, Ticket, Tickets

PATCHED: Final = "application/offset+octet-stream"
_MAX_DIGITS: Final = 15


class Sources:
    """Takes sources in, and keeps them until they are a job's."""

    def __init__(self, broker: Broker, tickets: Tickets) -> None:
        self._broker = broker
        self._tickets = tickets
        self._blobs = Blobs(broker.connection, AUDIO.name)

    async def put(self, request: AnyRequest, ticket: Ticket, *, limit: int) -> Ticket:
        """Take in all of it, in place of what had come before."""
        moves.refuse_started(ticket, datetime.now(UTC))
        length = _length(request)
        name = request.headers.get("content-disposition", "")
        coming = _Incoming(request)
        part = await self._store(coming, limit=limit, announced=length)
        arrived = Arrived(
            part=part,
            length=length,
            is_cut=coming.is_cut,
            filename=clean_name(parse_options_header(name)[1].get("filename")),
        )
        taken = partial(moves.put, arrived=arrived, now=datetime.now(UTC))
        before, after = await self._move(ticket, taken, part)
        await self.discard(before.parts)
        return after

    async def append(self, request: AnyRequest, ticket: Ticket, *, limit: int) -> Ticket:
        """Take in more of it, from where it had come to."""
        content_type = parse_options_header(request.headers.get("content-type", ""))[0]
        if content_type != PATCHED:
            raise WrongType(f"a PATCH is {PATCHED}")
        offset = _number(request, "upload-offset")
        if offset is None:
            raise BadRequest("Upload-Offset: where these bytes go on")
        ticket = await self.current(ticket)
        moves.refuse_started(ticket, datetime.now(UTC))
        if offset != ticket.offset:
            raise WrongOffset(f"the upload goes on at {ticket.offset}", offset=ticket.offset)
        coming = _Incoming(request)
        left = limit - ticket.offset
        part = await self._store(coming, limit=left, announced=_number(request, "content-length"))
        told = _number(request, "upload-length")
        arrived = Arrived(part=part, length=told, is_cut=coming.is_cut)
        taken = partial(moves.append, arrived=arrived, after=ticket.parts, now=datetime.now(UTC))
        return (await self._move(ticket, taken, part))[1]

    async def current(self, ticket: Ticket) -> Ticket:
        """Return the ticket as its source stands: what the store let go of has to come anew."""
        may_be_old = datetime.now(UTC) - ticket.created_at > AUDIO.ttl
        if ticket.upload is not None or not ticket.parts or not may_be_old:
            return ticket
        if all([await self._blobs.is_whole(part.name) for part in ticket.parts]):
            return ticket
        before, after = await self._tickets.move(
            ticket.key, partial(moves.forget, parts=ticket.parts)
        )
        if after is not before:
            await self.discard(before.parts)
        return after

    async def whole(self, ticket: Ticket, *, name: str) -> Ticket:
        """Have the source in one object; whoever is about to start it may do that."""
        if len(ticket.parts) == 1:
            return ticket
        async with aclosing(self.read(ticket)) as pieces:
            whole = await self._blobs.put(_fresh_name(), pieces, limit=ticket.offset)
        joined = partial(moves.join, whole=whole, name=name)
        before, after = await self._move(ticket, joined, whole)
        await self.discard(before.parts)
        return after

    async def read(self, ticket: Ticket) -> AsyncGenerator[bytes, None]:
        """Yield what has come."""
        for part in ticket.parts:
            async with aclosing(self._blobs.stream(part.name)) as pieces:
                async for piece in pieces:
                    yield piece

    async def erase(self, parts: Iterable[Blob]) -> None:
        """Erase what has come; a ticket that names it goes after it."""
        for part in parts:
            await self._blobs.delete(part.name)

    async def discard(self, parts: Iterable[Blob]) -> None:
        """Erase what no ticket names any more."""
        for part in parts:
            with suppress(Unavailable):  # then the store's own max_age does it
                await self._blobs.delete(part.name)

    async def _store(self, coming: "_Incoming", *, limit: int, announced: int | None) -> Blob:
        if announced is not None and announced > limit:
            raise TooLarge(f"the source would have more than {limit} bytes left for it")
        if not self._broker.is_connected:
            raise Unavailable("NATS is away")
        blob = await self._blobs.put(_fresh_name(), coming.pieces(), limit=limit)
        UPLOAD_BYTES.inc(blob.size)
        return blob

    async def _move(
        self, ticket: Ticket, move: "moves.Move", stored: Blob
    ) -> tuple[Ticket, Ticket]:
        """Apply a move that takes in an object, or erase that again."""
        try:
            before, after = await self._tickets.move(ticket.key, move)
        except BaseException:
            await asyncio.shield(self.discard([stored]))
            raise
        if not stored.size:
            await self.discard([stored])
        return before, after


class _Incoming:
    """A body of which what has come counts, also when its sender goes away or dawdles."""

    def __init__(self, request: AnyRequest) -> None:
        self.is_cut = False
        self._request = request

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._request.stream():
                yield piece
        except (TooSlow, InternalServerException):  # that is Litestar's for: gone
            self.is_cut = True


def _length(request: AnyRequest) -> int | None:
    """Return how long the whole source is, where the sender says that."""
    told = _number(request, "upload-length")
    return _number(request, "content-length") if told is None else told


def _number(request: AnyRequest, header: str) -> int | None:
    text = request.headers.get(header)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise BadRequest(f"{header}: a number of bytes")
    return int(text)


def _fresh_name() -> str:
    return f"{SOURCE_PREFIX}{secrets.token_hex(16)}"
