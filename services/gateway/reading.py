"""The report that a token leads to, wherever it stands now: in the library, or with its jobs."""

from datetime import UTC, datetime
from typing import NamedTuple

from decibus.errors import NotFound
from decibus.references import References
from services.gateway.lately import Lately
from services.gateway.library import report_of
from services.gateway.live import Jobs, Live
from services.gateway.report import Report, compose
from services.gateway.uploads import Upload, Uploads


class Read(NamedTuple):
    """A report, with the upload and the jobs that it was composed of."""

    report: Report
    upload: Upload
    jobs: Jobs


class Reading:
    """Reads reports, for every route that shows one."""

    def __init__(
        self, uploads: Uploads, live: Live, references: References, lately: Lately
    ) -> None:
        self._uploads = uploads
        self._lately = lately
        self._live = live
        self._references = references

    async def report(self, token: str, *, wait_s: float) -> Read:
        """Return the report as it stands, or once it is settled; raises `NotFound`."""
        upload = self._lately.find(token) if wait_s else None
        if upload is None:
            upload = await self._uploads.find(token, now=datetime.now(UTC))
        jobs = await self._live.settled(upload.keys.values(), within_s=wait_s, anew=not wait_s)
        if any(job and job.is_withdrawn for job in jobs.values()):  # deleted while we waited
            raise NotFound("no report has this token, or it has expired or been deleted")
        if wait_s:  # it may have been deleted meanwhile, here or by another replica
            upload = await self._uploads.find(token, now=datetime.now(UTC))
        kept = await self._uploads.volume(upload.row) if upload.expires_at is None else None
        shelved = report_of(kept, token) if kept else None
        place = await self._live.lines.place(jobs)
        report = shelved or compose(upload, jobs, self._references, place)
        return Read(report, upload, jobs)
