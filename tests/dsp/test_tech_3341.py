"""EBU Tech 3341 (2023), table 1: the minimum requirements of a meter."""

import numpy as np
import pytest
import scipy.signal

from services.analyzer.dsp.true_peak import annex_2
from tests.dsp import reference
from tests.dsp.cases import CASES, RATES, TECH_3341, burst_at_four_times_the_rate
from tests.dsp.conformance import GROUPS, Group, violations
from tests.dsp.metering import true_peak_dbtp
from tests.signals import faded_sine

# Twenty files at 192 kHz take as long as all else; `make conformance` alone measures them.
RUNS = [
    pytest.param(group, rate, id=f"{group.number}-{rate}")
    for group in GROUPS
    for rate in RATES
    if group.standard == TECH_3341 and (len(group.cases) == 1 or rate < 192_000)
]


@pytest.mark.parametrize(("group", "rate"), RUNS)
def test_a_case_reads_what_the_standard_prints(group: Group, rate: int) -> None:
    assert violations(group, rate) == []


def test_all_cases_are_there_that_are_not_recordings() -> None:
    numbers = [int(case.number) for case in CASES if case.standard == TECH_3341]

    assert set(range(1, 24)) - set(numbers) == {7, 8}
    assert [numbers.count(number) for number in (10, 11, 13, 14)] == [20] * 4


@pytest.mark.parametrize("rate", [44_100, 192_000])
@pytest.mark.parametrize(
    ("divisor", "amplitude", "degrees", "reading"),
    [
        pytest.param(4, 0.50, 0.0, -6.217, id="15"),
        pytest.param(4, 0.50, 45.0, -5.975, id="16"),
        pytest.param(6, 0.50, 60.0, -6.314, id="17"),
        pytest.param(8, 0.50, 67.5, -6.028, id="18"),
        pytest.param(4, 1.41, 45.0, 3.030, id="19"),
    ],
)
def test_cases_15_to_19_by_the_filter_that_bs_1770_prints(
    divisor: float, amplitude: float, degrees: float, reading: float, rate: int
) -> None:
    samples = faded_sine(rate, divisor=divisor, amplitude=amplitude, degrees=degrees)

    assert true_peak_dbtp(samples, annex_2()) == pytest.approx(reading, abs=0.02)


@pytest.mark.parametrize(
    ("offset", "of_20_taps"), [(0, -0.101), (1, -0.048), (2, -0.120), (3, -0.048)]
)
def test_cases_20_to_23_are_the_signals_that_other_meters_know(
    offset: int, of_20_taps: float
) -> None:
    samples = burst_at_four_times_the_rate()[offset::4]

    shown = scipy.signal.resample_poly(np.pad(samples, 256), 16, 1, window=("kaiser", 12.0))

    assert 20.0 * np.log10(np.abs(shown).max()) == pytest.approx(of_20_taps, abs=0.0006)
    assert reference.true_peak(samples[None]) == pytest.approx(-0.0776, abs=0.002)
