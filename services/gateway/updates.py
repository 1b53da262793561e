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
    one with `status` done or failed. `segments` are those heard since the message before: each
    replaces the one with its `id`, and all after that one, because a job that changes its worker
    is heard again from the start.
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
        self._heard: tuple[Fence | None, int] = (None, -1)

    def tell(self, jobs: Jobs, revision: int, place: Place | None) -> Update | None:
        """Return the next message, or None when there is nothing new."""
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
            segments=self._new_segments(jobs.get(self._upload.keys.get(TaskName.TRANSCRIBE, ""))),
        )
        return (
            msgspec.structs.replace(update, report=report)
            if is_first or update.is_final
            else update
        )

    def _new_segments(self, job: Job | None) -> tuple[Segment, ...]:
        if job is None or not job.partial:
            return ()
        fence, last = self._heard
        if fence != job.fence:
            last = -1
        self._heard = (job.fence, job.partial[-1].id)
        return tuple(segment for segment in job.partial if segment.id > last)
