"""The length of a file is no matter of memory, and none of exactness."""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing

import pytest

from decibus.confinement import Limits
from decibus.messages import AnalyzeOptions, Measurement
from decibus.sandbox import Sandbox
from services.analyzer import analyze as analyzer
from services.analyzer import kernels
from services.analyzer.analyze import analyze
from tests.long_take import LongTake, Peak
from tests.measurements import numbers_of

HOURS = 2.0
MIB = 1 << 20


@pytest.fixture
def sandbox() -> Iterator[Sandbox[Peak]]:
    kernels.load()  # into their cache: a nursery that compiles keeps what LLVM has used for that
    made = Sandbox(
        "tests.long_take:measure",
        warm="tests.long_take:warm",
        returns=Peak,
        limits=Limits(cpu_s=300),
    )
    with closing(made):
        yield made


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process's peak is its parent's")
@pytest.mark.timeout(180)
def test_a_child_measures_two_hours_in_less_than_200_mb(sandbox: Sandbox[Peak]) -> None:
    moment, minute, ten_minutes, hours = (
        peak(sandbox, seconds=each) for each in (5.0, 60.0, 600.0, HOURS * 3600.0)
    )

    assert hours < 200e6, "all that it has in memory, code and kernels included"
    assert minute - moment < 32 * MIB  # not two blocks of 16 MiB
    assert ten_minutes - minute < 16 * MIB
    assert hours - ten_minutes < 32 * MIB  # 100 energies and peaks a second


def peak(sandbox: Sandbox[Peak], *, seconds: float) -> int:
    """Return the most memory that a child has while it measures that much stereo, in bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(str(seconds / 3600.0).encode())
        found = sandbox.run(file, AnalyzeOptions(max_duration_s=1e5), lambda _: None)
    assert found.duration_s == seconds
    return found.resident_bytes


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
