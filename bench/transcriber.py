"""
How fast speech becomes text, and in how much memory, next to faster-whisper on its own.

    python -m bench.transcriber [--clips 200] [--minutes 30] [--rounds 3] [--model demo]

The same model and files, two inferences at once on a CPU, each turn in a process of its own, turn
by turn; the table shows medians: on the clock, and of processor time, which other work on the same
machine distorts less. `raw` is `WhisperModel.transcribe` with its defaults and the
language told, from two threads; `ours` is `transcribe` with its voice detection, from two threads;
`service` is a transcriber with two workers, its jobs, audio and records in a nats-server; processor
time is that of the transcriber, its sandbox and the server.
Of the long file one is worked through at a time, and how much memory grows by it is told, too.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from faster_whisper import WhisperModel

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, Event, connect
from decibus.ledger import Ledger
from decibus.messages import Task, TranscribeOptions
from decibus.progress import Progress
from decibus.topology import AUDIO, TRANSCRIBE
from services.transcriber.model import load
from services.transcriber.sources import Store, find
from services.transcriber.transcribe import transcribe
from tests.conftest import SERVERS, NatsServer
from tests.processes import ROOT, Service, family
from tests.speech import RATE_HZ, Samples, digits, say, silence, wav

RESULTS: Final = Path(__file__).parent / "results" / "transcriber.json"
WORKERS: Final = 2
_PATIENCE_S: Final = 600.0
OPTIONS: Final = TranscribeOptions(language="en", max_duration_s=7200.0)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one way has taken for its files.

    `cpu_s`: of all its processes; `grown_mb`: the peak of its own over what it started with.
    """

    seconds: float
    cpu_s: float
    grown_mb: float
    words: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of one way with one set of files."""

    way: str
    files: str
    seconds: float
    cpu_s: float
    grown_mb: float
    words: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/transcriber.json."""

    model: str
    clips: int
    minutes: float
    rounds: int
    rows: list[Row]


# The files.


def write_clips(folder: Path, count: int) -> None:
    """Write clips of 3 to 8 s of digits, in the voices that the demo model was not trained on."""
    random = np.random.default_rng(0)
    for number in range(count):
        spoken = take(random.uniform(3.0, 8.0), seed=number)
        (folder / f"{number:03}.wav").write_bytes(wav(spoken).getvalue())


def write_long(folder: Path, minutes: float) -> None:
    """Write one file of phrases with pauses."""
    phrases = [take(6.0, seed=number) for number in range(20)]
    (folder / "long.wav").write_bytes(
        wav(np.resize(np.concatenate(phrases), round(minutes * 60 * RATE_HZ))).getvalue()
    )


def take(seconds: float, *, seed: int) -> Samples:
    """Return so much speech; a phrase of three digits takes about a second and a half."""
    phrases = [
        np.concatenate([silence(0.4), say(digits("en", 3, seed=10 * seed + n), speaker=seed)])
        for n in range(round(seconds / 1.5))
    ]
    found: Samples = np.concatenate(phrases)
    return np.pad(found, (0, max(0, round(seconds * RATE_HZ) - found.size)))[
        : round(seconds * RATE_HZ)
    ]


# The ways.


def run_ours(folder: Path, model: str) -> Turn:
    """Let our own way through the model hear all files."""
    loaded = load(model, workers=WORKERS)

    def hear(path: Path) -> str:
        with path.open("rb") as file:
            return transcribe(file, OPTIONS, Progress(), model=loaded).text

    return timed(folder, hear)


def run_raw(folder: Path, model: str) -> Turn:
    """Let faster-whisper hear them as its README says."""
    _, directory = find(model, Store())
    loaded = WhisperModel(
        str(directory), device="cpu", compute_type="int8", cpu_threads=1, num_workers=WORKERS
    )
    warm = np.zeros(16_000, np.float32)
    list(loaded.transcribe(warm, language="en")[0])

    def hear(path: Path) -> str:
        segments, _ = loaded.transcribe(str(path), language="en")
        return "".join(segment.text for segment in segments)

    return timed(folder, hear)


def timed(folder: Path, hear: Callable[[Path], str]) -> Turn:
    """Hear all files of a folder, as many at once as there are workers."""
    before = _memory_mb("VmRSS")
    start, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(WORKERS) as threads:
        texts = list(threads.map(hear, sorted(folder.iterdir())))
    return Turn(
        seconds=time.monotonic() - start,
        cpu_s=time.process_time() - cpu,
        grown_mb=_memory_mb("VmHWM") - before,
        words=sum(len(text.split()) for text in texts),
    )


def _memory_mb(name: str) -> float:
    told = Path("/proc/self/status").read_text()
    return int(told.split(f"{name}:")[1].split()[0]) / 1024


def run_service(folder: Path, model: str) -> Turn:
    """Let a transcriber's process take them from its queue."""
    with tempfile.TemporaryDirectory() as scratch, nats_server(Path(scratch)) as server:
        env = {
            "NATS_URL": server.url,
            "DECIBUS_MODEL": model,
            "OMP_NUM_THREADS": "1",
            "WORKERS": str(WORKERS),
        }
        worker = Service("transcriber", env, Path(scratch) / "log").until_ready()

        def used_s() -> float:
            return sum(map(_cpu_s, {*family(worker.process.pid), server.pid}))

        try:
            return asyncio.run(_drain(server.url, sorted(folder.iterdir()), used_s))
        finally:
            worker.terminate()


def _cpu_s(pid: int) -> float:
    """Return what a process has used, and those of its children that are buried."""
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, told[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def nats_server(folder: Path) -> Iterator[NatsServer]:
    """Run a server with a store of its own."""
    (folder / "nats").mkdir()
    version, binary = [*SERVERS.items()][-1]
    server = NatsServer(binary, version, folder / "nats")
    server.start()
    try:
        yield server
    finally:
        server.kill()


async def _drain(url: str, paths: list[Path], used_s: Callable[[], float]) -> Turn:
    async with connect(url, name="bench") as broker:
        await broker.declare()
        ledger = Ledger(broker)
        opened = [await _open(broker, ledger, path) for path in paths]
        words: dict[str, int] = {}
        all_done = asyncio.Event()

        async def listen(event: Event) -> None:
            job = msgspec.json.decode(event.value, type=jobs.Job)
            if job.is_settled:
                words[job.key] = len(getattr(job.result, "text", "").split())
            if len(words) == len(opened):
                all_done.set()

        await broker.hear(listen)
        start, cpu = time.monotonic(), used_s()
        for job in opened:
            body = msgspec.json.encode(Task(key=job.key))
            await broker.publish(TRANSCRIBE, job.key, body, dedup_id=job.dedup_id, headers={})
        async with asyncio.timeout(_PATIENCE_S):
            await all_done.wait()
        seconds = time.monotonic() - start
        # What it does behind a job counts, too.
        while (await broker.stream_bytes(AUDIO.stream))[0]:  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.05)
        return Turn(seconds=seconds, cpu_s=used_s() - cpu, grown_mb=0.0, words=sum(words.values()))


async def _open(broker: Broker, ledger: Ledger, path: Path) -> jobs.Job:
    async def body() -> AsyncIterator[bytes]:
        yield await asyncio.to_thread(path.read_bytes)

    blob = await Blobs(broker.connection, AUDIO.name).put(path.name, body(), limit=1 << 30)
    opened = jobs.open_job(
        f"{path.stem}.bench", OPTIONS, blob=blob.name, siblings=(), now=datetime.now(UTC)
    )
    job, _ = await ledger.open(opened)
    return job


WAYS: Final = {"ours": run_ours, "raw": run_raw, "service": run_service}


def turn(way: str, folder: Path, model: str) -> Turn:
    """Take one turn in a process of its own."""
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "bench.transcriber", "--turn", way, str(folder), "--model", model],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin:/usr/sbin"},
        check=True,
        capture_output=True,
    )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Turn)


def compare(files: str, ways: list[str], folder: Path, model: str, rounds: int) -> list[Row]:
    """Take turns, so that all meet the same weather."""
    turns = [{way: turn(way, folder, model) for way in ways} for _ in range(rounds)]
    return [
        Row(
            way=way,
            files=files,
            seconds=round(statistics.median(each[way].seconds for each in turns), 2),
            cpu_s=round(statistics.median(each[way].cpu_s for each in turns), 2),
            grown_mb=round(statistics.median(each[way].grown_mb for each in turns), 1),
            words=round(statistics.median(each[way].words for each in turns)),
        )
        for way in ways
    ]


def main(clips: int, minutes: float, rounds: int, model: str) -> None:
    """Measure, print the table, and write the results."""
    if shutil.which("espeak-ng") is None:
        raise SystemExit("nobody speaks here: apt install espeak-ng")
    with tempfile.TemporaryDirectory() as scratch:
        short, long = Path(scratch) / "clips", Path(scratch) / "long"
        short.mkdir()
        long.mkdir()
        write_clips(short, clips)
        write_long(long, minutes)
        rows = [
            *compare(f"{clips} clips", [*WAYS], short, model, rounds),
            *compare(f"{minutes:g} min", ["ours", "raw"], long, model, rounds),
        ]
    for row in rows:
        print(
            f"{row.files:>10} {row.way:8} {row.seconds:8.2f} s {row.cpu_s:8.2f} s of CPU"
            f" {row.grown_mb:8.1f} MB more {row.words:6} words"
        )
    report = Report(model=model, clips=clips, minutes=minutes, rounds=rounds, rows=rows)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--turn", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turn:
        way, where = arguments.turn
        print(msgspec.json.encode(WAYS[way](Path(where), arguments.model)).decode())
    else:
        main(arguments.clips, arguments.minutes, arguments.rounds, arguments.model)
