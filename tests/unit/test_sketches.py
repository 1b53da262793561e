"""Sketches: exact while small, then within 1 %, however they were merged."""

import math
import random
import statistics

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decibus.sketches import RELATIVE_ERROR, Sketch, Spread

SHARES = (0.0, 0.5, 0.95, 0.99, 1.0)
SECONDS = st.floats(0, 1e6).filter(lambda value: value == 0 or value >= 1e-4)


def exact(values: list[float], share: float) -> float:
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - int(rank))


@given(st.lists(SECONDS, min_size=1, max_size=50))
def test_of_few_values_the_median_is_exact(values: list[float]) -> None:
    spread = Spread(Sketch().adding(values))

    assert spread.quantiles(0.5)[0] == pytest.approx(statistics.median(values))
    assert spread.relative_error == 0.0


@settings(max_examples=20, deadline=None)
@given(st.integers(), st.floats(0.1, 3.0), st.integers(1, 5))
def test_of_many_values_every_quantile_is_within_one_per_cent(
    seed: int, spread_out: float, parts: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    values = [max(1e-4, chance.lognormvariate(0.0, spread_out)) for _ in range(6_000)]
    sketches = [Sketch().adding(values[part::parts]) for part in range(parts)]

    whole = Spread.merged(map(Spread, sketches))

    assert whole.count == len(values)
    assert whole.relative_error == RELATIVE_ERROR
    for share, found in zip(SHARES, whole.quantiles(*SHARES), strict=True):
        assert found == pytest.approx(exact(values, share), rel=RELATIVE_ERROR * 1.001)


@given(st.lists(st.lists(SECONDS, max_size=300), max_size=6))
def test_it_does_not_matter_in_how_many_steps_values_come(steps: list[list[float]]) -> None:
    values = [value for step in steps for value in step]
    sketch = Sketch()
    for step in steps:
        sketch = sketch.adding(step)

    kept = msgspec.json.decode(msgspec.json.encode(sketch), type=Sketch)

    assert Spread(kept).count == len(values)
    assert Spread(kept).quantiles(*SHARES) == Spread(Sketch().adding(values)).quantiles(*SHARES)


def test_nothing_has_no_median() -> None:
    assert Spread.merged([]).quantiles(0.5) == [None]


def test_answers_that_were_there_already_took_no_time() -> None:
    many = Spread(Sketch().adding([0.0] * 600 + [1.0] * 400))

    assert many.quantiles(0.5) == [0.0]
