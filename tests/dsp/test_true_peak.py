import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.dsp.true_peak import (
    Interpolator,
    TruePeak,
    annex_2,
    brute_force,
    decibels,
    kaiser_sinc,
)
from tests.dsp.metering import true_peak_dbtp
from tests.signals import Samples, faded_sine, music, sine

FINE = kaiser_sinc()
TABLES = {"16x": FINE, "annex 2": annex_2()}
RANDOM = np.random.default_rng(48)

SIGNALS = {
    "music": music(4.0, channels=1)[0],
    "master": np.clip(6.0 * music(4.0, channels=1)[0], -0.97, 0.97),
    "noise": RANDOM.uniform(-1.0, 1.0, 100_000).astype(np.float32),
    "clicks": (RANDOM.uniform(size=50_000) > 0.999).astype(np.float32),
    "tone": sine(1.0, -1.0, hz=997.0, channels=1)[0],
    "steps": np.repeat(RANDOM.choice([-1.0, 1.0], 500), 131).astype(np.float32),
}


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_is_pruned_cannot_hold_the_peak(name: str, table: Interpolator) -> None:
    samples = SIGNALS[name]
    meter = TruePeak(table, 1)

    meter.feed(samples[None])

    assert meter.finish()[0] == brute_force(samples, table)


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_kernel_is_a_convolution(name: str, table: Interpolator) -> None:
    samples = SIGNALS[name].astype(np.float64)

    expected = max(np.abs(np.convolve(samples, row[::-1])).max() for row in table.table)
    if table.keeps_samples:
        expected = max(expected, np.abs(samples).max())

    assert brute_force(SIGNALS[name], table) == pytest.approx(expected, rel=1e-6)


@given(sizes=st.lists(st.integers(1, 5_000), min_size=1, max_size=6).filter(lambda s: sum(s) > 300))
def test_the_sizes_of_blocks_change_nothing(sizes: list[int]) -> None:
    samples = SIGNALS["master"][None, :60_000]

    assert true_peak_dbtp(samples, sizes=sizes) == true_peak_dbtp(samples)


@given(gain_db=st.floats(-60.0, 20.0))
def test_gain_moves_the_peak_by_as_much(gain_db: float) -> None:
    samples = SIGNALS["music"][None]
    gained = np.asarray(samples * 10.0 ** (gain_db / 20.0), np.float32)

    assert true_peak_dbtp(gained) - true_peak_dbtp(samples) == pytest.approx(gain_db, abs=1e-5)


@pytest.mark.parametrize("at", ["start", "end"])
def test_the_filter_runs_in_and_out_of_a_file_that_is_cut_in_full_swing(at: str) -> None:
    edge = np.array([0.0, 0.0, 0.0, 0.7, 0.7], np.float32)
    samples = edge if at == "end" else edge[::-1].copy()

    shown = true_peak_dbtp(samples[None])

    assert shown == pytest.approx(-1.0, abs=0.2)  # the samples alone: -3.1 dBFS


def test_one_sample_has_a_peak() -> None:
    meter = TruePeak(FINE, 1)

    meter.feed(np.array([[0.5]], np.float32))

    assert meter.finish()[0] == 0.5


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.4, 0.45])
@pytest.mark.parametrize("degrees", [0.0, 17.0, 45.0, 71.0])
def test_a_sine_reads_within_0_05_db_up_to_0_45_of_the_rate(share: float, degrees: float) -> None:
    samples = faded_sine(48_000, divisor=1.0 / share, amplitude=0.5, degrees=degrees)

    assert true_peak_dbtp(samples) == pytest.approx(20.0 * np.log10(0.5), abs=0.05)


def test_silence_has_no_level() -> None:
    silence: Samples = np.zeros((1, 1_000), np.float32)
    meter = TruePeak(FINE, 1)

    meter.feed(silence)

    assert decibels(meter.finish()[0]) is None
