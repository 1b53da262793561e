"""What a dead letter says, whatever an error has said."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from decibus import jobs
from decibus.broker import Stored
from decibus.dead import headers_of, letter_of
from decibus.messages import AnalyzeOptions, Fault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = jobs.open_job("ab.12", AnalyzeOptions(), blob="upload-1", siblings=(), now=NOW)


@given(st.text(), st.text(max_size=2000), st.none() | st.text())
def test_no_words_break_a_header(code: str, detail: str, traceparent: str | None) -> None:
    job = jobs.cancel(JOB, blob=JOB.blob, fault=Fault(code=code, detail=detail), now=NOW)

    headers = headers_of(job, traceparent)

    for value in headers.values():
        assert value.isascii()
        assert value.isprintable()
        assert 0 < len(value) <= 500


def test_a_letter_reads_what_was_written() -> None:
    job = jobs.cancel(
        JOB, blob=JOB.blob, fault=Fault(code="worker_lost", detail="it died"), now=NOW
    )
    headers = headers_of(job, "00-a-b-01")
    subject = "jobs.dead.analyze.ab.12"

    letter = letter_of(Stored(subject=subject, sequence=7, at=NOW, body=b"", headers=headers))

    assert (letter.task, letter.key, letter.sequence) == ("analyze", "ab.12", 7)
    assert (letter.code, letter.detail) == ("worker_lost", "it died")
    assert (letter.attempt, letter.epoch) == ("0", str(job.epoch))
    assert (letter.traceparent, letter.owner) == ("00-a-b-01", "")
