from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analyzer.dsp.peak_to_short_term import StepPeaks, smallest
from tests.dsp import reference
from tests.dsp.metering import Meter, cut
from tests.signals import Samples, music, sine, tones

MUSIC = music(6.0)


def peaks(samples: Samples, rate: int = 48_000, sizes: tuple[int, ...] = (1 << 30,)) -> Samples:
    meter = StepPeaks(rate)
    return np.concatenate([meter.feed(block) for block in cut(samples, sizes)])


def psr(samples: Samples, rate: int = 48_000) -> float | None:
    return smallest(peaks(samples, rate), Meter(samples, rate).steps, rate)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_the_peak_of_a_step_is_its_largest_sample_in_any_channel(rate: int) -> None:
    samples = music(1.237, rate, channels=3)
    edges = np.floor(np.arange(124) * rate / 100 + 0.5).astype(int)

    expected = [np.abs(samples[:, i:j]).max() for i, j in pairwise(edges)]

    assert peaks(samples, rate).tolist() == expected


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 5_000), min_size=1, max_size=6).filter(lambda s: sum(s) > 300))
def test_the_sizes_of_blocks_change_nothing(sizes: list[int]) -> None:
    assert np.array_equal(peaks(MUSIC, sizes=tuple(sizes)), peaks(MUSIC))


@pytest.mark.parametrize("rate", [11_025, 48_000])
def test_it_is_the_smallest_of_peak_minus_short_term_loudness(rate: int) -> None:
    samples = np.concatenate((music(5.0, rate), 0.1 * music(5.0, rate, seed=2)), axis=1)
    samples = samples.astype(np.float32)

    levels = reference.loudness(
        reference.windows(samples, rate, (1.0, 1.0), window_ms=3_000, hop_ms=100)
    )
    starts = [round(k * rate / 10 + 1e-6) for k in range(len(levels))]
    magnitudes = [np.abs(samples[:, i : i + 3 * rate]).max() for i in starts]
    assert psr(samples, rate) == pytest.approx(
        (20.0 * np.log10(magnitudes) - levels).min(), abs=1e-3
    )


def test_a_tone_on_two_channels_has_none_to_speak_of() -> None:
    assert psr(sine(4.0, -10.0)) == pytest.approx(0.0, abs=0.02)


def test_a_squashed_passage_tells_however_short() -> None:
    squashed = np.sign(MUSIC[:, : 4 * 48_000]) * np.float32(0.1)

    assert psr(np.concatenate((MUSIC, squashed, MUSIC), axis=1)) == pytest.approx(
        psr(squashed), abs=0.5
    )
    assert (psr(MUSIC) or 0.0) > (psr(squashed) or 0.0) + 3.0


@settings(max_examples=15, deadline=None)
@given(gain_db=st.floats(-30.0, 20.0))
def test_gain_does_not_matter(gain_db: float) -> None:
    gained = np.asarray(MUSIC * 10.0 ** (gain_db / 20.0), np.float32)

    assert psr(gained) == pytest.approx(psr(MUSIC), abs=1e-4)


@pytest.mark.parametrize(
    "samples",
    [sine(2.999, -20.0), np.zeros((2, 200_000), np.float32), sine(4.0, -75.0)],
    ids=["too short", "silence", "too quiet"],
)
def test_without_an_audible_window_there_is_none(samples: Samples) -> None:
    assert psr(samples) is None


def test_what_is_under_the_absolute_gate_does_not_count() -> None:
    with_a_faint_hum = np.concatenate((MUSIC, tones([(8.0, -80.0)])), axis=1)

    assert (psr(with_a_faint_hum) or 0.0) > 3.0, "alone the hum, a sine, would have 0"
