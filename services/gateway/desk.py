"""
Jobs for uploads: opened, queued, and given up again, while others do so with the same content.

Whoever sends a file that is known already attaches to its job. So a job is only ended with its last
report, and what was opened here is only taken back where nobody else has come to rely on it: the
decision is made inside the compare-and-set, on the job as it stands.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec
import structlog

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, Published
from decibus.checkpoints import Checkpoints
from decibus.errors import DecibusError, NotFound, StorageFull, Superseded, Unavailable
from decibus.jobs import Job, State
from decibus.ledger import Ledger
from decibus.messages import Conversion, Fault, Options, TaskName
from decibus.outputs import Outputs
from decibus.telemetry import JOBS_OPENED
from decibus.topology import AUDIO, OUTPUTS, QUEUES, REPORTS
from services.gateway.uploads import Upload, Uploads

log = structlog.get_logger()

# How long the end of a job may take whose record or task is on its way out.
_PATIENCE_S: Final = 3.0
_POLL_S: Final = 0.05


class Desk:
    """Opens what is not done yet, queues it, and lets go of what nobody waits for."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._blobs = Blobs(broker.connection, AUDIO.name)
        self._checkpoints = Checkpoints(broker)
        self._outputs = Outputs(broker)
        self._ledger = Ledger(broker)
        self._uploads = Uploads(broker)

    async def serve(
        self,
        upload: Upload,
        wanted: Mapping[TaskName, Options],
        blob: str,
        headers: Mapping[str, str],
    ) -> None:
        """
        Have every wanted job done, by reading this blob or by somebody else's upload of the same.

        The blob is the desk's from here on: it goes when no job of this upload reads it.
        """
        opened = [await self._open(upload, options, blob) for options in wanted.values()]
        for job, _ in opened:
            found = "done" if job.is_settled else "new" if job.blob == blob else "in_flight"
            JOBS_OPENED.labels(jobs.task_of(job.options), found).inc()
        # Every record stands before the first task does: who ends first must see its siblings.
        reads = [
            await self._queue(job, revision, blob, headers)
            for job, revision in opened
            if not job.is_settled
        ]
        if not any(reads):
            try:
                await self._blobs.delete(blob)
            except Unavailable as error:  # no reason to refuse what is answered already
                log.warning("audio_not_erased", reason=str(error))

    async def undo(
        self, upload: Upload, blob: str, error: DecibusError, *, keeps: bool = False
    ) -> None:
        """Take back what `serve` has begun for an upload that is refused; `keeps`: not the blob."""
        code = error.code if isinstance(error, Unavailable) else "internal_error"
        fault = Fault(code=code, detail=str(error))
        still_read = False
        for task, key in upload.keys.items():
            with suppress(DecibusError):
                still_read |= await self._take_back(task, key, blob, fault)
        if not still_read and not keeps:
            with suppress(Unavailable):  # then the store's own max_age does it
                await self._blobs.delete(blob)

    async def release(self, upload: Upload) -> None:
        """
        Erase the jobs of an upload that no report waits for, or shows, any more.

        Somebody may come to share a job meanwhile: the row first, then a new revision of what is
        settled. So what is erased is read before it is asked whether the job is shared: either that
        sees the row, or the erasure finds another revision and leaves it alone.
        """
        for task, key in upload.keys.items():
            sequence = await self._broker.sequence(QUEUES[task], key)
            found = await self._ledger.look(key)
            if found is not None and not found[0].is_settled:
                if await self._uploads.share(key):
                    continue
                await self._end(key)
                found = await self._ledger.look(key)
            if found is None:
                continue
            job, revision = found
            if not job.is_withdrawn and await self._uploads.share(key):
                continue
            # Before the record: while that stands, nobody opens the job again and keeps more.
            await self._checkpoints.erase(key)
            await self._ledger.erase(key, revision=revision)
            if sequence is not None:  # this one, and not what a new upload may queue just now
                part = self._broker.partition(QUEUES[task], key)
                await self._broker.remove(part.stream, sequence)
            await self._blobs.delete(job.blob)
            await self._outputs.erase(job.result)

    async def _open(self, upload: Upload, options: Options, blob: str) -> tuple[Job, int | None]:
        """Return the job that answers: one in flight, one that is done, or a new one's revision."""
        key = upload.keys[jobs.task_of(options)]
        siblings = tuple(other for other in upload.keys.values() if other != key)
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            now = datetime.now(UTC)
            fresh = jobs.open_job(key, options, blob=blob, siblings=siblings, now=now)
            job, revision = await self._ledger.open(fresh)
            if revision is not None or asyncio.get_running_loop().time() > deadline:
                break
            if _outlived(job, now):
                await self._forget(key)
                continue
            if not job.is_withdrawn and (not job.is_settled or await self._ledger.refresh(key)):
                break
            await asyncio.sleep(_POLL_S)  # its record is being erased with its last report
        if revision is not None or not job.may_be_reopened:
            return job, revision
        try:
            reopen = partial(jobs.reopen, blob=blob, siblings=siblings, now=now)
            return await self._ledger.move(key, reopen), None
        except Superseded:  # somebody else's upload of the same file was faster
            return (await self._ledger.find(key)) or job, None

    async def _forget(self, key: str) -> None:
        """Erase a job whose file goes before whoever asks now could fetch it; it is made again."""
        found = await self._ledger.look(key)
        if found is not None and _outlived(found[0], datetime.now(UTC)):
            await self._ledger.erase(key, revision=found[1])
            await self._outputs.erase(found[0].result)

    async def _queue(
        self, job: Job, revision: int | None, blob: str, headers: Mapping[str, str]
    ) -> bool:
        """Queue a job; returns whether it will read this blob, rather than an earlier upload's."""
        if job.blob == blob:
            await self._queue_own(job, revision, headers)
            return True
        if await self._publish(job, None, headers) is not Published.NEW:
            return False
        # The job had been opened, but whoever opened it did not live to queue it.
        try:
            rebind = partial(jobs.rebind, blob=blob, siblings=job.siblings)
            await self._ledger.move(job.key, rebind)
        except (Superseded, NotFound):
            return False
        return True

    async def _queue_own(self, job: Job, revision: int | None, headers: Mapping[str, str]) -> None:
        """
        Queue a job that was opened here.

        The task of its former life may still lie there, about to be settled by the worker that
        failed it or to be taken back. It is waited for: left to that one, the job would lose its
        only task. If it stays, a worker will get it, and do the job as it stands now.
        """
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while await self._publish(job, revision, headers) is Published.IN_FLIGHT:
            now = await self._ledger.find(job.key)
            is_ours_to_queue = (
                now is not None and now.state is State.QUEUED and now.epoch == job.epoch
            )
            if not is_ours_to_queue or asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(_POLL_S)

    async def _publish(
        self, job: Job, revision: int | None, headers: Mapping[str, str]
    ) -> Published:
        queue = QUEUES[jobs.task_of(job.options)]
        task = msgspec.json.encode(jobs.task_for(job, revision=revision))
        return await self._broker.publish(
            queue, job.key, task, dedup_id=job.dedup_id, headers=headers
        )

    async def _take_back(self, task: TaskName, key: str, blob: str, fault: Fault) -> bool:
        """Cancel a job that still waits with this blob; returns whether a worker reads it now."""
        if await self._uploads.share(key):
            # Somebody has attached: let it be done, if it can be.
            is_queued = await self._broker.sequence(QUEUES[task], key) is not None
            if is_queued:
                job = await self._ledger.find(key)
                return job is not None and job.blob == blob and not job.is_settled
        try:
            job = await self._ledger.move(
                key, partial(jobs.cancel, blob=blob, fault=fault, now=datetime.now(UTC))
            )
        except NotFound:
            return False
        except StorageFull:  # a full store takes no last word, and lets go all the same
            job = await self._ledger.find(key)
            if job is None or job.blob != blob or job.state is not State.QUEUED:
                return job is not None and job.blob == blob and not job.is_settled
        if job.blob != blob:
            return False
        if job.state is State.RUNNING:
            return True
        if job.state is not State.DONE:
            await self._broker.withdraw(QUEUES[task], key)
            await self._ledger.erase(key)
        return False

    async def _end(self, key: str) -> None:
        """End a job before it is erased: an erasure is told to nobody, the end of a job is."""
        with suppress(NotFound):
            await self._ledger.move(key, partial(jobs.withdraw, now=datetime.now(UTC)))


def _outlived(job: Job, now: datetime) -> bool:
    """Whether the file that a job has made goes, by the store's ttl, before a report of now."""
    if job.ended_at is None or not isinstance(job.result, Conversion):
        return False
    return job.ended_at + OUTPUTS.ttl < now + REPORTS.ttl
