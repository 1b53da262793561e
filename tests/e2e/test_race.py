"""The bench of the whole pipeline: its worker is a real one, and what it tells is of this run."""

from pathlib import Path

from bench import race
from bench.stacks import decibus


def test_a_turn_of_the_race_is_run_and_measured(tmp_path: Path) -> None:
    with decibus(tmp_path) as stack:
        first = race.turn("decibus", stack, race.Load("cpu5", "200kB", clients=2, jobs=6))
        stack.kill("worker")
        stack.restart("worker")
        again = race.turn("decibus", stack, race.Load("noop", "200kB", clients=1, jobs=2))

    assert first.jobs == 6
    assert 0 < first.p50_ms <= first.p99_ms
    assert first.cpu_by_name["worker"] >= 5, "the work is done, and counted"
    assert set(again.cpu_by_name) == {"nats-server", "gateway", "worker"}
    assert again.peak_mb > 50
