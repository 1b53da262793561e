"""Keep for good what was uploaded with `retention=library`, as soon as it is final."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from decibus.broker import Conflict
from decibus.messages import read
from decibus.references import References
from services.gateway.intake import Intake
from services.gateway.live import Live
from services.gateway.report import Report, compose, refusal
from services.gateway.uploads import Retention, Upload, Uploads, Volume

_LOOK_S: Final = 0.5
_LOOK_AGAIN: Final = timedelta(seconds=2)


class Librarian:
    """The errand that puts a final report into its row."""

    def __init__(
        self,
        uploads: Uploads,
        intake: Intake,
        live: Live,
        references: References,
        *,
        ttl: timedelta,
    ) -> None:
        self._uploads = uploads
        self._intake = intake
        self._live = live
        self._references = references
        self._ttl = ttl

    async def shelve(self, row: str) -> timedelta | None:
        """Keep the report, if it is final, and erase the jobs that no other report shares."""
        volume = await self._uploads.volume(row)
        if volume is None:
            return None  # deleted
        upload = volume.upload
        if not volume.is_final:
            jobs = await self._live.settled(upload.keys.values(), within_s=_LOOK_S)
            known = [job for job in jobs.values() if job is not None]
            # What is withdrawn is being deleted: by then it is, or somebody has to try again.
            if any(not job.is_settled or job.is_withdrawn for job in known):
                return _LOOK_AGAIN
            if refusal(jobs):
                await self._let_expire(upload)
                return None
            report = compose(upload, jobs, self._references)
            await self._uploads.shelve(volume_of(upload, report))
        await self._intake.release(upload)
        return None

    async def _let_expire(self, upload: Upload) -> None:
        """Nothing is worth keeping, but why is worth reading: for as long as any other report."""
        passing = replace(upload, retention=Retention.TTL, expires_at=datetime.now(UTC) + self._ttl)
        try:
            await self._uploads.add(passing)
        except Conflict:
            pass  # this had been done, by one who did not live to go on
        else:
            if await self._uploads.volume(upload.row) is None:  # deleted meanwhile
                await self._uploads.remove(passing)
        await self._uploads.remove(upload)


def volume_of(upload: Upload, report: Report) -> Volume:
    """Return the row that holds a final report."""
    return Volume(
        upload=replace(upload, token=""),
        text=report.transcription,
        language=report.transcript.language if report.transcript else None,
        duration_s=report.audio_length,
        report=msgspec.Raw(msgspec.json.encode(replace(report, token=""))),
    )


def report_of(volume: Volume, token: str) -> Report | None:
    """Return the report as it was kept; None while it is not final."""
    if not volume.is_final:
        return None
    return replace(read(bytes(volume.report), Report), token=token)
