"""An attempt's end becomes an ack, a nak, a term or nothing in one place."""

import pytest

from decibus.errors import BlobGone, NotAudio, Superseded, Unavailable, Unreadable
from decibus.progress import Progress
from decibus.worker import StepTimeout, Verdict, budget_s, verdict


@pytest.mark.parametrize(
    ("error", "is_last", "expected"),
    [
        (None, False, Verdict.ACK),
        (None, True, Verdict.ACK),
        (Superseded(), False, Verdict.LEAVE),
        (Superseded(), True, Verdict.LEAVE),
        (NotAudio(), False, Verdict.TERM),
        (Unreadable(), False, Verdict.TERM),
        (Unavailable(), False, Verdict.NAK),
        (BlobGone(), True, Verdict.TERM),
        (StepTimeout(), False, Verdict.TERM),
        (ZeroDivisionError(), False, Verdict.NAK),
        (ZeroDivisionError(), True, Verdict.TERM),
    ],
)
def test_verdict(error: Exception | None, *, is_last: bool, expected: Verdict) -> None:
    assert verdict(error, is_last=is_last) is expected


def test_a_step_that_lost_its_job_is_stopped_at_its_next_word() -> None:
    progress = Progress()
    progress(0.5)

    progress.stop()

    with pytest.raises(Superseded):
        progress(0.6)
    assert progress.fraction == 0.5


@pytest.mark.parametrize(
    ("audio_s", "expected_s"),
    [(None, 10_800.0), (5.0, 120.0), (600.0, 1800.0), (1e9, 10_800.0)],
)
def test_a_step_may_take_three_times_as_long_as_its_audio(
    audio_s: float | None, expected_s: float
) -> None:
    assert budget_s(3600.0, audio_s) == expected_s


def test_of_what_is_told_of_the_length_the_longest_counts() -> None:
    progress = Progress()

    for seconds in (5.0, 60.0, 30.0):
        progress.lasts(seconds)

    assert progress.audio_s == 60.0
