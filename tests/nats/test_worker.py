"""The worker against a real server: claims, heartbeats, takeovers, restarts and drains."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import BinaryIO

import msgspec
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, Event, connect
from decibus.errors import BlobGone, NotAudio, Superseded, Unavailable
from decibus.jobs import Job, State
from decibus.ledger import Ledger
from decibus.messages import (
    AnalyzeOptions,
    Segment,
    Task,
    Transcript,
)
from decibus.progress import Progress
from decibus.topology import ANALYSES, ANALYZE, AUDIO, Queue
from decibus.worker import Step, Worker
from tests.conftest import NatsServer
from tests.steps import words

# Everything that waits for a silent worker, in half the time.
QUICK = msgspec.structs.replace(ANALYZE, ack_wait=timedelta(seconds=3))
GRACE = timedelta(seconds=2)
KEY = "c0ffee.1"


def read(file: BinaryIO, _: AnalyzeOptions, __: Progress) -> Transcript:
    """Give back what stands in the file."""
    return words(file.read().decode())


class Bench:
    """A queue with one job on it, and what stands where afterwards."""

    def __init__(self, broker: Broker, queue: Queue = QUICK) -> None:
        self.broker = broker
        self.queue = queue
        self.blobs = Blobs(broker.connection, AUDIO.name)
        self.ledger = Ledger(broker)
        self.stop = asyncio.Event()

    async def open_job(self, key: str = KEY, *, siblings: tuple[str, ...] = ()) -> Job:
        async def body() -> AsyncIterator[bytes]:
            yield b"zero"

        blob = await self.blobs.put(f"upload-{key}", body(), limit=100)
        opened = jobs.open_job(
            key, AnalyzeOptions(), blob=blob.name, siblings=siblings, now=datetime.now(UTC)
        )
        job, _ = await self.ledger.open(opened)
        return job

    async def queue_job(
        self, key: str = KEY, *, siblings: tuple[str, ...] = (), brings: bool = False
    ) -> Job:
        job = await self.open_job(key, siblings=siblings)
        found = await self.ledger.look(key) if brings else None
        body = msgspec.json.encode(jobs.task_for(job, revision=found and found[1]))
        await self.broker.publish(self.queue, key, body, dedup_id=job.dedup_id, headers={})
        return job

    @asynccontextmanager
    async def worker(
        self, step: Step, *, slots: int = 1, grace: timedelta = GRACE
    ) -> AsyncIterator[Worker]:
        worker = Worker(self.broker, self.blobs, self.queue, step, slots=slots)
        stop = asyncio.Event()
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            group.create_task(worker.serve(until=stop, grace=grace))
            try:
                yield worker
            finally:
                stop.set()

    async def until(self, holds: Callable[[Job], bool], key: str = KEY) -> Job:
        while True:
            job = await self.job(key)
            if holds(job):
                return job
            await asyncio.sleep(0.02)

    async def job(self, key: str = KEY) -> Job:
        job = await self.ledger.find(key)
        assert job
        return job

    async def waiting(self) -> int:
        js = JetStreamContext(self.broker.connection)
        return (await js.stream_info(self.queue.stream)).state.messages

    async def until_empty(self) -> None:
        while await self.waiting():  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.02)


@pytest.fixture
async def bench(nats_server: NatsServer) -> AsyncIterator[Bench]:
    async with connect(nats_server.url, name="test") as broker:
        await broker.declare(queues=(QUICK,))
        yield Bench(broker)


def is_settled(job: Job) -> bool:
    return job.is_settled


def is_running(job: Job) -> bool:
    return job.state is State.RUNNING


async def test_a_job_is_done_and_nothing_but_its_record_stays(bench: Bench) -> None:
    job = await bench.queue_job()

    async with bench.worker(read):
        done = await bench.until(is_settled)
        await bench.until_empty()

    assert done.state is State.DONE
    assert done.result == words("zero")
    with pytest.raises(BlobGone):
        await bench.blobs.info(job.blob)


async def test_what_a_ledger_remembers_is_only_good_for_a_write(bench: Bench) -> None:
    await bench.open_job()
    lease = timedelta(seconds=30)
    mine = await bench.ledger.move(
        KEY, partial(jobs.claim, owner="me", now=datetime.now(UTC), lease=lease)
    )
    other = Ledger(bench.broker)
    await other.move(KEY, partial(jobs.hand_back, fence=mine.fence))

    with pytest.raises(Superseded):  # what it remembers would have allowed it
        await bench.ledger.move(
            KEY,
            partial(jobs.renew, fence=mine.fence, progress=0.5, now=datetime.now(UTC), lease=lease),
        )
    later = datetime.now(UTC) + lease
    again = await bench.ledger.move(KEY, partial(jobs.claim, owner="me", now=later, lease=lease))

    assert again.attempt == 2
    assert await other.find(KEY) == again


@asynccontextmanager
async def questions(broker: Broker) -> AsyncIterator[list[str]]:
    """Collect which streams are asked for a message."""
    asked: list[str] = []

    async def on_question(message: Msg) -> None:
        asked.append(message.subject.rpartition(".")[2])

    subscription = await broker.connection.subscribe("$JS.API.STREAM.MSG.GET.*", cb=on_question)
    await broker.settle_subscriptions()
    try:
        yield asked
    finally:
        await subscription.unsubscribe()


async def test_a_job_is_claimed_by_the_record_that_its_task_brings(bench: Bench) -> None:
    await bench.queue_job(brings=True)

    async with questions(bench.broker) as asked:
        async with bench.worker(read):
            await bench.until_empty()
        await bench.broker.settle_subscriptions()
        told = tuple(asked)

    assert (await bench.job()).state is State.DONE
    assert ANALYSES.stream not in told
    assert AUDIO.seals in told  # its questions were heard


async def test_a_record_that_is_newer_than_its_task_goes_before_it(bench: Bench) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"

    await bench.queue_job(brings=True)
    await bench.blobs.put("upload-other", body(), limit=100)
    rebind = partial(jobs.rebind, blob="upload-other", siblings=())
    await Ledger(bench.broker).move(KEY, rebind)

    async with bench.worker(read):
        done = await bench.until(is_settled)

    assert done.result == words("one")
    assert done.attempt == 1


async def test_refused_input_fails_at_once_and_is_not_tried_again(bench: Bench) -> None:
    attempts = []

    def refuse(file: BinaryIO, _: AnalyzeOptions, __: Progress) -> Transcript:
        attempts.append(file)
        raise NotAudio("a picture")

    await bench.queue_job()

    async with bench.worker(refuse):
        failed = await bench.until(is_settled)
        await bench.until_empty()

    assert failed.state is State.FAILED
    assert failed.fault
    assert (failed.fault.code, failed.fault.detail) == ("not_audio", "a picture")
    assert len(attempts) == 1


async def test_the_worlds_fault_is_tried_again(bench: Bench) -> None:
    attempts = []

    def fail_once(file: BinaryIO, _: AnalyzeOptions, __: Progress) -> Transcript:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            raise Unavailable("the disk is full")
        return words(file.read().decode())

    await bench.queue_job()

    async with bench.worker(fail_once):
        done = await bench.until(is_settled)

    assert done.state is State.DONE
    assert done.attempt == 2
    assert attempts[1] - attempts[0] >= 3.9, "the world gets some time to mend"


async def test_a_bug_is_given_up_after_three_attempts_and_told_without_its_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decibus.worker._retry_delay", lambda _: timedelta(milliseconds=10))

    def stumble(_: BinaryIO, __: AnalyzeOptions, ___: Progress) -> Transcript:
        raise ZeroDivisionError("/secret/path")

    await bench.queue_job()

    async with bench.worker(stumble):
        failed = await bench.until(is_settled)
        await bench.until_empty()

    assert failed.attempt == 3
    assert failed.fault
    assert failed.fault.code == "internal_error"
    assert "secret" not in failed.fault.detail


async def test_a_task_that_cannot_be_read_does_not_stop_the_worker(bench: Bench) -> None:
    await bench.broker.publish(QUICK, "poison.1", b"\xff", dedup_id="p", headers={})
    of_another = jobs.open_job(
        "x.1", AnalyzeOptions(), blob="b", siblings=(), now=datetime.now(UTC)
    )
    for key, record in {"poison.2": of_another, "poison.3": None}.items():
        task = Task(key=key, record=msgspec.Raw(msgspec.json.encode(record)), revision=1)
        body = msgspec.json.encode(task)
        await bench.broker.publish(QUICK, key, body, dedup_id=key, headers={})
    await bench.queue_job()

    async with bench.worker(read):
        done = await bench.until(is_settled)
        await bench.until_empty()

    assert done.state is State.DONE


async def test_a_task_whose_job_was_deleted_is_dropped(bench: Bench) -> None:
    await bench.queue_job()
    await bench.ledger.erase(KEY)

    async with bench.worker(read):
        await bench.until_empty()

    assert await bench.ledger.find(KEY) is None


async def test_the_heart_beats_while_the_step_works(bench: Bench) -> None:
    def slow(file: BinaryIO, _: AnalyzeOptions, progress: Progress) -> Transcript:
        for tick in range(45):  # half as long again as a silent worker would be given
            time.sleep(0.1)
            progress(tick / 45)
        return words(file.read().decode())

    await bench.queue_job()

    async with bench.worker(slow, slots=2):
        beating = await bench.until(lambda job: job.progress > 0)
        done = await bench.until(is_settled)

    assert beating.state is State.RUNNING
    assert (done.state, done.attempt) == (State.DONE, 1)


def segment(number: int) -> Segment:
    return Segment(
        id=number,
        start=float(number),
        end=number + 1.0,
        text="zero",
        avg_logprob=0.0,
        no_speech_prob=0.0,
        compression_ratio=1.0,
    )


async def test_what_is_heard_is_told_soon_and_at_most_once_a_second(bench: Bench) -> None:
    slow_beat = msgspec.structs.replace(QUICK, ack_wait=timedelta(seconds=60))
    seen: list[tuple[float, int]] = []

    async def note(event: Event) -> None:
        job = msgspec.json.decode(event.value, type=Job)
        if job.state is State.RUNNING:
            seen.append((time.monotonic(), len(job.partial)))

    def talk(file: BinaryIO, _: AnalyzeOptions, progress: Progress) -> Transcript:
        for number in range(25):
            time.sleep(0.1)
            progress(number / 25, (segment(number),))
        return words(file.read().decode())

    await bench.broker.declare(queues=(slow_beat,))
    await bench.broker.hear(note)
    slow = Bench(bench.broker, slow_beat)
    await slow.queue_job()

    async with slow.worker(talk):
        done = await slow.until(is_settled)

    times, counts = zip(*seen, strict=True)
    assert len(seen) >= 3, "the claim, and two beats in two and a half seconds"
    assert all(later - earlier > 0.9 for earlier, later in pairwise(times))
    assert counts[0] == 0 < counts[1] < counts[2]
    assert done.partial == ()


async def test_a_superseded_worker_tells_nothing_more(bench: Bench) -> None:
    stopped = threading.Event()

    def talk(_: BinaryIO, __: AnalyzeOptions, progress: Progress) -> Transcript:
        try:
            for number in range(1000):
                time.sleep(0.02)
                progress(number / 1000, (segment(number),))
        except Superseded:
            stopped.set()
            raise
        return words("late")

    await bench.queue_job()

    async with bench.worker(talk):
        running = await bench.until(is_running)
        stolen = msgspec.structs.replace(running, leased_until=datetime.now(UTC))
        claim = partial(jobs.claim, owner="b", now=datetime.now(UTC), lease=timedelta(seconds=60))
        await bench.ledger.move(KEY, lambda _: claim(stolen))
        assert await asyncio.to_thread(stopped.wait, 10), "the next beat has found out"

        job = await bench.job()
        assert (job.owner, job.progress, job.partial) == ("b", 0.0, ())


async def test_a_silent_workers_job_is_taken_over_and_its_late_result_refused(
    bench: Bench, nats_server: NatsServer
) -> None:
    await bench.queue_job()

    async with connect(nats_server.url, name="silent") as line:
        silent = await _claim_and_fall_silent(line)
        async with bench.worker(read):
            done = await bench.until(is_settled)
            await bench.until_empty()

        assert done.attempt == 2
        late = partial(jobs.finish, fence=silent.fence, result=words("late"), now=datetime.now(UTC))
        with pytest.raises(Superseded):
            await Ledger(line).move(KEY, late)
    assert (await bench.job()).result == words("zero")


async def _claim_and_fall_silent(line: Broker) -> Job:
    async for delivery in line.pull(QUICK):
        task = msgspec.json.decode(delivery.body, type=Task)
        claim = partial(jobs.claim, owner="silent", now=datetime.now(UTC), lease=QUICK.lease)
        return await Ledger(line).move(task.key, claim)
    raise AssertionError


async def test_a_superseded_worker_settles_nothing(bench: Bench) -> None:
    await bench.queue_job()
    go_on = threading.Event()

    def freeze(_: BinaryIO, __: AnalyzeOptions, ___: Progress) -> Transcript:
        go_on.wait(10)
        return words("late")

    async with bench.worker(freeze):
        running = await bench.until(is_running)
        # Another worker takes over, as after a lease that ran out.
        stolen = msgspec.structs.replace(running, leased_until=datetime.now(UTC))
        claim = partial(jobs.claim, owner="b", now=datetime.now(UTC), lease=timedelta(seconds=60))
        await bench.ledger.move(KEY, lambda _: claim(stolen))
        go_on.set()
        await asyncio.sleep(0.3)

        assert await bench.waiting() == 1, "the late worker has not acked the other's task"
        assert (await bench.job()).owner == "b"
        assert (await bench.job()).state is State.RUNNING


async def test_work_resumes_within_a_second_of_a_restart(
    bench: Bench, nats_server: NatsServer
) -> None:
    async with bench.worker(read):
        await asyncio.sleep(0.1)
        await asyncio.to_thread(nats_server.restart)
        async with connect(nats_server.url, name="gateway") as other:
            start = time.monotonic()
            await Bench(other).queue_job()
            await Bench(other).until(is_settled)
            assert time.monotonic() - start < 1


async def test_a_result_outlives_a_restart_of_the_server(
    bench: Bench, nats_server: NatsServer
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(file: BinaryIO, _: AnalyzeOptions, __: Progress) -> Transcript:
        begun.set()
        go_on.wait(10)
        return words(file.read().decode())

    await bench.queue_job()

    async with bench.worker(wait):
        assert await asyncio.to_thread(begun.wait, 10), "the audio is there, the work has begun"
        await asyncio.to_thread(nats_server.kill)
        go_on.set()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(nats_server.start)
        while not bench.broker.is_connected:  # noqa: ASYNC110 - nats-py has no event for it
            await asyncio.sleep(0.02)
        done = await bench.until(is_settled)

    assert (done.state, done.attempt) == (State.DONE, 1)


async def test_a_drain_finishes_what_is_in_hand(bench: Bench) -> None:
    def slow(file: BinaryIO, _: AnalyzeOptions, __: Progress) -> Transcript:
        time.sleep(0.5)
        return words(file.read().decode())

    await bench.queue_job()

    async with bench.worker(slow):
        await bench.until(is_running)

    assert (await bench.job()).state is State.DONE
    assert await bench.waiting() == 0


async def test_a_drain_hands_back_what_takes_too_long(bench: Bench) -> None:
    forever = threading.Event()

    def endless(_: BinaryIO, __: AnalyzeOptions, ___: Progress) -> Transcript:
        forever.wait(20)
        return words("never")

    await bench.queue_job()

    async with bench.worker(endless, grace=timedelta(milliseconds=50)):
        await bench.until(is_running)
    handed_back = await bench.job()
    start = time.monotonic()
    async with bench.worker(read):
        done = await bench.until(is_settled)
    forever.set()

    assert handed_back.state is State.QUEUED
    assert done.result == words("zero")
    assert time.monotonic() - start < 1, "at once, not after ack_wait"


async def test_the_audio_stays_until_the_last_sibling_has_ended(bench: Bench) -> None:
    twin = "c0ffee.2"
    job = await bench.queue_job(siblings=(twin,))
    other = jobs.open_job(
        twin, AnalyzeOptions(), blob=job.blob, siblings=(KEY,), now=datetime.now(UTC)
    )
    await bench.ledger.open(other)

    async with bench.worker(read):
        await bench.until(is_settled)
        await bench.until_empty()
        assert (await bench.blobs.info(job.blob)).size == 4

        body = msgspec.json.encode(Task(key=twin))
        await bench.broker.publish(QUICK, twin, body, dedup_id=other.dedup_id, headers={})
        await bench.until(is_settled, twin)
        await bench.until_empty()

    with pytest.raises(BlobGone):
        await bench.blobs.info(job.blob)


async def test_the_record_of_a_job_is_seen_as_it_changes(bench: Bench) -> None:
    states: list[str] = []
    ended = asyncio.Event()

    async def note(event: Event) -> None:
        job = msgspec.json.decode(event.value, type=Job)
        states.append(job.state)
        if job.is_settled:
            ended.set()

    await bench.broker.hear(note)
    await bench.queue_job()

    async with bench.worker(read), asyncio.timeout(5):
        await ended.wait()

    assert states == ["queued", "running", "done"]
