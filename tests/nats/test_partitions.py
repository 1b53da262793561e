"""Queues that are several streams each, against a real server: who gets what, and what is lost."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from typing import Final

import pytest

from decibus.broker import Broker, Published, connect
from decibus.errors import BacklogFull
from decibus.jobs import State
from decibus.messages import TaskName
from decibus.provision import Mismatch
from decibus.pull import Delivery, Pull
from decibus.topology import ERRANDS, PARTITIONS, QUEUES, TRANSCODE, TRANSCRIBE
from services.gateway.gauges import read as read_gauges
from services.gateway.intake import Intake, Wishes
from services.gateway.reaper import Reaper
from services.gateway.settings import Settings
from services.gateway.waiting import Lines
from tests.conftest import NatsServer
from tests.nats.test_worker import QUICK, Bench, is_running, is_settled, read
from tests.processes import ROOT

FOUR: Final = 4
QUEUES_HERE: Final = {TaskName.ANALYZE: QUICK, TaskName.TRANSCRIBE: TRANSCRIBE}


def keys(count: int) -> list[str]:
    """Return keys as files of so many contents have them."""
    return [f"{sha256(str(number).encode()).hexdigest()}.d1" for number in range(count)]


def keys_of(number: int, count: int) -> list[str]:
    """Return so many keys of one of the four partitions."""
    found = [key for key in keys(40 * count) if int(key[0], 16) // 4 == number]
    return found[:count]


@asynccontextmanager
async def connected(server: NatsServer, partitions: int) -> AsyncIterator[Broker]:
    async with connect(server.url, name="test", partitions=partitions) as broker:
        yield broker


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Broker]:
    async with connected(nats_server, FOUR) as broker:
        await broker.declare(queues=(QUICK, TRANSCRIBE, TRANSCODE, *ERRANDS))
        yield broker


async def publish(broker: Broker, key: str, dedup_id: str = "") -> Published:
    return await broker.publish(QUICK, key, key.encode(), dedup_id=dedup_id or key, headers={})


async def take(pull: Pull, count: int) -> list[str]:
    """Take so many tasks, each as soon as the one before is settled; returns their keys."""
    taken: list[str] = []
    async with asyncio.timeout(20), aclosing(aiter(pull)) as deliveries:  # type: ignore[type-var]
        async for delivery in deliveries:
            await delivery.ack()
            taken.append(delivery.body.decode())
            if len(taken) == count:
                return taken
    raise AssertionError


# ── names


def test_one_partition_is_the_queue_itself() -> None:
    for queue in (*QUEUES.values(), *ERRANDS):
        assert queue.split(1) == (queue,)
        assert queue.at("any key", 1) is queue


def test_no_two_numbers_have_a_stream_or_a_subject_in_common() -> None:
    parts = [part for q in QUEUES.values() for n in PARTITIONS for part in q.split(n)]

    assert len({part.stream for part in parts}) == len({part.subjects for part in parts})
    assert len({part.stream for part in parts}) == len(parts) == 3 * (2 * PARTITIONS[-1] - 1)


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_every_key_has_one_partition_and_each_gets_its_share(partitions: int) -> None:
    parts = QUICK.split(partitions)
    found = Counter(QUICK.at(key, partitions) for key in keys(100 * partitions))

    assert set(found) == set(parts)
    assert min(found.values()) > 50
    assert all(part.key(part.subject("a.b")) == "a.b" for part in parts)


def test_errands_are_never_split() -> None:
    assert [errand.split(64) for errand in ERRANDS] == [(errand,) for errand in ERRANDS]


# ── four streams


async def test_a_task_is_in_the_partition_of_its_key_and_in_flight_once(broker: Broker) -> None:
    all_keys = keys(60)

    first = [await publish(broker, key) for key in all_keys]
    again = [await publish(broker, key, f"{key}.2") for key in all_keys]

    assert set(first) == {Published.NEW}
    assert set(again) == {Published.IN_FLIGHT}
    js = broker.connection.jetstream()
    for number in range(FOUR):
        info = await js.stream_info(f"JOBS_ANALYZE_{number}OF4", subjects_filter=">")
        assert set(info.state.subjects or {}) == {
            f"jobs.analyze-{number}of4.{key}" for key in all_keys if int(key[0], 16) // 4 == number
        }
    assert await broker.count_tasks(QUICK) == 60
    assert await broker.waiting_keys(QUICK) == set(all_keys)
    assert (await broker.condition(QUICK)).waiting == 60
    for key in all_keys[:10]:
        assert await broker.sequence(QUICK, key)
        await broker.withdraw(QUICK, key)
    assert await broker.waiting_keys(QUICK) == set(all_keys[10:])
    await read_gauges(broker)


async def test_each_partition_is_full_by_itself(broker: Broker) -> None:
    first, second = keys_of(0, TRANSCRIBE.max_msgs + 1), keys_of(1, 1)
    for key in first[:-1]:
        await broker.publish(TRANSCRIBE, key, b"", dedup_id=key, headers={})

    with pytest.raises(BacklogFull):
        await broker.publish(TRANSCRIBE, first[-1], b"", dedup_id="x", headers={})
    await broker.publish(TRANSCRIBE, second[0], b"", dedup_id="y", headers={})
    assert broker.cap(TRANSCRIBE) == FOUR * TRANSCRIBE.max_msgs


async def test_a_full_partition_does_not_starve_another(broker: Broker) -> None:
    for key in keys_of(0, 40):
        await publish(broker, key)
    others = [keys_of(number, 1)[0] for number in (1, 2, 3)]
    for key in others:
        await publish(broker, key)

    taken = await take(broker.pull(QUICK), 8)

    assert set(others) < set(taken)


async def test_a_slot_that_waits_gets_what_comes_wherever_it_comes(broker: Broker) -> None:
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(take(broker.pull(QUICK), 12))
        for turn in range(3):  # each time four at once, for one slot
            await asyncio.sleep(0.3)
            four = [keys_of(number, 3)[turn] for number in range(FOUR)]
            await asyncio.gather(*(publish(broker, key) for key in four))

    assert len(set(taking.result())) == 12
    assert await broker.count_tasks(QUICK) == 0


async def test_places_count_what_is_ahead_in_all_partitions(broker: Broker) -> None:
    bench, lines = Bench(broker), Lines(broker)
    queued = [await bench.queue_job(key) for key in keys(24)]

    positions = []
    for job in queued:
        place = await lines.place({job.key: job})
        assert place
        positions.append(place.position)

    assert positions.count(1) == FOUR
    assert 24 - FOUR <= max(positions) <= 24
    assert abs(sum(positions) - sum(range(1, 25))) < 24 * FOUR / 2


async def test_an_upload_is_one_job_however_often_it_is_sent(broker: Broker) -> None:
    intake = Intake(broker, Settings())
    bench = Bench(broker)

    async def send(content: bytes) -> str:
        async def body() -> AsyncIterator[bytes]:
            yield content

        received = await intake.receive(body(), None)
        upload = await intake.submit(received, Wishes(tasks=(TaskName.ANALYZE,)), {})
        return upload.keys[TaskName.ANALYZE]

    sent = [await send(str(number % 12).encode()) for number in range(24)]
    assert await broker.count_tasks(QUICK) == 12
    async with bench.worker(read, slots=2):
        ended = [await bench.until(is_settled, key) for key in sent]

    assert {job.state for job in ended} == {State.DONE}
    assert await broker.count_tasks(QUICK) == 0


async def test_a_killed_worker_loses_nothing(broker: Broker, nats_server: NatsServer) -> None:
    bench = Bench(broker)
    queued = [await bench.queue_job(key) for key in keys(12)]
    command = [sys.executable, "-m", "tests.nats.mortal", nats_server.url, str(FOUR)]
    with subprocess.Popen(command, cwd=ROOT) as victim:  # noqa: ASYNC220 - it starts at once
        async with asyncio.timeout(20):
            while not any([is_running(await bench.job(job.key)) for job in queued]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        victim.kill()

    async with bench.worker(read, slots=2):
        ended = [await bench.until(is_settled, job.key) for job in queued]

    assert {job.state for job in ended} == {State.DONE}
    assert max(job.attempt for job in ended) == 2


# ── another number


@asynccontextmanager
async def reaping(broker: Broker) -> AsyncIterator[None]:
    settings = Settings(reaper_interval_s=0.1, reaper_lease_s=1.0)
    async with asyncio.timeout(30), Reaper(broker, settings, queues=QUEUES_HERE).open():
        yield


async def waits_in(broker: Broker, partitions: int) -> int:
    """Count the tasks in the partitions of a number."""
    js = broker.connection.jetstream()
    infos = [await js.stream_info(part.stream) for part in QUICK.split(partitions)]
    return sum(info.state.messages for info in infos)


async def test_the_number_changes_in_use_and_no_job_is_lost(nats_server: NatsServer) -> None:
    async with connected(nats_server, 1) as old, connected(nats_server, FOUR) as new:
        await old.declare(queues=(QUICK, TRANSCRIBE))
        before = Bench(old)
        queued = [await before.queue_job(key) for key in keys(9)]
        (in_hand,) = await _taken_by_a_worker_that_dies(old)

        with pytest.raises(Mismatch, match="PARTITIONS is 4 here, and 1 for the jobs"):
            await new.declare(queues=(QUICK, TRANSCRIBE))
        await new.declare(queues=(QUICK, TRANSCRIBE), repartition=True)
        with pytest.raises(Mismatch, match="PARTITIONS is 1 here, and 4 for the jobs"):
            await old.agree()
        # A gateway that has not been restarted yet; its reaper has nothing to say any more.
        queued.append(await before.queue_job(keys(10)[-1]))
        async with reaping(old), reaping(new):
            while await waits_in(old, 1):  # noqa: ASYNC110 - it is the server's
                await asyncio.sleep(0.02)
        assert await waits_in(new, FOUR) == 10

        # And back, within the two minutes for which the first stream remembers them all.
        await old.declare(queues=(QUICK, TRANSCRIBE), repartition=True)
        async with reaping(old), before.worker(read, slots=2):
            ended = [await before.until(is_settled, job.key) for job in queued]
            while await waits_in(new, FOUR):  # noqa: ASYNC110 - ditto
                await asyncio.sleep(0.02)

    assert {job.state for job in ended} == {State.DONE}
    assert in_hand.number == 1


async def _taken_by_a_worker_that_dies(broker: Broker) -> list[Delivery]:
    async with asyncio.timeout(10), aclosing(aiter(broker.pull(QUICK))) as deliveries:  # type: ignore[type-var]
        return [await anext(deliveries)]


async def test_whoever_has_another_number_is_told_so(nats_server: NatsServer) -> None:
    def run(module: str, *arguments: str, partitions: int) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"NATS_URL": nats_server.url, "PARTITIONS": str(partitions)}
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=50, check=False
        )

    made = await asyncio.to_thread(run, "decibus.bootstrap", partitions=2)
    other = await asyncio.to_thread(run, "services.gateway.dead", "list", partitions=1)
    odd = await asyncio.to_thread(run, "decibus.bootstrap", partitions=3)

    assert made.returncode == 0, made.stderr
    assert other.returncode == 1
    assert "PARTITIONS is 1 here, and 2 for the jobs on this server" in other.stderr
    assert odd.returncode == 1
    assert "configuration: PARTITIONS" in odd.stderr
