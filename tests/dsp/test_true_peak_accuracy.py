"""How near the true peak is to the real one: ideal interpolation, and any sine at any phase."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.analyzer.dsp.true_peak import kaiser_sinc
from tests.dsp import reference
from tests.dsp.metering import true_peak_dbtp
from tests.signals import Samples, faded_sine, music

CLOSE_DB = 0.05
# Of a period in samples: so many different phases of it are met that the worst is among them.
SHARES = (1 / 8, 1 / 4, 1 / 3, 2 / 5, 3 / 7, 4 / 9, 9 / 20, 30 / 67)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_of_music_it_is_what_ideal_interpolation_finds(seed: int, rate: int) -> None:
    lowpass = scipy.signal.firwin(511, 0.9)  # to 0.45 of the rate, up to which there is a promise
    limited = scipy.signal.oaconvolve(music(1.0, rate, seed=seed), lowpass[None], axes=1)
    samples: Samples = limited.astype(np.float32)

    assert true_peak_dbtp(samples) == pytest.approx(reference.true_peak(samples), abs=CLOSE_DB)


@pytest.mark.parametrize("share", SHARES)
@settings(max_examples=8, deadline=None)
@given(degrees=st.floats(0.0, 360.0))
def test_a_sine_at_any_phase(share: float, degrees: float) -> None:
    samples = faded_sine(48_000, divisor=1.0 / share, amplitude=0.5, degrees=degrees, seconds=0.1)

    # Many periods: one of them has its top where a sample or a point between two lies.
    shown = true_peak_dbtp(samples)

    assert shown == pytest.approx(20.0 * np.log10(0.5), abs=CLOSE_DB)


def test_a_top_is_met_wherever_it_lies() -> None:
    table = kaiser_sinc().table

    readings = np.array([_readings_db(table, share) for share in np.linspace(0.005, 0.45, 90)])

    assert readings.min() > -CLOSE_DB
    assert readings.max() < CLOSE_DB


def _readings_db(table: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Read a sine of so many periods a sample, a top of it at each of 200 places, in dB."""
    taps = table.shape[1]
    samples = np.arange(-taps // 2 - 1, taps // 2 + 2)
    tops = np.linspace(0.0, 1.0, 200, endpoint=False)
    waves = np.cos(2.0 * np.pi * share * (samples - tops[:, None]))
    best = np.zeros(len(tops))
    # Around this top only: among all tops there is always one that is met better.
    for first in range(len(samples) - taps + 1):
        best = np.maximum(best, np.abs(waves[:, first : first + taps] @ table.T).max(axis=1))
    at_samples = np.abs(waves[:, np.abs(samples) <= 1]).max(axis=1)
    return np.asarray(20.0 * np.log10(np.maximum(best, at_samples)))


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(3)))
def test_channels_may_change_places(order: list[int]) -> None:
    samples: Samples = music(0.5, channels=3)

    assert true_peak_dbtp(samples[order]) == true_peak_dbtp(samples)


@settings(max_examples=15, deadline=None)
@given(before=st.integers(0, 500), after=st.integers(0, 500))
def test_silence_around_changes_nothing(before: int, after: int) -> None:
    samples = music(0.25)

    padded = np.pad(samples, ((0, 0), (before, after)))

    assert true_peak_dbtp(padded) == pytest.approx(true_peak_dbtp(samples), abs=1e-6)
