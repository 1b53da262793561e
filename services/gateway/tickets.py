"""
Conversions that are announced first, sent then, and started last: one row each, for a day.

    created ──put, append──▶ created ──begin──▶ starting ──start──▶ started
                               ▲                   │ └─ after a minute: somebody else's to begin
                               └──────release──────┘

How far a started one is stands in the record of its job. The moves are pure: they take a ticket
and return the next one, or raise; `Tickets` applies them with compare-and-set.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from decibus.blobs import Blob
from decibus.broker import Broker, Conflict
from decibus.errors import BadRequest, NotFound, OutOfTurn, WrongOffset
from decibus.messages import Fault, TranscodeOptions, read
from decibus.topology import TICKETS
from services.gateway.uploads import Upload

STARTING: Final = timedelta(minutes=1)
"""How long a start may take before another one takes over: it joins parts and queues a task."""

_ID: Final = re.compile(r"[0-9a-f]{32}")


class Starter(msgspec.Struct, frozen=True):
    """Who is at it, and until when nobody else may be."""

    name: str
    until: datetime


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended: the job's record goes before the ticket does. Without `fault`, well."""

    machine_id: str | None
    fault: Fault | None = None


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """
    A conversion, from its announcement on.

    `parts` are the objects of the store `audio` that hold the source, in order; `length` is how
    many bytes it will have, where that is known. `is_cut`: the sender went away in the middle of
    the last one. `upload` is there when it was started.
    """

    id: str
    sender: str
    created_at: datetime
    options: TranscodeOptions
    parts: tuple[Blob, ...] = ()
    length: int | None = None
    filename: str | None = None
    is_cut: bool = False
    starter: Starter | None = None
    upload: Upload | None = None
    ending: Ending | None = None

    @property
    def key(self) -> str:
        """Where its row is."""
        return key_of(self.sender, self.id)

    @property
    def offset(self) -> int:
        """How many bytes of the source have come."""
        return sum(part.size for part in self.parts)

    @property
    def is_complete(self) -> bool:
        """Whether all of the source has come."""
        return bool(self.parts) and not self.is_cut and self.length in {None, self.offset}

    def is_starting(self, now: datetime) -> bool:
        """Whether somebody is about to start it."""
        return self.upload is None and self.starter is not None and now < self.starter.until


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What one request has brought; `length` is that of all, where the sender has told it."""

    part: Blob
    length: int | None
    is_cut: bool
    filename: str | None = None


Move = Callable[[Ticket], Ticket]


def open_ticket(sender: str, options: TranscodeOptions, *, now: datetime) -> Ticket:
    """Return a new ticket; ids grow with the time."""
    # No clock of another gateway needs to agree: the list is in this order, and nothing else is.
    ident = f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(10)}"
    return Ticket(id=ident, sender=sender, created_at=now, options=options)


def put(ticket: Ticket, arrived: Arrived, *, now: datetime) -> Ticket:
    """Take a source in place of what had come before."""
    refuse_started(ticket, now)
    return _checked(
        replace(
            ticket,
            parts=(arrived.part,) if arrived.part.size else (),
            length=arrived.length,
            is_cut=arrived.is_cut,
            filename=arrived.filename or ticket.filename,
        )
    )


def append(ticket: Ticket, arrived: Arrived, *, after: tuple[Blob, ...], now: datetime) -> Ticket:
    """Take more of a source that had come as far as `after`."""
    refuse_started(ticket, now)
    if ticket.parts != after:
        raise WrongOffset(f"the upload goes on at {ticket.offset}", offset=ticket.offset)
    if arrived.length is not None and ticket.length not in {None, arrived.length}:
        raise BadRequest(f"the upload has {ticket.length} bytes, and not {arrived.length}")
    return _checked(
        replace(
            ticket,
            parts=(*after, arrived.part) if arrived.part.size else after,
            length=ticket.length if arrived.length is None else arrived.length,
            is_cut=arrived.is_cut,
        )
    )


def forget(ticket: Ticket, *, parts: tuple[Blob, ...]) -> Ticket:
    """Begin at nothing again, where the source is still the one that has gone."""
    is_idle = ticket.upload is None and ticket.starter is None and ticket.parts == parts
    return replace(ticket, parts=(), is_cut=False) if is_idle else ticket


def begin(ticket: Ticket, *, name: str, now: datetime) -> Ticket:
    """Claim the start; a ticket that is started, or claimed by another, comes back as it is."""
    if ticket.upload is not None or ticket.is_starting(now):
        return ticket
    if not ticket.is_complete:
        of = "" if ticket.length is None else f" of {ticket.length}"
        raise OutOfTurn(f"the source has to come first: {ticket.offset}{of} bytes are here")
    return replace(ticket, starter=Starter(name, now + STARTING))


def join(ticket: Ticket, whole: Blob, *, name: str) -> Ticket:
    """Take one object for all parts."""
    return replace(_held(ticket, name), parts=(whole,))


def start(ticket: Ticket, upload: Upload, *, name: str) -> Ticket:
    """Record what it has become; its source is the job's from here on."""
    if ticket.upload is not None:  # whoever took over has led it to the same job
        return ticket
    return replace(_held(ticket, name), upload=replace(upload, token=""), starter=None)


def release(ticket: Ticket, *, name: str) -> Ticket:
    """Give up a start that has failed."""
    is_ours = ticket.starter is not None and ticket.starter.name == name
    return replace(ticket, starter=None) if is_ours else ticket


def end(ticket: Ticket, ending: Ending) -> Ticket:
    """Remember how it ended."""
    return ticket if ticket.ending is not None else replace(ticket, ending=ending)


def refuse_started(ticket: Ticket, now: datetime) -> None:
    """Raise `OutOfTurn` when its source is on its way to a worker."""
    if ticket.upload is not None or ticket.is_starting(now):
        raise OutOfTurn("it is started already: its source cannot change any more")


def _checked(ticket: Ticket) -> Ticket:
    if ticket.length is not None and ticket.offset > ticket.length:
        raise BadRequest(f"these are {ticket.offset} bytes of an upload of {ticket.length}")
    return ticket


def _held(ticket: Ticket, name: str) -> Ticket:
    if ticket.starter is None or ticket.starter.name != name:
        raise OutOfTurn("another start has taken over")
    return ticket


class Tickets:
    """The rows. A sender sees only its own."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def add(self, ticket: Ticket) -> None:
        """Keep a new ticket."""
        value = msgspec.json.encode(ticket)
        await self._broker.write(TICKETS, ticket.key, value, revision=0)

    async def find(self, sender: str, ident: str) -> Ticket:
        """Return a ticket; unknown, expired and foreign ones look alike."""
        if not _ID.fullmatch(ident):  # it becomes a part of a subject
            raise _unknown()
        return await self._find(key_of(sender, ident))

    async def _find(self, key: str) -> Ticket:
        record = await self._broker.read(TICKETS, key)
        if record is None:
            raise _unknown()
        return read(record.value, Ticket)

    async def locate(self, ident: str) -> Ticket:
        """Return a ticket of whomever, for one whose link says that it may."""
        keys = await self._broker.keys(TICKETS, f"*.{ident}") if _ID.fullmatch(ident) else []
        if not keys:
            raise _unknown()
        return await self._find(keys[0])

    async def idents(self, sender: str) -> list[str]:
        """Return the ids of a sender, the newest first."""
        keys = await self._broker.keys(TICKETS, key_of(sender, "*"))
        return [key.rpartition(".")[2] for key in reversed(keys)]

    async def move(self, key: str, move: Move) -> tuple[Ticket, Ticket]:
        """Apply a move to the ticket as it stands; returns it as it was, and as it is now."""
        while True:
            record = await self._broker.read(TICKETS, key)
            if record is None:
                raise _unknown()
            ticket = read(record.value, Ticket)
            moved = move(ticket)
            if moved is ticket:
                return ticket, ticket
            value = msgspec.json.encode(moved)
            try:
                await self._broker.write(TICKETS, key, value, revision=record.revision)
            except Conflict:
                continue
            return ticket, moved

    async def remove(self, key: str) -> None:
        """Forget a ticket."""
        await self._broker.erase(TICKETS, key)


def key_of(sender: str, ident: str) -> str:
    """Return where a row is."""
    return f"{hashlib.sha256(sender.encode()).hexdigest()[:32]}.{ident}"


def _unknown() -> NotFound:
    return NotFound("there is no such job, or no longer")
