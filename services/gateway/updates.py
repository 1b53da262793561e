"""What a live client is told: the messages of `WS /ws/{token}` and `GET /events/{token}`. Pure."""

import msgspec

from decibus.jobs import Fence, Job, State
from decibus.messages import Segment, TaskName
from decibus.references import References
from services.gateway.live import Jobs
from services.gateway.report import Report, compose
from services.gateway.uploads import Upload
from services.gateway.waiting import Place


class Update(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="state"):
    """
    A report as it stands now; the newest is all that a client needs.

    `revision` grows with every change. `report` is there in the first message and in the last, the
    one with `status` done or failed. `segments` are those heard since the message before, in the
    first message all so far: each replaces the one with its `id`, and all after that one, because
    what a worker had not kept when it was lost is heard again.
    """

    revision: int
    status: State
    progress: float
    queue: Place | None = None
    segments: tuple[Segment, ...] = ()
    report: Report | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self.status in {State.DONE, State.FAILED}


class Teller:
    """Tells one client what it does not know yet."""

    def __init__(self, upload: Upload, references: References) -> None:
        self._upload = upload
        self._references = references
        self._told: tuple[int, int, int | None] | None = None
        self._fence: Fence | None = None
        self._next_id = 0

    def lacks(self, jobs: Jobs) -> Job | None:
        """Return the job of which the client lacks segments that its record has no more."""
        job = self._transcription(jobs)
        if job is None:
            return None
        first = job.partial[0].id if job.partial else job.taken_over
        return job if self._next_of(job) < first else None

    def tell(
        self,
        jobs: Jobs,
        revision: int,
        place: Place | None,
        heard: tuple[Segment, ...] = (),
    ) -> Update | None:
        """
        Return the next message, or None when there is nothing new.

        `heard` is all that was heard so far of what `lacks` has named.
        """
        # An ETA that has changed is no news by itself: it does so with every second.
        lost = sum(job is None for job in jobs.values())  # deleted, which is no revision
        now = (revision, lost, place.position if place else None)
        if now == self._told:
            return None
        is_first, self._told = self._told is None, now
        report = compose(self._upload, jobs, self._references, place)
        update = Update(
            revision=revision,
            status=report.status,
            progress=report.progress,
            queue=place,
            segments=self._new_segments(self._transcription(jobs), heard),
        )
        return (
            msgspec.structs.replace(update, report=report)
            if is_first or update.is_final
            else update
        )

    def _transcription(self, jobs: Jobs) -> Job | None:
        """Return the job in which something is being heard."""
        job = jobs.get(self._upload.keys.get(TaskName.TRANSCRIBE, ""))
        return None if job is None or job.is_settled else job

    def _next_of(self, job: Job) -> int:
        """Return the id from which on the client has to be told."""
        # What an attempt that has just begun takes over, it does not know yet.
        if job.fence == self._fence or not (job.partial or job.taken_over):
            return self._next_id
        return min(self._next_id, job.taken_over)

    def _new_segments(self, job: Job | None, heard: tuple[Segment, ...]) -> tuple[Segment, ...]:
        if job is None or not (segments := heard or job.partial):
            return ()
        next_id = self._next_of(job)
        self._fence, self._next_id = job.fence, max(next_id, segments[-1].id + 1)
        return tuple(segment for segment in segments if segment.id >= next_id)
