"""A transcript while it is heard, as OpenAI tells it: deltas of the text, and at last all of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from decibus.errors import DecibusError, NotFound, Unavailable
from decibus.jobs import Job
from decibus.messages import Segment, Transcript
from services.gateway import problem
from services.gateway.live import Jobs, Live, Watch
from services.gateway.openai_answers import Delta, Deltas, Done, Failure, failure, usage
from services.gateway.report import refusal
from services.gateway.streams import KEEP_ALIVE_S
from services.gateway.uploads import Upload

_LATE: Final = "the report has expired before it was complete"


class Dictation:
    """
    Tells one client the transcript of one upload.

    `delivered` are the jobs as they ended, from when their end was handed to the connection.
    """

    def __init__(self, live: Live, upload: Upload) -> None:
        self._live = live
        self._upload = upload
        self.delivered: Jobs = {}

    async def begin(self) -> Jobs:
        """
        Wait for the first words, or the end, but no longer than a connection may be silent.

        What fails at once, such as a file that is no audio, can so be answered with a status.
        Returns the jobs as they stand, none while NATS is away.
        """
        with self._live.streaming(self._upload.keys.values()) as watch:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE_S):
                    while not (watch.is_over or _has_begun(watch)):
                        await self._live.news(watch, within_s=KEEP_ALIVE_S)
            return watch.jobs if watch.is_known else {}

    async def events(self) -> AsyncIterator[bytes]:
        """Yield server-sent events; the last one is `transcript.text.done` or an error."""
        now = asyncio.get_running_loop().time
        deltas, spoke_at = Deltas(), now()
        with self._live.streaming(self._upload.keys.values()) as watch:
            while not (watch.is_over or self._upload.has_expired(datetime.now(UTC))):
                await self._live.news(watch, within_s=KEEP_ALIVE_S)
                for delta in deltas.new(await self._heard(watch, deltas.next_id)):
                    yield _event(delta)
                    spoke_at = now()
                if watch.is_known and watch.is_settled:
                    yield _end(watch.jobs)
                    self.delivered = watch.jobs
                    return
                if now() - spoke_at >= KEEP_ALIVE_S:
                    yield b": still here\n\n"
                    spoke_at = now()
        yield _event(_error(Unavailable("the gateway stops") if watch.is_over else NotFound(_LATE)))

    async def _heard(self, watch: Watch, next_id: int) -> tuple[Segment, ...]:
        """Return the segments that are known; also those that the record has no more, if needed."""
        (job,) = watch.jobs.values()
        heard = heard_so_far(job)
        if job is not None and not job.is_settled and heard and heard[0].id > next_id:
            with suppress(Unavailable):  # then with the next news
                return await self._live.heard(job)
        return heard


def heard_so_far(job: Job | None) -> tuple[Segment, ...]:
    """Return the segments that are known, by id; of a long transcript the first may be missing."""
    if job is None:
        return ()
    return job.result.segments if isinstance(job.result, Transcript) else job.partial


def _has_begun(watch: Watch) -> bool:
    (job,) = watch.jobs.values()
    return watch.is_known and (watch.is_settled or bool(heard_so_far(job)))


def _end(jobs: Jobs) -> bytes:
    if (fault := refusal(jobs)) is not None:
        return _event(failure(problem.of_fault(fault))[1])
    (job,) = jobs.values()
    if job is None or not isinstance(job.result, Transcript):
        raise TypeError(f"a transcript was asked for, not {job}")
    return _event(Done(job.result.text, usage(job.result.audio.duration)))


def _error(error: DecibusError) -> Failure:
    return failure(problem.of_error(error))[1]


def _event(event: Delta | Done | Failure) -> bytes:
    return b"data: %s\n\n" % msgspec.json.encode(event)
