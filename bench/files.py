"""
How fast a file becomes a report, next to `ffmpeg -af ebur128=peak=true`.

    python -m bench.files [--seconds 300] [--rounds 5] [--ffmpeg ffmpeg]

The same files, 48 kHz stereo, turn by turn; the table shows medians of CPU time. Ours is `analyze`
in a process that is warm, as the analyzer's children are, and everything that it measures;
ffmpeg's is the user and system time of its process, which starts anew for each file.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from bench.dsp import RATE, signals
from decibus.audio import DECODER
from decibus.messages import AnalyzeOptions
from services.analyzer.analyze import analyze, warm
from tests.signals import encode

RESULTS: Final = Path(__file__).parent / "results" / "files.json"
KINDS: Final = ("wav16", "flac", "mp3", "m4a")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Median CPU times for a file of one kind."""

    kind: str
    ours_ms: float
    ffmpeg_ms: float
    times_ours: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/files.json."""

    decoder: str
    ffmpeg: str
    seconds: float
    rounds: int
    rows: list[Row]


def ours_s(path: Path) -> float:
    """Decode and measure all there is."""
    start = time.process_time()
    with path.open("rb") as file:
        analyze(file, AnalyzeOptions(), lambda _: None)
    return time.process_time() - start


def ffmpeg_s(path: Path, ffmpeg: str) -> float:
    """Let the command decode, and measure loudness and true peak."""

    def children_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    command = [ffmpeg, "-nostats", "-i", str(path), "-af", "ebur128=peak=true", "-f", "null", "-"]
    start = children_s()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ours to choose
    return children_s() - start


def compare(kind: str, path: Path, rounds: int, ffmpeg: str) -> Row:
    """Take turns, so that both meet the same weather."""
    turns = [(ours_s(path), ffmpeg_s(path, ffmpeg)) for _ in range(rounds)]
    ours, theirs = (1e3 * statistics.median(taken) for taken in zip(*turns, strict=True))
    return Row(
        kind=kind,
        ours_ms=round(ours, 1),
        ffmpeg_ms=round(theirs, 1),
        times_ours=round(theirs / ours, 1),
    )


def version(ffmpeg: str) -> str:
    """Ask the command for its version."""
    said = subprocess.run([ffmpeg, "-version"], check=True, capture_output=True)  # noqa: S603 - ditto
    return said.stdout.decode().split()[2]


def main(seconds: float, rounds: int, ffmpeg: str) -> None:
    """Measure, print the table, and write the results."""
    if shutil.which(ffmpeg) is None:
        raise SystemExit("there is no ffmpeg to compare with: apt install ffmpeg")
    warm()
    song = signals(seconds)["music"]
    print(f"{seconds:g} s of 48 kHz stereo, median CPU time of {rounds}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder) / kind
            path.write_bytes(encode(song, RATE, kind))
            row = compare(kind, path, rounds, ffmpeg)
            print(
                f"{row.kind:6} {row.ours_ms:8.1f} ms, ffmpeg {row.ffmpeg_ms:8.1f} ms"
                f" {row.times_ours:6.1f} x"
            )
            rows.append(row)
    report = Report(
        decoder=DECODER, ffmpeg=version(ffmpeg), seconds=seconds, rounds=rounds, rows=rows
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ffmpeg", default="ffmpeg")
    arguments = parser.parse_args()
    main(arguments.seconds, arguments.rounds, arguments.ffmpeg)
