"""ITU-R BS.1770-5: a full-scale tone, each channel's weight; and tones and gates as in BS.2217."""

import pytest

from tests.dsp.cases import BS_1770, BS_2217, RATES
from tests.dsp.conformance import GROUPS, Group, violations

OURS = [group for group in GROUPS if group.standard in {BS_1770, BS_2217}]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("group", OURS, ids=lambda group: group.number)
def test_a_signal_reads_what_the_standard_says(group: Group, rate: int) -> None:
    assert violations(group, rate) == []
