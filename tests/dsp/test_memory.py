"""The length of a file is no matter of memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.signals import encode, music

PROC_STATUS = Path("/proc/self/status")

PROGRAM = """
import sys
from pathlib import Path
from decibus.messages import AnalyzeOptions
from services.analyzer.analyze import analyze, warm

def tell(duration):
    # Not ru_maxrss: a child starts with its parent's.
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    print("told", duration, peak)

warm()
tell(0.0)
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        tell(analyze(file, AnalyzeOptions(max_duration_s=3600.0), lambda _: None).audio.duration)
"""


@pytest.mark.skipif(not PROC_STATUS.exists(), reason="only Linux tells a process's own peak")
def test_ten_minutes_need_no_more_memory_than_one(tmp_path: Path) -> None:
    half_a_minute = encode(music(30.0), 48_000, "aac")  # a row of frames, which may be repeated
    (tmp_path / "short").write_bytes(half_a_minute * 2)
    (tmp_path / "long").write_bytes(half_a_minute * 20)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "short", tmp_path / "long"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("told")]
    seconds, peaks_mib = zip(*((float(s), int(kib) / 1024) for s, kib in told), strict=True)
    assert seconds == pytest.approx((0.0, 60.0, 600.0), rel=0.01)
    assert peaks_mib[1] - peaks_mib[0] < 32.0  # not two blocks of 16 MiB
    assert peaks_mib[2] - peaks_mib[1] < 16.0
