"""
OpenAI's audio API: the same jobs as of every other door, in the shapes that its clients know.

    POST /v1/audio/transcriptions ┐
    POST /v1/audio/translations   ┴ form ─▶ upload ─▶ job ─▶ report ─▶ transcript, or its events
    GET  /v1/models, /v1/models/{model}
"""

from functools import partial
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from decibus.errors import DecibusError
from decibus.messages import TaskName
from decibus.references import References
from services.gateway import problem
from services.gateway.form import Form
from services.gateway.intake import Intake, Wishes
from services.gateway.live import Jobs, Live
from services.gateway.models import Models
from services.gateway.openai_answers import (
    ModelCard,
    ModelCards,
    cards,
    failure,
    late,
    transcription,
)
from services.gateway.openai_events import Dictation
from services.gateway.openai_wishes import Unfit, UnknownModel, read_asked
from services.gateway.openapi import ANY_KEY, MODEL_ANSWERS, OPENAI_ANSWERS
from services.gateway.prefer import read_patience, read_prefer
from services.gateway.problem import Problem
from services.gateway.reception import AnyRequest, Reception, trace
from services.gateway.report import Report, compose
from services.gateway.settings import Settings
from services.gateway.streams import SSE, SSE_HEADERS
from services.gateway.uploads import Door, Retention, Upload

_JSON: Final = "application/json"


class OpenAI:
    """Takes one file in OpenAI's form, and answers with its transcript."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        reception: Reception,
        intake: Intake,
        live: Live,
        models: Models,
        references: References,
        settings: Settings,
    ) -> None:
        self.models = models
        self._reception = reception
        self._intake = intake
        self._live = live
        self._references = references
        self._wait_s = settings.openai_wait_s

    async def answer(self, request: AnyRequest, *, translate: bool) -> Response[Any]:
        """Answer with the transcript, or with what is heard of it from now on."""
        read = partial(
            read_asked,
            served=await self.models.served(),
            translate=translate,
            may_repeat="idempotency-key" in request.headers,
        )

        def wishes(form: Form) -> Wishes:
            if len(form.files) != 1:
                raise Unfit("file", "file: one file, in a part of this name")
            return read(form.fields).wishes

        form, (upload,) = await self._reception.take_in(
            request, wishes, tasks=(TaskName.TRANSCRIBE,), given={}, door=Door.OPENAI
        )
        asked = read(form.fields)
        if asked.stream:
            return await self._stream(upload)
        wait_s, applied = read_patience(
            read_prefer(request.headers.getall("prefer", [])),
            asked_s=None,
            default_s=self._wait_s,
            max_s=self._wait_s,
        )
        jobs = await self._live.settled(upload.keys.values(), within_s=wait_s)
        if (refused := await self._refusal(upload, jobs)) is not None:
            return refused
        report = compose(upload, jobs, self._references, await self._live.lines.place(jobs))
        if report.transcript is None:
            return _unfinished(report, applied)
        body, media_type = transcription(report, asked)
        return Response(
            body,
            media_type=media_type,
            headers=_headers(upload),
            background=BackgroundTask(self._intake.delivered, upload, jobs),
        )

    async def _stream(self, upload: Upload) -> Response[Any]:
        dictation = Dictation(self._live, upload)
        if (refused := await self._refusal(upload, await dictation.begin())) is not None:
            return refused

        async def delivered() -> None:
            if dictation.delivered:
                await self._intake.delivered(upload, dictation.delivered)

        return Stream(
            dictation.events(),
            media_type=SSE,
            headers=_headers(upload) | SSE_HEADERS,
            background=BackgroundTask(delivered),
        )

    async def _refusal(self, upload: Upload, jobs: Jobs) -> Response[bytes] | None:
        if (fault := await self._reception.refusal(upload, jobs)) is None:
            return None
        return refused(problem.of_fault(fault), problem.headers_of_fault(fault))


@post(
    "/v1/audio/transcriptions",
    status_code=200,
    request_max_body_size=None,
    responses=OPENAI_ANSWERS,
    security=ANY_KEY,
)
async def transcriptions(request: AnyRequest, openai: NamedDependency[OpenAI]) -> Response[Any]:
    """Write down what is spoken in a file, as OpenAI's API does."""
    return await openai.answer(request, translate=False)


@post(
    "/v1/audio/translations",
    status_code=200,
    request_max_body_size=None,
    responses=OPENAI_ANSWERS,
    security=ANY_KEY,
)
async def translations(request: AnyRequest, openai: NamedDependency[OpenAI]) -> Response[Any]:
    """Write down in English what is spoken in a file, as OpenAI's API does."""
    return await openai.answer(request, translate=True)


@get("/v1/models", responses=MODEL_ANSWERS, security=ANY_KEY)
async def list_models(openai: NamedDependency[OpenAI]) -> ModelCards:
    """List the names that a model can be asked for by."""
    return cards(await openai.models.served())


@get("/v1/models/{model:path}", responses=MODEL_ANSWERS, security=ANY_KEY)
async def find(model: FromPath[str], openai: NamedDependency[OpenAI]) -> ModelCard:
    """Say whether a model can be asked for by this name."""
    served = await openai.models.served()
    name = model.removeprefix("/")
    for card in cards(served).data:
        if card.id == name:
            return card
    raise UnknownModel(f"The model `{name:.128}` does not exist")


def speaks_here(path: str) -> bool:
    """Return whether what goes wrong at this path is told as OpenAI tells it."""
    return path == "/v1" or path.startswith("/v1/")


def refused(
    answer: Problem, headers: dict[str, str] | None = None, error: DecibusError | None = None
) -> Response[bytes]:
    """Tell a problem as OpenAI would."""
    param = error.param if isinstance(error, Unfit | UnknownModel) else None
    status, told = failure(answer, param)
    return Response(
        msgspec.json.encode(told),
        status_code=status,
        media_type=_JSON,
        headers={**(headers or {}), "x-request-id": answer.trace_id},
    )


def _unfinished(report: Report, applied: str | None) -> Response[bytes]:
    """Say where the transcript will be: by the report, to those who know that there may be one."""
    place = f"/result/{report.token}"
    headers = {"Location": place, "x-request-id": trace()}
    if applied is None:
        body, status = msgspec.json.encode(late(place)), 504
    else:
        body, status = msgspec.json.encode(report), 202
        headers["Preference-Applied"] = applied
    return Response(body, status_code=status, media_type=_JSON, headers=headers)


def _headers(upload: Upload) -> dict[str, str]:
    headers = {"x-request-id": trace()}
    if upload.retention is not Retention.ONCE:  # else this answer is the one reading
        headers["Location"] = f"/result/{upload.token}"
    return headers


ROUTES: Final = (transcriptions, translations, list_models, find)
