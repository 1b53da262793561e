"""`python -m services.gateway.dead` as an operator runs it: a process, its lines, its status."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from nats.js import JetStreamContext

from decibus import jobs
from decibus.broker import connect
from decibus.dead import DeadLetters
from decibus.jobs import State
from decibus.messages import AnalyzeOptions, Fault, Transcript
from decibus.progress import Progress
from tests.conftest import NatsServer
from tests.nats.test_worker import KEY, QUICK, Bench, is_settled, read
from tests.steps import words

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Command:
    """The command, pointed at the test's server."""

    url: str

    async def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self._run, arguments)

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.gateway.dead", *arguments],
            cwd=ROOT,
            env=os.environ | {"NATS_URL": self.url},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def dead(nats_server: NatsServer) -> Command:
    return Command(nats_server.url)


@pytest.fixture
async def bench(nats_server: NatsServer) -> AsyncIterator[Bench]:
    async with connect(nats_server.url, name="test") as broker:
        await broker.declare(queues=(QUICK,))
        yield Bench(broker)


async def die(bench: Bench, key: str = KEY, *, refused: bool = False) -> None:
    """Leave a job that has failed for good, with its letter."""
    blob = (await bench.open_job(key)).blob
    fault = Fault(code="internal_error", detail="unexpected ZeroDivisionError", refused=refused)
    fail = partial(jobs.cancel, blob=blob, fault=fault, now=datetime.now(UTC))
    failed = await bench.ledger.move(key, fail)
    await DeadLetters(bench.broker).add(failed, None)


async def test_the_letters_are_listed_one_a_line_the_newest_first(
    bench: Bench, dead: Command
) -> None:
    assert (await dead("list")).stdout == "there are no dead letters\n"
    for number in range(3):
        await die(bench, f"c0ffee.{number}")

    listed = await dead("list")

    assert listed.returncode == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert [line[2] for line in lines] == ["c0ffee.2", "c0ffee.1", "c0ffee.0"]
    assert lines[0][1] == "analyze"
    assert lines[0][3] == "internal_error"
    assert listed.stdout.splitlines()[0].endswith("attempt 0  unexpected ZeroDivisionError")


async def test_one_letter_is_shown_with_what_has_become_of_its_job(
    bench: Bench, dead: Command
) -> None:
    await die(bench)

    shown = await dead("show", KEY)

    assert shown.returncode == 0, shown.stderr
    facts = dict(line.partition(" ")[::2] for line in shown.stdout.splitlines())
    assert facts["code"].strip() == "internal_error"
    assert facts["key"].strip() == KEY
    assert facts["now"].strip() == "failed"
    assert facts["audio"].strip() == "there"


async def test_a_job_that_its_worker_gave_up_is_requeued_and_done(
    bench: Bench, dead: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decibus.worker._retry_delay", lambda _: timedelta(milliseconds=10))

    def stumble(_: BinaryIO, __: AnalyzeOptions, ___: Progress) -> Transcript:
        raise ZeroDivisionError

    await bench.queue_job()
    async with bench.worker(stumble):
        await bench.until_empty()
    assert (await bench.job()).state is State.FAILED

    requeued = await dead("requeue", KEY)
    assert (requeued.returncode, requeued.stdout) == (0, f"{KEY} requeued\n"), requeued.stderr
    async with bench.worker(read):
        done = await bench.until(is_settled)
        await bench.until_empty()

    assert (done.state, done.attempt) == (State.DONE, 1)
    assert done.result == words("zero")
    assert "no dead letters" in (await dead("list")).stdout


async def test_a_job_without_audio_is_not_requeued_and_says_so(bench: Bench, dead: Command) -> None:
    await die(bench)
    await bench.blobs.delete((await bench.job()).blob)

    requeued = await dead("requeue", KEY)

    assert requeued.returncode == 1
    assert requeued.stderr == f"{KEY}: its audio is gone: upload the file again\n"
    assert (await bench.job()).state is State.FAILED
    assert KEY in (await dead("list")).stdout


async def test_a_job_whose_record_has_expired_is_not_requeued(bench: Bench, dead: Command) -> None:
    await die(bench)
    await bench.ledger.erase(KEY)

    requeued = await dead("requeue", KEY)

    assert requeued.returncode == 1
    assert "expired or was deleted" in requeued.stderr


async def test_a_job_that_finds_no_room_on_its_queue_stays_dead(
    bench: Bench, dead: Command
) -> None:
    js = JetStreamContext(bench.broker.connection)
    config = (await js.stream_info(QUICK.stream)).config
    config.max_msgs = 1
    await js.update_stream(config)
    await bench.queue_job("c0ffee.9")
    await die(bench)

    requeued = await dead("requeue", KEY)

    assert requeued.returncode == 1
    assert "maximum messages" in requeued.stderr
    job = await bench.job()
    assert job.fault
    assert (job.state, job.fault.code) == (State.FAILED, "internal_error")
    assert KEY in (await dead("list")).stdout


async def test_of_several_keys_each_is_served_and_one_that_cannot_be_sets_the_status(
    bench: Bench, dead: Command
) -> None:
    await die(bench, "c0ffee.1")
    await die(bench, "c0ffee.2")

    dropped = await dead("drop", "c0ffee.1", "never.1", "a b", "c0ffee.2")

    assert dropped.returncode == 1
    assert dropped.stdout.splitlines() == ["c0ffee.1 dropped", "c0ffee.2 dropped"]
    assert dropped.stderr.splitlines() == [
        "never.1: there is no dead letter with this key",
        "a b: 'a b' is no key of a job",
    ]
    assert "no dead letters" in (await dead("list")).stdout


async def test_a_foreign_letter_is_listed_all_the_same(bench: Bench, dead: Command) -> None:
    js = JetStreamContext(bench.broker.connection)
    await js.publish("jobs.dead.x.y", b"?", headers={"Decibus-Detail": "\N{SNOWMAN}"})

    listed = await dead("list")

    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 1), listed.stderr


async def test_a_command_line_that_is_wrong_or_leads_nowhere_is_told(
    bench: Bench, dead: Command, nats_server: NatsServer
) -> None:
    assert (await dead("requeue")).returncode == 2
    assert (await dead("bury", KEY)).returncode == 2
    assert bench.broker.is_connected
    await asyncio.to_thread(nats_server.kill)

    away = await dead("list")

    assert away.returncode == 1
    assert away.stderr.endswith(f"{nats_server.url}: no answer within 10 s\n")
