"""
What a conversion costs, next to the bare ffmpeg command doing the same.

    python -m bench.transcoder [--seconds 60] [--rounds 7] [--ffmpeg ffmpeg]

WAV at 44.1 kHz to MP3 at 32 kHz and 320 kb/s, turn by turn. Ours is a transcoder's step: a child of
a warm sandbox, and the worker's part; ffmpeg's is its process, which starts anew for each file.
Medians of processor time, user and system, of all processes; and how much faster two at once are.

The same then through the service, `POST /transcode` until the file is there: gateway, nats-server
and a transcoder with a slot more than CPUs, all of them counted, and what they erase afterwards as
well.
"""

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from bench.client import Connection, form_of
from bench.sandbox import children_cpu_s, children_of
from bench.stacks import Stack, decibus
from decibus.confinement import Limits
from decibus.messages import Conversion, TranscodeOptions
from decibus.sandbox import Sandbox
from services.transcoder.transcode import transcode
from tests.signals import encode, music

RESULTS: Final = Path(__file__).parent / "results" / "transcoder.json"
RATE: Final = 44_100
OPTIONS: Final = TranscodeOptions(
    extension="mp3", sample_rate=32_000, bit_rate=320, max_duration_s=7200.0
)


CLIENTS: Final = 8
SETTLE_S: Final = 0.5


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """
    What it costs through the whole service, a conversion, with one client.

    `cpu_by_name` of each process, with its children; `eight_at_once`: how many conversions a second
    eight clients get, over those that one gets.
    """

    cpu_ms: float
    cpu_by_name: dict[str, float]
    ffmpeg_cpu_ms: float
    times_ffmpeg: float
    ms: float
    eight_at_once: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/transcoder.json."""

    seconds: float
    rounds: int
    ffmpeg: str
    ours_cpu_ms: float
    ffmpeg_cpu_ms: float
    times_ffmpeg: float
    ours_ms: float
    ffmpeg_ms: float
    two_at_once: float
    service: Service | None = None


def cost(work: Callable[[], None], cpu_s: Callable[[], float]) -> tuple[float, float]:
    """Return what some work takes: processor time, time on the clock."""
    cpu, start = cpu_s(), time.perf_counter()
    work()
    taken = time.perf_counter() - start
    time.sleep(0.05)  # until a child is buried
    return cpu_s() - cpu, taken


def compare(sandbox: Sandbox[Conversion], path: Path, rounds: int, ffmpeg: str) -> Report:
    """Take turns, so that both meet the same weather."""
    (nursery,) = children_of(os.getpid())
    target = str(path.with_suffix(".mp3"))

    def ours() -> None:
        with path.open("rb") as file:
            transcode(
                file, OPTIONS, lambda _: None, sandbox=sandbox, max_bytes=1 << 30
            ).file.close()

    def theirs() -> None:
        run_ffmpeg(ffmpeg, path, target)

    def ours_cpu_s() -> float:
        return time.process_time() + children_cpu_s(nursery)

    def two() -> None:
        threads = [threading.Thread(target=ours) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    ours()
    turns = [(cost(ours, ours_cpu_s), cost(theirs, children_cpu)) for _ in range(rounds)]
    pairs = [2.0 * cost(ours, ours_cpu_s)[1] / cost(two, ours_cpu_s)[1] for _ in range(rounds)]
    mine, others = (
        [1e3 * statistics.median(column) for column in zip(*side, strict=True)]
        for side in zip(*turns, strict=True)
    )
    return Report(
        seconds=60.0,
        rounds=rounds,
        ffmpeg=version(ffmpeg),
        ours_cpu_ms=round(mine[0]),
        ffmpeg_cpu_ms=round(others[0]),
        times_ffmpeg=round(mine[0] / others[0], 2),
        ours_ms=round(mine[1]),
        ffmpeg_ms=round(others[1]),
        two_at_once=round(statistics.median(pairs), 2),
    )


def run_ffmpeg(ffmpeg: str, path: Path, target: str) -> None:
    """Have ffmpeg do it."""
    wanted = ("-ar", "32000", "-b:a", "320k", target)
    command = [ffmpeg, "-y", "-nostats", "-i", str(path), *wanted]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ours to choose


def children_cpu() -> float:
    """Return the processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def convert(url: str, wav: bytes, *, clients: int, conversions: int) -> float:
    """Have a file converted again and again, each time another one; returns how long it took."""
    left = iter(range(conversions))
    fields = {"extension": "mp3", "sample_rate": "32000", "bit_rate": "320", "wait": "300"}

    async def one() -> None:
        async with Connection(url) as connection:
            for _ in left:
                # The last samples are noise, so that no two files are the same.
                kind, pieces = form_of(fields, (wav[:-16], os.urandom(16)))
                await connection.ask("POST", "/transcode", *pieces, kind=kind)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
    return time.perf_counter() - start


def compare_service(stack: Stack, path: Path, rounds: int, ffmpeg: str) -> Service:
    """Take turns: one client, ffmpeg, eight clients."""
    wav, target = path.read_bytes(), str(path.with_suffix(".mp3"))

    def conversions(clients: int, count: int) -> float:
        return uvloop.run(convert(stack.url, wav, clients=clients, conversions=count)) / count

    conversions(1, 2)
    time.sleep(SETTLE_S)
    spent: dict[str, list[float]] = {name: [] for name in stack.cpu_by_name()}
    cpu_s, ffmpeg_s, one_s, faster = [], [], [], []
    for _ in range(rounds):
        before = stack.cpu_by_name()
        one_s.append(conversions(1, 2))
        time.sleep(SETTLE_S)
        for name, was in before.items():
            spent[name].append((stack.cpu_by_name()[name] - was) / 2)
        cpu_s.append(sum(values[-1] for values in spent.values()))
        ffmpeg_s.append(cost(lambda: run_ffmpeg(ffmpeg, path, target), children_cpu)[0])
        faster.append(one_s[-1] / conversions(CLIENTS, 2 * CLIENTS))
        time.sleep(SETTLE_S)
    ours, theirs = statistics.median(cpu_s), statistics.median(ffmpeg_s)
    return Service(
        cpu_ms=round(1e3 * ours),
        cpu_by_name={
            name: round(1e3 * statistics.median(values)) for name, values in spent.items()
        },
        ffmpeg_cpu_ms=round(1e3 * theirs),
        times_ffmpeg=round(ours / theirs, 2),
        ms=round(1e3 * statistics.median(one_s)),
        eight_at_once=round(statistics.median(faster), 2),
    )


def version(ffmpeg: str) -> str:
    """Ask the command for its version."""
    said = subprocess.run([ffmpeg, "-version"], check=True, capture_output=True)  # noqa: S603 - ditto
    return said.stdout.decode().split()[2]


def main(seconds: float, rounds: int, ffmpeg: str) -> None:
    """Measure, print, and write the results."""
    if shutil.which(ffmpeg) is None:
        raise SystemExit("there is no ffmpeg to compare with: apt install ffmpeg")
    step, warm = (f"services.transcoder.convert:{name}" for name in ("convert", "warm"))
    limits = Limits(cpu_s=600)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Sandbox(step, warm=warm, returns=Conversion, limits=limits)) as sandbox,
    ):
        sandbox.start()
        path = Path(folder) / "song.wav"
        path.write_bytes(encode(music(seconds, RATE), RATE, "wav16"))
        report = msgspec.structs.replace(compare(sandbox, path, rounds, ffmpeg), seconds=seconds)
        with decibus(Path(folder), worker="services.transcoder", slots=None) as stack:
            service = compare_service(stack, path, rounds, ffmpeg)
        report = msgspec.structs.replace(report, service=service)
    print(f"{seconds:g} s of WAV to MP3 at 320 kb/s, medians of {rounds}")
    print(f"ours    {report.ours_cpu_ms:6.0f} ms of processor time {report.ours_ms:6.0f} ms")
    print(f"ffmpeg  {report.ffmpeg_cpu_ms:6.0f} ms of processor time {report.ffmpeg_ms:6.0f} ms")
    print(
        f"{report.times_ffmpeg:.2f} times ffmpeg's; two at once {report.two_at_once:.2f} times one"
    )
    parts = ", ".join(f"{name} {ms:.0f}" for name, ms in service.cpu_by_name.items())
    print(f"service {service.cpu_ms:6.0f} ms of processor time {service.ms:6.0f} ms ({parts})")
    print(
        f"{service.times_ffmpeg:.2f} times ffmpeg's; eight clients {service.eight_at_once:.2f}"
        " times one"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ffmpeg", default="ffmpeg")
    arguments = parser.parse_args()
    main(arguments.seconds, arguments.rounds, arguments.ffmpeg)
