import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analyzer.dsp.spectrum import BANDS, TonalBalance
from tests.dsp.metering import cut
from tests.signals import Samples, music, sine

MUSIC = music(3.0)


def balance(
    samples: Samples, rate: int = 48_000, sizes: tuple[int, ...] = (1 << 30,)
) -> np.ndarray:
    spectrum = TonalBalance(rate, len(samples))
    for block in cut(samples, sizes):
        spectrum.feed(block)
    return np.array([-np.inf if level is None else level for level in spectrum.finish()])


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize(
    ("hz", "band"),
    [(40.0, "sub"), (120.0, "bass"), (350.0, "low_mid"), (1_000.0, "mid"), (4_000.0, "high_mid")],
)
def test_a_tone_is_all_in_its_band(hz: float, band: str, rate: int) -> None:
    levels = balance(sine(1.0, -20.0, rate, hz=hz), rate)

    names = [b.name for b in BANDS]
    assert names[int(levels.argmax())] == band
    assert levels.max() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("rate", [8_000, 48_000, 176_400, 192_000])
@pytest.mark.parametrize(("dbfs", "counts"), [(-66.5, True), (-67.5, False)])
def test_a_frame_counts_from_minus_70_dbfs_mean_square(
    rate: int, dbfs: float, *, counts: bool
) -> None:
    mono = sine(1.0, dbfs, rate, hz=1_000.0, channels=1)  # 3.01 dB less

    assert np.isfinite(balance(mono, rate)).any() == counts


def test_channels_are_added_up() -> None:
    low, high = sine(1.0, -20.0, hz=100.0, channels=1), sine(1.0, -20.0, hz=1_000.0, channels=1)

    for both in ([low, high], [high, low], [low, high, 0.0 * low]):
        levels = balance(np.concatenate(both).astype(np.float32))

        assert levels[[1, 3]] == pytest.approx([-3.01, -3.01], abs=0.01)


def test_what_is_far_over_20_khz_does_not_fold_into_the_bands() -> None:
    tone = sine(1.0, -20.0, 192_000, hz=1_000.0)
    over = sine(1.0, -20.0, 192_000, hz=80_000.0)

    assert balance(tone + over, 192_000)[5] < -60.0


def test_white_noise_fills_the_bands_by_their_width() -> None:
    noise = np.random.default_rng(3).normal(0.0, 0.1, (2, 480_000)).astype(np.float32)

    levels = balance(noise)

    widths = np.array([band.high_hz - band.low_hz for band in BANDS])
    assert levels == pytest.approx(10.0 * np.log10(widths / widths.sum()), abs=0.7)
    assert levels[2:] == pytest.approx(10.0 * np.log10(widths / widths.sum())[2:], abs=0.15)


@given(gain_db=st.floats(-20.0, 20.0))
@settings(max_examples=10)
def test_level_does_not_matter(gain_db: float) -> None:
    gained = np.asarray(MUSIC * 10.0 ** (gain_db / 20.0), np.float32)

    assert balance(gained) == pytest.approx(balance(MUSIC), abs=1e-3)


def test_pauses_do_not_count() -> None:
    hum = 1e-3 * np.random.default_rng(5).standard_normal(MUSIC.shape).astype(np.float32)

    levels = balance(np.concatenate((MUSIC[:, :131_072], hum), axis=1))

    assert levels == pytest.approx(balance(MUSIC[:, :131_072]), abs=1e-6)


@pytest.mark.parametrize("sizes", [(1_000,), (8_192,), (50_001, 3)])
def test_the_sizes_of_blocks_change_nothing(sizes: tuple[int, ...]) -> None:
    assert balance(MUSIC, sizes=sizes) == pytest.approx(balance(MUSIC), abs=1e-9)


def test_a_short_file_is_one_frame() -> None:
    levels = balance(sine(0.1, -20.0, hz=1_000.0))

    assert levels.max() == levels[3] == pytest.approx(0.0, abs=0.01)


def test_silence_has_no_bands_and_a_low_rate_no_air() -> None:
    assert np.isneginf(balance(np.zeros((2, 48_000), np.float32))).all()
    assert np.isneginf(balance(sine(1.0, -20.0, 8_000), 8_000)[5])
