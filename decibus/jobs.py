"""
The life of a job: its states and its legal moves.

    queued ──claim──▶ running ──finish──▶ done
      ▲                 │ │
      ├────release──────┘ └────fail─────▶ failed  ◀──abandon── queued, running
      └───────────────reopen────────────────┘

A job is one task on one content. Every claim raises `attempt`; together with the `epoch` in which
the job was opened it is the fencing token: a worker that lost the job still holds the old token,
so what it writes late is refused. The functions here are pure: they take a job and return the next
one, or raise. `decibus.ledger` applies them with compare-and-set.
"""

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from decibus.errors import Superseded, Unavailable, Unreadable
from decibus.messages import Fault, Options, Result, Segment, Task, TaskName, read

WITHDRAWN: Final = "not_found"
"""The fault of a job whose last report was deleted: to a user, it is not there."""
MAX_ATTEMPTS: Final = 3
"""How often a job is tried. JetStream's max_deliver is far above: it counts hand-backs as well."""
MAX_PARTIAL_BYTES: Final = 24 << 10
"""
How much of a growing transcript a record carries, as it is written again every second.

The words of one window, with their times, fit: 224 tokens of 80 bytes. What came before them is in
the job's checkpoints.
"""


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Fence(msgspec.Struct, frozen=True):
    """The fencing token: who may write. It never comes twice, not even for a deleted job."""

    epoch: int
    attempt: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """
    One task on one content, as its record in the ledger.

    `blob` is the object that holds the audio, `siblings` the other jobs that read the same object;
    the last of them to end deletes it. `epoch` is the instant of opening in ns, `handed_back` how
    many of the attempts ended because a worker was told to stop, which is nobody's failure.
    `partial` is what the current attempt has heard so far; when it is over `MAX_PARTIAL_BYTES`,
    the end of it. `taken_over` counts the segments that attempts before it had heard.
    """

    key: str
    options: Options
    blob: str
    epoch: int
    queued_at: datetime
    siblings: tuple[str, ...] = ()
    state: State = State.QUEUED
    attempt: int = 0
    handed_back: int = 0
    owner: str | None = None
    leased_until: datetime | None = None
    progress: float = 0.0
    partial: tuple[Segment, ...] = ()
    taken_over: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    fault: Fault | None = None
    result: Result | None = None

    @property
    def fence(self) -> Fence:
        """The token that the current attempt holds."""
        return Fence(self.epoch, self.attempt)

    @property
    def is_settled(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in {State.DONE, State.FAILED}

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of the current attempt is the end."""
        return self.attempt - self.handed_back >= MAX_ATTEMPTS

    @property
    def may_be_reopened(self) -> bool:
        """Whether a failed job may go better another time: refused input will not."""
        return self.state is State.FAILED and not (self.fault is not None and self.fault.refused)

    @property
    def is_withdrawn(self) -> bool:
        """Whether it was ended because nobody waited for it any more; its record is to go."""
        return self.fault is not None and self.fault.code == WITHDRAWN

    @property
    def needs_audio(self) -> bool:
        """Whether its blob has to stay: it is still to be read, or may be once more."""
        return not self.is_settled or self.may_be_reopened

    @property
    def is_bare(self) -> bool:
        """Whether its record has nothing of an upload but its digest: no words, no numbers."""
        asked = getattr(self.options, "prompt", None)
        return not (self.partial or self.result or self.fault or asked)

    @property
    def dedup_id(self) -> str:
        """
        The `Nats-Msg-Id` of the job's task.

        Never the key alone: JetStream would swallow a legitimate second run of the same content.
        """
        return f"{self.key}.{self.epoch}"


class Held(Unavailable):
    """Another worker holds the lease; the job may be claimed `retry_after` from now."""

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def key_of(sha256: str, options: Options) -> str:
    """Return the key of the job that does this to this content: `<sha256>.<task digest>`."""
    digest = hashlib.sha256(msgspec.json.encode(options, order="deterministic"))
    return f"{sha256}.{digest.hexdigest()[:16]}"


def task_of(options: Options) -> TaskName:
    """Return which task these options are for."""
    return TaskName(str(options.__struct_config__.tag))


def open_job(
    key: str, options: Options, *, blob: str, siblings: tuple[str, ...], now: datetime
) -> Job:
    """Return a new job, queued."""
    epoch = int(now.timestamp() * 1_000_000) * 1_000
    return Job(key=key, options=options, blob=blob, siblings=siblings, epoch=epoch, queued_at=now)


def reopen(job: Job, *, blob: str, siblings: tuple[str, ...], now: datetime) -> Job:
    """Give a failed job another life with a fresh upload of the same content."""
    if job.state is not State.FAILED:
        raise Superseded(f"job {job.key} is {job.state}, not failed")
    opened = open_job(job.key, job.options, blob=blob, siblings=siblings, now=now)
    return replace(opened, epoch=max(opened.epoch, job.epoch + 1))


def task_for(job: Job, *, revision: int | None) -> Task:
    """
    Return the task of a job; with its record as it was created at `revision`, if that is known.

    But not with one that has something of an upload: a queue lets go of tasks, and erases none.
    """
    if revision is None or not job.is_bare:
        return Task(key=job.key)
    return Task(key=job.key, record=msgspec.Raw(msgspec.json.encode(job)), revision=revision)


def told_by(task: Task) -> tuple[Job, int] | None:
    """Return the record that a task brings, and its revision; raises `Unreadable`."""
    if not task.revision:
        return None
    job = read(bytes(task.record), Job)
    if job.key != task.key:
        raise Unreadable(f"the task of {task.key} brings the record of {job.key}")
    return job, task.revision


def rebind(job: Job, *, blob: str, siblings: tuple[str, ...]) -> Job:
    """Point a job that still waits for its end at a fresh upload of the same content."""
    if job.is_settled:
        raise Superseded(f"job {job.key} is {job.state} already")
    return replace(job, blob=blob, siblings=siblings)


def cancel(job: Job, *, blob: str, fault: Fault, now: datetime) -> Job:
    """
    End a job that was opened for this blob but could not be queued.

    One that has gone on, or that another upload has taken over, is left alone.
    """
    is_waiting = job.state is State.QUEUED and job.blob == blob
    return _end(job, State.FAILED, now, fault=fault) if is_waiting else job


def abandon(job: Job, *, fault: Fault, now: datetime) -> Job:
    """
    Fail a job that no delivery will bring to a worker again; a settled one comes back as it is.

    While a lease runs its worker is at it: `Held` says when to ask again.
    """
    if job.is_settled:
        return job
    _refuse_while_leased(job, now)
    return _end(job, State.FAILED, now, fault=fault)


def withdraw(job: Job, *, now: datetime) -> Job:
    """End a job whose last report was deleted; its worker stops, and whoever waits is told."""
    fault = Fault(code=WITHDRAWN, detail="the report has expired or was deleted", refused=True)
    return job if job.is_settled else _end(job, State.FAILED, now, fault=fault)


def claim(job: Job, *, owner: str, now: datetime, lease: timedelta) -> Job:
    """
    Take the job for a new attempt: it is queued, or its last owner's lease has run out.

    A settled job comes back as it is. One whose attempts are spent, because each of its workers
    died without a word, comes back failed.
    """
    if job.is_settled:
        return job
    _refuse_while_leased(job, now)
    if job.is_last_attempt:
        detail = f"{MAX_ATTEMPTS} attempts ended without a result"
        return _end(job, State.FAILED, now, fault=Fault(code="worker_lost", detail=detail))
    return replace(
        job,
        state=State.RUNNING,
        attempt=job.attempt + 1,
        owner=owner,
        leased_until=now + lease,
        started_at=now,
        progress=0.0,
        partial=(),
        taken_over=0,
    )


def renew(job: Job, *, fence: Fence, progress: float, now: datetime, lease: timedelta) -> Job:
    """Keep the lease while the work goes on, and tell how far it is (0 to 1)."""
    return replace(held(job, fence), leased_until=now + lease, progress=progress)


def tell(job: Job, *, fence: Fence, partial: tuple[Segment, ...], taken_over: int = 0) -> Job:
    """Tell what was heard so far, behind the segments that were taken over."""
    return replace(held(job, fence), partial=latest(partial), taken_over=taken_over)


def release(job: Job, *, fence: Fence, fault: Fault) -> Job:
    """Give the job back to the queue for another attempt."""
    return replace(held(job, fence), state=State.QUEUED, owner=None, leased_until=None, fault=fault)


def hand_back(job: Job, *, fence: Fence) -> Job:
    """Give the job back because the worker was told to stop: this attempt does not count."""
    job = held(job, fence)
    return replace(
        job,
        state=State.QUEUED,
        owner=None,
        leased_until=None,
        handed_back=job.handed_back + 1,
    )


def finish(job: Job, *, fence: Fence, result: Result, now: datetime) -> Job:
    """Record the result."""
    return replace(_end(held(job, fence), State.DONE, now, fault=None), result=result, progress=1.0)


def fail(job: Job, *, fence: Fence, fault: Fault, now: datetime) -> Job:
    """Give up for good."""
    return _end(held(job, fence), State.FAILED, now, fault=fault)


def held(job: Job, fence: Fence) -> Job:
    """Return the job if this attempt is the one that has it; else it is superseded."""
    if job.state is not State.RUNNING or job.fence != fence:
        raise Superseded(f"job {job.key}: {fence} is stale, {job.fence} is current and {job.state}")
    return job


def latest(partial: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Return the last segments that fit into a record."""
    size = 0
    for number, segment in enumerate(reversed(partial)):
        size += len(msgspec.json.encode(segment)) + 1
        if size > MAX_PARTIAL_BYTES:
            return partial[len(partial) - number :]
    return partial


def _refuse_while_leased(job: Job, now: datetime) -> None:
    if job.leased_until is not None and now < job.leased_until:
        raise Held(
            f"job {job.key} is leased to {job.owner} until {job.leased_until}",
            job.leased_until - now,
        )


def _end(job: Job, state: State, now: datetime, *, fault: Fault | None) -> Job:
    return replace(job, state=state, leased_until=None, ended_at=now, fault=fault, partial=())
