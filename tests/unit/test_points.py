"""Line protocol: what is written is read again, and no value can break a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decibus.errors import BadRequest
from decibus.points import Kind, Point, Status, line_of, points_of, stamped

CLEAN = st.text("abcXYZ019._+/:@-", min_size=1, max_size=64)
DURATIONS = st.none() | st.floats(0, 1e6).map(lambda value: round(value, 6))


def point(**fields: object) -> Point:
    given = {"task": "analyze", "status": Status.DONE, "source": "http", "at_us": 1_700_000_000_123}
    return Point(kind=Kind.TASK, service="analyzer", **given | fields)  # type: ignore[arg-type]


@given(
    st.builds(
        Point,
        kind=st.sampled_from(Kind),
        service=CLEAN,
        task=CLEAN,
        status=st.sampled_from(Status),
        source=CLEAN,
        model=CLEAN,
        latency=DURATIONS,
        queue_wait=DURATIONS,
        work=DURATIONS,
        audio_length=DURATIONS,
        bytes=st.integers(0, 1 << 40),
        attempt=st.integers(0, 99),
        at_us=st.integers(0, 1 << 52),
    )
)
def test_a_line_says_what_the_point_was(point: Point) -> None:
    assert list(points_of(line_of(point).encode())) == [point]


@given(st.text(max_size=100))
def test_no_name_breaks_out_of_its_tag(name: str) -> None:
    line = line_of(point(model=name))

    (read,) = points_of(line.encode())
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert read == point(model=read.model)


def test_what_is_not_finite_is_not_written() -> None:
    assert "latency" not in line_of(point(latency=float("nan")))


@pytest.mark.parametrize("body", [b"rubbish", b"call,a=b c=1 soon", b"\xff \xff 1", b"call,x y 1"])
def test_what_is_no_point_is_told(body: bytes) -> None:
    with pytest.raises(BadRequest):
        list(points_of(body))


def test_a_newer_release_may_say_more() -> None:
    line = (
        line_of(point()).replace(",source=", ",shard=7,source=").replace(" bytes", " new=1,bytes")
    )

    assert list(points_of(line.encode())) == [point()]


def test_calls_that_end_in_the_same_instant_have_times_of_their_own() -> None:
    body = f"{line_of(point())}\n{line_of(point())}".encode()

    times = {stamped(body, sequence).split()[-1] for sequence in range(5_000, 6_000)}

    assert len(times) == 1000
    assert stamped(body, 77) == stamped(body, 77), "delivered again"
    assert b" 1700000000123077\n" in stamped(body, 77), "both lines"
