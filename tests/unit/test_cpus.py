"""How much of the machine a worker takes."""

from pathlib import Path

import pytest

from decibus.cpus import cpu_limit
from services.transcoder.settings import Settings, fitted


@pytest.mark.parametrize(
    ("written", "cpus"),
    [
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "199000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
)
def test_the_cpu_limit_is_the_cgroups(tmp_path: Path, written: dict[str, str], cpus: int) -> None:
    for name, content in written.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    assert cpu_limit(tmp_path) == cpus


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"cpu.max": "max 100000\n"},
        {"cpu.max": "99900000 100000\n"},
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
    ],
)
def test_without_a_limit_it_is_what_the_process_may_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: dict[str, str]
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    for name, content in written.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    assert cpu_limit(tmp_path) == 3


def test_a_transcoder_has_a_job_more_in_hand_than_cpus_unless_it_is_told() -> None:
    assert fitted(Settings(), cpus=2).slots == 3
    assert fitted(Settings(slots=1), cpus=2).slots == 1
