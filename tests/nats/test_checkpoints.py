"""What is kept of a job that takes long: for its next attempt, never by one that has lost it."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO

import msgspec
import pytest

from decibus import jobs, worker
from decibus.broker import Broker, Conflict
from decibus.checkpoints import Chain, Checkpoints, Keeper
from decibus.errors import Superseded
from decibus.jobs import Job, State
from decibus.messages import Checkpoint, Fault, Transcript
from decibus.progress import Progress
from decibus.topology import CHECKPOINTS
from tests.conftest import NatsServer
from tests.nats.test_worker import KEY, QUICK, Bench, is_running, is_settled, segment
from tests.nats.test_worker import bench as bench  # noqa: PLC0414 - a fixture
from tests.steps import words


def part(number: int, text: str = "zero") -> Checkpoint:
    heard = (msgspec.structs.replace(segment(number), text=text),)
    return Checkpoint(number=number, segments=heard)


def texts(chain: tuple[Checkpoint, ...]) -> list[str]:
    return [each.text for checkpoint in chain for each in checkpoint.segments]


def test_a_later_part_takes_the_place_of_its_number_and_of_what_followed() -> None:
    old = [part(number, f"old {number}") for number in range(4)]

    chain = Chain([*old, part(2, "new 2"), part(3, "new 3")])

    assert texts(tuple(chain.parts)) == ["old 0", "old 1", "new 2", "new 3"]
    assert Chain([part(3), part(4)]).parts == [], "behind a gap"
    assert texts(tuple(Chain([part(3), part(0, "new 0")]).parts)) == ["new 0"]


async def claim(bench: Bench, owner: str) -> Job:
    """Claim the job, as after a lease that has run out."""

    def move(job: Job) -> Job:
        now = datetime.now(UTC)
        free = msgspec.structs.replace(job, leased_until=None)
        return jobs.claim(free, owner=owner, now=now, lease=timedelta(seconds=60))

    return await bench.ledger.move(KEY, move)


@pytest.fixture
async def first(bench: Bench) -> tuple[Job, Keeper]:
    """An attempt that has kept two parts."""
    await bench.open_job()
    job = await claim(bench, "a")
    keeper = Keeper(bench.broker, job)
    assert await keeper.kept() == ()
    for number in range(2):
        await keeper.keep(part(number, f"a {number}"))
    return job, keeper


async def count(broker: Broker) -> int:
    return (await broker.connection.jetstream().stream_info(CHECKPOINTS.stream)).state.messages


async def test_the_next_attempt_finds_what_was_kept_and_goes_on(
    bench: Bench, first: tuple[Job, Keeper]
) -> None:
    del first
    heir = Keeper(bench.broker, await claim(bench, "b"))

    found = await heir.kept()
    await heir.keep(part(2, "b 2"))
    third = Keeper(bench.broker, await claim(bench, "c"))

    assert texts(found) == ["a 0", "a 1"]
    assert texts(await third.kept()) == ["a 0", "a 1", "b 2"]


async def test_who_has_lost_the_job_keeps_nothing_more(
    bench: Bench, first: tuple[Job, Keeper]
) -> None:
    _, loser = first
    heir = Keeper(bench.broker, await claim(bench, "b"))
    await heir.kept()

    for _ in range(2):  # the heir has written nothing yet: one more is added, and no second one
        with pytest.raises(Superseded):
            await loser.keep(part(2, "a 2"))
    between = await count(bench.broker)
    await heir.keep(part(2, "b 2"))
    with pytest.raises(Superseded):
        await loser.keep(part(3, "a 3"))

    assert between == 3
    third = Keeper(bench.broker, await claim(bench, "c"))
    assert texts(await third.kept()) == ["a 0", "a 1", "b 2"]


async def test_what_a_loser_has_added_is_as_good_as_what_came_before(
    bench: Bench, first: tuple[Job, Keeper]
) -> None:
    _, loser = first
    await claim(bench, "b")  # and dies before it keeps anything

    with pytest.raises(Superseded):
        await loser.keep(part(2, "a 2"))

    third = Keeper(bench.broker, await claim(bench, "c"))
    assert texts(await third.kept()) == ["a 0", "a 1", "a 2"]


async def test_what_a_loser_slipped_in_is_replaced_by_its_successors_own(
    bench: Bench, first: tuple[Job, Keeper]
) -> None:
    job, _ = first
    heir = Keeper(bench.broker, await claim(bench, "b"))
    await heir.kept()
    checkpoints = Checkpoints(bench.broker)
    last = [sequence async for sequence, _ in checkpoints.entries(KEY, job.epoch)][-1]

    # As by one that was killed between its entry and its look at the record.
    await checkpoints.add(KEY, job.epoch, part(2, "a 2"), behind=last)
    with pytest.raises(Conflict):
        await checkpoints.add(KEY, job.epoch, part(3, "a 3"), behind=last)
    await heir.keep(part(2, "b 2"))

    assert texts(await Keeper(bench.broker, await claim(bench, "c")).kept()) == [
        "a 0",
        "a 1",
        "b 2",
    ]


async def test_another_life_of_the_job_finds_nothing(
    bench: Bench, first: tuple[Job, Keeper]
) -> None:
    job, _ = first
    fault = Fault(code="timeout", detail="")
    fail = partial(jobs.fail, fence=job.fence, fault=fault, now=datetime.now(UTC))
    await bench.ledger.move(KEY, fail)
    reopen = partial(jobs.reopen, blob=job.blob, siblings=(), now=datetime.now(UTC))
    await bench.ledger.move(KEY, reopen)
    await claim(bench, "b")

    again = await claim(bench, "c")

    assert (again.attempt, again.epoch > job.epoch) == (2, True)
    assert await Keeper(bench.broker, again).kept() == ()


async def test_nothing_is_kept_of_a_job_that_was_deleted(
    bench: Bench, first: tuple[Job, Keeper]
) -> None:
    _, keeper = first

    await Checkpoints(bench.broker).erase(KEY)
    await bench.ledger.erase(KEY)
    with pytest.raises(Superseded):
        await keeper.keep(part(2))

    assert await count(bench.broker) == 0


async def test_what_could_not_be_kept_is_kept_with_the_next_part(
    bench: Bench, first: tuple[Job, Keeper], nats_server: NatsServer
) -> None:
    _, keeper = first

    await asyncio.to_thread(nats_server.kill)
    while bench.broker.is_connected:  # noqa: ASYNC110 - nats-py has no event for it
        await asyncio.sleep(0.02)
    await keeper.keep(part(2, "a 2"))
    await asyncio.to_thread(nats_server.start)
    while not bench.broker.is_connected:  # noqa: ASYNC110 - ditto
        await asyncio.sleep(0.02)
    await keeper.keep(part(3, "a 3"))

    found = await Keeper(bench.broker, await claim(bench, "b")).kept()
    assert texts(found) == ["a 0", "a 1", "a 2", "a 3"]


async def test_what_cannot_be_read_is_begun_anew(bench: Bench, first: tuple[Job, Keeper]) -> None:
    job, keeper = first
    js = bench.broker.connection.jetstream()
    await js.publish(CHECKPOINTS.subject(KEY, job.epoch), b'{"number": "of another release"}')

    heir = Keeper(bench.broker, await claim(bench, "b"))
    found = await heir.kept()
    await heir.keep(part(0, "b 0"))
    with pytest.raises(Superseded):
        await keeper.keep(part(2, "a 2"))

    assert texts(found) == []
    third = Keeper(bench.broker, await claim(bench, "c"))
    assert texts(await third.kept()) == ["b 0"]


class Reader:
    """A step of ten parts that keeps each, and can be held up at one of them."""

    def __init__(self, *, hold_at: int | None = None) -> None:
        self.hold_at = hold_at
        self.held = threading.Event()
        self.did: list[int] = []
        self.stopped = threading.Event()

    def __call__(self, _: BinaryIO, __: Any, progress: Progress) -> Transcript:
        progress.take_over(len(progress.kept))
        try:
            for number in range(len(progress.kept), 10):
                if number == self.hold_at:
                    self.held.set()
                    while True:
                        time.sleep(0.02)
                        progress(number / 10)
                self.did.append(number)
                progress(number / 10, (segment(number),))
                progress.keep(part(number))
        except Superseded:
            self.stopped.set()
            raise
        return words(f"{len(progress.kept)} kept")


async def test_a_job_that_is_handed_back_goes_on_with_another_worker(bench: Bench) -> None:
    leaver, heir = Reader(hold_at=6), Reader(hold_at=8)
    await bench.queue_job()

    async with bench.worker(leaver, grace=timedelta(milliseconds=50)):
        assert await asyncio.to_thread(leaver.held.wait, 10)
    async with bench.worker(heir, grace=timedelta(milliseconds=50)):
        assert await asyncio.to_thread(heir.held.wait, 10)
        told = await bench.until(lambda job: is_running(job) and job.taken_over > 0)
    async with bench.worker(last := Reader()):
        done = await bench.until(is_settled)
        await bench.until_empty()
        while await count(bench.broker):  # noqa: ASYNC110 - erased behind the ack
            await asyncio.sleep(0.02)

    assert leaver.did == [0, 1, 2, 3, 4, 5]
    # What is on its way when a worker is told to stop may be lost: one part, and no more.
    assert 5 <= heir.did[0] <= 6 <= heir.did[-1] == 7
    assert told.taken_over == heir.did[0]
    assert 7 <= last.did[0] <= 8 <= last.did[-1] == 9
    assert done.result == words(f"{last.did[0]} kept")
    assert (done.attempt, done.handed_back) == (3, 2)


async def test_a_deleted_job_stops_with_the_next_part_that_is_kept(bench: Bench) -> None:
    slow_beat = msgspec.structs.replace(QUICK, ack_wait=timedelta(seconds=60))
    started, go_on = threading.Event(), threading.Event()

    def step(_: BinaryIO, __: Any, progress: Progress) -> Transcript:
        progress.keep(part(0))
        started.set()
        go_on.wait(10)
        progress.keep(part(1))
        progress.keep(part(2))  # the one before has been refused by now
        raise AssertionError("nobody has stopped it")

    await bench.broker.declare(queues=(slow_beat,))
    slow = Bench(bench.broker, slow_beat)
    await slow.queue_job()

    async with slow.worker(step):
        assert await asyncio.to_thread(started.wait, 10)
        await slow.ledger.move(KEY, partial(jobs.withdraw, now=datetime.now(UTC)))
        await Checkpoints(slow.broker).erase(KEY)
        go_on.set()
        async with asyncio.timeout(10):
            while "step" in {each.name for each in threading.enumerate()}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    assert await count(bench.broker) == 0


async def test_a_step_that_takes_too_long_fails_at_once_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_BUDGET_MIN_S", 0.2)
    attempts = []

    def dawdle(_: BinaryIO, __: Any, progress: Progress) -> Transcript:
        attempts.append(progress)
        progress.lasts(0.1)
        while True:
            time.sleep(0.02)
            progress(0.5)

    await bench.queue_job()

    async with bench.worker(dawdle):
        failed = await bench.until(is_settled)
        await bench.until_empty()

    assert failed.state is State.FAILED
    assert failed.fault
    assert (failed.fault.code, failed.fault.refused) == ("timeout", False)
    assert failed.may_be_reopened
    assert len(attempts) == 1
