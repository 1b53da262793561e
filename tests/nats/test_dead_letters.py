"""Dead letters against a real server: who gets one, what it says, and what it never costs."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest
from nats.js import JetStreamContext

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import connect
from decibus.dead import DeadLetters, Letter
from decibus.errors import BlobGone, NotAudio
from decibus.jobs import Job, State
from decibus.messages import AnalyzeOptions, Fault, Task, Transcript
from decibus.progress import Progress
from decibus.topology import DEAD
from tests.conftest import NatsServer
from tests.nats.test_worker import KEY, QUICK, Bench, is_settled, read
from tests.steps import words

ROOT = Path(__file__).parent.parent.parent
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def bench(nats_server: NatsServer) -> AsyncIterator[Bench]:
    async with connect(nats_server.url, name="test") as broker:
        await broker.declare(queues=(QUICK,))
        yield Bench(broker)


async def queue_text(bench: Bench, key: str, text: str) -> Job:
    async def body() -> AsyncIterator[bytes]:
        yield text.encode()

    blob = await bench.blobs.put(f"upload-{key}", body(), limit=100)
    now = datetime.now(UTC)
    opened = jobs.open_job(key, AnalyzeOptions(), blob=blob.name, siblings=(), now=now)
    job, _ = await bench.ledger.open(opened)
    task = msgspec.json.encode(Task(key=key))
    headers = {"traceparent": TRACE}
    await bench.broker.publish(QUICK, key, task, dedup_id=job.dedup_id, headers=headers)
    return job


async def letters(bench: Bench) -> list[Letter]:
    return [letter async for letter in DeadLetters(bench.broker).all()]


def refuse(_: BinaryIO, __: AnalyzeOptions, ___: Progress) -> Transcript:
    raise NotAudio("a picture\r\nNats-Rollup: all \N{SNOWMAN}" + "!" * 9999)


def stumble(_: BinaryIO, __: AnalyzeOptions, ___: Progress) -> Transcript:
    raise ZeroDivisionError


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decibus.worker._retry_delay", lambda _: timedelta(milliseconds=10))


async def test_refused_input_gets_one_letter_that_says_why_in_safe_headers(bench: Bench) -> None:
    job = await queue_text(bench, KEY, "jpeg")

    async with bench.worker(refuse):
        await bench.until(is_settled)
        await bench.until_empty()

    [letter] = await letters(bench)
    assert (letter.task, letter.key, letter.code) == ("analyze", KEY, "not_audio")
    assert (letter.attempt, letter.epoch) == ("1", str(job.epoch))
    assert letter.traceparent == TRACE
    assert letter.owner
    assert letter.detail.startswith("a picture Nats-Rollup: all \\u2603!!!")
    assert len(letter.detail) == 500
    stored = await bench.broker.stored(DEAD.stream, letter.sequence)
    assert stored
    assert msgspec.json.decode(stored.body, type=Task) == Task(key=KEY)
    assert set(stored.headers) == {
        "Nats-Msg-Id",
        "Decibus-Code",
        "Decibus-Detail",
        "Decibus-Attempt",
        "Decibus-Epoch",
        "Decibus-Owner",
        "traceparent",
    }


@pytest.mark.usefixtures("_at_once")
async def test_the_last_attempt_gets_a_letter_and_the_ones_before_get_none(bench: Bench) -> None:
    await queue_text(bench, KEY, "zero")

    async with bench.worker(stumble):
        await bench.until(is_settled)
        await bench.until_empty()

    [letter] = await letters(bench)
    assert (letter.code, letter.attempt) == ("internal_error", "3")


async def test_what_is_done_gets_no_letter(bench: Bench) -> None:
    await queue_text(bench, KEY, "zero")

    async with bench.worker(read):
        await bench.until(is_settled)
        await bench.until_empty()

    assert await letters(bench) == []


async def test_a_failure_that_was_recorded_and_not_told_is_told_by_the_next_delivery_once(
    bench: Bench,
) -> None:
    job = await queue_text(bench, KEY, "zero")
    fault = Fault(code="unavailable", detail="d")
    fail = partial(jobs.cancel, blob=job.blob, fault=fault, now=job.queued_at)
    failed = await bench.ledger.move(KEY, fail)
    # Its worker died behind the letter and ahead of the term.
    await DeadLetters(bench.broker).add(failed, TRACE)

    async with bench.worker(read):
        await bench.until_empty()

    [letter] = await letters(bench)
    assert letter.code == "unavailable"


async def test_without_room_for_a_letter_the_failure_stays_on_its_queue_until_it_can_be_told(
    bench: Bench,
) -> None:
    js = JetStreamContext(bench.broker.connection)
    await js.delete_stream(DEAD.stream)
    await queue_text(bench, KEY, "jpeg")

    async with bench.worker(refuse):
        failed = await bench.until(is_settled)
        await asyncio.sleep(0.3)
        assert await bench.waiting() == 1, "not termed"
        await bench.broker.declare(queues=(QUICK,))
        await bench.until_empty()

    [letter] = await letters(bench)
    assert (letter.code, failed.attempt) == ("not_audio", 1)


async def test_the_audio_of_refused_input_goes_at_once(bench: Bench) -> None:
    job = await queue_text(bench, KEY, "jpeg")

    async with bench.worker(refuse):
        await bench.until_empty()

    with pytest.raises(BlobGone):
        await bench.blobs.info(job.blob)


@pytest.mark.usefixtures("_at_once")
async def test_the_audio_of_a_failure_that_may_be_mended_stays(bench: Bench) -> None:
    job = await queue_text(bench, KEY, "zero")

    async with bench.worker(stumble):
        await bench.until_empty()

    assert await bench.blobs.is_whole(job.blob)


@pytest.mark.usefixtures("_at_once")
async def test_the_audio_that_a_failed_sibling_may_need_again_stays(bench: Bench) -> None:
    job = await queue_text(bench, KEY, "zero")
    async with bench.worker(stumble):
        await bench.until_empty()
    twin = jobs.open_job(
        "c0ffee.2", AnalyzeOptions(), blob=job.blob, siblings=(KEY,), now=datetime.now(UTC)
    )
    await bench.ledger.open(twin)
    task = msgspec.json.encode(Task(key=twin.key))
    await bench.broker.publish(QUICK, twin.key, task, dedup_id=twin.dedup_id, headers={})

    async with bench.worker(read):
        await bench.until(is_settled, twin.key)
        await bench.until_empty()

    assert await bench.blobs.is_whole(job.blob)


async def test_an_object_that_has_lost_chunks_is_not_whole(bench: Bench) -> None:
    job = await queue_text(bench, KEY, "zero")
    blob = await bench.blobs.info(job.blob)

    js = JetStreamContext(bench.broker.connection)
    await js.purge_stream("OBJ_audio", subject=f"$O.audio.C.{blob.nuid}")

    assert not await bench.blobs.is_whole(job.blob)
    assert not await bench.blobs.is_whole("never-there")


async def test_objects_are_listed_with_the_time_they_were_finished(bench: Bench) -> None:
    begun = datetime.now(UTC)
    for number in range(3):
        await queue_text(bench, f"c0ffee.{number}", "zero")
    js = JetStreamContext(bench.broker.connection)
    await js.publish("$O.audio.M.Z2FyYmFnZQ==", b"no meta")
    await bench.blobs.delete("upload-c0ffee.1")

    found = [each async for each in bench.blobs.all()]

    assert [each.blob.name for each in found] == ["upload-c0ffee.0", "upload-c0ffee.2"]
    assert all(begun <= each.stored_at <= datetime.now(UTC) for each in found)
    rest = [each async for each in bench.blobs.all(after=found[0].sequence)]
    assert [each.blob.name for each in rest] == ["upload-c0ffee.2"]


@asynccontextmanager
async def mortal(url: str) -> AsyncIterator[list[int]]:
    """Keep one worker's process running, whatever kills it; yields the exit codes."""
    codes: list[int] = []

    async def supervise() -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.nats.mortal", url, cwd=ROOT
            )
            try:
                codes.append(await process.wait())
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise

    async with asyncio.TaskGroup() as group:
        supervising = group.create_task(supervise())
        yield codes
        supervising.cancel()


async def run_healthy(bench: Bench, name: str) -> float:
    """Return how long it takes until ten healthy jobs are done."""
    start = time.monotonic()
    keys = [f"{name}.{number}" for number in range(10)]
    for key in keys:
        await queue_text(bench, key, "zero")
    for key in keys:
        assert (await bench.until(is_settled, key)).result == words("zero")
    return time.monotonic() - start


async def _pulls(bench: Bench) -> int:
    js = bench.broker.connection.jetstream()
    return (await js.consumer_info(QUICK.stream, QUICK.consumer)).num_waiting or 0


@pytest.mark.timeout(90)
async def test_a_job_that_kills_its_workers_fails_after_three_and_holds_up_no_other(
    bench: Bench, nats_server: NatsServer
) -> None:
    async with mortal(nats_server.url) as codes:
        while not await _pulls(bench):  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.05)
        alone_s = await run_healthy(bench, "a")
        poison = await queue_text(bench, "poison.1", "poison")
        beside_s = await run_healthy(bench, "b")
        failed = await bench.until(is_settled, "poison.1")
        await bench.until_empty()

    assert codes == [9, 9, 9]
    assert failed.fault
    assert (failed.state, failed.fault.code, failed.attempt) == (State.FAILED, "worker_lost", 3)
    [letter] = await letters(bench)
    assert (letter.key, letter.code, letter.attempt) == ("poison.1", "worker_lost", "3")
    assert letter.traceparent == TRACE
    assert await Blobs(bench.broker.connection, "audio").is_whole(poison.blob)
    assert beside_s < 4 * alone_s, "a busy machine stretches it, the three lives would far more"
