"""A file in, its measurement out."""

import math

import msgspec
import numpy as np
import pytest

from decibus.errors import TooLong
from decibus.messages import AnalyzeOptions, Measurement
from services.analyzer import analyze as analyzer
from services.analyzer.analyze import analyze, warm
from tests.measurements import numbers_of
from tests.signals import Samples, as_file, faded_sine, music, sine, tones


def measured(
    samples: Samples, rate: int = 48_000, kind: str = "wav32f", *, timeline: bool = False
) -> Measurement:
    options = AnalyzeOptions(timeline=timeline)
    return analyze(as_file(samples, rate, kind), options, lambda _: None)


@pytest.mark.parametrize("kind", ["wav16", "wav24", "wav32f", "flac", "alac"])
def test_a_tone_of_minus_23_dbfs(kind: str) -> None:
    found = measured(sine(20.0, -23.0), kind=kind)

    assert found.loudness.integrated_lufs == pytest.approx(-22.99, abs=0.02)
    assert found.loudness.momentary_max_lufs == pytest.approx(-22.99, abs=0.02)
    assert found.loudness.short_term_max_lufs == pytest.approx(-22.99, abs=0.02)
    assert found.loudness.threshold_lufs == pytest.approx(-32.99, abs=0.02)
    assert found.loudness.range_lu == pytest.approx(0.0, abs=0.02)
    assert found.peak.true_peak_dbtp == pytest.approx(-23.0, abs=0.1)
    assert found.peak.true_peak_bs1770_dbtp == pytest.approx(-23.0, abs=0.35)
    assert found.peak.sample_peak_dbfs == pytest.approx(-23.0, abs=0.1)
    assert found.peak.plr_lu == pytest.approx(0.0, abs=0.1)
    assert found.peak.clipped_samples == 0
    assert found.stereo is not None
    assert found.stereo.correlation == pytest.approx(1.0, abs=0.001)
    assert found.stereo.balance_db == pytest.approx(0.0, abs=0.01)
    assert found.audio.duration == pytest.approx(20.0, abs=0.05)
    assert (
        max(b.level_db or -200.0 for b in found.spectrum.bands) == found.spectrum.bands[3].level_db
    )
    assert not found.loudness.stable


def test_silence_has_no_levels_and_nothing_in_it_is_infinite() -> None:
    found = measured(np.zeros((2, 48_000), np.float32))

    assert found.loudness.integrated_lufs is None
    assert found.loudness.momentary_max_lufs is None
    assert found.peak.true_peak_dbtp is None
    assert found.peak.plr_lu is None
    assert found.stereo is not None
    assert found.stereo.correlation is None
    assert all(band.level_db is None for band in found.spectrum.bands)
    assert (found.silence.lead_s, found.silence.tail_s) == (1.0, 1.0)
    assert found.dc_offset == (0.0, 0.0)


@pytest.mark.parametrize(("rate", "shown_dbtp"), [(96_000, -5.98), (176_400, -9.03)])
def test_annex_2_asks_for_no_more_samples_where_there_are_four_times_as_many(
    rate: int, shown_dbtp: float
) -> None:
    found = measured(faded_sine(rate, divisor=4.0, amplitude=0.5, degrees=45.0), rate)

    assert found.peak.sample_peak_dbfs == pytest.approx(-9.03, abs=0.01)
    assert found.peak.true_peak_bs1770_dbtp == pytest.approx(shown_dbtp, abs=0.01)
    assert found.peak.true_peak_dbtp == pytest.approx(-6.02, abs=0.02)


@pytest.mark.parametrize("samples", [1, 2, 63, 4_799, 19_199])
def test_the_shortest_files_have_peaks(samples: int) -> None:
    found = measured(np.full((1, samples), 0.5, np.float32))

    assert found.loudness.integrated_lufs is None
    assert found.peak.sample_peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert found.peak.true_peak_dbtp is not None
    assert found.peak.true_peak_dbtp > -6.03


def test_a_timeline_is_measured_on_request() -> None:
    samples = tones([(1.0, None), (4.0, -23.0)])

    timeline = measured(samples, timeline=True).loudness.timeline

    assert timeline is not None
    assert timeline.momentary[:10] == (None,) * 10
    assert timeline.momentary[13:] == (-22.99,) * 37
    assert timeline.short_term[39:] == (-22.99,) * 11
    assert measured(samples).loudness.timeline is None


def test_peaks_stand_out_of_the_short_term_loudness() -> None:
    assert measured(sine(4.0, -23.0)).peak.psr_min_lu == pytest.approx(0.0, abs=0.02)
    assert measured(sine(2.9, -23.0)).peak.psr_min_lu is None
    assert measured(np.zeros((2, 4 * 48_000), np.float32)).peak.psr_min_lu is None


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 384_000])
def test_a_true_peak_is_as_close_at_every_rate(rate: int) -> None:
    # Each top of a quarter of the rate lies as far from any of 4 points a sample as it can.
    samples = faded_sine(rate, divisor=4.0, amplitude=0.5, degrees=45.0 / 4.0, seconds=0.5)

    peak = measured(samples, rate).peak

    assert peak.true_peak_dbtp == pytest.approx(20.0 * math.log10(0.5), abs=0.05)
    assert peak.sample_peak_dbfs == pytest.approx(20.0 * math.log10(0.5) - 0.17, abs=0.05)


def test_one_channel_has_no_stereo() -> None:
    assert measured(sine(1.0, -20.0, channels=1)).stereo is None
    assert measured(sine(1.0, -20.0, channels=3)).stereo is None


def test_eight_channels_are_named_and_weighed() -> None:
    names = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
    samples = np.zeros((8, 96_000), np.float32)
    samples[names.index("SL")] = sine(2.0, -20.0, channels=1)
    samples[names.index("LFE")] = 0.5

    found = measured(samples)

    assert found.audio.layout == "7.1"
    assert tuple(peak.channel for peak in found.peak.per_channel) == names
    side_lufs = measured(sine(2.0, -20.0, channels=1)).loudness.integrated_lufs
    assert side_lufs is not None
    assert found.loudness.integrated_lufs == pytest.approx(side_lufs + 10.0 * math.log10(1.41))
    assert [peak.sample_peak_dbfs is None for peak in found.peak.per_channel] == [
        name not in {"SL", "LFE"} for name in names
    ]


def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = music(12.0, 44_100)
    whole = numbers_of(measured(samples, 44_100, timeline=True))

    monkeypatch.setattr(analyzer, "BLOCK_SAMPLES", 9_998)
    monkeypatch.setattr(analyzer, "SLICE_SAMPLES", 1_402)

    assert numbers_of(measured(samples, 44_100, timeline=True)) == pytest.approx(whole, abs=1e-9)


def test_garbage_in_a_float_file_is_counted_and_does_not_spread() -> None:
    clean = sine(2.0, -20.0)
    dirty = clean.copy()
    dirty[:, 48_000] = (np.nan, np.inf)

    found = measured(dirty)

    assert found.scrubbed_samples == 2
    assert found.loudness.integrated_lufs == pytest.approx(
        measured(clean).loudness.integrated_lufs, abs=0.01
    )


def test_all_that_is_measured_is_finite() -> None:
    loud = np.full((2, 48_000), 9e5, np.float32)
    loud[:, ::2] *= -1.0

    numbers = numbers_of(measured(loud))

    assert all(math.isfinite(number) for number in numbers)


def test_progress_goes_from_0_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzer, "BLOCK_SAMPLES", 262_144)
    heard: list[float] = []

    analyze(as_file(music(9.0), 48_000, "flac"), AnalyzeOptions(), heard.append)

    assert heard == sorted(heard)
    assert len(heard) > 2
    assert heard[-1] == 1.0


def test_the_duration_limit_is_an_option() -> None:
    options = AnalyzeOptions(max_duration_s=1.0)

    with pytest.raises(TooLong):
        analyze(as_file(sine(2.0, -20.0), 48_000), options, lambda _: None)


def test_warming_up_needs_no_file() -> None:
    warm()


def test_a_measurement_survives_the_wire() -> None:
    found = measured(music(1.0))

    assert msgspec.json.decode(msgspec.json.encode(found), type=Measurement) == found
