import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analyzer.dsp.timeline import MAX_POINTS, SILENT_LUFS, timeline
from tests.dsp import reference
from tests.dsp.metering import Meter
from tests.signals import music, tones

AUDIBLE = 48_000 / 100 * 1e-3  # the energy of a step of -30.7 LUFS


@pytest.mark.parametrize("rate", [11_025, 44_100, 48_000])
def test_each_entry_is_the_window_that_ends_there(rate: int) -> None:
    samples = music(5.0, rate)

    shown = timeline(Meter(samples, rate).steps, rate)

    assert shown.step_s == 0.1
    for readings, window_ms in ((shown.momentary, 400), (shown.short_term, 3_000)):
        powers = reference.windows(samples, rate, (1.0, 1.0), window_ms=window_ms, hop_ms=100)
        before = window_ms // 100 - 1
        assert len(readings) == 50
        assert readings[:before] == (None,) * before
        assert readings[before:] == pytest.approx(reference.loudness(powers), abs=0.005001)


def test_readings_have_two_decimals_and_silence_none() -> None:
    shown = timeline(Meter(tones([(1.0, -20.0), (1.0, None)])).steps, 48_000)

    assert shown.momentary[9] == -19.99
    assert shown.momentary[-1] is None, "the filter rings on, at some -200 LUFS"
    assert all(level is None or level > SILENT_LUFS for level in shown.momentary)


@pytest.mark.parametrize("steps", [0, 1, 9, 10, 39, 40, 299, 300, 301])
def test_the_shortest_have_an_entry_a_tenth_of_a_second(steps: int) -> None:
    shown = timeline(np.full(steps, AUDIBLE), 48_000)

    assert len(shown.momentary) == len(shown.short_term) == steps // 10
    assert sum(level is not None for level in shown.momentary) == max(0, steps // 10 - 3)
    assert sum(level is not None for level in shown.short_term) == max(0, steps // 10 - 29)


@pytest.mark.parametrize(("hours", "step_s"), [(1.0, 0.1), (1.01, 0.2), (2.0, 0.2), (12.0, 1.2)])
def test_a_long_one_has_longer_steps_and_fits_into_a_record(hours: float, step_s: float) -> None:
    steps = np.full(round(hours * 360_000), AUDIBLE)

    shown = timeline(steps, 48_000)

    assert shown.step_s == pytest.approx(step_s)
    assert len(shown.momentary) * step_s == pytest.approx(hours * 3_600.0, abs=step_s)
    assert len(shown.momentary) <= MAX_POINTS
    assert len(json.dumps(shown, separators=(",", ":"))) < 600_000


def test_a_short_sound_stands_out_in_long_steps_too() -> None:
    steps = np.full(2 * 360_000, AUDIBLE)
    steps[12_340:12_350] *= 1_000.0

    shown = timeline(steps, 48_000)

    loudest = max(level for level in shown.momentary if level is not None)
    (at,) = {shown.momentary.index(loudest)} & set(range(610, 625))
    assert loudest == pytest.approx(-30.7 + 10.0 * np.log10(250.75), abs=0.02)
    assert at * shown.step_s == pytest.approx(123.4, abs=0.4)


@settings(max_examples=15, deadline=None)
@given(gain_db=st.floats(-30.0, 30.0))
def test_gain_moves_every_entry_by_as_much(gain_db: float) -> None:
    steps = Meter(music(4.0, 16_000), 16_000).steps

    moved = timeline(steps * 10.0 ** (gain_db / 10.0), 16_000).momentary[3:]

    plain = np.array(timeline(steps, 16_000).momentary[3:])
    assert np.array(moved) - plain == pytest.approx(np.full(37, gain_db), abs=0.0101)
