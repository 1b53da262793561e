import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.analyzer.dsp import gating
from tests.dsp.metering import Meter
from tests.dsp.test_kweighting import TABLE_1, TABLE_2
from tests.signals import Samples, music, sine, tones

MUSIC = music(8.0)


def reference_integrated(samples: Samples, weights: tuple[float, ...]) -> float:
    """BS.1770-5 annex 1 at 48 kHz, word by word, in float64."""
    sos = [[*table[:3], 1.0, *table[3:]] for table in (TABLE_1, TABLE_2)]
    y = scipy.signal.sosfilt(sos, samples.astype(np.float64), axis=1)
    z = np.array(
        [(y[:, j : j + 19_200] ** 2).mean(axis=1) for j in range(0, y.shape[1] - 19_199, 4_800)]
    )
    power = z @ np.array(weights)

    def loudness(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return -0.691 + 10.0 * np.log10(p)

    above = power[loudness(power) > -70.0]
    gate = loudness(above.mean()) - 10.0
    return float(loudness(above[loudness(above) > gate].mean()))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_integrated_is_the_standard_word_by_word(seed: int) -> None:
    samples = np.concatenate((music(7.0, seed=seed), 0.01 * music(5.0, seed=seed)), axis=1)

    assert Meter(samples).integrated == pytest.approx(
        reference_integrated(samples, (1.0, 1.0)), abs=1e-6
    )


def test_997_hz_at_full_scale_on_one_channel_is_minus_3_01() -> None:
    assert Meter(sine(5.0, 0.0, hz=997.0, channels=1), names=("FC",)).integrated == pytest.approx(
        -3.01, abs=0.005
    )


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (("FC",), [1]),
        (("FL", "FR"), [1, 1]),
        (("FL", "FR", "FC", "LFE", "BL", "BR"), [1, 1, 1, 0, 1.41, 1.41]),
        (("FL", "FR", "FC", "LFE", "SL", "SR"), [1, 1, 1, 0, 1.41, 1.41]),
        (("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"), [1, 1, 1, 0, 1, 1, 1.41, 1.41]),
        (("FL", "FR", "FC", "LFE", "BC", "SL", "SR"), [1, 1, 1, 0, 1, 1.41, 1.41]),
    ],
)
def test_channels_weigh_what_the_standard_says(
    names: tuple[str, ...], weights: list[float]
) -> None:
    assert gating.channel_weights(names).tolist() == weights


def test_a_channel_counts_by_its_weight() -> None:
    names = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
    tone = sine(2.0, -20.0, channels=1)
    front = Meter(tone, names=("FC",)).integrated

    for place, gain_lu in (("BL", 0.0), ("SL", 10.0 * np.log10(1.41))):
        samples = np.zeros((8, tone.shape[1]), np.float32)
        samples[names.index(place)] = tone[0]
        samples[names.index("LFE")] = 0.9
        assert Meter(samples, names=names).integrated == pytest.approx(front + gain_lu, abs=1e-6)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((2, 96_000), np.float32),
        sine(1.0, -75.0),
        sine(0.399, -20.0),
        sine(1 / 48_000, 0.0),
    ],
)
def test_silence_and_less_than_one_block_have_no_loudness(samples: Samples) -> None:
    steps = Meter(samples).steps

    blocks = gating.window_powers(steps, 48_000, gating.MOMENTARY_STEPS, gating.GATING_HOP_STEPS)

    assert gating.integrated(blocks) == (None, None)


def test_digital_silence_has_no_maxima_and_the_faintest_sound_has() -> None:
    assert gating.maximum(np.zeros(500), 48_000, gating.MOMENTARY_STEPS) is None
    assert gating.maximum(np.ones(39), 48_000, gating.MOMENTARY_STEPS) is None
    assert Meter(sine(1.0, -120.0)).momentary == pytest.approx(-120.0, abs=0.05)


def test_the_relative_threshold_lies_10_lu_under_what_passes_the_absolute_gate() -> None:
    meter = Meter(tones([(10, -20), (10, None)]))
    blocks = gating.window_powers(meter.steps, 48_000, gating.MOMENTARY_STEPS, 10)

    loudness, threshold = gating.integrated(blocks)

    assert loudness is not None
    assert threshold == pytest.approx(loudness - 10.0, abs=0.1)


@given(gain_db=st.floats(-30.0, 30.0))
def test_gain_moves_loudness_by_as_much(gain_db: float) -> None:
    gained = MUSIC.astype(np.float64) * 10.0 ** (gain_db / 20.0)

    moved = Meter(gained.astype(np.float32)).integrated - Meter(MUSIC).integrated

    assert moved == pytest.approx(gain_db, abs=1e-4)


def test_swapping_left_and_right_changes_nothing() -> None:
    assert Meter(MUSIC[::-1]).integrated == pytest.approx(Meter(MUSIC).integrated, abs=1e-9)


@given(
    sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=6).filter(lambda s: sum(s) > 999)
)
def test_the_sizes_of_blocks_change_nothing(sizes: list[int]) -> None:
    whole, cut = Meter(MUSIC), Meter(MUSIC, sizes=sizes)

    assert cut.integrated == pytest.approx(whole.integrated, abs=1e-9)
    assert cut.momentary == pytest.approx(whole.momentary, abs=1e-9)
    assert cut.range_lu == pytest.approx(whole.range_lu, abs=1e-9)
