"""
The pipeline beside a FastAPI, Celery and Redis service of the same job, in one run, turn by turn.

    python -m bench.race [--rounds 3] [--scale 1.0] [--only 200kB] [--peer .tools/peer/bin/python]

A job is an upload that nobody has sent before, its result waited for by a long poll. Jobs a second
and latencies are a client's; processor time is user and system of all processes of a side, broker
included, over jobs; memory the sum of their peaks. Medians of the rounds. Then, with nothing else
to do: from the upload to the result, by long poll and by WebSocket. Then 120 jobs of 30 ms whose
worker is killed when a quarter is done, and started again after a second.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import uvloop

from bench.blobs import BUILT
from bench.client import Connection, Files, Run
from bench.machine import Machine, this_machine
from bench.stacks import Stack, decibus, peer
from tests.processes import ROOT

RESULTS: Final = Path(__file__).parent / "results" / "race.json"
PEER: Final = ROOT / ".tools" / "peer" / "bin" / "python"
SIZES: Final = {"200kB": 200_000, "10MB": 10_000_000}
WORKS: Final = {"noop": 0.0, "cpu5": 5.0}
CLIENTS: Final = (1, 8, 64)
JOBS: Final = {("200kB", 1): 150, ("200kB", 8): 400, ("200kB", 64): 500} | {
    ("10MB", 1): 20,
    ("10MB", 8): 48,
    ("10MB", 64): 96,
}
"""How many make a turn: a second or two of it, at the least."""
SETTLE_S: Final = 0.5
EVERY_S: Final = 0.3
CRASH_JOBS: Final = 120
CRASH_WORK_MS: Final = 30.0
CRASH_PART: Final = 0.27
CRASH_WAIT_S: Final = 25.0


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one side: `cpu_ms` a job, of all its processes; `cpu_by_name` of each."""

    side: str
    work: str
    size: str
    clients: int
    jobs: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    peak_mb: float
    cpu_by_name: dict[str, float]


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """From the upload to its result while nothing else is done."""

    side: str
    by: str
    p50_ms: float
    p99_ms: float


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """What became of 120 jobs; `all_done_s`: from the restart to the last result, if it came."""

    side: str
    unfinished: int
    all_done_s: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    What stands in bench/results/race.json.

    `brokers`: the servers' names and versions; `newest`: some of our cells, on the newest one.
    """

    machine: Machine
    rounds: int
    brokers: dict[str, str]
    cells: list[Cell]
    idle: list[Idle]
    crashes: list[Crash]
    newest: list[Cell] = []


class Load(NamedTuple):
    """What a turn puts on a side."""

    work: str
    size: str
    clients: int
    jobs: int


def client(url: str, *options: object) -> Run:
    """Let a client run, in a process of its own."""
    command = [sys.executable, "-m", "bench.client", url, *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603 - ourselves
    return msgspec.json.decode(done.stdout, type=Run)


def turn(side: str, stack: Stack, load: Load) -> Cell:
    """Put one load on one side."""
    stack.forget_peak()
    cpu_s, by_name = stack.cpu_s(), stack.cpu_by_name()
    files = ("--bytes", SIZES[load.size], "--work-ms", WORKS[load.work])
    run = client(stack.url, *files, "--clients", load.clients, "--jobs", load.jobs)
    time.sleep(SETTLE_S)  # what is erased after the result belongs to the job
    spent, jobs = stack.cpu_by_name(), load.jobs
    return Cell(
        side=side,
        **load._asdict(),
        per_s=jobs / run.seconds,
        p50_ms=statistics.median(run.latencies_ms),
        p99_ms=_p99(run.latencies_ms),
        cpu_ms=1e3 * (stack.cpu_s() - cpu_s) / jobs,
        peak_mb=stack.peak_mb(),
        cpu_by_name={name: 1e3 * (spent[name] - was) / jobs for name, was in by_name.items()},
    )


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.99 * len(values)))]


def loads(scale: float, only: str) -> Iterator[Load]:
    """Yield each load whose name has `only` in it."""
    for size in SIZES:
        for work in WORKS:
            for clients in CLIENTS:
                if only in f"{work} {size} {clients}":
                    jobs = max(clients, round(scale * JOBS[size, clients]))
                    yield Load(work, size, clients, jobs)


def race(stacks: dict[str, Stack], each: Iterable[Load], rounds: int) -> list[Cell]:
    """Take turns, so that both meet the same weather."""
    cells: list[Cell] = []
    for load in each:
        turns: dict[str, list[Cell]] = {side: [] for side in stacks}
        for _ in range(rounds):
            for side, stack in stacks.items():
                turns[side].append(turn(side, stack, load))
        for side in stacks:
            cells.append(_median(turns[side]))
            show(cells[-1])
    return cells


def _median(turns: list[Cell]) -> Cell:
    def middle(values: Iterator[float]) -> float:
        return round(statistics.median(values), 3)

    return msgspec.structs.replace(
        turns[0],
        per_s=middle(each.per_s for each in turns),
        p50_ms=middle(each.p50_ms for each in turns),
        p99_ms=middle(each.p99_ms for each in turns),
        cpu_ms=middle(each.cpu_ms for each in turns),
        peak_mb=middle(each.peak_mb for each in turns),
        cpu_by_name={
            name: middle(each.cpu_by_name[name] for each in turns) for name in turns[0].cpu_by_name
        },
    )


def show(cell: Cell) -> None:
    """Print a line of the table."""
    parts = ", ".join(f"{name} {ms:.2f}" for name, ms in cell.cpu_by_name.items())
    print(
        f"{cell.work:5} {cell.size:>5} c={cell.clients:<3} {cell.side:8} {cell.per_s:7.1f} /s"
        f"  p50 {cell.p50_ms:7.1f}  p99 {cell.p99_ms:7.1f} ms  {cell.cpu_ms:7.2f} ms a job"
        f" ({parts})  {cell.peak_mb:5.0f} MB",
        flush=True,
    )


def idle(stacks: dict[str, Stack], rounds: int, jobs: int) -> list[Idle]:
    """Measure the way to the result when there is nothing else to do."""
    found: list[Idle] = []
    for by, option in (("long poll", ()), ("WebSocket", ("--websocket",))):
        latencies: dict[str, list[float]] = {side: [] for side in stacks}
        for _ in range(rounds):
            for side, stack in stacks.items():
                run = client(stack.url, "--jobs", jobs, "--every", EVERY_S, *option)
                latencies[side] += run.latencies_ms
        for side, taken in latencies.items():
            found.append(
                Idle(
                    side=side,
                    by=by,
                    p50_ms=round(statistics.median(taken), 2),
                    p99_ms=round(_p99(taken), 2),
                )
            )
            print(f"idle, {by:9} {side:8} p50 {found[-1].p50_ms:6.2f} ms", flush=True)
    return found


async def crash(side: str, stack: Stack, jobs: int) -> Crash:
    """Kill the worker in the middle of its work, start it again, and see what is done in time."""
    files = Files(200_000, CRASH_WORK_MS)
    finished: list[float] = []

    async def one(places: asyncio.Semaphore) -> None:
        async with places, Connection(stack.url) as connection:
            token = await connection.send(files)
        async with Connection(stack.url) as connection:
            await connection.result(token)
            finished.append(time.monotonic())

    async with asyncio.TaskGroup() as group:
        places = asyncio.Semaphore(8)
        tasks = [group.create_task(one(places)) for _ in range(jobs)]
        while len(finished) < CRASH_PART * jobs:  # noqa: ASYNC110 - it is the worker's
            await asyncio.sleep(0.005)
        stack.kill("worker")
        await asyncio.sleep(1.0)
        stack.restart("worker")
        restarted = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(CRASH_WAIT_S):
                await asyncio.wait(tasks)
        for task in tasks:
            task.cancel()
    left = jobs - len(finished)
    found = Crash(
        side=side,
        unfinished=left,
        all_done_s=None if left else round(max(finished) - restarted, 2),
    )
    print(f"killed at {CRASH_PART:.0%}: {side:8} {left} of {jobs} unfinished", found.all_done_s)
    return found


def newest(asked: argparse.Namespace) -> list[Cell]:
    """Measure eight clients on the newest nats-server, where that is another one."""
    some = [load for load in loads(asked.scale, "noop") if load.clients == CLIENTS[1]]
    if not BUILT.exists():
        return []
    with (
        tempfile.TemporaryDirectory() as scratch,
        decibus(Path(scratch), server=str(BUILT)) as stack,
    ):
        client(stack.url, "--clients", 8, "--jobs", 50)
        return race({stack.broker: stack}, some, asked.rounds)


def main(asked: argparse.Namespace) -> None:
    """Measure, print the tables, and write the results."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as both:
        ours, theirs = Path(scratch) / "ours", Path(scratch) / "theirs"
        stacks: dict[str, Stack] = {}
        ours.mkdir()
        stacks["decibus"] = both.enter_context(decibus(ours))
        if not asked.alone:
            theirs.mkdir()
            stacks["peer"] = both.enter_context(peer(theirs, asked.peer))
        for stack in stacks.values():
            client(stack.url, "--clients", 8, "--jobs", 50)  # so that all is loaded
        cells = race(stacks, loads(asked.scale, asked.only), asked.rounds)
        waits = (
            idle(stacks, asked.rounds, max(3, round(15 * asked.scale)))
            if asked.only in "idle"
            else []
        )
        crashes = [
            uvloop.run(crash(side, stack, CRASH_JOBS))
            for side, stack in stacks.items()
            if asked.only in "crash"
        ]
        report = Report(
            machine=this_machine(),
            rounds=asked.rounds,
            brokers={side: stack.broker for side, stack in stacks.items()},
            cells=cells,
            idle=waits,
            crashes=crashes,
        )
    if asked.only in "newest":
        report = msgspec.structs.replace(report, newest=newest(asked))
    if not (asked.alone or asked.only):
        asked.results.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of jobs")
    parser.add_argument(
        "--only", default="", help="loads with this in their name; idle; crash; newest"
    )
    parser.add_argument("--alone", action="store_true", help="without the peer, for profiles")
    parser.add_argument("--peer", type=Path, default=PEER, help="the peer's Python")
    parser.add_argument("--results", type=Path, default=RESULTS)
    main(parser.parse_args())
