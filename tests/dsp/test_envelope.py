import numpy as np
import pytest

from services.analyzer.dsp.envelope import MAX_POINTS, envelope
from tests.dsp import reference
from tests.dsp.metering import Meter
from tests.signals import music, tones


@pytest.mark.parametrize("rate", [11_025, 44_100, 48_000])
def test_each_level_is_the_loudness_of_its_step(rate: int) -> None:
    samples = music(5.0, rate)

    step_s, levels = envelope(Meter(samples, rate).steps, rate)

    powers = reference.windows(samples, rate, (1.0, 1.0), window_ms=50, hop_ms=50)
    assert (step_s, len(levels)) == (0.05, 100)
    assert levels / 100.0 - 150.0 == pytest.approx(reference.loudness(powers), abs=0.005001)


def test_silence_is_zero_and_loud_garbage_fits() -> None:
    _, levels = envelope(Meter(tones([(0.5, None), (0.5, 120.0), (1.0, None)])).steps, 48_000)

    assert not levels[:10].any()
    assert levels[10:20] / 100.0 - 150.0 == pytest.approx(np.full(10, 120.0), abs=1.0)
    assert not levels[-1]


@pytest.mark.parametrize(("steps", "points"), [(0, 0), (4, 0), (5, 1), (9, 1), (10, 2)])
def test_an_incomplete_step_is_left_out(steps: int, points: int) -> None:
    assert len(envelope(np.ones(steps), 48_000).levels) == points


@pytest.mark.parametrize(
    ("hours", "step_s"), [(0.5, 0.05), (0.51, 0.1), (1.0, 0.1), (2.0, 0.2), (9.0, 1.6)]
)
def test_a_long_one_has_longer_steps_and_fits_into_a_record(hours: float, step_s: float) -> None:
    found = envelope(np.ones(round(hours * 360_000)), 48_000)

    assert found.step_s == pytest.approx(step_s)
    assert len(found.levels) * step_s == pytest.approx(hours * 3_600.0, abs=step_s)
    assert found.levels.size <= MAX_POINTS
    assert found.levels.nbytes <= 72_000
