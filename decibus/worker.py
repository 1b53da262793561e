"""
Pull, claim, run, settle, drain: how every worker runs.

    delivery ─▶ claim (CAS) ─▶ fetch the audio ─▶ step, in a thread ─▶ finish (CAS) ─▶ ack
                                   └─ heartbeat: renew (CAS), then in_progress ─┘

JetStream does not fence acks: a late ack would remove a job that somebody else is working on. So
ack, nak and heartbeat are only sent after a successful compare-and-set on the job's record, and a
worker that has been superseded settles nothing.
"""

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from functools import partial
from importlib.metadata import version
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import structlog

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, connect
from decibus.checkpoints import Checkpoints, Keeper
from decibus.dead import DeadLetters
from decibus.errors import (
    BlobGone,
    DecibusError,
    NotFound,
    Refused,
    Superseded,
    Unavailable,
    Unreadable,
    WorkerBroken,
)
from decibus.jobs import Held, Job, State
from decibus.ledger import Ledger
from decibus.management import managed
from decibus.messages import Checkpoint, Conversion, Fault, Result, Task, read
from decibus.outputs import Made, Outputs
from decibus.process import Process
from decibus.progress import Progress
from decibus.pull import Delivery, Pull
from decibus.settings import WorkerSettings
from decibus.telemetry import (
    ATTEMPTS_FAILED,
    AUDIO_SECONDS,
    DELIVERIES,
    JOBS_ENDED,
    REAL_TIME_FACTOR,
    SLOTS,
    SLOTS_BUSY,
    TRACEPARENT,
    WAIT_SECONDS,
    WORK_SECONDS,
    trace_id,
)
from decibus.threads import in_thread
from decibus.topology import AUDIO, Queue

log = structlog.get_logger()
T = TypeVar("T")

# A result is worth waiting for: as long as JetStream waits for us.
_PATIENCE: Final = timedelta(seconds=30)
_MAX_RETRY_DELAY_S: Final = 30.0
_HAND_BACK_S: Final = 2.0
# What a step has heard is published no oftener than this: each time is a compare-and-set.
_NEWS_EVERY_S: Final = 1.0
# How long a step may take: three times as long as its audio, and some time at least.
_BUDGET_MIN_S: Final = 120.0
_BUDGET_RATIO: Final = 3.0


class StepTimeout(DecibusError):
    """
    A step has taken longer than audio of its length may.

    Not tried again: its thread may still be there and cannot be ended, and whoever waits has waited
    long enough. Sent once more, the file gets another life.
    """

    code: Final = "timeout"


class Verdict(Enum):
    """How a delivery ends."""

    ACK = auto()  # done: never deliver it again
    NAK = auto()  # deliver it again, after a delay
    TERM = auto()  # give up: never deliver it again
    LEAVE = auto()  # not ours any more: whoever owns the job settles it


def verdict(error: Exception | None, *, is_last: bool) -> Verdict:
    """Decide how a delivery ends, from how its attempt ended."""
    match error:
        case None:
            return Verdict.ACK
        case Superseded():
            return Verdict.LEAVE
        case Refused() | Unreadable() | StepTimeout():
            return Verdict.TERM
        case _:
            return Verdict.TERM if is_last else Verdict.NAK


Step = Callable[[BinaryIO, Any, Progress], Result | Made]
"""
What a service does with audio: the file, the options of its own task, and where to tell progress.

It runs in a thread of its own and may take its time. A file that it makes goes to the outputs.
"""


class Prepared(NamedTuple):
    """What a service has made ready, and what it says about itself: see `Broker.announced`."""

    step: Step
    metadata: Mapping[str, str] = {}


class Worker:
    """
    Drains one queue with one step, in as many slots as it is told.

    A step that raises `WorkerBroken` has failed like any other; `when_broken` is called besides,
    as the process should end.
    """

    def __init__(  # noqa: PLR0913 - what a worker stands on
        self,
        broker: Broker,
        blobs: Blobs,
        queue: Queue,
        step: Step,
        *,
        slots: int,
        when_broken: Callable[[], None] | None = None,
    ) -> None:
        self._broker = broker
        self._blobs = blobs
        self._outputs = Outputs(broker)
        self._ledger = Ledger(broker)
        self._checkpoints = Checkpoints(broker)
        self._dead = DeadLetters(broker)
        self._queue = queue
        self._step = step
        self._when_broken = when_broken
        self._pulls = [broker.pull(queue) for _ in range(slots)]
        self.is_broken = False
        SLOTS.labels(queue.task).set(slots)
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    async def serve(self, *, until: asyncio.Event, grace: timedelta) -> None:
        """Work until told to stop; finish what is in hand within `grace`, or hand it back."""
        async with asyncio.TaskGroup() as group:
            slots = [group.create_task(self._slot(pull)) for pull in self._pulls]
            await until.wait()
            await self._drain(slots, grace)

    async def once(
        self, *, until: asyncio.Event, grace: timedelta, patience: timedelta
    ) -> Verdict | None:
        """Do one job and no other; returns how it ended, None when none came in time."""
        in_hand = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            slot = group.create_task(self._first_job(self._pulls[0], in_hand))
            stop = group.create_task(until.wait())
            is_over: set[asyncio.Task[Any]] = set()
            while not is_over and (in_hand.is_set() or not slot.done()):
                is_over, _ = await asyncio.wait(
                    {slot, stop},
                    timeout=patience.total_seconds(),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not in_hand.is_set():
                    break
            await self._drain([slot], grace)
            stop.cancel()
        return Verdict.NAK if slot.cancelled() else slot.result()

    async def _first_job(self, pull: Pull, in_hand: asyncio.Event) -> Verdict | None:
        async for delivery in pull:
            in_hand.set()
            if (ending := await self.handle(delivery)) is not None:
                return ending
            in_hand.clear()
        return None

    async def _slot(self, pull: Pull) -> None:
        async for delivery in pull:
            await self.handle(delivery)

    async def _drain(self, slots: Iterable[asyncio.Task[Any]], grace: timedelta) -> None:
        for pull in self._pulls:
            pull.stop()
        _, late = await asyncio.wait(slots, timeout=grace.total_seconds())
        while late:
            for slot in late:
                slot.cancel()
            # Again: Python 3.11's wait_for, under a request to NATS, can swallow a cancel.
            _, late = await asyncio.wait(late, timeout=_HAND_BACK_S)

    async def handle(self, delivery: Delivery) -> Verdict | None:
        """Tell the delivery's story: claim its job, and do it. None: there was nothing to do."""
        trace = trace_id(delivery.headers.get(TRACEPARENT))
        DELIVERIES.labels(self._queue.task, str(delivery.number > 1).lower()).inc()
        with (
            SLOTS_BUSY.labels(self._queue.task).track_inprogress(),
            structlog.contextvars.bound_contextvars(trace_id=trace, delivery=delivery.number),
        ):
            try:
                return await self._claim_and_run(delivery)
            except Exception as error:
                # Nothing was settled: JetStream delivers again after ack_wait, and who gets it
                # then reads in the record how far the job really is.
                is_a_bug = not isinstance(error, DecibusError)
                log.warning("delivery_left", reason=str(error), exc_info=is_a_bug)
                return Verdict.LEAVE

    async def _claim_and_run(self, delivery: Delivery) -> Verdict | None:
        try:
            task = read(delivery.body, Task)
            told = jobs.told_by(task)
        except Unreadable as error:
            log.warning("task_unusable", reason=str(error))
            await delivery.term()
            return None
        if told is not None and delivery.number == 1:
            self._ledger.recall(*told)
        lease = self._queue.lease
        claim = partial(jobs.claim, owner=self._owner, now=_now(), lease=lease)
        try:
            job = await self._ledger.move(task.key, claim)
        except Held as held:
            await delivery.nak(held.retry_after)
        except NotFound:
            log.info("job_deleted_before_its_turn")
            await delivery.term()
        else:
            if job.state is State.RUNNING:
                if job.attempt == 1 and job.started_at is not None:
                    waited = job.started_at - job.queued_at
                    WAIT_SECONDS.labels(self._queue.task).observe(waited.total_seconds())
                return await self._run(job, delivery)
            ending = Verdict.TERM if job.state is State.FAILED else Verdict.ACK
            await self._settle(job, delivery, ending)
        return None

    async def _run(self, job: Job, delivery: Delivery) -> Verdict:
        """Tell the job's story: do the work under its lease, record how it ended, settle."""
        progress = Progress()
        result: Result | Made | None = None
        error: Exception | None = None
        try:
            async with self._heartbeat(job, delivery, progress):
                result = await self._work(job, progress)
                if isinstance(result, Made):
                    result = await self._outputs.store(result)
                job = await self._record(job, result)
        except asyncio.CancelledError:
            progress.stop()
            await self._hand_back(job, delivery)
            if isinstance(result, Conversion):
                await self._drop_output(job.key, result)
            raise
        except Exception as raised:
            error = raised
            if not isinstance(error, Refused | Superseded):
                log.warning("attempt_failed", attempt=job.attempt, exc_info=error)
            if isinstance(error, WorkerBroken):
                self._give_up()
        ending = verdict(error, is_last=job.is_last_attempt)
        _count_attempt(job, error)
        if error is not None and ending is not Verdict.LEAVE:
            job = await self._record_fault(job, _fault(error), ending)
        if error is not None and isinstance(result, Conversion):
            await self._drop_output(job.key, result)
        # Only here it is known that nothing can have been kept: the first attempt has not.
        left = job.attempt > 1 or progress.has_kept
        await self._settle(job, delivery, ending, left=left)
        return ending

    def _give_up(self) -> None:
        self.is_broken = True
        if self._when_broken is not None:
            self._when_broken()

    async def _work(self, job: Job, progress: Progress) -> Result | Made:
        keeper = Keeper(self._broker, job)
        progress.kept = await keeper.kept()
        progress.store_with(_storing(keeper, progress))
        # Anonymous: nothing is left behind by a kill, and no decoder learns a file's name.
        with tempfile.TemporaryFile() as audio:
            await self._blobs.fetch(job.blob, into=audio)
            audio.seek(0)
            result = in_thread(partial(self._step, audio, job.options, progress))
            try:
                return await _in_time(result, job.options.max_duration_s, progress)
            finally:
                result.cancel()

    async def _record(self, job: Job, result: Result) -> Job:
        finish = partial(jobs.finish, fence=job.fence, result=result, now=_now())
        return await self._ledger.move(job.key, finish, patience=_PATIENCE)

    async def _record_fault(self, job: Job, fault: Fault, ending: Verdict) -> Job:
        move = (
            partial(jobs.fail, fence=job.fence, fault=fault, now=_now())
            if ending is Verdict.TERM
            else partial(jobs.release, fence=job.fence, fault=fault)
        )
        return await self._ledger.move(job.key, move, patience=_PATIENCE)

    async def _hand_back(self, job: Job, delivery: Delivery) -> None:
        with suppress(DecibusError):  # then ack_wait does it
            await self._ledger.move(job.key, partial(jobs.hand_back, fence=job.fence))
            await delivery.nak()
            log.info("job_handed_back", attempt=job.attempt)

    async def _settle(
        self, job: Job, delivery: Delivery, ending: Verdict, *, left: bool = True
    ) -> None:
        """
        Tell JetStream. Only called when the job's record says the same.

        `left`: whether there may be checkpoints of the job, to be erased with its end.
        """
        if job.state is State.FAILED:
            # Before the term: a job whose letter cannot be written now is delivered again.
            await self._dead.add(job, delivery.headers.get(TRACEPARENT))
        match ending:
            case Verdict.ACK:
                await delivery.ack_soon()  # nothing waits for it: delivered again, it is settled
            case Verdict.NAK:
                await delivery.nak(_retry_delay(job))
            case Verdict.TERM:
                await delivery.term()
            case Verdict.LEAVE:
                log.warning("job_superseded", attempt=job.attempt)
                return
        if job.is_settled:
            log.info("job_settled", state=job.state, attempt=job.attempt, seconds=_seconds(job))
            JOBS_ENDED.labels(self._queue.task, job.state).inc()
            if left:
                await self._checkpoints.erase(job.key)
            await self._drop_blob(job)

    async def _drop_output(self, key: str, result: Conversion) -> None:
        """Erase what was made for nothing: another attempt owns the job, or its end got lost."""
        with suppress(DecibusError):  # then max_age does it
            job = await self._ledger.find(key)
            # Its own record may have arrived, and only the answer not.
            if job is None or job.result is None or job.result != result:
                await self._outputs.erase(result)

    async def _drop_blob(self, job: Job) -> None:
        """
        Delete the audio once no job needs it any more; the last one to end finds that.

        A job that failed without being refused needs it: an operator may queue it again.
        """
        if job.needs_audio:
            return
        for key in job.siblings:
            sibling = await self._ledger.find(key)
            if sibling is not None and sibling.blob == job.blob and sibling.needs_audio:
                return
        with suppress(BlobGone):
            await self._blobs.delete(job.blob)

    @asynccontextmanager
    async def _heartbeat(
        self, job: Job, delivery: Delivery, progress: Progress
    ) -> AsyncIterator[None]:
        """
        Renew the lease while the block runs, and publish what the step has heard.

        A failed beat is logged and no more: what keeps a late worker from writing is its fencing
        token, never this timer.
        """
        loop = asyncio.get_running_loop()
        soon = asyncio.Event()
        last_beat = loop.time()  # the claim was one

        def beat_for_news() -> None:
            loop.call_at(last_beat + _NEWS_EVERY_S, soon.set)

        def on_news() -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(beat_for_news)

        async def beat() -> None:
            nonlocal last_beat
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._queue.heartbeat.total_seconds()):
                        await soon.wait()
                soon.clear()
                last_beat = loop.time()
                try:
                    await self._ledger.move(job.key, self._renewal(job, progress))
                    await delivery.in_progress()
                except (Superseded, NotFound):
                    progress.stop()
                    return
                except Exception as error:  # noqa: BLE001 - a beat may fail, not the heart
                    log.warning("heartbeat_failed", reason=repr(error))

        # After an outage the lease is old: say that we live before somebody else takes the job.
        forget = self._broker.on_reconnect(soon.set)
        progress.when_news(on_news)
        # Not a TaskGroup: that would hand the block's own error on inside an ExceptionGroup.
        beating = asyncio.create_task(beat())  # noqa: TID251
        try:
            yield
        finally:
            forget()
            beating.cancel()

    def _renewal(self, job: Job, progress: Progress) -> Callable[[Job], Job]:
        fraction, heard, taken_over = progress.take()
        now, lease = _now(), self._queue.lease

        def renew(found: Job) -> Job:
            renewed = jobs.renew(found, fence=job.fence, progress=fraction, now=now, lease=lease)
            return jobs.tell(renewed, fence=job.fence, partial=heard, taken_over=taken_over)

        return renew


async def run(
    process: Process,
    settings: WorkerSettings,
    queue: Queue,
    prepare: Callable[[], Prepared],
    *,
    once: timedelta | None = None,
) -> int:
    """
    Run a worker until it is told to stop; returns the process's exit code.

    `prepare` loads and warms whatever the step needs: nothing is pulled, and the worker does not
    announce itself, before it has returned. One that is to end takes its announcement back. `once`:
    for one job only, for which it waits so long. That it was done, or refused for good, or that
    there was none, is 0; that it is to be tried again, by another process, is 1.
    """
    async with managed(process, settings, service=queue.consumer) as management:
        step, metadata = await in_thread(prepare)
        async with connect(
            settings.nats_url, name=queue.consumer, login=settings, partitions=settings.partitions
        ) as broker:
            broker.when_closed(process.end)
            management.ready.append(broker.not_ready)
            await broker.declare(replicas=settings.nats_replicas)
            blobs = Blobs(broker.connection, AUDIO.name)
            worker = Worker(
                broker, blobs, queue, step, slots=settings.slots, when_broken=process.end
            )
            withdraw = await broker.announce(
                queue.consumer, version=version("decibus"), metadata=metadata
            )
            process.ready(slots=settings.slots)
            ending: Verdict | None = Verdict.ACK
            async with asyncio.TaskGroup() as group:
                group.create_task(_at_the_end(process, withdraw))
                grace = timedelta(seconds=settings.grace_s)
                if once is None:
                    await worker.serve(until=process.stop, grace=grace)
                else:
                    ending = await worker.once(until=process.stop, grace=grace, patience=once)
                    _tell(ending, once)
                    process.end()
            log.info("stopped", connection_lost=broker.is_closed, broken=worker.is_broken)
            is_over = ending in {None, Verdict.ACK, Verdict.TERM}
            return 0 if is_over and not (broker.is_closed or worker.is_broken) else 1


async def _at_the_end(process: Process, do: Callable[[], Awaitable[None]]) -> None:
    await process.stop.wait()
    with suppress(DecibusError):  # NATS is away, and we with it
        await do()


def budget_s(limit_s: float, audio_s: float | None) -> float:
    """Return how long a step may take, by what is known of its audio; else by what is allowed."""
    return max(_BUDGET_MIN_S, _BUDGET_RATIO * min(limit_s, audio_s or limit_s))


async def _in_time(result: asyncio.Future[T], limit_s: float, progress: Progress) -> T:
    """Wait for a step's result, for as long as its budget; that changes with what it finds out."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not result.done():
        may_take_s = budget_s(limit_s, progress.audio_s)
        left_s = started + may_take_s - loop.time()
        if left_s <= 0.0:
            # The thread cannot be ended; its next word of progress stops it, and a sandbox's
            # child with it.
            progress.stop()
            raise StepTimeout(f"it was not done within {may_take_s:.0f} s")
        await asyncio.wait([result], timeout=min(left_s, _BUDGET_MIN_S))
    return result.result()


def _storing(keeper: Keeper, progress: Progress) -> Callable[[Checkpoint], Future[None]]:
    """Return how a step's thread has something kept; it learns by `progress` that it is lost."""
    loop = asyncio.get_running_loop()

    async def keep(checkpoint: Checkpoint) -> None:
        try:
            await keeper.keep(checkpoint)
        except Superseded:
            progress.stop()
        except Exception as error:  # noqa: BLE001 - a bug here may cost time, not the transcript
            log.warning("checkpoint_failed", reason=repr(error))

    def store(checkpoint: Checkpoint) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(keep(checkpoint), loop)

    return store


def _tell(ending: Verdict | None, patience: timedelta) -> None:
    if ending is None:
        log.info("nothing_waiting", seconds=patience.total_seconds())
    else:
        log.info("one_job_ended", ending=ending.name.lower())


def _count_attempt(job: Job, error: Exception | None) -> None:
    task = jobs.task_of(job.options)
    if error is not None:
        ATTEMPTS_FAILED.labels(task, _fault(error).code).inc()
    elif job.result is not None and (seconds := _seconds(job)) is not None:
        audio_s = job.result.audio.duration
        WORK_SECONDS.labels(task).observe(seconds)
        AUDIO_SECONDS.labels(task).inc(audio_s)
        if audio_s > 0 and not job.taken_over:  # else it has not done all of it
            REAL_TIME_FACTOR.labels(task).observe(seconds / audio_s)


def _fault(error: Exception) -> Fault:
    match error:
        case Refused():
            return Fault(code=error.code, detail=str(error) or error.title, refused=True)
        case StepTimeout():
            return Fault(code=StepTimeout.code, detail=str(error))
        case Unavailable():  # its words name streams and servers: they stay in the log
            return Fault(code=error.code, detail=error.title)
        case _:
            # A bug: its words stay in the log, the user gets its kind.
            return Fault(code="internal_error", detail=f"unexpected {type(error).__name__}")


def _retry_delay(job: Job) -> timedelta:
    """
    Return how long the next attempt waits: longer each time, and longest for the world's faults.

    A cluster takes up to ten seconds to choose new leaders; the attempts must outlast that.
    """
    is_the_worlds = job.fault is not None and job.fault.code == Unavailable.code
    base = 4.0 if is_the_worlds else 1.0
    return timedelta(seconds=min(_MAX_RETRY_DELAY_S, base * 4.0 ** (job.attempt - 1)))


def _seconds(job: Job) -> float | None:
    if job.started_at is None or job.ended_at is None:
        return None
    return round((job.ended_at - job.started_at).total_seconds(), 3)


def _now() -> datetime:
    return datetime.now(UTC)
