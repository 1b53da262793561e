"""What a live client is told, and what it knows already."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from decibus import jobs
from decibus.jobs import Job
from decibus.messages import Segment, TaskName, TranscribeOptions
from decibus.references import load_references
from services.gateway.live import Jobs
from services.gateway.updates import Teller
from services.gateway.uploads import Upload
from services.gateway.waiting import Place

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=5)
REFERENCES = load_references()
UPLOAD = Upload(
    token="",
    keys={TaskName.TRANSCRIBE: "k"},
    sha256="",
    size=1,
    filename=None,
    genre=None,
    target=None,
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=15),
    received_s=0.0,
)


def a_job() -> Job:
    return jobs.open_job("k", TranscribeOptions(), blob="b", siblings=(), now=NOW)


def claimed(job: Job, now: datetime = NOW) -> Job:
    return jobs.claim(job, owner="a", now=now, lease=LEASE)


def segments(*numbers: int) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            id=number,
            start=float(number),
            end=number + 1.0,
            text="zero",
            avg_logprob=0.0,
            no_speech_prob=0.0,
            compression_ratio=1.0,
        )
        for number in numbers
    )


def hearing(job: Job, *numbers: int, taken_over: int = 0) -> Job:
    return jobs.tell(job, fence=job.fence, partial=segments(*numbers), taken_over=taken_over)


def told(teller: Teller, job: Job, revision: int, kept: int = 0) -> list[int] | None:
    """Tell a job of which so many segments can be read again where the teller lacks some."""
    earlier = segments(*range(job.partial[0].id if job.partial else kept))
    heard = (*earlier[:kept], *job.partial) if teller.lacks({"k": job}) else ()
    update = teller.tell({"k": job}, revision, None, heard)
    return None if update is None else [segment.id for segment in update.segments]


def test_each_segment_is_told_once() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())

    assert told(teller, hearing(running, 0, 1), 1) == [0, 1]
    assert told(teller, hearing(running, 0, 1), 1) is None
    assert told(teller, hearing(running, 0, 1, 2), 2) == [2]
    assert told(teller, hearing(running, 0, 1, 2), 3) == []
    assert told(teller, hearing(running, 1, 2, 3, 4), 4) == [3, 4]


def test_who_comes_late_or_is_slow_gets_what_the_record_has_no_more() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())

    assert told(teller, hearing(running, 3, 4), 1, kept=4) == [0, 1, 2, 3, 4]
    assert told(teller, hearing(running, 4, 5), 2, kept=5) == [5], "nothing is lacking"
    assert told(teller, hearing(running, 8, 9), 3, kept=9) == [6, 7, 8, 9]


def test_another_attempt_is_told_from_where_it_goes_on() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())
    again = claimed(running, NOW + LEASE)

    assert told(teller, hearing(running, 0, 1, 2, 3), 1) == [0, 1, 2, 3]
    assert told(teller, again, 2) == []
    assert told(teller, hearing(again, taken_over=3), 3) == []
    assert told(teller, hearing(again, 3, taken_over=3), 4) == [3], "heard again, and nothing else"
    assert told(teller, hearing(again, 3, 4, taken_over=3), 5) == [4]


def test_an_attempt_that_starts_anew_is_told_from_the_start() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())
    again = claimed(running, NOW + LEASE)

    assert told(teller, hearing(running, 0, 1, 2), 1) == [0, 1, 2]
    assert told(teller, again, 2) == []
    assert told(teller, hearing(again, 0), 3) == [0]


def test_what_was_taken_over_is_told_before_anything_new_is_heard() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())

    assert told(teller, hearing(running, taken_over=3), 1, kept=3) == [0, 1, 2]
    assert told(teller, hearing(running, 3, taken_over=3), 2) == [3]


def test_who_was_away_while_the_job_changed_hands_misses_nothing() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())
    again = claimed(running, NOW + LEASE)

    assert told(teller, hearing(running, *range(10)), 1) == [*range(10)]
    assert told(teller, hearing(again, 20, 21, taken_over=8), 2, kept=20) == [*range(8, 22)]


def test_a_better_place_is_news_and_another_forecast_is_not() -> None:
    teller = Teller(UPLOAD, REFERENCES)
    waiting: Jobs = {"k": a_job()}

    first = teller.tell(waiting, 1, Place(position=3, eta_s=None))
    assert first
    assert first.report
    assert teller.tell(waiting, 1, Place(position=3, eta_s=12.5)) is None
    nearer = teller.tell(waiting, 1, Place(position=2, eta_s=12.5))
    assert nearer
    assert (nearer.queue, nearer.report) == (Place(position=2, eta_s=12.5), None)


def test_the_last_message_holds_the_report_whatever_became_of_the_job() -> None:
    for ended in (None, replace(a_job(), state=jobs.State.FAILED)):
        teller = Teller(UPLOAD, REFERENCES)
        teller.tell({"k": a_job()}, 1, None)

        last = teller.tell({"k": ended}, 1 if ended is None else 2, None)

        assert last
        assert last.is_final
        assert last.report
