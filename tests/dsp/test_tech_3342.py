"""EBU Tech 3342 (2023), table 1: the minimum requirements of a loudness range."""

import numpy as np
import pytest

from services.analyzer.dsp.loudness_range import loudness_range
from tests.dsp.metering import Meter
from tests.signals import tones


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param([-20, -30], 10.0, id="1"),
        pytest.param([-20, -15], 5.0, id="2"),
        pytest.param([-40, -20], 20.0, id="3"),
        pytest.param([-50, -35, -20, -35, -50], 15.0, id="4"),
    ],
)
def test_cases_1_to_4(levels: list[float], expected: float, rate: int) -> None:
    meter = Meter(tones([(20.0, dbfs) for dbfs in levels], rate), rate)

    assert meter.range_lu == pytest.approx(expected, abs=0.01)  # the standard allows 1 LU


def test_percentiles_round_halves_up() -> None:
    powers = 10.0 ** (np.arange(6) / 10.0)  # 0 to 5 dB: 10 % of 5 is 0.5, 95 % is 4.75

    assert loudness_range(powers) == pytest.approx(5.0 - 1.0)


def test_silence_has_no_range() -> None:
    assert loudness_range(np.zeros(100)) is None
    assert loudness_range(np.empty(0)) is None
