from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analyzer.dsp.kweighting import KWeighting, coefficients, step_edges
from tests.dsp import reference
from tests.dsp.metering import cut
from tests.dsp.reference import TABLE_1, TABLE_2
from tests.signals import music

MUSIC = music(9.0, 44_100)
WHOLE = KWeighting(44_100, 2).feed(MUSIC)


def test_at_48_khz_the_coefficients_are_those_of_the_standard() -> None:
    assert coefficients(48_000) == pytest.approx(np.array([TABLE_1, TABLE_2]), abs=1e-12)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 192_000, 384_000])
def test_at_any_rate_they_are_the_tables_with_the_bilinear_transform_undone(rate: int) -> None:
    expected = np.delete(reference.k_weighting(rate), 3, axis=1)

    assert coefficients(rate) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rate", [32_000, 44_100, 96_000, 192_000])
@pytest.mark.parametrize("hz", [30.0, 100.0, 1_000.0, 5_000.0, 10_000.0])
def test_the_response_is_the_same_at_every_rate(rate: int, hz: float) -> None:
    def gain_db(at_rate: int) -> float:
        sos = np.insert(coefficients(at_rate), 3, 1.0, axis=1)
        _, response = scipy.signal.sosfreqz(sos, [hz], fs=at_rate)
        return float(20.0 * np.log10(np.abs(response[0])))

    # The bilinear transform bends the shelf's upper end a little.
    assert gain_db(rate) == pytest.approx(gain_db(48_000), abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_steps_are_the_filtered_energy_between_the_nearest_samples(rate: int) -> None:
    samples = music(1.237, rate)

    energies = KWeighting(rate, 2).feed(samples)

    sos = np.insert(coefficients(rate), 3, 1.0, axis=1)
    squares = scipy.signal.sosfilt(sos, samples.astype(np.float64)) ** 2
    edges = np.floor(np.arange(124) * rate / 100 + 0.5).astype(int)
    expected = [[row[a:b].sum() for a, b in pairwise(edges)] for row in squares]
    assert energies.shape == (2, 123)
    assert energies == pytest.approx(np.array(expected), rel=1e-9)
    assert np.array_equal(step_edges(rate, 0, 124), edges)


@pytest.mark.parametrize(
    ("rate", "channels"),
    [(11_025, 2), (44_100, 2), (48_000, 1), (48_000, 3), (48_000, 6), (48_000, 8)],
)
def test_lanes_are_the_filter_itself(rate: int, channels: int) -> None:
    samples = music(8.0, rate, channels=channels)
    samples[:, 2 * rate : 3 * rate] *= np.float32(1e-4)  # quiet after loud: nothing rings on

    energies = KWeighting(rate, channels).feed(samples)

    streaming = KWeighting(rate, channels)
    one_by_one = [streaming.feed(block) for block in cut(samples, (rate // 4,))]  # without lanes
    assert energies == pytest.approx(np.concatenate(one_by_one, axis=1), rel=1e-9)


@given(sizes=st.lists(st.integers(2_000, 300_000), min_size=1, max_size=5))
@settings(deadline=None, max_examples=20)
def test_the_sizes_of_blocks_change_nothing(sizes: list[int]) -> None:
    streaming = KWeighting(44_100, 2)
    parts = [streaming.feed(block) for block in cut(MUSIC, sizes)]

    assert np.concatenate(parts, axis=1) == pytest.approx(WHOLE, rel=1e-9)
