"""
Converted files: `POST /transcode`, `POST /resample/`, and where what was made is fetched.

    form ─▶ upload ─▶ job ─▶ the file itself, or the report that says where it will be
    token ─▶ the file, for as long as the report stays, or once
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec
from litestar import HttpMethod, Response, get, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from decibus.errors import BadRequest, NotFound
from decibus.formats import FORMATS
from decibus.jobs import Job, State
from decibus.messages import Conversion, TaskName, TranscodeOptions
from decibus.outputs import Outputs
from decibus.references import References
from services.gateway import downloads, problem
from services.gateway.conversions_view import OutputOf, OutputsOf, Resampled
from services.gateway.downloads import File
from services.gateway.form import Form
from services.gateway.intake import Intake, Wishes
from services.gateway.live import Jobs, Live
from services.gateway.openapi import ANY_KEY, CONVERSION_ANSWERS, FILE_ANSWERS, RESAMPLE_ANSWERS
from services.gateway.reception import AnyRequest, Reception
from services.gateway.report import compose
from services.gateway.settings import Settings
from services.gateway.uploads import Retention, Upload, Uploads
from services.gateway.wishes import read_conversion, read_resampling, read_wait

_JSON: Final = "application/json"
_FOR_A_PATH: Final = "inFile"
"""The part that `POST /resample/` answers with the place of the file instead of the file."""


class Conversions:
    """Takes files in to be converted, and hands out what was made."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        reception: Reception,
        intake: Intake,
        uploads: Uploads,
        live: Live,
        outputs: Outputs,
        references: References,
        settings: Settings,
    ) -> None:
        self.uploads = uploads
        self.settings = settings
        self._reception = reception
        self._intake = intake
        self._live = live
        self._outputs = outputs
        self._references = references

    async def answer(self, request: AnyRequest, read: Callable[[Form], Wishes]) -> Response[Any]:
        """Have the files of a request converted, and answer with what is there in time."""
        form, uploads, jobs, applied = await self._reception.serve(
            request, read, tasks=(TaskName.TRANSCODE,)
        )
        headers = {"Preference-Applied": applied} if applied else {}
        if len(uploads) > 1:
            return self._list(uploads, jobs, headers)
        (upload,) = uploads
        if (fault := await self._reception.refusal(upload, jobs)) is not None:
            return problem.failed(fault)
        if not all(job and job.is_settled for job in jobs.values()):
            return await self._unfinished(upload, jobs, headers)
        if _FOR_A_PATH in form.parts:
            return await self._place(upload, jobs, headers)
        return await self.send(request, upload, jobs, headers)

    async def fetch(self, request: AnyRequest, token: str, wait: str | None) -> Response[Any]:
        """Answer with the file that a token stands for."""
        wait_s = read_wait(wait, default_s=0.0, max_s=self.settings.max_wait_s)
        upload = await self.uploads.find(token, now=datetime.now(UTC))
        keys = _conversions(upload)
        jobs = await self._live.settled(keys, within_s=wait_s, anew=not wait_s)
        if wait_s:  # it may have been deleted meanwhile
            upload = await self.uploads.find(token, now=datetime.now(UTC))
        return await self.send(request, upload, jobs, {})

    async def send(
        self, request: AnyRequest, upload: Upload, jobs: Jobs, headers: dict[str, str]
    ) -> Response[Any]:
        """Answer with the file that was made of an upload, or say why there is none."""
        (job,) = jobs.values() if jobs else (None,)
        if job is None or job.is_withdrawn:
            raise _no_file()
        if job.state is State.FAILED and job.fault is not None:
            return problem.failed(job.fault)
        if not isinstance(job.result, Conversion):
            raise NotFound(f"there is no file yet: its conversion is {job.state}; ?wait= waits")
        if not await self._outputs.holds(job.result):
            raise _no_file()
        told = {"Decibus-Token": upload.token} if upload.token else {}
        if job.result.unchanged:
            told["Decibus-Unchanged"] = "true"
        return downloads.send(
            request,
            self._file(upload, job, job.result),
            headers=headers | told,
            then=partial(self._intake.downloaded, upload),
        )

    def _file(self, upload: Upload, job: Job, made: Conversion) -> File:
        assert isinstance(job.options, TranscodeOptions)  # noqa: S101 - by its result
        extension = job.options.extension
        stem = PurePosixPath(upload.filename or "").stem or "audio"
        return File(
            size=made.bytes,
            sha256=made.sha256,
            media_type=FORMATS[extension].media_type,
            filename=f"{stem}.{extension}",
            pieces=partial(self._outputs.read, made),
        )

    def _list(self, uploads: list[Upload], jobs: Jobs, headers: dict[str, str]) -> Response[bytes]:
        listed = tuple(self._listed(upload, jobs) for upload in uploads)
        is_over = all(job is None or job.is_settled for job in jobs.values())
        return _json(OutputsOf(listed), 200 if is_over else 202, headers)

    def _listed(self, upload: Upload, jobs: Jobs) -> OutputOf:
        report = compose(upload, jobs, self._references)
        made = {} if report.output is None else msgspec.structs.asdict(report.output)
        return OutputOf(
            token=upload.token,
            status=report.status,
            filename=upload.filename,
            errors=report.errors,
            **made,
        )

    async def _unfinished(
        self, upload: Upload, jobs: Jobs, headers: dict[str, str]
    ) -> Response[bytes]:
        place = await self._live.lines.place(jobs)
        report = compose(upload, jobs, self._references, place)
        return _json(report, 202, headers | {"Location": f"/result/{upload.token}"})

    async def _place(self, upload: Upload, jobs: Jobs, headers: dict[str, str]) -> Response[bytes]:
        """Tell where the file is; nothing is kept of one that its sender has already."""
        (job,) = jobs.values()
        assert job is not None and isinstance(job.result, Conversion)  # noqa: S101, PT018 - done
        made = job.result
        if made.unchanged:
            await self._intake.withdraw(upload)
        told = Resampled(
            original_file=upload.filename,
            resampled_server_file_path="N/A" if made.unchanged else upload.token,
            original_audio_sample_rate=made.audio.sample_rate / 1000,
            resampled_audio_sample_rate=made.converted.sample_rate / 1000,
            original_audio_format=made.audio.container,
            resampled_audio_format=made.converted.container,
        )
        return _json(told, 200, headers)


@post(
    "/transcode",
    status_code=200,
    request_max_body_size=None,
    responses=CONVERSION_ANSWERS,
    security=ANY_KEY,
)
async def transcode(
    request: AnyRequest, conversions: NamedDependency[Conversions]
) -> Response[Any]:
    """Convert one or more files; wait for the file, or answer 202 with its report."""

    def read(form: Form) -> Wishes:
        longest_s = conversions.settings.max_duration_s
        return read_conversion(form.fields, max_duration_s=longest_s)

    return await conversions.answer(request, read)


@route(
    "/outputs/{token:str}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    responses=FILE_ANSWERS,
)
async def output(
    request: AnyRequest,
    token: FromPath[str],
    conversions: NamedDependency[Conversions],
    wait: FromQuery[str | None] = None,
) -> Response[Any]:
    """Return a converted file, or a range of it, or what its headers would be."""
    return await conversions.fetch(request, token, wait)


@post(
    "/resample/",
    status_code=200,
    request_max_body_size=None,
    responses=RESAMPLE_ANSWERS,
    security=ANY_KEY,
)
async def resample(request: AnyRequest, conversions: NamedDependency[Conversions]) -> Response[Any]:
    """Convert to an MP3 of 32 kHz and 320 kb/s; what came as `inFile` is told where it is."""

    def read(form: Form) -> Wishes:
        longest_s = conversions.settings.max_duration_s
        wishes = read_resampling(form.fields, max_duration_s=longest_s)
        if _FOR_A_PATH not in form.parts:
            return wishes
        if len(form.parts) > 1:
            raise BadRequest("send one inFile; several files are called file")
        return msgspec.structs.replace(wishes, retention=Retention.ONCE)

    return await conversions.answer(request, read)


@get("/resample/", responses=FILE_ANSWERS)
async def resampled(
    request: AnyRequest,
    conversions: NamedDependency[Conversions],
    file_path: FromQuery[str],
    wait: FromQuery[str | None] = None,
) -> Response[Any]:
    """Return a resampled file by the token that was told for it, once."""
    return await conversions.fetch(request, file_path, wait)


def _conversions(upload: Upload) -> list[str]:
    return [upload.keys[TaskName.TRANSCODE]] if TaskName.TRANSCODE in upload.keys else []


def _no_file() -> NotFound:
    return NotFound("no file has this token, or it has expired or been deleted")


def _json(body: Any, status: int, headers: dict[str, str]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(body), status_code=status, media_type=_JSON, headers=headers
    )


ROUTES: Final = (transcode, output, resample, resampled)
