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


def hearing(job: Job, *numbers: int) -> Job:
    segments = tuple(
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
    return jobs.tell(job, fence=job.fence, partial=segments)


def told(teller: Teller, job: Job, revision: int) -> list[int] | None:
    update = teller.tell({"k": job}, revision, None)
    return None if update is None else [segment.id for segment in update.segments]


def test_each_segment_is_told_once() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())

    assert told(teller, hearing(running, 0, 1), 1) == [0, 1]
    assert told(teller, hearing(running, 0, 1), 1) is None
    assert told(teller, hearing(running, 0, 1, 2), 2) == [2]
    assert told(teller, hearing(running, 0, 1, 2), 3) == []
    assert told(teller, hearing(running, 1, 2, 3, 4), 4) == [3, 4], "only the end is kept"


def test_another_attempt_is_told_from_the_start() -> None:
    teller, running = Teller(UPLOAD, REFERENCES), claimed(a_job())
    again = claimed(running, NOW + LEASE)

    assert told(teller, hearing(running, 0, 1, 2), 1) == [0, 1, 2]
    assert told(teller, again, 2) == []
    assert told(teller, hearing(again, 0), 3) == [0]


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
