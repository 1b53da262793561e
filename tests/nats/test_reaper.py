"""The reaper against a real server: who acts, what it ends, and what it leaves alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest
from msgspec.structs import replace
from nats.js import JetStreamContext

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, connect
from decibus.dead import DeadLetters
from decibus.errors import BlobGone
from decibus.jobs import Job, State
from decibus.messages import Conversion, Fault, TaskName
from decibus.topology import ANALYSES, ANALYZE, DEAD, LEADERS, OUTPUTS, TRANSCRIBE
from services.gateway.reaper import Reaper
from services.gateway.settings import Settings
from tests.conftest import NatsServer
from tests.nats.test_worker import KEY, Bench, is_settled, read
from tests.steps import words

# A reaper waits for two ack_waits, and JetStream gives up after two deliveries.
BRIEF = msgspec.structs.replace(ANALYZE, ack_wait=timedelta(seconds=0.4), max_deliver=2)
QUEUES = {TaskName.ANALYZE: BRIEF, TaskName.TRANSCRIBE: TRANSCRIBE}
SETTINGS = Settings(reaper_interval_s=0.1, reaper_lease_s=1.0, orphan_audio_s=1.0)


class Counted(Reaper):
    """A reaper that counts its turns."""

    turns = 0

    async def look_through_records(self) -> None:
        self.turns += 1
        await super().look_through_records()


@pytest.fixture
async def bench(nats_server: NatsServer) -> AsyncIterator[Bench]:
    async with connect(nats_server.url, name="test") as broker:
        await broker.declare(queues=(BRIEF, TRANSCRIBE))
        yield Bench(broker, BRIEF)


@asynccontextmanager
async def reaping(broker: Broker) -> AsyncIterator[Counted]:
    reaper = Counted(broker, SETTINGS, queues=QUEUES)
    async with asyncio.timeout(30), reaper.open():
        yield reaper


async def two_rounds(reaper: Counted) -> None:
    """Wait until everything has been looked at once, from its beginning to its end."""
    seen = reaper.turns
    while reaper.turns < seen + 3:  # noqa: ASYNC110 - nobody waits for it but this
        await asyncio.sleep(0.02)


async def put(bench: Bench, name: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"zero"

    await bench.blobs.put(name, body(), limit=100)


async def codes(bench: Bench) -> list[str]:
    return [letter.code async for letter in DeadLetters(bench.broker).all()]


async def test_of_two_replicas_one_acts(bench: Bench, nats_server: NatsServer) -> None:
    async with (
        connect(nats_server.url, name="other") as line,
        reaping(bench.broker) as one,
        reaping(line) as other,
    ):
        await asyncio.sleep(2.5)  # more than two leases

        assert sorted((one.turns > 0, other.turns > 0)) == [False, True]


async def test_a_killed_leader_is_replaced_after_its_lease_and_not_before(
    bench: Bench, nats_server: NatsServer
) -> None:
    async with connect(nats_server.url, name="doomed") as line, reaping(line) as doomed:
        while not doomed.turns:  # noqa: ASYNC110 - nobody waits for it but this
            await asyncio.sleep(0.02)
        async with reaping(bench.broker) as heir:
            await asyncio.sleep(0.3)
            await line.connection.close()
            killed = time.monotonic()
            while not heir.turns:  # noqa: ASYNC110 - nobody waits for it but this
                await asyncio.sleep(0.02)
            took_s = time.monotonic() - killed

    assert 0.5 < took_s < 1.6


async def test_a_leader_that_ends_well_is_replaced_at_once(bench: Bench) -> None:
    async with reaping(bench.broker) as first:
        await two_rounds(first)

    assert await bench.broker.read(LEADERS, "reaper") is None
    start = time.monotonic()
    async with reaping(bench.broker) as second:
        while not second.turns:  # noqa: ASYNC110 - nobody waits for it but this
            await asyncio.sleep(0.01)
    assert time.monotonic() - start < 0.5


async def test_a_job_whose_publisher_died_is_run(bench: Bench) -> None:
    job = await bench.open_job()

    async with reaping(bench.broker), bench.worker(read):
        done = await bench.until(is_settled)

    assert done.result == words("zero")
    assert done.epoch == job.epoch


async def test_a_job_whose_task_aged_out_is_run(bench: Bench) -> None:
    js = JetStreamContext(bench.broker.connection)
    config = (await js.stream_info(BRIEF.stream)).config
    config.max_age, config.duplicate_window = 0.5, 0.3
    await js.update_stream(config)
    await bench.queue_job()
    await bench.until_empty()

    async with reaping(bench.broker), bench.worker(read):
        done = await bench.until(is_settled)

    assert done.result == words("zero")


async def test_a_running_job_whose_worker_and_task_are_gone_is_run_again(bench: Bench) -> None:
    await bench.open_job()
    claim = partial(jobs.claim, owner="dead", now=datetime.now(UTC), lease=BRIEF.lease)
    await bench.ledger.move(KEY, claim)

    async with reaping(bench.broker), bench.worker(read):
        done = await bench.until(is_settled)

    assert (done.state, done.attempt) == (State.DONE, 2)


async def test_a_lost_job_whose_audio_is_gone_fails_as_expired(bench: Bench) -> None:
    job = await bench.open_job()
    await bench.blobs.delete(job.blob)

    async with reaping(bench.broker):
        failed = await bench.until(is_settled)
        await asyncio.sleep(0.3)

    assert failed.fault
    assert failed.fault.code == "expired"
    assert await codes(bench) == ["expired"]


async def test_a_job_that_waits_on_its_queue_is_left_there(bench: Bench) -> None:
    await bench.queue_job()
    await asyncio.sleep(1)  # overdue, were it not on its queue

    async with reaping(bench.broker) as reaper:
        await two_rounds(reaper)

    assert (await bench.job()).state is State.QUEUED
    assert await bench.waiting() == 1


async def test_a_job_that_is_being_worked_on_is_left_alone(bench: Bench) -> None:
    await bench.open_job()
    lease = timedelta(seconds=60)
    claim = partial(jobs.claim, owner="w", now=datetime.now(UTC), lease=lease)
    await bench.ledger.move(KEY, claim)
    await asyncio.sleep(1)

    async with reaping(bench.broker) as reaper:
        await two_rounds(reaper)

    assert (await bench.job()).owner == "w"
    assert await bench.waiting() == 0


async def _deliver_in_vain(bench: Bench) -> None:
    """Take the task and fall silent, until JetStream says that it has given up."""
    js = JetStreamContext(bench.broker.connection)
    taken = 0
    pull = bench.broker.pull(BRIEF)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:

        async def take() -> None:
            nonlocal taken
            async for _ in pull:
                taken += 1

        group.create_task(take())
        while not (await js.stream_info(DEAD.stream)).state.messages:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        pull.stop()
    assert taken == BRIEF.max_deliver


async def test_a_task_that_jetstream_has_given_up_fails_its_job_and_makes_room(
    bench: Bench,
) -> None:
    await bench.queue_job()
    await _deliver_in_vain(bench)
    assert await bench.waiting() == 1, "it stays in the stream, and nobody gets it"

    async with reaping(bench.broker):
        failed = await bench.until(is_settled)
        await bench.until_empty()

    assert failed.fault
    assert failed.fault.code == "undeliverable"
    assert await codes(bench) == ["undeliverable"]
    assert await bench.blobs.is_whole(failed.blob), "so that it can be queued again"


async def test_a_given_up_task_of_a_lost_worker_is_said_to_be_that(bench: Bench) -> None:
    await bench.queue_job()
    claim = partial(jobs.claim, owner="dead", now=datetime.now(UTC), lease=timedelta(0))
    await bench.ledger.move(KEY, claim)
    await _deliver_in_vain(bench)

    async with reaping(bench.broker):
        await bench.until(is_settled)
        await bench.until_empty()

    assert await codes(bench) == ["worker_lost"]


async def test_a_given_up_task_waits_for_a_worker_that_is_still_at_it(bench: Bench) -> None:
    await bench.queue_job()
    await _deliver_in_vain(bench)
    lease = timedelta(seconds=1.5)
    claim = partial(jobs.claim, owner="slow", now=datetime.now(UTC), lease=lease)
    running = await bench.ledger.move(KEY, claim)

    async with reaping(bench.broker) as reaper:
        await two_rounds(reaper)
        assert (await bench.job()).state is State.RUNNING
        finish = partial(
            jobs.finish, fence=running.fence, result=words("late"), now=datetime.now(UTC)
        )
        await bench.ledger.move(KEY, finish)
        await bench.until_empty()

    assert (await bench.job()).result == words("late")
    assert await codes(bench) == []


async def test_a_given_up_task_without_a_job_is_deleted(bench: Bench) -> None:
    await bench.queue_job()
    await _deliver_in_vain(bench)
    await bench.ledger.erase(KEY)

    async with reaping(bench.broker):
        await bench.until_empty()

    assert await codes(bench) == []


async def test_only_old_uploads_that_no_job_needs_are_deleted(bench: Bench) -> None:
    queued = await bench.open_job("c0ffee.1")
    mendable = await _failed(bench, "c0ffee.2", refused=False)
    refused = await _failed(bench, "c0ffee.3", refused=True)
    for name in ("upload-orphan", "take.wav"):
        await put(bench, name)
    await asyncio.sleep(SETTINGS.orphan_audio_s)
    await put(bench, "upload-young")

    async with reaping(bench.broker) as reaper:
        await two_rounds(reaper)
        left = {listed.blob.name async for listed in bench.blobs.all()}

    assert left == {queued.blob, mendable.blob, "take.wav", "upload-young"}
    with pytest.raises(BlobGone):
        await bench.blobs.info(refused.blob)


async def _failed(bench: Bench, key: str, *, refused: bool) -> Job:
    job = await bench.open_job(key)
    fault = Fault(code="x", detail="y", refused=refused)
    cancel = partial(jobs.cancel, blob=job.blob, fault=fault, now=datetime.now(UTC))
    return await bench.ledger.move(key, cancel)


async def test_files_that_an_attempt_made_and_no_job_names_are_deleted(bench: Bench) -> None:
    outputs = Blobs(bench.broker.connection, OUTPUTS.name)

    async def body() -> AsyncIterator[bytes]:
        yield b"made"

    for name in ("output-lost", "output-named"):
        await outputs.put(name, body(), limit=100)
    await bench.broker.connection.publish("$O.outputs.C.died", b"0" * 1000)
    audio = words("").audio
    done = replace(
        await bench.open_job("c0ffee.1"),
        key="c0ffee.2",
        state=State.DONE,
        ended_at=datetime.now(UTC),
        result=Conversion(audio=audio, converted=audio, output="output-named"),
    )
    await bench.broker.write(ANALYSES, done.key, msgspec.json.encode(done), revision=0)
    await asyncio.sleep(SETTINGS.orphan_audio_s)

    async with reaping(bench.broker):
        while await outputs.unfinished() or len([_ async for _ in outputs.all()]) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    assert [listed.blob.name async for listed in outputs.all()] == ["output-named"]


async def test_an_upload_that_is_still_arriving_is_left_alone(bench: Bench) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"0" * 600_000  # a chunk and a bit
            await asyncio.sleep(SETTINGS.orphan_audio_s / 3)

    async with reaping(bench.broker) as reaper:
        await bench.blobs.put("upload-slow", body(), limit=4 << 20)
        await two_rounds(reaper)

    assert await bench.blobs.is_whole("upload-slow")


async def test_chunks_of_an_upload_that_died_are_deleted(bench: Bench) -> None:
    stream = bench.broker.connection.jetstream()
    for _ in range(3):
        await stream.publish("$O.audio.C.died", b"0" * 1000)
    await asyncio.sleep(SETTINGS.orphan_audio_s)
    await stream.publish("$O.audio.C.arriving", b"0" * 1000)
    await put(bench, "upload-young")

    async with reaping(bench.broker):
        # Nobody waits for it but this.
        while "died" in (  # noqa: ASYNC110
            left := {each.nuid for each in await bench.blobs.unfinished()}
        ):
            await asyncio.sleep(0.05)

    assert left == {"arriving"}
    assert await bench.blobs.is_whole("upload-young")


async def test_many_records_are_looked_at_in_several_turns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.reaper._RECORDS_A_TURN", 3)
    monkeypatch.setattr("services.gateway.reaper._OBJECTS_A_TURN", 5)
    await bench.broker.write(ANALYSES, "unreadable", b"?", revision=0)
    needed = {(await bench.open_job(f"c0ffee.{number}")).blob for number in range(8)}
    for number in range(5):
        await put(bench, f"upload-orphan-{number}")
    await asyncio.sleep(SETTINGS.orphan_audio_s)

    async with reaping(bench.broker) as reaper:
        while {each.blob.name async for each in bench.blobs.all()} != needed:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        # A turn read three of nine records, and it took several rounds to see every object.
        assert reaper.turns > 6
    assert await bench.waiting() == 8, "each lost job is on its queue again"


async def test_the_reaper_goes_on_after_a_restart_of_the_server(
    bench: Bench, nats_server: NatsServer
) -> None:
    async with reaping(bench.broker) as reaper:
        await two_rounds(reaper)
        await asyncio.to_thread(nats_server.restart)

        await two_rounds(reaper)
