"""
A multipart form, parsed as it streams in: files go straight to the intake, fields stay small.

Never the whole body in memory, never a temporary file. Options may come after the files, as
`curl -F file=@take.wav -F genre=pop` sends them, so files are received before they are submitted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

import msgspec
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from decibus.errors import BadRequest, TooLarge
from services.gateway.intake import Received

MAX_FILES: Final = 16
MAX_PARTS: Final = 64
MAX_FIELD_BYTES: Final = 4096


class Form(msgspec.Struct):
    """
    What came in: files are stored already, and have to be submitted or discarded.

    `parts` says under which name each file came. A field that comes again replaces the one before;
    when its name ends in `[]`, it adds to it, after a comma.
    """

    files: list[Received]
    fields: dict[str, str]
    parts: list[str] = []


Porter = Callable[[dict[str, str]], Awaitable[None]]
"""Sees the fields that came before the first file, and may raise before a byte of that is read."""


class Sink(Protocol):
    """Where files go while the form is read: the intake, or whoever only looks at them."""

    async def receive(self, body: AsyncIterator[bytes], filename: str | None) -> Received:
        """Take a file in."""
        ...

    async def discard(self, received: Received) -> None:
        """Forget a file that was taken in."""
        ...


async def read_form(
    body: AsyncIterator[bytes],
    content_type: str,
    intake: Sink,
    *,
    limit: int,
    porter: Porter | None = None,
) -> Form:
    """
    Read a `multipart/form-data` body to its end; on any error no file of it stays stored.

    `limit` is for all of it, whatever it is made of.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary")
    if kind != "multipart/form-data" or not boundary:
        raise BadRequest(
            "send multipart/form-data with a part named file, as `curl -F file=@…` does"
        )
    form = Form([], {})
    try:
        await _Reader(_bounded(body, limit), boundary, porter).read_into(form, intake)
    except BaseException as error:
        # Shielded: the sender may have gone away, and what it sent must go too.
        await asyncio.shield(_discard(form, intake))
        if isinstance(error, MultipartError):
            raise BadRequest(f"malformed multipart body: {error}") from error
        raise
    return form


async def _bounded(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the request is over {limit} bytes")
        yield chunk


class _Reader:
    """Turns the parser's push into the pull of an object store: one part after the other."""

    def __init__(
        self, body: AsyncIterator[bytes], boundary: str, porter: Porter | None = None
    ) -> None:
        self._body = body
        self._porter = porter
        self._parser = PushMultipartParser(boundary, max_segment_count=MAX_PARTS)
        self._events: list[MultipartSegment | bytearray | None] = []

    async def read_into(self, form: Form, intake: Sink) -> None:
        while (part := await self._next_part()) is not None:
            if part.filename is not None:
                await self._read_file(part, form, intake)
            else:
                await self._read_field(part, form)

    async def _read_file(self, part: MultipartSegment, form: Form, intake: Sink) -> None:
        if len(form.files) == MAX_FILES:
            raise BadRequest(f"at most {MAX_FILES} files in one request")
        if part.name not in {"file", "files", "inFile"}:
            raise BadRequest(f"there is no file part {part.name!r}; it is called file")
        if self._porter is not None and not form.files:
            await self._porter(form.fields)
        form.parts.append(part.name)
        form.files.append(await intake.receive(self._content(), clean_name(part.filename)))

    async def _read_field(self, part: MultipartSegment, form: Form) -> None:
        value = bytearray()
        async for piece in self._content():
            value += piece
            if len(value) > MAX_FIELD_BYTES:
                raise TooLarge(f"the field {part.name!r} is over {MAX_FIELD_BYTES} bytes")
        name = part.name or ""
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the field {name!r} is not UTF-8") from error
        is_one_more = name.endswith("[]") and name in form.fields
        form.fields[name] = f"{form.fields[name]},{text}" if is_one_more else text

    async def _next_part(self) -> MultipartSegment | None:
        while (event := await self._next_event()) is not None:
            if isinstance(event, MultipartSegment):
                return event
        return None

    async def _content(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next_event(), bytes | bytearray):
            yield bytes(event)

    async def _next_event(self) -> MultipartSegment | bytes | bytearray | None:
        """Return the next event; None ends a part, and the body."""
        while not self._events:
            if self._parser.closed:
                return None
            chunk = await anext(self._body, b"")
            self._events = list(self._parser.parse(chunk))[::-1]
            if not chunk and not self._events:
                return None
        return self._events.pop()


def clean_name(name: str | None) -> str | None:
    """
    Return the last part of a sender's path, at most 255 characters: for reading only.

    Without what cannot be read: control characters, which would steer a terminal, and those that
    turn the direction of what is around them.
    """
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    seen = "".join(filter(str.isprintable, last))[:255].strip()
    return seen if seen.strip(".") else None


async def _discard(form: Form, intake: Sink) -> None:
    for received in form.files:
        await intake.discard(received)
