"""A transcriber that hangs stops being ready, fails its attempt and ends; another one goes on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, connect
from decibus.jobs import Job, State
from decibus.ledger import Ledger
from decibus.messages import Task, TranscribeOptions, Transcript
from decibus.topology import AUDIO, TRANSCRIBE
from tests.conftest import NatsServer
from tests.processes import ROOT, Service
from tests.speech import say, silence, wav

KEY = "c0ffee.1"


@asynccontextmanager
async def stuck(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.nats.stuck", cwd=ROOT, env=os.environ | env
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def queue_speech(broker: Broker, key: str, options: TranscribeOptions) -> None:
    spoken = await asyncio.to_thread(say, "one two three")

    async def body() -> AsyncIterator[bytes]:
        yield wav(silence(0.5), spoken, silence(0.5)).getvalue()

    blob = await Blobs(broker.connection, AUDIO.name).put(key, body(), limit=1 << 20)
    job, _ = await Ledger(broker).open(
        jobs.open_job(key, options, blob=blob.name, siblings=(), now=datetime.now(UTC))
    )
    task = msgspec.json.encode(Task(key=key))
    await broker.publish(TRANSCRIBE, key, task, dedup_id=job.dedup_id, headers={})


async def until(broker: Broker, holds: Callable[[Job], bool], key: str = KEY) -> Job:
    while True:
        job = await Ledger(broker).find(key)
        if job and holds(job):
            return job
        await asyncio.sleep(0.05)


@pytest.mark.espeak
async def test_an_inference_that_hangs_ends_the_process_and_not_the_job(
    nats_server: NatsServer, service: Callable[..., Service]
) -> None:
    told = {
        "NATS_URL": nats_server.url,
        "DECIBUS_MODEL": "demo",
        "OMP_NUM_THREADS": "1",
        "SLOTS": "1",
    }
    async with (
        asyncio.timeout(50),
        connect(nats_server.url, name="test") as broker,
        stuck(told | {"PATIENCE_S": "1", "GRACE_S": "1"}) as process,
    ):
        while not await broker.is_served(TRANSCRIBE):  # noqa: ASYNC110 - it is the other process's
            await asyncio.sleep(0.05)
        announced = await broker.announced(TRANSCRIBE.consumer)

        await queue_speech(broker, KEY, TranscribeOptions(language="en"))
        failed = await until(broker, lambda job: job.fault is not None)
        code = await process.wait()

        assert announced == {"models": "decibus-demo", "languages.decibus-demo": "de,en,es"}
        assert failed.fault
        assert (failed.state, failed.attempt) == (State.QUEUED, 1)
        assert failed.fault.detail == "unexpected WorkerBroken"
        assert code == 1
        assert not await broker.is_served(TRANSCRIBE)

        await asyncio.to_thread(lambda: service("transcriber", **told).until_ready())
        done = await until(broker, lambda job: job.is_settled)

        assert isinstance(done.result, Transcript)
        assert done.result.text == "one two three"

        await queue_speech(broker, "c0ffee.2", TranscribeOptions(model="huge"))
        refused = await until(broker, lambda job: job.is_settled, "c0ffee.2")

        assert refused.fault
        assert (refused.fault.code, refused.fault.refused) == ("unsupported", True)
        assert "decibus-demo" in refused.fault.detail
