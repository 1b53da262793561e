"""Hours of calls: each message counts once, and a window begins with a whole hour."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decibus.calls import Hour, hour_named, key_of, window_of
from decibus.errors import BadRequest
from decibus.points import Kind, Point, Status, line_of

NOW = datetime(2026, 11, 21, 19, 26, tzinfo=UTC)


def message(number: int) -> tuple[int, bytes]:
    points = [
        Point(
            kind=kind,
            service="x",
            task="analyze",
            status=Status.FAILED if number % 10 == 0 else Status.DONE,
            source="http",
            latency=float(number),
            audio_length=2.0,
            at_us=number,
        )
        for kind in Kind
    ]
    return number, "\n".join(map(line_of, points)).encode()


@given(st.lists(st.lists(st.integers(1, 60), max_size=20), max_size=12))
def test_a_message_counts_once_in_whatever_order_and_however_often_it_comes(
    batches: list[list[int]],
) -> None:
    hour = Hour()
    for batch in batches:
        hour = hour.adding(map(message, batch))
        hour = msgspec.json.decode(msgspec.json.encode(hour), type=Hour)

    numbers = {number for batch in batches for number in batch}
    assert sum(hour.calls.ended.values()) == len(numbers)
    assert sum(last - first + 1 for first, last in hour.counted) == len(numbers)
    done = sorted(float(number) for number in numbers if number % 10)
    assert sorted(hour.calls.latency.values) == done, "what failed took no time that counts"
    assert sum(hour.tasks["analyze"].ended.values() if numbers else ()) == len(numbers)


def test_a_message_that_is_no_point_counts_for_nothing_and_stops_nobody() -> None:
    hour = Hour().adding([(1, b"rubbish"), message(2)])

    assert hour.counted == ((1, 2),)
    assert hour.calls.ended == {Status.DONE: 1}


@pytest.mark.parametrize(
    ("text", "since"),
    [
        (None, NOW - timedelta(days=30)),
        ("30d", NOW - timedelta(days=30)),
        ("1h", NOW - timedelta(hours=1)),
        ("36h", NOW - timedelta(hours=36)),
    ],
)
def test_a_window_begins_with_the_hour_that_it_begins_in(text: str | None, since: datetime) -> None:
    assert window_of(text).since(NOW) == since.replace(minute=0)


@pytest.mark.parametrize("text", ["0h", "31d", "721h", "1w", "h", "-1h", "1h ", "٣h"])
def test_any_other_window_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="window"):
        window_of(text)


def test_an_hour_is_found_by_its_key() -> None:
    assert hour_named(key_of(NOW)) == NOW.replace(minute=0)
