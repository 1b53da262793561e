"""
What the sandbox costs a file, and what it brings: the same step in it and beside it.

    python bench/sandbox.py [--rounds 40] [--minutes 5]

Turn by turn in one run. `half a second` of WAV shows the cost of a child; MP3s, whose small frames
keep Python busy, show two slots at once: two threads share a GIL, two children do not. Processor
time counts all processes; a machine that does other things as well distorts the clock's.
"""

import argparse
import io
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import av
import msgspec
import numpy as np

from decibus.confinement import Limits
from decibus.messages import AnalyzeOptions, Measurement
from decibus.sandbox import Sandbox
from services.analyzer.analyze import analyze, warm

RESULTS: Final = Path(__file__).parent / "results" / "sandbox.json"
RATE: Final = 48_000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/sandbox.json: medians in ms, MB, and how often faster."""

    rounds: int
    beside_ms: float
    inside_ms: float
    beside_cpu_ms: float
    inside_cpu_ms: float
    nursery_mb: float
    child_mb: float
    two_threads_speedup: float
    two_children_speedup: float


def audio(seconds: float, container: str, codec: str) -> bytes:
    """Encode some noise, in stereo."""
    noise = np.random.default_rng(1).normal(0.0, 0.1, (1, 2 * round(seconds * RATE)))
    file = io.BytesIO()
    with av.open(file, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=RATE, layout="stereo")
        assert isinstance(stream, av.AudioStream)  # noqa: S101 - for the type checker
        frame = av.AudioFrame.from_ndarray(noise.astype(np.float32), "flt", "stereo")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            muxer.mux(packet)
    return file.getvalue()


def run_once(step: Callable[..., object], data: bytes) -> None:
    """Give a step an anonymous file, as a worker does."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        step(file, AnalyzeOptions(), lambda _: None)


def seconds(work: Callable[[], None]) -> float:
    """Time some work on the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def at_once(step: Callable[..., object], data: bytes) -> None:
    """Run a step in two threads, as a worker with two slots does."""
    threads = [threading.Thread(target=run_once, args=(step, data)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def children_cpu_s(nursery: int) -> float:
    """Return what a process and its dead children have used."""
    told = Path(f"/proc/{nursery}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, told[11:15])) / os.sysconf("SC_CLK_TCK")


def private_mb(pid: int) -> float:
    """Return what a process shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def children_of(pid: int) -> list[int]:
    """List the children of a process."""
    by_thread = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for told in by_thread for child in told.read_text().split()]


def compare(sandbox: Sandbox[Measurement], rounds: int, minutes: float) -> Report:
    """Take turns, so that both meet the same weather."""
    (nursery,) = children_of(os.getpid())
    short, long = audio(0.5, "wav", "pcm_s16le"), audio(60.0 * minutes, "mp3", "libmp3lame")
    times: dict[str, list[float]] = {"beside": [], "inside": []}
    cpu = {"beside": 0.0, "inside": 0.0}
    for _ in range(rounds):
        start = time.process_time()
        times["beside"].append(seconds(lambda: run_once(analyze, short)))
        cpu["beside"] += time.process_time() - start
        start = time.process_time() + children_cpu_s(nursery)
        times["inside"].append(seconds(lambda: run_once(sandbox.run, short)))
        time.sleep(0.02)  # until the child is buried
        cpu["inside"] += time.process_time() + children_cpu_s(nursery) - start

    grown: list[float] = []
    peek = threading.Timer(0.1, lambda: grown.extend(map(private_mb, children_of(nursery))))
    peek.start()
    run_once(sandbox.run, long)
    peek.join()
    speedups: dict[str, list[float]] = {"threads": [], "children": []}
    for _ in range(max(3, rounds // 8)):
        for name, step in (("threads", analyze), ("children", sandbox.run)):
            one = seconds(lambda step=step: run_once(step, long))  # type: ignore[misc]
            two = seconds(lambda step=step: at_once(step, long))  # type: ignore[misc]
            speedups[name].append(2.0 * one / two)
    return Report(
        rounds=rounds,
        beside_ms=1e3 * statistics.median(times["beside"]),
        inside_ms=1e3 * statistics.median(times["inside"]),
        beside_cpu_ms=1e3 * cpu["beside"] / rounds,
        inside_cpu_ms=1e3 * cpu["inside"] / rounds,
        nursery_mb=private_mb(nursery),
        child_mb=grown[0],
        two_threads_speedup=statistics.median(speedups["threads"]),
        two_children_speedup=statistics.median(speedups["children"]),
    )


def main(rounds: int, minutes: float) -> None:
    """Measure, print the table, and write the results."""
    step, warming = (f"services.analyzer.analyze:{name}" for name in ("analyze", "warm"))
    with closing(Sandbox(step, warm=warming, returns=Measurement, limits=Limits())) as sandbox:
        sandbox.start()
        warm()
        report = compare(sandbox, rounds, minutes)
    print("                          beside   inside")
    print(f"half a second, ms       {report.beside_ms:8.1f} {report.inside_ms:8.1f}")
    print(f"processor time, ms      {report.beside_cpu_ms:8.1f} {report.inside_cpu_ms:8.1f}")
    print(
        f"two MP3s at once        {report.two_threads_speedup:7.2f}x"
        f" {report.two_children_speedup:7.2f}x"
    )
    print(f"memory of its own, MB: nursery {report.nursery_mb:.0f}, a child {report.child_mb:.0f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=5.0)
    arguments = parser.parse_args()
    main(arguments.rounds, arguments.minutes)
