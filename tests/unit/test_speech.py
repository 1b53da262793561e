"""The loudness of what is spoken: signals of known answers, and an obvious way to compute it."""

from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from decibus.messages import (
    AnalyzeOptions,
    Envelope,
    Measurement,
    Segment,
    Transcript,
)
from decibus.speech import FoundBy, measure_speech
from services.analyzer.analyze import analyze
from tests.measurements import a_measurement
from tests.signals import Samples, as_file, sine, tones

Stretches = list[tuple[float, float]]

READS = -22.99
"""What a sine of -23 dBFS at 1 kHz reads on two channels (Tech 3341, case 1)."""


def measured(samples: Samples, rate: int = 48_000) -> Measurement:
    return analyze(as_file(samples, rate), AnalyzeOptions(), lambda _: None)


def heard(segments: Stretches, speech: Stretches | None = None) -> Transcript:
    return Transcript(
        text="",
        language="en",
        language_probability=1.0,
        model="none",
        audio=a_measurement().audio,
        segments=tuple(
            Segment(
                id=number,
                start=start,
                end=end,
                text="",
                avg_logprob=0.0,
                no_speech_prob=0.0,
                compression_ratio=1.0,
            )
            for number, (start, end) in enumerate(segments)
        ),
        speech=tuple(speech or ()),
    )


def with_levels(levels: list[int], step_s: float = 0.05) -> Measurement:
    """Make up a measurement of these steps, in hundredths over -150 LUFS."""
    envelope = Envelope(step_s=step_s, levels=array("H", levels).tobytes())
    return replace(a_measurement(duration_s=len(levels) * step_s), envelope=envelope)


@pytest.mark.parametrize("between_dbfs", [None, -60.0, -3.0])
def test_speech_reads_the_same_whatever_is_between(between_dbfs: float | None) -> None:
    parts = [(2.0, between_dbfs), (3.0, -23.0), (1.5, between_dbfs), (4.0, -23.0), (0.5, None)]

    speech, _ = measure_speech(measured(tones(parts)), heard([], [(2.0, 5.0), (6.5, 10.5)]))

    assert speech.speech_gated_lufs == pytest.approx(READS, abs=0.1)
    assert speech.speech_ratio == round(7.0 / 11.0, 4)
    assert speech.found_by is FoundBy.VAD
    assert speech.loudest_segment is speech.quietest_segment is None


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000])
def test_a_segment_is_measured_between_its_own_ends(rate: int) -> None:
    parts = [(1.234, None), (2.0, -33.0), (0.777, None), (3.013, -23.0), (0.5, None), (2.5, -43.0)]
    parts += [(2.0, None)]
    ends = np.cumsum([seconds for seconds, _ in parts]).tolist()
    segments = [*zip(ends[::2], ends[1::2], strict=False), (ends[5] + 1.0, ends[6])]

    speech, loudness = measure_speech(measured(tones(parts, rate), rate), heard(segments))

    assert loudness[:3] == pytest.approx((READS - 10.0, READS, READS - 20.0), abs=0.1)
    assert loudness[3] is None, "silence"
    assert (speech.loudest_segment, speech.quietest_segment) == (1, 2)


def test_without_stretches_the_segments_stand_for_the_speech() -> None:
    parts = [(1.0, -10.0), (2.0, -23.0), (1.0, -10.0), (2.0, -23.0)]

    speech, _ = measure_speech(measured(tones(parts)), heard([(1.0, 3.0), (4.0, 6.0), (4.5, 9.0)]))

    assert speech.found_by is FoundBy.SEGMENTS
    assert speech.speech_gated_lufs == pytest.approx(READS, abs=0.1)
    assert speech.speech_ratio == round(4.0 / 6.0, 4), "what overlaps, or is too long, counts once"


def test_what_the_absolute_gate_drops_has_a_loudness_of_its_own_all_the_same() -> None:
    parts = [(2.0, -80.0), (2.0, -23.0)]

    speech, loudness = measure_speech(measured(tones(parts)), heard([(0.0, 1.9), (2.0, 4.0)]))

    assert speech.speech_gated_lufs == pytest.approx(READS, abs=0.1)
    assert loudness == pytest.approx((READS - 57.0, READS), abs=0.1)


def test_quiet_speech_is_not_dropped_for_loud_speech_as_by_the_relative_gate() -> None:
    measurement = measured(tones([(5.0, -20.0), (5.0, -40.0)]))

    speech, _ = measure_speech(measurement, heard([], [(0.0, 5.0), (5.2, 10.0)]))

    assert speech.speech_gated_lufs == pytest.approx(-19.99 - 10.0 * np.log10(96 / 49), abs=0.1)
    assert measurement.loudness.integrated_lufs == pytest.approx(-19.99, abs=0.2)


@pytest.mark.parametrize(
    ("measurement", "transcript", "ratio"),
    [
        (measured(sine(2.0, -23.0)), heard([]), 0.0),
        (measured(sine(2.0, -23.0)), heard([(0.5, 0.5)]), 0.0),
        (measured(sine(2.0, -23.0)), heard([], [(0.3, 0.65), (1.0, 1.35)]), 0.35),
        (measured(np.zeros((2, 96_000), np.float32)), heard([(0.0, 1.0)]), 0.5),
        (measured(sine(0.03, -23.0)), heard([(0.0, 1.0)]), 1.0),
        (a_measurement(), heard([(0.0, 90.0)]), 0.5),
    ],
    ids=["no speech", "no length", "shorter than a block", "silence", "short", "no envelope"],
)
def test_what_has_no_loudness(
    measurement: Measurement, transcript: Transcript, ratio: float
) -> None:
    speech, loudness = measure_speech(measurement, transcript)

    assert speech.speech_gated_lufs is None
    assert loudness == (None,) * len(transcript.segments)
    assert speech.loudest_segment is None
    assert speech.speech_ratio == ratio


@pytest.mark.parametrize("step_s", [0.05, 0.1, 0.2, 0.4, 0.8])
def test_the_steps_of_longer_audio_give_the_same(step_s: float) -> None:
    level = 15_000 - 2_300
    seconds = [0] * 8 + [level] * 16 + [level - 2_000] * 8
    levels = [each for each in seconds for _ in range(round(0.8 / step_s))]
    speaking = [(6.4, 19.2), (19.2, 25.6)]

    speech, loudness = measure_speech(with_levels(levels, step_s), heard(speaking))

    assert speech.speech_gated_lufs == pytest.approx(-23.0 - 10.0 * np.log10(1.5), abs=0.1)
    assert loudness == pytest.approx((-23.0, -43.0), abs=0.01)


def the_obvious_way(levels: list[int], stretches: Stretches) -> float | None:
    powers = [10.0 ** (level / 1_000.0 - 15.0) for level in levels]
    blocks = [
        sum(powers[first : first + 8]) / 8.0
        for first in range(0, len(powers) - 7, 2)
        if any(
            start <= first / 20 + 1e-9 and first / 20 + 0.4 <= end + 1e-9
            for start, end in stretches
        )
    ]
    above = [block for block in blocks if block > 1e-7]
    return 10.0 * float(np.log10(np.mean(above))) if above else None


@settings(max_examples=50, deadline=None)
@given(
    levels=st.lists(st.integers(0, 16_000), min_size=1, max_size=120),
    cuts=st.lists(st.integers(0, 600), unique=True, max_size=12),
)
def test_the_blocks_are_those_that_lie_in_speech(levels: list[int], cuts: list[int]) -> None:
    edges = [cut / 100 for cut in sorted(cuts)]
    stretches = list(zip(edges[::2], edges[1::2], strict=False))

    speech, _ = measure_speech(with_levels(levels), heard([], stretches))

    expected = the_obvious_way(levels, [(a, min(b, len(levels) / 20)) for a, b in stretches])
    assert speech.speech_gated_lufs == (
        None if expected is None else pytest.approx(expected, abs=0.0051)
    )
