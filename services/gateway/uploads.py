"""
What was uploaded and asked for: one row a token, until it expires or is deleted.

A report is a pointer: the row names the jobs that answer it, the results stay in their records. A
second row, `by.<job key>.<row key>`, tells which reports share a job. What is kept for good has
its rows in the bucket `library`; there the report itself joins them as soon as it is final.
"""

import asyncio
import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from decibus.broker import Broker
from decibus.errors import NotFound, Unreadable
from decibus.messages import TaskName, read
from decibus.topology import HOOKS, LIBRARY, REPORTS, Bucket

UNWRITTEN: Final = msgspec.Raw(b"null")
"""Where a report will stand."""


class Door(StrEnum):
    """By which door an upload came in; nothing but its point tells it."""

    HTTP = "http"
    NATS = "nats"
    OPENAI = "openai"
    JOB = "job"


class Retention(StrEnum):
    """
    How long a report stays.

    `ttl`: 15 minutes. `once`: until its first complete delivery in a final state, by `GET /result`
    or as the answer to the upload itself, and at most 15 minutes; when the upload has a
    `callback_url`, that delivery is the webhook's, and reading counts for nothing. A delivery is
    complete when its last byte was handed to the connection. Of a conversion it is the file that
    is delivered, and reports count for nothing. `library`: until it is deleted.
    """

    TTL = "ttl"
    ONCE = "once"
    LIBRARY = "library"


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """
    One file as it came in by one door. `received_s`: how long its bytes took to arrive.

    `row` is the name of its row, the hash of the token; `expires_at` is None for what is kept.
    `owner` stands for the key that was shown, as `guards.owner_of` has it; None: for no key.
    """

    token: str
    keys: dict[TaskName, str]
    sha256: str
    size: int
    filename: str | None
    genre: str | None
    target: str | None
    created_at: datetime
    expires_at: datetime | None
    received_s: float
    row: str = ""
    retention: Retention = Retention.TTL
    callback_url: str | None = None
    door: Door = Door.HTTP
    owner: str | None = None

    @property
    def is_spent_by_reading(self) -> bool:
        """Whether its final report may be read once."""
        is_once = self.retention is Retention.ONCE and self.callback_url is None
        return is_once and TaskName.TRANSCODE not in self.keys

    @property
    def is_spent_by_download(self) -> bool:
        """Whether the file that was made of it may be downloaded once."""
        return self.retention is Retention.ONCE and TaskName.TRANSCODE in self.keys

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """
    A row of the library: the upload and, once it is final, its report (without the token).

    With what a list of the library shows: file name and time of creation stand in the upload.
    """

    upload: Upload
    text: str | None = None
    language: str | None = None
    duration_s: float | None = None
    report: msgspec.Raw = UNWRITTEN

    @property
    def is_final(self) -> bool:
        """Whether the report is there."""
        return self.report != UNWRITTEN


class Uploads:
    """The rows, by token. The token itself is not stored, only its hash."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def add(self, upload: Upload) -> None:
        """Remember an upload."""
        bare = msgspec.structs.replace(upload, token="")
        kept = upload.retention is Retention.LIBRARY
        value = msgspec.json.encode(Volume(upload=bare) if kept else bare)
        rows = {upload.row: value} | dict.fromkeys(shares_of(upload), b"")
        written = await asyncio.gather(
            *(
                self._broker.write(_bucket(upload), key, value, revision=0)
                for key, value in rows.items()
            ),
            return_exceptions=True,  # all have ended before the caller undoes a failure
        )
        for error in written:
            if isinstance(error, BaseException):
                raise error

    async def find(self, token: str, *, now: datetime) -> Upload:
        """Return the upload; unknown, expired and deleted tokens look alike."""
        row = row_of(token)
        record = await self._broker.read(REPORTS, row)
        if record is not None:
            upload = read(record.value, Upload)
            if not upload.has_expired(now):
                return msgspec.structs.replace(upload, token=token)
        # Also of one that has expired, so that the answer takes as long as to an unknown token.
        if (volume := await self.volume(row)) is not None:
            return msgspec.structs.replace(volume.upload, token=token)
        raise NotFound("no report has this token, or it has expired or been deleted")

    async def volume(self, row: str) -> Volume | None:
        """Return a row of the library."""
        record = await self._broker.read(LIBRARY, row)
        return None if record is None else read(record.value, Volume)

    async def shelve(self, volume: Volume) -> None:
        """Put the final report into a row of the library; the jobs are needed no longer."""
        row = volume.upload.row
        record = await self._broker.read(LIBRARY, row)
        if record is None:
            return  # deleted
        value = msgspec.json.encode(volume)
        await self._broker.write(LIBRARY, row, value, revision=record.revision)
        await self._erase(LIBRARY, shares_of(volume.upload))

    async def remove(self, upload: Upload) -> None:
        """Forget an upload; its token leads nowhere from now on."""
        await self._erase(_bucket(upload), [upload.row, *shares_of(upload)])

    async def unshare(self, upload: Upload) -> None:
        """Claim no job any longer; the token still leads to the upload."""
        await self._erase(_bucket(upload), shares_of(upload))

    async def share(self, key: str) -> bool:
        """Return whether any report still waits for, or shows, this job, or is to be posted."""
        for bucket in (REPORTS, LIBRARY, HOOKS):
            if await self._broker.count(bucket, f"by.{key}.*"):
                return True
        return False

    async def first_expired(self, now: datetime) -> Upload | None:
        """
        Return an upload whose time is over.

        Rows expire in the order in which they were written, so the oldest one tells. One that
        cannot be read is erased here: it would hide those behind it.
        """
        while (found := await self._broker.oldest(REPORTS, "*")) is not None:
            try:
                upload = read(found.value, Upload)
            except Unreadable:
                await self._broker.erase(REPORTS, found.key)
                continue
            return upload if upload.has_expired(now) else None
        return None

    async def _erase(self, bucket: Bucket, rows: list[str]) -> None:
        await asyncio.gather(*(self._broker.erase(bucket, row) for row in rows))


def row_of(token: str) -> str:
    """Return the name of a token's row."""
    return hashlib.sha256(token.encode()).hexdigest()


def _bucket(upload: Upload) -> Bucket:
    return LIBRARY if upload.retention is Retention.LIBRARY else REPORTS


def shares_of(upload: Upload) -> list[str]:
    """Return the names of the rows that say which jobs an upload shares with others."""
    return [f"by.{key}.{upload.row}" for key in upload.keys.values()]
