"""EBU Tech 3342 (2023), table 1: the minimum requirements of a loudness range."""

import numpy as np
import pytest

from services.analyzer.dsp.loudness_range import loudness_range
from tests.dsp.cases import RATES, TECH_3342
from tests.dsp.conformance import GROUPS, Group, violations

OURS = [group for group in GROUPS if group.standard == TECH_3342]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("group", OURS, ids=lambda group: group.number)
def test_a_case_reads_what_the_standard_prints(group: Group, rate: int) -> None:
    assert violations(group, rate) == []


def test_all_cases_are_there_that_are_not_recordings() -> None:
    assert [group.number for group in OURS] == ["1", "2", "3", "4"]


def test_percentiles_round_halves_up() -> None:
    powers = 10.0 ** (np.arange(6) / 10.0)  # 0 to 5 dB: 10 % of 5 is 0.5, 95 % is 4.75

    assert loudness_range(powers) == pytest.approx(5.0 - 1.0)


def test_silence_has_no_range() -> None:
    assert loudness_range(np.zeros(100)) is None
    assert loudness_range(np.empty(0)) is None
