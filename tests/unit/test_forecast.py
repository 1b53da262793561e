"""When a queued job will be done: from what was measured, or not at all."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decibus.jobs import State
from decibus.messages import AnalyzeOptions
from services.gateway.forecast import SILENT_AFTER, Activity, Pace, Sign, eta_s

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def sign(state: State, start_s: float | None = None, end_s: float | None = None) -> Sign:
    return Sign(
        options=AnalyzeOptions(),
        state=state,
        started_at=None if start_s is None else after(start_s),
        ended_at=None if end_s is None else after(end_s),
    )


def work(activity: Activity, key: str, start_s: float, end_s: float) -> None:
    """Let a job be worked on, and be heard."""
    activity.hear(key, sign(State.RUNNING, start_s), now=after(start_s))
    activity.hear(key, sign(State.DONE, start_s, end_s), now=after(end_s))


def test_nothing_is_forecast_before_a_job_was_seen_from_start_to_end() -> None:
    activity = Activity()
    activity.hear("a", sign(State.QUEUED), now=NOW)
    before = activity.eta_s(1, now=NOW)
    activity.hear("a", sign(State.RUNNING, 0), now=NOW)
    during = activity.eta_s(1, now=NOW)
    activity.hear("b", sign(State.FAILED, -100, 0), now=NOW)  # its workers had all died

    assert before is during is activity.eta_s(1, now=NOW) is None


def test_nothing_is_forecast_when_no_worker_is_heard_any_more() -> None:
    activity = Activity()
    work(activity, "a", 0, 2)

    assert activity.eta_s(1, now=after(2)) == 2.0
    assert activity.eta_s(1, now=after(3) + SILENT_AFTER) is None


def test_a_worker_that_died_holds_no_slot() -> None:
    activity = Activity()
    work(activity, "a", 0, 2)
    activity.hear("dead", sign(State.RUNNING, 2), now=after(2))
    silent = 2 + SILENT_AFTER.total_seconds() + 1
    work(activity, "b", silent, silent + 2)

    assert activity.pace == Pace(2.0, 1.0)
    assert activity.eta_s(2, now=after(silent + 2)) == 4.0


@pytest.mark.parametrize(
    ("position", "slots", "at_work", "expected"),
    [
        (1, 1, [], 10.0),
        (1, 1, [4.0], 16.0),  # 6 s are left of the one before
        (3, 1, [4.0], 36.0),
        (1, 2, [4.0, 9.0], 11.0),
        (2, 2, [4.0, 9.0], 16.0),
        (3, 2, [4.0, 9.0], 21.0),
        (1, 2, [4.0], 10.0),  # a slot is free at this moment
        (1, 1, [99.0], 10.0),  # it takes longer than usual: it may end any moment
    ],
)
def test_the_queue_is_worked_off_by_the_slots_that_were_seen(
    position: int, slots: int, at_work: list[float], expected: float
) -> None:
    running = [timedelta(seconds=seconds) for seconds in at_work]

    assert eta_s(Pace(10.0, slots), position, running) == expected


@given(
    position=st.integers(1, 500),
    slots=st.integers(1, 20),
    at_work=st.lists(st.floats(0, 30), max_size=20),
)
def test_who_is_further_back_is_done_no_sooner(
    position: int, slots: int, at_work: list[float]
) -> None:
    running = [timedelta(seconds=seconds) for seconds in at_work]
    pace = Pace(10.0, slots)

    assert eta_s(pace, position, running) <= eta_s(pace, position + 1, running)


def test_the_forecast_follows_a_change_of_speed() -> None:
    activity = Activity()
    for number in range(5):
        work(activity, "slow", number * 10, number * 10 + 10)
    for number in range(10):
        work(activity, "fast", 50 + number, 51 + number)

    eta = activity.eta_s(1, now=after(60))
    assert eta is not None
    assert 1 <= eta < 1.5
