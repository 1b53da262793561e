"""The length of a file is no matter of memory, and none of exactness."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from decibus.messages import AnalyzeOptions, Measurement
from services.analyzer import analyze as analyzer
from services.analyzer.analyze import analyze
from tests.long_take import LongTake
from tests.measurements import numbers_of
from tests.processes import ROOT

HOURS = 2.0
PROC_STATUS = Path("/proc/self/status")

PROGRAM = """
import io
import sys
from pathlib import Path
from decibus.messages import AnalyzeOptions
from services.analyzer.analyze import analyze, warm
from tests.long_take import LongTake

def tell(duration):
    # Not ru_maxrss: a child starts with its parent's.
    status = Path("/proc/self/status").read_text()
    peak, code = (status.split(f"{name}:")[1].split()[0] for name in ("VmHWM", "RssFile"))
    print("told", duration, peak, code)

warm()
tell(0.0)
for hours in map(float, sys.argv[1:]):
    file = io.BufferedReader(LongTake(hours=hours, rate=44_100, channels=2))
    tell(analyze(file, AnalyzeOptions(max_duration_s=1e5), lambda _: None).audio.duration)
"""


@pytest.mark.skipif(not PROC_STATUS.exists(), reason="only Linux tells a process's own peak")
@pytest.mark.timeout(180)
def test_two_hours_need_little_more_memory_than_a_minute() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(1 / 60), str(HOURS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("told")]
    seconds, peaks_mib, code_mib = zip(
        *((float(s), int(peak) / 1024, int(file) / 1024) for s, peak, file in told), strict=True
    )
    assert seconds == (0.0, 60.0, HOURS * 3600.0)
    assert peaks_mib[1] - peaks_mib[0] < 40.0  # not two blocks of 16 MiB
    assert peaks_mib[2] - peaks_mib[1] < 40.0  # 100 energies and peaks a second
    # Of its own: code, most of it LLVM's, lies in memory once for all processes.
    assert peaks_mib[2] - code_mib[2] < 200.0


def test_two_hours_in_blocks_read_as_two_hours_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    by_blocks = measured()

    monkeypatch.setattr(analyzer, "BLOCK_SAMPLES", round(HOURS * 3600.0) * 8_000)
    monkeypatch.setattr(analyzer, "SLICE_SAMPLES", 1 << 23)
    at_once = measured()

    assert at_once.audio.duration == HOURS * 3600.0
    assert numbers_of(at_once) == pytest.approx(numbers_of(by_blocks), rel=1e-9, abs=1e-9)
    assert at_once.envelope == by_blocks.envelope


def measured() -> Measurement:
    file = io.BufferedReader(LongTake(hours=HOURS, rate=8_000, channels=1))
    options = AnalyzeOptions(max_duration_s=1e5, timeline=True)
    return analyze(file, options, lambda _: None)
