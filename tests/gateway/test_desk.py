"""Jobs that several uploads, deletions and refusals want something of at the same time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest

from decibus import jobs
from decibus.errors import BacklogFull
from decibus.jobs import State
from decibus.ledger import Ledger
from decibus.messages import AnalyzeOptions, Fault, Task, TaskName
from decibus.topology import ANALYSES, ANALYZE, AUDIO, REPORTS, TRANSCRIBE
from services.gateway.intake import Intake, Received, Wishes
from services.gateway.uploads import Upload
from tests.gateway.conftest import Pipeline, report
from tests.signals import encode, sine

TONE = encode(sine(1.0, -23.0), 48_000, "wav16")
LOUDNESS = Wishes(tasks=(TaskName.ANALYZE,))


async def receive(pipeline: Pipeline) -> Received:
    async def body() -> AsyncIterator[bytes]:
        yield TONE

    return await intake(pipeline).receive(body(), "take.wav")


def intake(pipeline: Pipeline) -> Intake:
    return Intake(pipeline.broker, pipeline.settings)


async def submit(pipeline: Pipeline, wishes: Wishes = LOUDNESS) -> Upload:
    return await intake(pipeline).submit(await receive(pipeline), wishes, {})


def key_of(upload: Upload) -> str:
    return upload.keys[TaskName.ANALYZE]


async def fill(pipeline: Pipeline) -> None:
    for number in range(TRANSCRIBE.max_msgs):
        await pipeline.broker.publish(
            TRANSCRIBE, f"k.{number}", b"", dedup_id=str(number), headers={}
        )


async def test_a_refusal_by_the_second_queue_leaves_nothing_on_the_first(
    pipeline: Pipeline,
) -> None:
    await fill(pipeline)

    with pytest.raises(BacklogFull):
        await submit(pipeline, Wishes())

    for stream in (AUDIO.stream, REPORTS.stream, ANALYSES.stream, ANALYZE.stream):
        assert await pipeline.messages(stream) == 0
    async with pipeline.workers():
        later = report(await pipeline.analyze(TONE, tasks="loudness"))
    assert later["status"] == "done"


async def test_a_refusal_does_not_take_away_what_another_upload_relies_on(
    pipeline: Pipeline,
) -> None:
    theirs = await submit(pipeline)
    await fill(pipeline)

    with pytest.raises(BacklogFull):
        await submit(pipeline, Wishes())

    async with pipeline.workers():
        path = f"/result/{theirs.token}"
        kept = report(await pipeline.http.get(path, params={"wait": "20"}))
    assert kept["status"] == "done"


async def test_a_job_that_is_reopened_while_its_old_task_is_being_settled_is_done(
    pipeline: Pipeline,
) -> None:
    first = await submit(pipeline)
    ledger = Ledger(pipeline.broker)
    claim = partial(jobs.claim, owner="w", now=datetime.now(UTC), lease=ANALYZE.lease)
    job = await ledger.move(key_of(first), claim)
    fault = Fault(code="unavailable", detail="the last of three attempts")
    fail = partial(jobs.fail, fence=job.fence, fault=fault, now=datetime.now(UTC))
    await ledger.move(key_of(first), fail)  # its task is still on the queue

    async def settle_late() -> None:
        await asyncio.sleep(0.3)
        await pipeline.broker.withdraw(ANALYZE, key_of(first))

    async with asyncio.TaskGroup() as group:
        group.create_task(settle_late())
        again = await submit(pipeline)

    async with pipeline.workers():
        path = f"/result/{again.token}"
        done = report(await pipeline.http.get(path, params={"wait": "20"}))
    assert done["status"] == "done"


async def test_uploads_and_deletions_of_one_content_at_once_lose_no_upload(
    pipeline: Pipeline,
) -> None:
    async def come_and_go() -> None:
        for _ in range(5):
            upload = await submit(pipeline)
            await pipeline.http.delete(f"/result/{upload.token}")

    async def stay() -> Upload:
        await asyncio.sleep(0.02)
        return await submit(pipeline)

    async with pipeline.workers():
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(come_and_go())
            staying = [group.create_task(stay()) for _ in range(5)]
        reports = [
            report(await pipeline.http.get(f"/result/{each.result().token}?wait=20"))
            for each in staying
        ]

    assert [each["status"] for each in reports] == ["done"] * 5


async def test_a_task_whose_opener_died_is_queued_by_the_next_upload(pipeline: Pipeline) -> None:
    received = await receive(pipeline)
    key = jobs.key_of(received.blob.sha256, AnalyzeOptions(max_duration_s=60.0))
    orphan = jobs.open_job(
        key,
        AnalyzeOptions(max_duration_s=60.0),
        blob="gone",
        siblings=(),
        now=datetime.now(UTC),
    )
    await Ledger(pipeline.broker).open(orphan)

    async with pipeline.workers():
        answer = report(await pipeline.analyze(TONE, tasks="loudness"))

    assert answer["status"] == "done"


async def test_a_deletion_that_failed_can_be_repeated(pipeline: Pipeline) -> None:
    upload = await submit(pipeline)
    await pipeline.broker.publish(
        ANALYZE, "x.y", msgspec.json.encode(Task(key="x.y")), dedup_id="x", headers={}
    )

    first = await pipeline.http.delete(f"/result/{upload.token}")
    second = await pipeline.http.delete(f"/result/{upload.token}")

    assert (first.status_code, second.status_code) == (204, 404)
    assert await pipeline.messages(ANALYZE.stream) == 1, "another's task stays"
    assert await Ledger(pipeline.broker).find(key_of(upload)) is None


async def test_five_hundred_uploads_of_one_file_are_one_analysis(pipeline: Pipeline) -> None:
    attempts: set[tuple[str, int, int]] = set()

    async def note(event: object) -> None:
        value = getattr(event, "value", b"")
        job = msgspec.json.decode(value, type=jobs.Job)
        if job.state is State.RUNNING:
            attempts.add((job.key, job.epoch, job.attempt))

    await pipeline.broker.hear(note)

    async with pipeline.workers():
        many = await asyncio.gather(*(pipeline.analyze(TONE, tasks="loudness") for _ in range(500)))

    reports = [report(each) for each in many]
    assert {each.status_code for each in many} == {200}
    assert len({each["token"] for each in reports}) == 500
    assert len({msgspec.json.encode(each["loudness"]) for each in reports}) == 1
    assert len(attempts) == 1
