"""
EBU Tech 3341 (2023), table 1: the minimum requirements of a meter, with signals made in code.

`reading` is what an exact meter of float64 shows; the standard's own tolerances are wider.
"""

import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from services.analyzer.dsp.true_peak import annex_2
from tests.dsp.metering import Meter, true_peak_dbtp
from tests.signals import faded_sine, sine, tones

TOLERANCE_LU = 0.1
EXACT = 0.02

Parts = list[tuple[float, float | None]]


@pytest.mark.parametrize(
    ("dbfs", "rate", "reading"),
    [
        (-23.0, 48_000, -22.9933),
        (-33.0, 48_000, -32.9933),
        (-23.0, 44_100, -22.9905),
        (-23.0, 96_000, -23.0106),
        (-23.0, 192_000, -23.0203),
        (-23.0, 32_000, -22.9789),
        (-23.0, 8_000, -22.9804),
    ],
)
def test_cases_1_and_2_a_steady_tone(dbfs: float, rate: int, reading: float) -> None:
    meter = Meter(sine(20.0, dbfs, rate), rate)

    for shown in (meter.momentary, meter.short_term, meter.integrated):
        assert shown == pytest.approx(dbfs, abs=TOLERANCE_LU)
        assert shown == pytest.approx(reading, abs=EXACT)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize(
    ("parts", "reading"),
    [
        pytest.param([(10, -36), (60, -23), (10, -36)], -23.0139, id="3"),
        pytest.param([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23.0139, id="4"),
        pytest.param([(20, -26), (20.1, -20), (20, -26)], -22.9787, id="5"),
    ],
)
def test_cases_3_to_5_gated(parts: Parts, rate: int, reading: float) -> None:
    shown = Meter(tones(parts, rate), rate).integrated

    assert shown == pytest.approx(-23.0, abs=TOLERANCE_LU)
    assert shown == pytest.approx(reading, abs=EXACT)


def test_case_6_surround() -> None:
    levels = {"FL": -28.0, "FR": -28.0, "FC": -24.0, "BL": -30.0, "BR": -30.0}
    samples = np.concatenate([sine(20.0, dbfs, channels=1) for dbfs in levels.values()])

    shown = Meter(samples, 48_000, tuple(levels)).integrated

    assert shown == pytest.approx(-23.0, abs=TOLERANCE_LU)
    assert shown == pytest.approx(-23.0163, abs=EXACT)


def test_case_9_short_term_stays_where_it_is() -> None:
    meter = Meter(tones([(1.34, -20), (1.66, -30)] * 5))

    assert meter.short_term == pytest.approx(-23.0, abs=TOLERANCE_LU)
    assert meter.short_term == pytest.approx(-22.9863, abs=EXACT)


@pytest.mark.parametrize("i", [0, 1, 7, 13, 19])
def test_case_10_short_term_at_any_phase(i: int) -> None:
    meter = Meter(tones([(i * 0.15, None), (3.0, -23.0), (1.0, None)]))

    assert meter.short_term == pytest.approx(-23.0, abs=TOLERANCE_LU)
    assert meter.short_term == pytest.approx(-22.9933, abs=EXACT)


@pytest.mark.parametrize("i", [0, 5, 10, 19])
def test_case_11_short_term_maxima_of_many_levels(i: int) -> None:
    meter = Meter(tones([(i * 0.15, None), (3.0, -38.0 + i), (3.0 - i * 0.15, None)]))

    assert meter.short_term == pytest.approx(-38.0 + i, abs=TOLERANCE_LU)


def test_case_12_momentary_stays_where_it_is() -> None:
    meter = Meter(tones([(0.18, -20), (0.22, -30)] * 25))

    assert meter.momentary == pytest.approx(-23.0, abs=TOLERANCE_LU)
    assert meter.momentary == pytest.approx(-22.9604, abs=EXACT)


@pytest.mark.parametrize("i", range(20))
def test_case_13_momentary_at_any_phase(i: int) -> None:
    meter = Meter(tones([(i * 0.02, None), (0.4, -23.0), (1.0, None)]))

    assert meter.momentary == pytest.approx(-23.0, abs=TOLERANCE_LU)
    assert meter.momentary == pytest.approx(-22.9936, abs=EXACT)


@pytest.mark.parametrize("i", [0, 5, 10, 19])
def test_case_14_momentary_maxima_of_many_levels(i: int) -> None:
    meter = Meter(tones([(i * 0.02, None), (0.4, -38.0 + i), (0.4 - i * 0.02, None)]))

    assert meter.momentary == pytest.approx(-38.0 + i, abs=TOLERANCE_LU)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize(
    ("divisor", "amplitude", "degrees", "bs1770_reading"),
    [
        pytest.param(4, 0.50, 0.0, -6.217, id="15"),
        pytest.param(4, 0.50, 45.0, -5.975, id="16"),
        pytest.param(6, 0.50, 60.0, -6.314, id="17"),
        pytest.param(8, 0.50, 67.5, -6.028, id="18"),
        pytest.param(4, 1.41, 45.0, 3.030, id="19"),
    ],
)
def test_cases_15_to_19_true_peak(
    divisor: float,
    amplitude: float,
    degrees: float,
    bs1770_reading: float,
    rate: int,
) -> None:
    samples = faded_sine(rate, divisor=divisor, amplitude=amplitude, degrees=degrees)
    exact = 20.0 * np.log10(amplitude)

    shown = true_peak_dbtp(samples, rate)

    assert round(exact) - 0.4 <= shown <= round(exact) + 0.2
    assert shown == pytest.approx(exact, abs=EXACT)
    assert true_peak_dbtp(samples, rate, annex_2()) == pytest.approx(bs1770_reading, abs=EXACT)


@pytest.mark.parametrize("offset", range(4))
def test_cases_20_to_23_a_true_peak_hidden_by_decimation(offset: int) -> None:
    at_four_times_the_rate = _limited_burst()
    samples = np.tile(at_four_times_the_rate[offset::4].astype(np.float32), (2, 1))

    shown = true_peak_dbtp(samples)

    finer = scipy.signal.resample(at_four_times_the_rate, 8 * len(at_four_times_the_rate))
    assert -0.4 <= shown <= 0.2
    assert shown == pytest.approx(20.0 * np.log10(np.abs(finer).max()), abs=EXACT)


def _limited_burst() -> NDArray[np.float64]:
    """Make a hum of -6 dBFS with one period at full scale, under half of the rate to come."""
    hum = 0.5 * np.sin(2.0 * np.pi * np.arange(24_000) / 24.0)
    burst = np.sin(2.0 * np.pi * np.arange(16) / 16.0)
    lowpass = scipy.signal.firwin(511, 0.25, window=("kaiser", 8.0))
    limited = np.convolve(np.concatenate((hum, burst, hum)), lowpass, "same")
    fade = np.minimum(1.0, np.arange(len(limited)) / 1_920.0)
    return np.asarray(limited * fade * fade[::-1])
