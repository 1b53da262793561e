"""
Files analyzed, and the reports of them: `POST /analyze`, `GET` and `DELETE /result/{token}`.

    form ─▶ uploads ─▶ jobs ─▶ the report, or how far it is
    token ─▶ the report, its transcript or its timeline, as it stands or once it is settled
"""

from datetime import UTC, datetime
from typing import Final

import msgspec
from litestar import Response, delete, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from decibus.messages import ALL_TASKS
from decibus.references import References
from services.gateway import problem
from services.gateway.form import Form
from services.gateway.fresh import fresh
from services.gateway.intake import Intake, Wishes
from services.gateway.live import Jobs, Live
from services.gateway.openapi import ANSWERS, ANY_KEY, GONE_ANSWERS, RESULT_ANSWERS
from services.gateway.reading import Reading
from services.gateway.reception import AnyRequest, Reception
from services.gateway.renditions import rendered
from services.gateway.report import Report, Reports, compose
from services.gateway.settings import Settings
from services.gateway.shelf import Shelf
from services.gateway.uploads import Upload, Uploads, row_of
from services.gateway.wishes import read_tasks, read_wait, read_wishes

_JSON: Final = "application/json"


class Analyses:
    """Takes files in to be analyzed, and hands out the reports."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        reception: Reception,
        reading: Reading,
        intake: Intake,
        uploads: Uploads,
        live: Live,
        shelf: Shelf,
        references: References,
        settings: Settings,
    ) -> None:
        self._reception = reception
        self._reading = reading
        self._intake = intake
        self._uploads = uploads
        self._live = live
        self._shelf = shelf
        self._references = references
        self._max_wait_s = settings.max_wait_s

    async def answer(self, request: AnyRequest) -> Response[bytes]:
        """Have the files of a request analyzed, and answer with what is known in time."""
        asked = request.query_params.get("tasks")
        tasks = read_tasks(asked) if asked else ()  # only their queues need to have room
        _, uploads, jobs, applied = await self._reception.serve(
            request,
            self._read,
            tasks=tasks or ALL_TASKS,
            given={"tasks": ",".join(tasks)} if tasks else {},
        )
        if len(uploads) == 1:
            fault = await self._reception.refusal(uploads[0], jobs)
            if fault is not None:
                return problem.failed(fault)
        own = [{key: jobs[key] for key in upload.keys.values()} for upload in uploads]
        reports = [
            compose(upload, jobs, self._references, await self._live.lines.place(jobs))
            for upload, jobs in zip(uploads, own, strict=True)
        ]
        is_over = all(job is None or job.is_settled for job in jobs.values())
        headers = {"Location": f"/result/{uploads[0].token}"} if len(uploads) == 1 else {}
        if applied:
            headers["Preference-Applied"] = applied
        body: Report | Reports = reports[0] if len(reports) == 1 else Reports(tuple(reports))
        return Response(
            msgspec.json.encode(body),
            status_code=200 if is_over else 202,
            media_type=_JSON,
            headers=headers,
            background=BackgroundTask(self._delivered, uploads, own),
        )

    async def show(self, request: AnyRequest, name: str, wait: str | None) -> Response[bytes]:
        """Answer with a report in the form that the name's suffix asks for."""
        token, _, form = name.partition(".")
        wait_s = read_wait(wait, default_s=0.0, max_s=self._max_wait_s)
        read = await self._reading.report(token, wait_s=wait_s)
        after = BackgroundTask(self._intake.delivered, read.upload, read.jobs)
        return fresh(request, *rendered(read.report, form), background=after)

    async def forget(self, token: str) -> None:
        """Delete a report."""
        await self._intake.cancel_callback(row_of(token))
        await self._intake.withdraw(await self._uploads.find(token, now=datetime.now(UTC)))
        self._shelf.remove(row_of(token))

    def _read(self, form: Form) -> Wishes:
        return read_wishes(form.fields, self._references)

    async def _delivered(self, uploads: list[Upload], own: list[Jobs]) -> None:
        for upload, jobs in zip(uploads, own, strict=True):
            await self._intake.delivered(upload, jobs)


@post(
    "/analyze",
    status_code=200,
    request_max_body_size=None,
    responses=ANSWERS,
    security=ANY_KEY,
)
async def analyze(request: AnyRequest, analyses: NamedDependency[Analyses]) -> Response[bytes]:
    """Analyze one or more uploads; wait for the report, or answer 202 with its token."""
    return await analyses.answer(request)


@get("/result/{token:str}", responses=RESULT_ANSWERS)
async def result(
    request: AnyRequest,
    token: FromPath[str],
    analyses: NamedDependency[Analyses],
    wait: FromQuery[str | None] = None,
) -> Response[bytes]:
    """
    Return the report as it stands, or once it is settled within `wait` seconds.

    With `.txt`, `.srt`, `.vtt` or `.json` after the token, return its transcript in that form, with
    `.csv` its loudness timeline.
    """
    return await analyses.show(request, token, wait)


@delete("/result/{token:str}", responses=GONE_ANSWERS)
async def forget(token: FromPath[str], analyses: NamedDependency[Analyses]) -> None:
    """Delete the report, and the audio and results that no other report shares."""
    await analyses.forget(token)


ROUTES: Final = (analyze, result, forget)
