"""Transcoders as processes: their jobs, one at a time or one in all, whatever ends them."""

import asyncio
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import msgspec
import pytest

from decibus import jobs
from decibus.blobs import Blobs, Listed
from decibus.broker import Broker, connect
from decibus.jobs import Job, State
from decibus.ledger import Ledger
from decibus.messages import Conversion, Task, TranscodeOptions
from decibus.topology import AUDIO, OUTPUTS, TRANSCODE
from tests.conftest import SERVERS, NatsServer
from tests.processes import ROOT, Service, family, wait_for
from tests.signals import encode, music, sine
from tests.transcoder.conversions import converted, read

Start = Callable[..., Service]
pytestmark = pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)

TO_MP3 = TranscodeOptions(extension="mp3", sample_rate=32_000, bit_rate=320)


class Bench:
    """The queue, and the two stores."""

    def __init__(self, broker: Broker, url: str) -> None:
        self.url = url
        self.audio = Blobs(broker.connection, AUDIO.name)
        self.outputs = Blobs(broker.connection, OUTPUTS.name)
        self._broker = broker
        self._ledger = Ledger(broker)

    async def queue(self, key: str, audio: bytes, options: TranscodeOptions) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield audio

        blob = await self.audio.put(f"upload-{key}", body(), limit=len(audio))
        now = datetime.now(UTC)
        job, _ = await self._ledger.open(
            jobs.open_job(key, options, blob=blob.name, siblings=(), now=now)
        )
        body_ = msgspec.json.encode(Task(key=key))
        await self._broker.publish(TRANSCODE, key, body_, dedup_id=job.dedup_id, headers={})

    async def until(self, key: str, holds: Callable[[Job], bool], within_s: float = 30.0) -> Job:
        async with asyncio.timeout(within_s):
            while not holds(job := await self.job(key)):  # noqa: ASYNC110 - it is the server's
                await asyncio.sleep(0.02)
        return job

    async def job(self, key: str) -> Job:
        job = await self._ledger.find(key)
        assert job is not None
        return job

    async def made(self, job: Job) -> tuple[Conversion, bytes]:
        assert isinstance(job.result, Conversion), job.fault
        into = io.BytesIO()
        await self.outputs.fetch(job.result.output, into)
        return job.result, into.getvalue()

    async def stored(self) -> list[Listed]:
        return [listed async for listed in self.outputs.all()]

    async def once(self, **env: str) -> subprocess.Popen[str]:
        def start() -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, "-m", "services.transcoder", "--once"],
                cwd=ROOT,
                env=os.environ | {"NATS_URL": self.url} | env,
                stderr=subprocess.PIPE,
                text=True,
            )

        return await asyncio.to_thread(start)


async def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, printed = await asyncio.to_thread(process.communicate, timeout=50)
    return process.returncode, printed


def is_settled(job: Job) -> bool:
    return job.is_settled


@pytest.fixture
async def bench(nats_server: NatsServer) -> AsyncIterator[Bench]:
    async with connect(nats_server.url, name="test") as broker:
        await broker.declare()
        yield Bench(broker, nats_server.url)


async def test_a_file_is_converted_stored_and_its_source_deleted(
    bench: Bench, service: Start
) -> None:
    source = encode(sine(2.0, -20.0), 48_000, "wav16")
    transcoder = service("transcoder", NATS_URL=bench.url).until_ready()

    await bench.queue("a.1", source, TO_MP3)
    await bench.queue("b.1", source, TranscodeOptions(extension="wav"))
    await bench.queue("c.1", b"no audio", TO_MP3)
    result, file = await bench.made(await bench.until("a.1", is_settled))
    kept, same = await bench.made(await bench.until("b.1", is_settled))
    refused = await bench.until("c.1", is_settled)

    assert (file, result.bytes) == (
        converted(source, extension="mp3", sample_rate=32_000, bit_rate=320)[1],
        len(file),
    )
    assert result.sha256 == hashlib.sha256(file).hexdigest()
    assert result.machine_id == socket.gethostname()
    assert not result.unchanged
    assert read(file)[1].sample_rate == 32_000
    assert kept.unchanged
    assert same == source
    assert refused.fault is not None
    assert refused.fault.code == "not_audio"
    assert [listed async for listed in bench.audio.all()] == []
    assert transcoder.terminate() == 0


async def test_who_is_killed_in_a_job_is_followed_by_one_who_does_it_once(
    bench: Bench, service: Start
) -> None:
    slow = TranscodeOptions(extension="mp3", bit_rate=128)
    transcoder = service("transcoder", NATS_URL=bench.url).until_ready()
    pid = transcoder.process.pid
    await bench.queue("a.1", encode(music(20.0, 44_100), 44_100, "wav16"), slow)
    wait_for(lambda: len(family(pid)) == 3, within_s=20, what="worker, nursery and child")
    all_of_it = family(pid)

    transcoder.kill()
    service("transcoder", NATS_URL=bench.url)
    job = await bench.until("a.1", is_settled)

    assert job.attempt == 2
    _, file = await bench.made(job)
    assert read(file)[1].duration == pytest.approx(20.0)
    assert len(await bench.stored()) == 1
    assert not any(map(family, all_of_it))


async def test_once_does_one_job_and_no_other(bench: Bench) -> None:
    source = encode(sine(1.0, -20.0), 48_000, "wav16")
    await bench.queue("a.1", b"no audio", TO_MP3)
    await bench.queue("b.1", source, TO_MP3)

    refused, _ = await ended(await bench.once())
    waiting = (await bench.job("b.1")).state
    done, printed = await ended(await bench.once())

    assert (refused, (await bench.job("a.1")).state) == (0, State.FAILED)
    assert waiting is State.QUEUED
    assert (done, (await bench.job("b.1")).state) == (0, State.DONE)
    assert '"one_job_ended"' in printed


async def test_once_ends_when_nothing_is_waiting(bench: Bench) -> None:
    status, printed = await ended(await bench.once(ONCE_WAIT_S="0.3"))

    assert status == 0
    assert '"nothing_waiting"' in printed


async def test_once_hands_its_job_back_when_it_is_stopped(bench: Bench) -> None:
    slow = TranscodeOptions(extension="mp3", bit_rate=128)
    await bench.queue("a.1", encode(music(60.0, 44_100), 44_100, "wav16"), slow)
    process = await bench.once(GRACE_S="0.1")
    await bench.until("a.1", lambda job: job.state is State.RUNNING)

    process.send_signal(signal.SIGTERM)
    status, _ = await ended(process)

    job = await bench.job("a.1")
    assert (status, job.state, job.handed_back) == (1, State.QUEUED, 1)
    assert await bench.stored() == []
