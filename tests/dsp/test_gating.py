import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analyzer.dsp import gating
from tests.dsp import reference
from tests.dsp.cases import BS_2217, CASES, TECH_3341
from tests.dsp.metering import Meter
from tests.signals import Samples, music, sine, tones

MUSIC = music(8.0)
NAMES = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
EXACT_LU = 1e-6


def programme(kind: str, rate: int, channels: int = 2, seconds: float = 6.0) -> Samples:
    """A loud passage and a quiet one, which the relative gate cuts out of music."""
    if kind == "noise":
        shape = (channels, round(seconds * rate))
        loud = np.random.default_rng(rate).uniform(-1.0, 1.0, shape).astype(np.float32)
    else:
        loud = music(seconds, rate, channels=channels)
    if kind == "hot":
        loud = np.clip(6.0 * loud, -0.97, 0.97)
    quiet = np.float32(0.01) * loud[:, : round(3.3 * rate)]
    return np.concatenate((loud, quiet), axis=1).astype(np.float32)


def assert_is_the_reference(samples: Samples, rate: int, names: tuple[str, ...]) -> None:
    weights = gating.channel_weights(names).tolist()
    meter = Meter(samples, rate, names)
    shown = (meter.integrated, meter.momentary, meter.short_term, meter.range_lu)
    assert shown == pytest.approx(
        (
            reference.integrated(samples, rate, weights),
            reference.maximum(samples, rate, weights, window_ms=400),
            reference.maximum(samples, rate, weights, window_ms=3_000),
            reference.loudness_range(samples, rate, weights),
        ),
        abs=EXACT_LU,
    )


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
@pytest.mark.parametrize("kind", ["music", "hot", "noise"])
def test_loudness_is_the_standard_word_by_word(kind: str, rate: int) -> None:
    assert_is_the_reference(programme(kind, rate), rate, ("FL", "FR"))


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 192_000])
def test_it_is_at_every_rate(rate: int) -> None:
    assert_is_the_reference(programme("music", rate, channels=1), rate, ("FC",))


@pytest.mark.parametrize("channels", range(1, 9))
def test_it_is_for_any_number_of_channels(channels: int) -> None:
    samples = programme("music", 16_000, channels)

    assert_is_the_reference(samples, 16_000, NAMES[:channels])


@pytest.mark.parametrize("number", ["5", "9", "12", "13", "absolute gate", "relative gate"])
def test_what_cases_call_exact_is_the_reference(number: str) -> None:
    ours = (case for case in CASES if case.standard in {TECH_3341, BS_2217})
    case = next(case for case in ours if case.number == number)
    samples = case.make(48_000)

    for reading in case.readings:
        if reading.name == "integrated":
            shown = reference.integrated(samples)
        else:
            window_ms = 400 if reading.name.startswith("momentary") else 3_000
            powers = reference.windows(samples, 48_000, (1.0, 1.0), window_ms=window_ms, hop_ms=10)
            chosen = powers.min() if reading.name.endswith("least") else powers.max()
            shown = float(reference.loudness(chosen))
        assert shown == pytest.approx(reading.exact, abs=1e-4)


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (("FC",), [1]),
        (("FL", "FR"), [1, 1]),
        (("FL", "FR", "FC", "LFE", "BL", "BR"), [1, 1, 1, 0, 1.41, 1.41]),
        (("FL", "FR", "FC", "LFE", "SL", "SR"), [1, 1, 1, 0, 1.41, 1.41]),
        (("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"), [1, 1, 1, 0, 1, 1, 1.41, 1.41]),
        (("FL", "FR", "FC", "LFE", "BC", "SL", "SR"), [1, 1, 1, 0, 1, 1.41, 1.41]),
        (("FL", "FR", "FC", "LFE", "SL", "SR", "TFL", "TFR"), [1, 1, 1, 0, 1.41, 1.41, 1, 1]),
        (("FL", "FR", "BL", "BR", "TFL", "TFR", "TBL", "TBR"), [1, 1, 1.41, 1.41, 1, 1, 1, 1]),
    ],
)
def test_channels_weigh_what_the_standard_says(
    names: tuple[str, ...], weights: list[float]
) -> None:
    assert gating.channel_weights(names).tolist() == weights


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((2, 96_000), np.float32),
        sine(1.0, -75.0),
        sine(0.399, -20.0),
        sine(1 / 48_000, 0.0),
        sine(0.4, -20.0)[:, :-1],
    ],
    ids=["silence", "too quiet", "0.399 s", "one sample", "a sample less than a block"],
)
def test_silence_and_less_than_one_block_have_no_loudness(samples: Samples) -> None:
    steps = Meter(samples).steps

    blocks = gating.window_powers(steps, 48_000, gating.MOMENTARY_STEPS, gating.GATING_HOP_STEPS)

    assert gating.integrated(blocks) == (None, None)


def test_one_block_is_enough_for_a_loudness() -> None:
    meter = Meter(sine(0.4, -20.0))

    assert meter.integrated == meter.momentary == pytest.approx(-20.0, abs=0.05)
    assert gating.maximum(meter.steps, 48_000, gating.SHORT_TERM_STEPS) is None


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


@pytest.mark.parametrize("length", [1, 2, 3, 40, 299, 300])
def test_windows_are_sums_of_their_steps(length: int) -> None:
    steps = np.random.default_rng(length).uniform(size=301)
    steps[100:140] *= 1e12  # what a running sum would carry on into the quiet that follows

    powers = gating.window_powers(steps, 48_000, length, 1)

    sums = [steps[i : i + length].sum() for i in range(301 - length + 1)]
    assert powers * length * 480 == pytest.approx(np.array(sums), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(gain_db=st.floats(-30.0, 30.0))
def test_gain_moves_loudness_by_as_much(gain_db: float) -> None:
    gained = Meter((MUSIC.astype(np.float64) * 10.0 ** (gain_db / 20.0)).astype(np.float32))
    plain = Meter(MUSIC)

    assert gained.integrated - plain.integrated == pytest.approx(gain_db, abs=1e-4)
    assert gained.momentary - plain.momentary == pytest.approx(gain_db, abs=1e-4)
    assert gained.short_term - plain.short_term == pytest.approx(gain_db, abs=1e-4)
    assert gained.range_lu == pytest.approx(plain.range_lu, abs=1e-4)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(5)))
def test_channels_of_one_weight_may_change_places(order: list[int]) -> None:
    names = ("FL", "FR", "FC", "BC", "TFC")
    samples = music(3.0, 16_000, channels=5)

    swapped = Meter(samples[order], 16_000, names)

    assert swapped.integrated == pytest.approx(Meter(samples, 16_000, names).integrated, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(before=st.integers(0, 40), after=st.integers(0, 40))
def test_more_silence_changes_nothing(before: int, after: int) -> None:
    """Once no window that has sound in it is cut off at either end, and in steps of 100 ms."""
    plain = Meter(np.pad(MUSIC, ((0, 0), (3 * 48_000, 4 * 48_000))))

    padding = (3 * 48_000 + before * 4_800, 4 * 48_000 + after * 4_800)
    padded = Meter(np.pad(MUSIC, ((0, 0), padding)))

    for name in ("integrated", "momentary", "short_term", "range_lu"):
        assert getattr(padded, name) == pytest.approx(getattr(plain, name), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=6).filter(lambda s: sum(s) > 999)
)
def test_the_sizes_of_blocks_change_nothing(sizes: list[int]) -> None:
    whole, cut = Meter(MUSIC), Meter(MUSIC, sizes=sizes)

    for name in ("integrated", "momentary", "short_term", "range_lu"):
        assert getattr(cut, name) == pytest.approx(getattr(whole, name), abs=1e-9)
