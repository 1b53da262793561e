"""The life of a job: legal moves, and what a stale fencing token may never do."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from decibus import jobs
from decibus.errors import Superseded
from decibus.jobs import MAX_ATTEMPTS, Fence, Held, Job, State
from decibus.messages import (
    AnalyzeOptions,
    AudioFormat,
    Fault,
    Options,
    Segment,
    Task,
    TaskName,
    TranscribeOptions,
    Transcript,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=27)
FAULT = Fault(code="unavailable", detail="the store is away")
TRANSCRIPT = Transcript(
    text="zero",
    language="en",
    language_probability=1.0,
    model="m",
    segments=(),
    audio=AudioFormat(
        container="wav",
        codec="pcm_s16le",
        sample_rate=48_000,
        channels=1,
        layout="mono",
        bit_depth=16,
        bit_rate=None,
        duration=1.0,
    ),
)


def a_job() -> Job:
    return jobs.open_job("k.1", AnalyzeOptions(), blob="upload-1", siblings=(), now=NOW)


def claimed(job: Job, *, now: datetime = NOW, owner: str = "a") -> Job:
    return jobs.claim(job, owner=owner, now=now, lease=LEASE)


def test_a_task_brings_the_record_and_nothing_that_was_said() -> None:
    prompted = jobs.open_job(
        "k.1", TranscribeOptions(prompt="Ann"), blob="upload-1", siblings=(), now=NOW
    )

    assert jobs.told_by(jobs.task_for(a_job(), revision=7)) == (a_job(), 7)
    assert jobs.task_for(a_job(), revision=None) == Task(key="k.1")
    assert jobs.task_for(prompted, revision=7) == Task(key="k.1")


def test_a_job_runs_and_is_done() -> None:
    running = claimed(a_job())

    done = jobs.finish(running, fence=running.fence, result=TRANSCRIPT, now=NOW)

    assert done.state is State.DONE
    assert done.result == TRANSCRIPT
    assert done.progress == 1.0


def test_a_held_lease_cannot_be_taken() -> None:
    running = claimed(a_job())

    with pytest.raises(Held) as held:
        claimed(running, now=NOW + LEASE / 3, owner="b")

    assert held.value.retry_after == LEASE * 2 / 3


def test_the_loser_of_a_lease_cannot_write() -> None:
    first = claimed(a_job())
    second = claimed(first, now=NOW + LEASE, owner="b")

    with pytest.raises(Superseded):
        jobs.finish(second, fence=first.fence, result=TRANSCRIPT, now=NOW)
    with pytest.raises(Superseded):
        jobs.renew(second, fence=first.fence, progress=1.0, now=NOW, lease=LEASE)
    with pytest.raises(Superseded):
        jobs.tell(second, fence=first.fence, partial=())
    with pytest.raises(Superseded):
        jobs.release(second, fence=first.fence, fault=FAULT)


def a_segment(number: int, text: str = " zero") -> Segment:
    return Segment(
        id=number,
        start=float(number),
        end=number + 1.0,
        text=text,
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
    )


def told(job: Job, *segments: Segment) -> Job:
    return jobs.tell(job, fence=job.fence, partial=segments)


def test_what_an_attempt_has_heard_is_of_no_other_attempt_and_goes_with_the_result() -> None:
    running = told(claimed(a_job()), a_segment(0), a_segment(1))
    taken_over = claimed(running, now=NOW + LEASE, owner="b")
    done = jobs.finish(running, fence=running.fence, result=TRANSCRIPT, now=NOW)
    failed = jobs.fail(running, fence=running.fence, fault=FAULT, now=NOW)

    assert len(running.partial) == 2
    assert taken_over.partial == done.partial == failed.partial == ()


def test_a_record_does_not_outgrow_a_message_while_it_is_heard() -> None:
    heard = [a_segment(number, "words " * 100) for number in range(1000)]

    running = told(claimed(a_job()), *heard)

    assert len(msgspec.json.encode(running)) < jobs.MAX_PARTIAL_BYTES + 1000
    assert running.partial[-1] == heard[-1]
    assert running.partial == tuple(heard[-len(running.partial) :])


def test_a_worker_of_a_deleted_job_cannot_write_into_its_successor() -> None:
    old = claimed(a_job())
    later = NOW + timedelta(seconds=1)
    new = jobs.open_job("k.1", AnalyzeOptions(), blob="upload-2", siblings=(), now=later)

    with pytest.raises(Superseded):
        jobs.finish(claimed(new, now=later), fence=old.fence, result=TRANSCRIPT, now=later)


def test_a_settled_job_is_claimed_as_it_is() -> None:
    running = claimed(a_job())
    done = jobs.finish(running, fence=running.fence, result=TRANSCRIPT, now=NOW)

    assert claimed(done, now=NOW + LEASE) is done


def test_a_job_whose_workers_all_died_fails_with_a_reason() -> None:
    job = a_job()
    for attempt in range(MAX_ATTEMPTS):
        job = claimed(job, now=NOW + attempt * LEASE)

    given_up = claimed(job, now=NOW + MAX_ATTEMPTS * LEASE)

    assert given_up.state is State.FAILED
    assert given_up.fault
    assert given_up.fault.code == "worker_lost"


def test_an_attempt_that_was_handed_back_does_not_count() -> None:
    job = a_job()
    for _ in range(5):
        job = claimed(job)
        job = jobs.hand_back(job, fence=job.fence)

    job = claimed(job)

    assert job.state is State.RUNNING
    assert not job.is_last_attempt


def test_only_a_failed_job_is_reopened() -> None:
    running = claimed(a_job())
    failed = jobs.fail(running, fence=running.fence, fault=FAULT, now=NOW)

    again = jobs.reopen(failed, blob="upload-2", siblings=(), now=NOW)

    assert again.state is State.QUEUED
    assert again.dedup_id != failed.dedup_id
    with pytest.raises(Superseded):
        jobs.reopen(running, blob="upload-2", siblings=(), now=NOW)


def test_a_job_that_nobody_will_deliver_is_abandoned_unless_its_worker_is_at_it() -> None:
    running = claimed(a_job())

    with pytest.raises(Held):
        jobs.abandon(running, fault=FAULT, now=NOW)
    late = jobs.abandon(running, fault=FAULT, now=NOW + LEASE)
    waiting = jobs.abandon(a_job(), fault=FAULT, now=NOW)

    assert late.state is waiting.state is State.FAILED
    assert late.fault == FAULT
    with pytest.raises(Superseded):
        jobs.finish(late, fence=running.fence, result=TRANSCRIPT, now=NOW)
    assert jobs.abandon(late, fault=Fault(code="x", detail=""), now=NOW) is late


def test_audio_is_needed_until_nothing_can_come_of_it() -> None:
    running = claimed(a_job())
    fence = running.fence
    refused = Fault(code="not_audio", detail="", refused=True)

    assert running.needs_audio
    assert not jobs.finish(running, fence=fence, result=TRANSCRIPT, now=NOW).needs_audio
    assert not jobs.fail(running, fence=fence, fault=refused, now=NOW).needs_audio
    assert jobs.fail(running, fence=fence, fault=FAULT, now=NOW).needs_audio


def test_a_key_tells_content_task_and_options_apart() -> None:
    options: list[Options] = [
        AnalyzeOptions(),
        TranscribeOptions(),
        TranscribeOptions(language="de"),
    ]

    keys = {jobs.key_of("abc", each) for each in options} | {jobs.key_of("abd", options[0])}

    assert len(keys) == 4
    assert jobs.key_of("abc", TranscribeOptions(language="de")) in keys
    assert [jobs.task_of(each) for each in options[:2]] == [TaskName.ANALYZE, TaskName.TRANSCRIBE]


def test_a_job_survives_the_wire() -> None:
    running = claimed(a_job())
    done = jobs.finish(running, fence=running.fence, result=TRANSCRIPT, now=NOW)

    assert msgspec.json.decode(msgspec.json.encode(done), type=Job) == done


def test_a_record_of_an_older_release_is_read() -> None:
    record = msgspec.json.decode(msgspec.json.encode(a_job()))
    new_fields = {"siblings", "handed_back", "owner", "leased_until", "progress", "fault"}

    older = {name: value for name, value in record.items() if name not in new_fields}

    assert msgspec.convert(older, Job) == a_job()


class LifeOfAJob(RuleBasedStateMachine):
    """Whatever workers, kills and clocks do: one job, one owner, one end."""

    def __init__(self) -> None:
        super().__init__()
        self.job = a_job()
        self.now = NOW
        self.tokens: list[Fence] = []
        self.end: Job | None = None

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(owner=st.sampled_from("abc"))
    def a_worker_claims(self, owner: str) -> None:
        try:
            after = jobs.claim(self.job, owner=owner, now=self.now, lease=LEASE)
        except Held:
            assert self.job.leased_until
            assert self.now < self.job.leased_until
            return
        if after.state is State.RUNNING and after is not self.job:
            assert after.fence not in self.tokens
            self.tokens.append(after.fence)
        self.job = after

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), what=st.sampled_from(["renew", "release", "hand_back", "finish", "fail"]))
    def a_worker_writes(self, data: st.DataObject, what: str) -> None:
        fence = data.draw(st.sampled_from(self.tokens))
        may_write = self.job.state is State.RUNNING and fence == self.job.fence
        try:
            match what:
                case "renew":
                    after = jobs.renew(
                        self.job, fence=fence, progress=0.5, now=self.now, lease=LEASE
                    )
                case "release":
                    after = jobs.release(self.job, fence=fence, fault=FAULT)
                case "hand_back":
                    after = jobs.hand_back(self.job, fence=fence)
                case "finish":
                    after = jobs.finish(self.job, fence=fence, result=TRANSCRIPT, now=self.now)
                case _:
                    after = jobs.fail(self.job, fence=fence, fault=FAULT, now=self.now)
        except Superseded:
            assert not may_write
            return
        assert may_write
        self.job = after

    @rule()
    def the_reaper_gives_it_up(self) -> None:
        try:
            self.job = jobs.abandon(self.job, fault=FAULT, now=self.now)
        except Held:
            assert self.job.leased_until
            assert self.now < self.job.leased_until

    @precondition(lambda self: self.job.state is State.FAILED)
    @rule()
    def somebody_uploads_it_again(self) -> None:
        self.job = jobs.reopen(self.job, blob="upload-2", siblings=(), now=self.now)
        self.end = None

    @invariant()
    def an_end_is_an_end(self) -> None:
        if self.end is not None:
            assert self.job == self.end
        if self.job.is_settled:
            self.end = self.job

    @invariant()
    def a_running_job_has_an_owner_and_a_lease(self) -> None:
        assert (self.job.state is State.RUNNING) == (self.job.leased_until is not None)

    @invariant()
    def it_is_never_tried_too_often(self) -> None:
        assert self.job.attempt - self.job.handed_back <= MAX_ATTEMPTS


TestLifeOfAJob = LifeOfAJob.TestCase
