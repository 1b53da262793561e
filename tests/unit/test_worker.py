"""An attempt's end becomes an ack, a nak, a term or nothing in one place."""

import msgspec
import pytest

from decibus.errors import BlobGone, NotAudio, Superseded, Unavailable
from decibus.worker import Progress, Verdict, verdict


@pytest.mark.parametrize(
    ("error", "is_last", "expected"),
    [
        (None, False, Verdict.ACK),
        (None, True, Verdict.ACK),
        (Superseded(), False, Verdict.LEAVE),
        (Superseded(), True, Verdict.LEAVE),
        (NotAudio(), False, Verdict.TERM),
        (msgspec.DecodeError(), False, Verdict.TERM),
        (Unavailable(), False, Verdict.NAK),
        (BlobGone(), True, Verdict.TERM),
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
