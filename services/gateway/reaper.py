"""
What nobody else would end: one gateway looks for it every few seconds.

    a task that JetStream gave up           ──▶ its job fails, dead letter, the task is deleted
    a job that waits, its task on no queue  ──▶ its task is published again; no audio: it fails
    a task where no worker looks any more   ──▶ it is moved to its partition of today
    audio, and files made, of no job        ──▶ deleted
    chunks of an upload that died           ──▶ deleted

Every act is a compare-and-set, a publish with a dedup id or a delete by name: two reapers at once,
or one that stops half-way, do no harm. A turn is bounded; what is left over waits for the next.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import msgspec
import structlog

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import DEDUP_ID, Broker, Published, Stored
from decibus.checkpoints import Checkpoints
from decibus.dead import DeadLetters
from decibus.errors import BacklogFull, DecibusError, NotFound, Unreadable
from decibus.jobs import Held, Job, State
from decibus.ledger import Ledger
from decibus.messages import Conversion, Fault, Task, TaskName, read
from decibus.telemetry import TRACEPARENT, trace_id, traceparent
from decibus.topology import (
    ANALYSES,
    AUDIO,
    OUTPUT_PREFIX,
    OUTPUTS,
    QUEUES,
    REAPER,
    UPLOAD_PREFIX,
    Queue,
)
from services.gateway.leader import Leadership
from services.gateway.settings import Settings

log = structlog.get_logger()

# One record takes 0.2 ms to read: a turn takes a fifth of a second at most.
_RECORDS_A_TURN: Final = 1000
_WHOLE_ROUND_EVERY: Final = 12  # once a minute: nothing rests on what a round remembers
_OBJECTS_A_TURN: Final = 1000
_ADVISORIES_A_TURN: Final = 100
_TASKS_A_TURN: Final = 1000
_PATIENCE_ACK_WAITS: Final = 2
_CHUNKS_LOOKED_AT_PER_ORPHAN_AGE: Final = 10  # looking reads the seal of every object


class Advisory(msgspec.Struct, frozen=True):
    """What JetStream says when it has delivered a message `max_deliver` times."""

    stream: str
    stream_seq: int
    deliveries: int = 0


class Round:
    """
    One look through all records behind a sequence, in as many turns as it takes.

    `next_after`: behind which the next round may begin. All up to there are done for good: whatever
    becomes of such a job is written anew, at the end. `in_use`: the audio that jobs read, and, in a
    whole round, the files that they have made.
    """

    def __init__(self, queues: Mapping[TaskName, Queue], *, after: int = 0) -> None:
        self._queues = queues
        self._first_open: int | None = None
        self.after = after
        self.is_whole = after == 0
        self.in_use: set[str] = set()
        self.overdue: list[str] = []

    @property
    def next_after(self) -> int:
        """See above."""
        return self.after if self._first_open is None else self._first_open - 1

    def note(self, job: Job, *, written_at: datetime, now: datetime) -> None:
        """Take in the record at `after` as it stands."""
        if job.needs_audio:
            self.in_use.add(job.blob)
            self._first_open = self._first_open or self.after
        if isinstance(job.result, Conversion):
            self.in_use.add(job.result.output)
        patience = self._queues[jobs.task_of(job.options)].ack_wait * _PATIENCE_ACK_WAITS
        if is_overdue(job, written_at=written_at, now=now, patience=patience):
            self.overdue.append(job.key)


class Reaper:
    """The duties, and the loop in which the leader among the gateways does them."""

    def __init__(
        self, broker: Broker, settings: Settings, *, queues: Mapping[TaskName, Queue] = QUEUES
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._blobs = Blobs(broker.connection, AUDIO.name)
        self._outputs = Blobs(broker.connection, OUTPUTS.name)
        self._checkpoints = Checkpoints(broker)
        self._ledger = Ledger(broker)
        self._dead = DeadLetters(broker)
        # A leader that comes round too late would lose its duty each time.
        self._interval_s = min(settings.reaper_interval_s, settings.reaper_lease_s / 3)
        self._orphan_age = timedelta(seconds=settings.orphan_audio_s)
        lease = timedelta(seconds=settings.reaper_lease_s)
        self._leadership = Leadership(broker, "reaper", lease=lease)
        self._round = Round(queues)
        self._rounds = 0
        self._objects_after = {UPLOAD_PREFIX: 0, OUTPUT_PREFIX: 0}
        self._chunks_seen_at = datetime.min.replace(tzinfo=UTC)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Do the duties while the block runs; then leave them to another replica at once."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep(stop))
            try:
                yield
            finally:
                # Both: wait_for in Python 3.11, under nats-py's requests, may swallow a cancel.
                stop.set()
                keeping.cancel()
        await self._leadership.resign()

    async def _keep(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for duty in (self.end_given_up, self.move_left_behind, self.look_through_records):
                try:
                    await self._broker.agree()  # else it would queue where nobody looks any more
                    if await self._leadership.claim():
                        await duty()
                except DecibusError as error:
                    log.warning("reaper_hindered", reason=str(error))
                except Exception as error:
                    # An edge: the gateway answers on, whatever is wrong with what it found.
                    log.exception("reaper_failed", exc_info=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await stop.wait()

    async def end_given_up(self) -> None:
        """Fail the jobs whose tasks JetStream delivers no more, and delete these tasks."""
        for delivery in await self._broker.take(REAPER, most=_ADVISORIES_A_TURN):
            try:
                await self._end_given_up(read(delivery.body, Advisory))
            except Unreadable as error:
                log.warning("advisory_unreadable", reason=str(error))
            except Held as held:
                await delivery.nak(held.retry_after)
                continue
            await delivery.ack()

    async def _end_given_up(self, advisory: Advisory) -> None:
        by_stream = {
            part.stream: part
            for queue in self._queues.values()
            for part in self._broker.partitions(queue)
        }
        queue = by_stream.get(advisory.stream)
        if queue is None:
            return
        task = await self._broker.stored(queue.stream, advisory.stream_seq)
        if task is None:
            return
        key = queue.key(task.subject)
        fault = given_up(await self._ledger.find(key), advisory.deliveries)
        await self._abandon(key, fault, task.headers.get(TRACEPARENT))
        await self._broker.remove(queue.stream, task.sequence)
        log.warning("task_given_up", stream=queue.stream, deliveries=advisory.deliveries)

    async def move_left_behind(self) -> None:
        """
        Put the tasks in partitions of a former number of them where the workers look now.

        A task in hand is moved, too: a second delivery finds the job held, or ended.
        """
        moved = 0
        for queue in self._queues.values():
            for part in await self._broker.left_behind(queue):
                async with aclosing(self._broker.walk(part.stream, part.subjects)) as tasks:
                    async for task in tasks:
                        await self._move(task, part.key(task.subject), queue, part)
                        moved += 1
                        if moved == _TASKS_A_TURN:
                            return

    async def _move(self, task: Stored, key: str, queue: Queue, part: Queue) -> None:
        headers = dict(task.headers)
        # Where it goes to may remember the task from before it came here: this is another move.
        dedup_id = f"{headers.pop(DEDUP_ID, key)}.{part.stream}"
        await self._broker.publish(queue, key, task.body, dedup_id=dedup_id, headers=headers)
        await self._broker.remove(part.stream, task.sequence)
        log.info("task_moved", stream=part.stream)

    async def look_through_records(self) -> None:
        """Go on with the round; at its end queue again, or fail, what waits for no task."""
        now = datetime.now(UTC)
        turn = self._broker.walk(ANALYSES.stream, ANALYSES.subject(">"), after=self._round.after)
        seen = 0
        async with aclosing(turn) as records:
            async for record in records:
                self._round.after = record.sequence
                try:
                    job = read(record.body, Job)
                except Unreadable as error:
                    log.warning("record_unreadable", reason=str(error))
                else:
                    self._round.note(job, written_at=record.at, now=now)
                seen += 1
                if seen == _RECORDS_A_TURN:
                    return
        finished, self._rounds = self._round, self._rounds + 1
        is_whole = self._rounds % _WHOLE_ROUND_EVERY == 0
        self._round = Round(self._queues, after=0 if is_whole else finished.next_after)
        await self._queue_again(finished.overdue)
        await self._drop_unneeded(self._blobs, UPLOAD_PREFIX, finished.in_use)
        if finished.is_whole:
            await self._drop_unneeded(self._outputs, OUTPUT_PREFIX, finished.in_use)
        if now - self._chunks_seen_at > self._orphan_age / _CHUNKS_LOOKED_AT_PER_ORPHAN_AGE:
            self._chunks_seen_at = now
            await self._drop_unfinished(now)

    async def _queue_again(self, overdue: list[str]) -> None:
        if not overdue:
            return
        # First the queues, then each record once more: a worker writes down the end before it
        # acks, so a job whose task is gone from the queue and that still waits has been lost.
        waiting: set[str] = set()
        for queue in self._queues.values():
            waiting |= await self._broker.waiting_keys(queue)
        for key in overdue:
            job = None if key in waiting else await self._ledger.find(key)
            if job is None or job.is_settled or _is_leased(job, datetime.now(UTC)):
                continue
            if not await self._blobs.is_whole(job.blob):
                fault = Fault(code="expired", detail="its audio expired before it was done")
                await self._abandon(key, fault, None)
                continue
            try:
                await self._publish(job)
            except BacklogFull:
                return  # the next round finds it again

    async def _publish(self, job: Job) -> None:
        queue = self._queues[jobs.task_of(job.options)]
        body = msgspec.json.encode(Task(key=job.key))
        trace = {TRACEPARENT: traceparent(trace_id(None))}
        published = await self._broker.publish(
            queue, job.key, body, dedup_id=job.dedup_id, headers=trace
        )
        if published is Published.NEW:
            log.warning("job_queued_again", task=queue.task, attempt=job.attempt)

    async def _abandon(self, key: str, fault: Fault, trace: str | None) -> None:
        """Fail a job by compare-and-set, and write its dead letter."""
        try:
            job = await self._ledger.move(
                key, partial(jobs.abandon, fault=fault, now=datetime.now(UTC))
            )
        except NotFound:
            return
        if job.state is State.FAILED:
            await self._dead.add(job, trace)
            await self._checkpoints.erase(key)

    async def _drop_unneeded(self, blobs: Blobs, prefix: str, in_use: set[str]) -> None:
        """Delete what no record names: uploads, or what an attempt made that lost its job."""
        after, self._objects_after[prefix] = self._objects_after[prefix], 0
        now = datetime.now(UTC)
        seen = 0
        async with aclosing(blobs.all(after=after)) as objects:
            async for found in objects:
                if now - found.stored_at < self._orphan_age:
                    return  # and so are all behind it
                name = found.blob.name
                if name.startswith(prefix) and name not in in_use:
                    await blobs.delete(name)
                    log.warning("orphan_audio_deleted", bytes=found.blob.size)
                seen += 1
                if seen == _OBJECTS_A_TURN:
                    self._objects_after[prefix] = found.sequence
                    return

    async def _drop_unfinished(self, now: datetime) -> None:
        """Delete what a gateway or a worker had stored when it was killed: no more is coming."""
        for blobs in (self._blobs, self._outputs):
            for left in await blobs.unfinished():
                if now - left.last_chunk_at > self._orphan_age:
                    await blobs.drop(left)
                    log.warning("orphan_chunks_deleted")


def given_up(job: Job | None, deliveries: int) -> Fault:
    """Say why a job fails whose task JetStream has given up: the worker that had it, or nobody."""
    is_running = job is not None and job.state is State.RUNNING
    return Fault(
        code="worker_lost" if is_running else "undeliverable",
        detail=f"its task was delivered {deliveries} times and never settled",
    )


def is_overdue(job: Job, *, written_at: datetime, now: datetime, patience: timedelta) -> bool:
    """Whether an unfinished job has not moved for so long that its task may be lost."""
    match job.state:
        case State.QUEUED:
            return now - written_at > patience
        case State.RUNNING:
            return now - (job.leased_until or written_at) > patience
        case _:
            return False


def _is_leased(job: Job, now: datetime) -> bool:
    return job.leased_until is not None and now < job.leased_until
