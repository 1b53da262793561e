"""The one way in: any door's upload becomes the same jobs, and the one way out again."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog

from decibus import jobs
from decibus.blobs import Blob, Blobs
from decibus.broker import Broker
from decibus.errors import (
    BadAudio,
    BlobGone,
    DecibusError,
    NotFound,
    TooSlow,
    Unavailable,
)
from decibus.messages import (
    ALL_TASKS,
    AnalyzeOptions,
    Options,
    TaskName,
    TranscodeOptions,
    TranscribeOptions,
)
from decibus.telemetry import UPLOAD_BYTES
from decibus.topology import AUDIO, SHELVE, UPLOAD_PREFIX
from services.gateway.callbacks import Callbacks
from services.gateway.desk import Desk
from services.gateway.lately import Lately
from services.gateway.live import Jobs
from services.gateway.settings import Settings
from services.gateway.uploads import Door, Retention, Upload, Uploads, row_of

log = structlog.get_logger()

_TIDYING_S: Final = 5.0
"""How long a refused sender waits until what it left is gone; the rest is the reaper's."""


class Received(msgspec.Struct, frozen=True):
    """
    A file whose bytes are in the object store. `seconds`: how long they took to arrive.

    `began_at`: when the first of them came, by the loop's clock.
    """

    blob: Blob
    filename: str | None
    seconds: float
    began_at: float | None = None


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the sender asks for, from form fields or NATS headers.

    From `language` to `model` it is what `TranscribeOptions` says; `transcode` is for that task.
    """

    tasks: tuple[TaskName, ...] = ALL_TASKS
    genre: str | None = None
    target: str | None = None
    language: str | None = None
    multilingual: bool = False
    translate: bool = False
    words: bool = False
    prompt: str | None = None
    temperature: float | None = None
    model: str | None = None
    timeline: bool = False
    transcode: TranscodeOptions | None = None
    retention: Retention = Retention.TTL
    callback_url: str | None = None


class Intake:
    """Stores an upload once, opens its jobs once, and queues them once."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._blobs = Blobs(broker.connection, AUDIO.name)
        self._desk = Desk(broker)
        self._uploads = Uploads(broker)
        self._callbacks = Callbacks(broker, settings)
        self._on_accepted: list[Callable[[Upload, Mapping[str, str]], None]] = []
        self.lately = Lately()

    async def receive(self, body: AsyncIterator[bytes], filename: str | None) -> Received:
        """
        Stream a file into the object store, in bounded memory.

        Raises `TooLarge` as soon as the limit is passed; whatever was stored is removed then, as it
        is when the sender goes away.
        """
        if not self._broker.is_connected:
            raise Unavailable("NATS is away")
        loop = asyncio.get_running_loop()
        start = loop.time()
        name = f"{UPLOAD_PREFIX}{secrets.token_hex(16)}"
        limit = self._settings.max_upload_bytes
        blob = await self._blobs.put(name, body, limit=limit)
        received = Received(blob, filename, loop.time() - start, start)
        UPLOAD_BYTES.inc(blob.size)
        if blob.size == 0:
            await self.discard(received)
            raise BadAudio("the upload is empty")
        return received

    async def copy(self, name: str) -> Received:
        """Take in an object that the sender has put into the store; it is read, never trusted."""
        try:
            blob = await self._blobs.offered(name)
        except BlobGone:
            raise NotFound(f"there is no object {name[:64]!r} in the store {AUDIO.name}") from None
        async with aclosing(self._blobs.stream_offered(blob)) as body:
            return await self.receive(body, name)

    async def discard(self, received: Received) -> None:
        """Remove a stored file that leads to no job."""
        with suppress(Unavailable, TimeoutError):  # then the reaper does it
            async with asyncio.timeout(_TIDYING_S):
                await self._blobs.delete(received.blob.name)

    def when_accepted(self, callback: Callable[[Upload, Mapping[str, str]], None]) -> None:
        """Call `callback` with every upload that is accepted, and the headers of its tasks."""
        self._on_accepted.append(callback)

    async def submit(  # noqa: PLR0913 - each by its name
        self,
        received: Received,
        wishes: Wishes,
        headers: Mapping[str, str],
        *,
        door: Door = Door.HTTP,
        owner: str | None = None,
        keeps: bool = False,
    ) -> Upload:
        """
        Open what is not done yet, queue it, and return the upload with its token.

        `headers` go with every task. The file is the intake's from here on, also when this fails:
        when a queue is at its cap or NATS goes away, nothing of the upload is left behind. But with
        `keeps` the file then stays, for another try.
        """
        try:
            self._callbacks.check(wishes.callback_url)
            await self._refuse_what_has_gone(received)
        except DecibusError:
            await self.discard(received)
            raise
        now = datetime.now(UTC)
        token = secrets.token_urlsafe(32)
        kept = wishes.retention is Retention.LIBRARY
        wanted = {jobs.task_of(options): options for options in _options(wishes, self._settings)}
        upload = Upload(
            token=token,
            row=row_of(token),
            keys={
                task: jobs.key_of(received.blob.sha256, options) for task, options in wanted.items()
            },
            sha256=received.blob.sha256,
            size=received.blob.size,
            filename=received.filename,
            genre=wishes.genre,
            target=wishes.target,
            created_at=now,
            expires_at=None if kept else now + timedelta(seconds=self._settings.report_ttl_s),
            received_s=round(received.seconds, 6),
            retention=wishes.retention,
            callback_url=wishes.callback_url,
            door=door,
            owner=owner,
        )
        try:
            # First the row: a job that a row names is not erased with somebody else's report.
            await self._uploads.add(upload)
            await self._desk.serve(upload, wanted, received.blob.name, headers)
            await self._ask_for_errands(upload)
        except DecibusError as error:
            await self._undo(upload, received, error, keeps=keeps)
            raise
        self.lately.keep(upload)
        log.info("upload_accepted", bytes=upload.size, tasks=len(upload.keys))
        for callback in self._on_accepted:
            callback(upload, headers)
        return upload

    async def _refuse_what_has_gone(self, received: Received) -> None:
        """Raise `TooSlow` where the reaper, or the store's age, took away what came long ago."""
        if received.began_at is None:
            return
        age_s = asyncio.get_running_loop().time() - received.began_at
        may_be_gone = age_s > self._settings.orphan_audio_s / 2
        if may_be_gone and not await self._blobs.is_whole(received.blob.name):
            raise TooSlow(f"the request took {age_s:.0f} s: what came first has gone meanwhile")

    async def withdraw(self, upload: Upload) -> None:
        """
        Delete a report, and what no other report shares: audio, records, waiting tasks.

        No byte of them is left in the store's files when this returns. What is still to be posted
        to a `callback_url` is: `cancel_callback` takes that back.
        """
        self.lately.forget(upload.row)
        await self._uploads.unshare(upload)
        await self.release(upload)
        await self._uploads.remove(upload)  # last: a deletion that failed can be repeated

    async def cancel_callback(self, row: str) -> None:
        """Erase what is still to be posted; the report may have expired long ago."""
        callback = await self._callbacks.cancel(row)
        if callback is not None:
            await self.release(callback.upload)

    async def delivered(self, upload: Upload, jobs: Jobs) -> None:
        """Delete a report that may be read once, after it was read."""
        is_final = all(job is None or job.is_settled for job in jobs.values())
        if upload.is_spent_by_reading and is_final:
            await self._withdraw_quietly(upload)

    async def release(self, upload: Upload) -> None:
        """Erase the jobs of an upload that no report waits for, or shows, any more."""
        await self._desk.release(upload)

    async def _ask_for_errands(self, upload: Upload) -> None:
        if upload.retention is Retention.LIBRARY:
            body = upload.row.encode()
            await self._broker.publish(SHELVE, upload.row, body, dedup_id=upload.row, headers={})
        if upload.callback_url:
            await self._callbacks.add(upload)

    async def downloaded(self, upload: Upload) -> None:
        """Delete a file that may be downloaded once, after it was."""
        if upload.is_spent_by_download:
            await self._withdraw_quietly(upload)

    async def _withdraw_quietly(self, upload: Upload) -> None:
        try:
            await self.withdraw(upload)
        except DecibusError as error:  # then it expires like any other
            log.warning("report_not_withdrawn", reason=repr(error))

    async def _undo(
        self, upload: Upload, received: Received, error: DecibusError, *, keeps: bool
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_TIDYING_S):
                with suppress(DecibusError):
                    await self._uploads.remove(upload)
                    await self._callbacks.cancel(upload.row)
                await self._desk.undo(upload, received.blob.name, error, keeps=keeps)


def _options(wishes: Wishes, settings: Settings) -> list[Options]:
    every: dict[TaskName, Options] = {
        TaskName.ANALYZE: AnalyzeOptions(
            max_duration_s=settings.max_duration_s, timeline=wishes.timeline
        ),
        TaskName.TRANSCRIBE: TranscribeOptions(
            max_duration_s=settings.max_duration_s,
            language=wishes.language,
            multilingual=wishes.multilingual,
            translate=wishes.translate,
            words=wishes.words,
            prompt=wishes.prompt,
            temperature=wishes.temperature,
            model=wishes.model,
        ),
    }
    if wishes.transcode is not None:
        every[TaskName.TRANSCODE] = wishes.transcode
    return [every[task] for task in dict.fromkeys(wishes.tasks)]
