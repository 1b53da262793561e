import numpy as np
import pytest

from services.analyzer.dsp.levels import Levels
from services.analyzer.dsp.stereo import StereoImage
from tests.dsp.metering import cut
from tests.signals import Samples, music, sine, tones


def levels(samples: Samples, sizes: tuple[int, ...] = (1 << 30,)) -> Levels:
    meter = Levels(len(samples))
    for block in cut(samples, sizes):
        meter.feed(block)
    return meter


def image(samples: Samples, sizes: tuple[int, ...] = (1 << 30,)) -> StereoImage:
    meter = StereoImage()
    for block in cut(samples, sizes):
        meter.feed(block)
    return meter


def test_the_sample_peak_is_exact() -> None:
    samples = np.array([[0.1, -0.75, 0.5], [0.0, 0.25, 0.1]], np.float32)

    assert levels(samples).peaks.tolist() == [0.75, 0.25]


def test_clipped_samples_are_those_at_full_scale() -> None:
    samples = np.array([[1.0, 32_767 / 32_768, -1.0, 0.999, 0.0]], np.float32)

    assert levels(samples).clipped_samples == 3


@pytest.mark.parametrize("sizes", [(1 << 30,), (1_000,), (7, 4_801)])
def test_silence_at_both_ends_is_exact_to_the_sample(sizes: tuple[int, ...]) -> None:
    sound = np.full((2, 4_800), 0.1, np.float32)
    samples = np.pad(sound, ((0, 0), (1_234, 567)))

    meter = levels(samples, sizes)

    assert (meter.lead, meter.tail) == (1_234, 567)


def test_all_is_silent_from_both_ends() -> None:
    meter = levels(sine(1.0, -61.0))

    assert (meter.lead, meter.tail) == (48_000, 48_000)


@pytest.mark.parametrize("sizes", [(1 << 30,), (999,)])
def test_the_offset_is_the_mean_of_each_channel(sizes: tuple[int, ...]) -> None:
    samples = sine(1.0, -20.0) + np.array([[0.01], [-0.02]], np.float32)

    assert levels(samples, sizes).dc_offsets == pytest.approx([0.01, -0.02], abs=1e-7)


def test_correlation_and_balance_are_those_of_numpy() -> None:
    samples = music(2.0)
    left, right = samples.astype(np.float64)

    meter = image(samples)

    assert meter.correlation == pytest.approx(
        left @ right / np.sqrt((left @ left) * (right @ right))
    )
    assert meter.balance_db == pytest.approx(10.0 * np.log10((right @ right) / (left @ left)))
    assert image(samples, (777,)).correlation == pytest.approx(meter.correlation, abs=1e-9)


@pytest.mark.parametrize(
    ("right", "correlation", "balance_db"), [(1.0, 1.0, 0.0), (-0.5, -1.0, -6.0206)]
)
def test_one_signal_on_both_sides(right: float, correlation: float, balance_db: float) -> None:
    tone = sine(1.0, -20.0, channels=1)

    meter = image(np.concatenate((tone, np.float32(right) * tone)))

    assert meter.correlation == pytest.approx(correlation, abs=1e-12)
    assert meter.balance_db == pytest.approx(balance_db, abs=1e-3)


def test_a_silent_side_has_neither() -> None:
    samples = np.concatenate((sine(1.0, -20.0, channels=1), tones([(1.0, None)], channels=1)))

    assert image(samples).correlation is None
    assert image(samples).balance_db is None
