"""
What stands in the library, as this gateway knows it: an index in memory, newest first.

    KV library ─▶ one Book a report ─▶ those of one owner, behind a cursor, that have every word

NATS is asked twice a second for what is new; an erasure leaves no trace there, so what is gone is
found by listing the keys again when the bucket's size has changed. An answer needs nothing but
memory, save for texts beyond `max_text_bytes`: those are read from their rows, a few a request.
"""

import asyncio
import base64
import unicodedata
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog

from decibus.broker import Broker, Stored
from decibus.errors import BadRequest, DecibusError, Unavailable
from decibus.topology import LIBRARY
from services.gateway.uploads import Uploads, Volume

log = structlog.get_logger()

MAX_BOOKS: Final = 50_000
"""Some 55 MB. Of more, the oldest stand in no list; their tokens lead to them all the same."""
MAX_TEXT_BYTES: Final = 64 << 20
MAX_READS: Final = 32
"""How many texts one request may have read from NATS; then its cursor says where to go on."""

_LOOK_EVERY_S: Final = 0.5
_FIRST_LOOK_S: Final = 2.0
_RECOUNT_EVERY_S: Final = 1.0
_RECOUNT_SHARE: Final = 20  # at most a twentieth of the time goes into listing keys
_BREATHE_EVERY: Final = 256  # books, between which others may use the event loop
_EXCERPT: Final = 160
_CURSOR_BYTES: Final = 8 + 32
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[int, str]
"""Microseconds since 1970, and the row: the order of the list, and what a cursor says."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    A line of the list; `id` leads to the report, `excerpt` is how its transcript begins.

    `audio_length` in seconds. What the upload did not ask for is null, or an empty excerpt.
    """

    id: str
    filename: str | None
    created_at: datetime
    audio_length: float | None
    integrated_lufs: float | None
    language: str | None
    excerpt: str


class Entries(msgspec.Struct, frozen=True):
    """The newest first; `next` is the cursor of the next page, null behind the last one."""

    data: tuple[Entry, ...]
    next: str | None


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a report; `name` is the file name as it is searched."""

    key: Key
    entry: Entry
    owner: str | None
    name: str


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is looked for: books that have every word in their name, or with `in_text` in their text.

    `owner` None is for everybody's; `after` is the last book that was looked at.
    """

    words: tuple[str, ...] = ()
    in_text: bool = False
    owner: str | None = None
    after: Key | None = None
    limit: int = 20


class _Level(msgspec.Struct, frozen=True):
    integrated_lufs: float | None = None


class _Told(msgspec.Struct, frozen=True):
    loudness: _Level | None = None


class Books:
    """The index itself. Bounded: beyond `max_books` the oldest go, beyond the bytes their texts."""

    def __init__(self, *, max_books: int = MAX_BOOKS, max_text_bytes: int = MAX_TEXT_BYTES) -> None:
        self._max_books = max_books
        self._max_text_bytes = max_text_bytes
        self._order: list[Key] = []
        self._books: dict[str, Book] = {}
        self._texts: dict[str, str] = {}
        self._text_bytes = 0

    def __len__(self) -> int:
        return len(self._books)

    def put(self, volume: Volume) -> None:
        """Take in a final report."""
        book = book_of(volume)
        row = volume.upload.row
        self.remove(row)
        insort(self._order, book.key)
        self._books[row] = book
        text = folded(volume.text or "")
        self._texts[row] = text
        self._text_bytes += _bytes(text)
        while len(self._books) > self._max_books:
            self.remove(self._order[0][1])
        while self._text_bytes > self._max_text_bytes:
            self._forget_text(next(iter(self._texts)))

    def remove(self, row: str) -> None:
        """Let go of a report; one that is not there is no error."""
        book = self._books.pop(row, None)
        if book is not None:
            self._order.pop(bisect_left(self._order, book.key))
            self._forget_text(row)

    def keep(self, rows: set[str]) -> None:
        """Let go of all but these."""
        for row in self._books.keys() - rows:
            self.remove(row)

    def behind(self, after: Key | None) -> Iterator[Book]:
        """Yield the books from the newest on, or those that follow; they may change meanwhile."""
        while (at := len(self._order) if after is None else bisect_left(self._order, after)) > 0:
            after = self._order[at - 1]
            yield self._books[after[1]]

    def text(self, row: str) -> str | None:
        """Return a text as it is searched; None when it is not in memory."""
        return self._texts.get(row)

    def _forget_text(self, row: str) -> None:
        text = self._texts.pop(row, None)
        self._text_bytes -= 0 if text is None else _bytes(text)


class Shelf:
    """The books of one gateway, kept up with NATS."""

    def __init__(self, broker: Broker, books: Books | None = None) -> None:
        self._broker = broker
        self._uploads = Uploads(broker)
        self._books = Books() if books is None else books
        self._seen = 0
        self._counted: tuple[int, int] | None = None
        self._count_again_at = 0.0
        self._known = asyncio.Event()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Keep up while the block runs."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            try:
                yield
            finally:
                while not watching.done():
                    watching.cancel()
                    # Again: Python 3.11's wait_for, under a request to NATS, can swallow a cancel.
                    await asyncio.wait({watching}, timeout=1)

    async def find(self, query: Query) -> Entries:
        """Return the entries that are looked for; a page that took long ends early."""
        try:
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self._known.wait()
        except TimeoutError:
            raise Unavailable("the library is still being read") from None
        found: list[Entry] = []
        last = query.after
        reads = looked = 0
        for book in self._books.behind(query.after):
            looked += 1
            if looked % _BREATHE_EVERY == 0:
                await asyncio.sleep(0)
            if query.owner not in {None, book.owner}:
                continue
            missing = [word for word in query.words if word not in book.name]
            if missing and query.in_text:
                text = self._books.text(book.entry.id)
                if text is None:
                    if reads == MAX_READS:
                        return Entries(tuple(found), written(last))
                    reads += 1
                    text = await self._read_text(book.entry.id)
                missing = [word for word in missing if word not in text]
            if not missing:
                if len(found) == query.limit:
                    return Entries(tuple(found), written(last))
                found.append(book.entry)
            last = book.key
        return Entries(tuple(found), None)

    def remove(self, row: str) -> None:
        """Let go of a report that was deleted here, before the next look finds out."""
        self._books.remove(row)

    async def look(self) -> None:
        """Read what has changed since the last look."""
        pattern = LIBRARY.subject("*")
        async for stored in self._broker.walk(LIBRARY.stream, pattern, after=self._seen):
            self._learn(stored)
            self._seen = stored.sequence
        await self._recount()
        self._known.set()

    def _learn(self, stored: Stored) -> None:
        try:
            volume = msgspec.json.decode(stored.body, type=Volume)
            if volume.is_final:
                self._books.put(volume)
        except msgspec.DecodeError as error:
            log.warning("volume_unreadable", reason=str(error))

    async def _recount(self) -> None:
        """Let go of what was erased; listing the keys takes a while where there are many."""
        now = asyncio.get_running_loop().time
        start = now()
        if start < self._count_again_at:
            return
        size, _ = await self._broker.stream_bytes(LIBRARY.stream)
        if (size, self._seen) == self._counted:
            return
        self._books.keep(set(await self._broker.keys(LIBRARY, "*")))
        self._counted = (size, self._seen)
        self._count_again_at = now() + max(_RECOUNT_EVERY_S, _RECOUNT_SHARE * (now() - start))

    async def _read_text(self, row: str) -> str:
        volume = await self._uploads.volume(row)
        return folded(volume.text or "") if volume else ""

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except DecibusError as error:  # what was known is listed until it is back
                log.debug("library_not_read", reason=str(error))
            except Exception as error:
                # An edge: the gateway answers on, whatever is wrong with a row.
                log.exception("library_not_read", exc_info=error)
            await asyncio.sleep(_LOOK_EVERY_S)


def book_of(volume: Volume) -> Book:
    """Return what is known of a final report."""
    upload = volume.upload
    level = msgspec.json.decode(volume.report, type=_Told).loudness
    text = " ".join((volume.text or "").split())
    return Book(
        key=((upload.created_at - _EPOCH) // timedelta(microseconds=1), upload.row),
        entry=Entry(
            id=upload.row,
            filename=upload.filename,
            created_at=upload.created_at,
            audio_length=volume.duration_s,
            integrated_lufs=level.integrated_lufs if level else None,
            language=volume.language,
            excerpt=text if len(text) <= _EXCERPT else f"{text[:_EXCERPT].rstrip()}…",
        ),
        owner=upload.owner,
        name=folded(upload.filename or ""),
    )


def folded(text: str) -> str:
    """Return a text in which case, and how an accent is written, make no difference."""
    return unicodedata.normalize("NFKC", text).casefold()


def written(key: Key | None) -> str | None:
    """Return a cursor: where to go on behind a book."""
    if key is None:
        return None
    at, row = key
    return base64.urlsafe_b64encode(at.to_bytes(8) + bytes.fromhex(row)).decode().rstrip("=")


def read_cursor(text: str) -> Key:
    """Read a cursor; raises `BadRequest` for what is none."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _CURSOR_BYTES:
        raise BadRequest(f"cursor: one that a page has named as its next, not {text[:32]!r}")
    return int.from_bytes(raw[:8]), raw[8:].hex()


def _bytes(text: str) -> int:
    return len(text) * (1 if text.isascii() else 2)
