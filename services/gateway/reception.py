"""
From an HTTP request to uploads: its form is read, its files are submitted, all of them or none.

With an `Idempotency-Key`, a request that is sent again leads to the uploads that it has led to.

    guards ─▶ take_in: form ─▶ files ─▶ jobs ─▶ uploads
              serve:   the same, and waits for the jobs
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import structlog
from litestar import Request

from decibus.errors import BadRequest, DecibusError, TooLarge
from decibus.messages import Fault, TaskName
from decibus.telemetry import TRACEPARENT, traceparent
from services.gateway.form import Form, Porter, Sink, read_form
from services.gateway.guards import Backlog, owner_of
from services.gateway.idempotency import Begun, Idempotency, Reader, fingerprint_of
from services.gateway.intake import Intake, Received, Wishes
from services.gateway.live import Jobs, Live
from services.gateway.prefer import read_patience, read_prefer
from services.gateway.report import refusal
from services.gateway.settings import Settings
from services.gateway.uploads import Door, Upload, Uploads
from services.gateway.wishes import read_wait

AnyRequest = Request[Any, Any, Any]


class Served(NamedTuple):
    """What became of a request's files in time; `applied` is its `Preference-Applied`, if any."""

    form: Form
    uploads: list[Upload]
    jobs: Jobs
    applied: str | None


class Reception:
    """Takes in what comes by HTTP, for every route that takes files."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        intake: Intake,
        uploads: Uploads,
        live: Live,
        backlog: Backlog,
        idempotency: Idempotency,
        settings: Settings,
    ) -> None:
        self._intake = intake
        self._uploads = uploads
        self._live = live
        self._backlog = backlog
        self._idempotency = idempotency
        self._settings = settings

    async def serve(
        self,
        request: AnyRequest,
        read: Callable[[Form], Wishes],
        *,
        tasks: Iterable[TaskName],
        given: Mapping[str, str] | None = None,
    ) -> Served:
        """
        Take a request's files in, and wait for their jobs.

        How long, the URL says, or the form, or `Prefer`. A `wait` that is none is refused: of the
        URL before the body is read, of the form before anything is submitted.
        """
        asked = request.query_params.get("wait")
        self._wait_s(asked)
        form, uploads = await self.take_in(
            request, partial(self._read, read), tasks=tasks, given=given or {}
        )
        asked = asked or form.fields.get("wait")
        wait_s, applied = read_patience(
            read_prefer(request.headers.getall("prefer", [])),
            asked_s=self._wait_s(asked) if asked else None,
            default_s=self._settings.wait_s,
            max_s=self._settings.max_wait_s,
        )
        keys = {key for upload in uploads for key in upload.keys.values()}
        return Served(form, uploads, await self._live.settled(keys, within_s=wait_s), applied)

    async def refusal(self, upload: Upload, jobs: Jobs) -> Fault | None:
        """Return what to answer instead of a report, if so; then it goes: nobody has its token."""
        fault = refusal(jobs)
        if fault is not None:
            await self._uploads.remove(upload)
        return fault

    def _read(self, read: Callable[[Form], Wishes], form: Form) -> Wishes:
        self._wait_s(form.fields.get("wait"))
        return read(form)

    def _wait_s(self, asked: str | None) -> float:
        return read_wait(asked, default_s=0.0, max_s=self._settings.max_wait_s)

    async def take_in(  # noqa: PLR0913 - each by its name
        self,
        request: AnyRequest,
        read: Callable[[Form], Wishes],
        *,
        tasks: Iterable[TaskName],
        given: Mapping[str, str],
        door: Door = Door.HTTP,
        porter: Porter | None = None,
    ) -> tuple[Form, list[Upload]]:
        """
        Return the form and the uploads of a request.

        `read` is called when the files are there, before they are submitted: when it raises, none
        of them stays. `tasks` are those whose queues must have room before the body is read,
        `given` the fields that the URL has, which go before the form's. A `porter` is for a door
        that no guard stands at: whom it admits is the request's sender.
        """
        key = request.headers.get("idempotency-key")
        if key is None or porter is not None:
            return await self._begin(request, read, tasks, given, door=door, porter=porter)
        async with self._idempotency.turn(request.scope["state"]["sender"], key) as turn:
            if isinstance(turn, Begun):
                form, uploads = await self._begin(request, read, tasks, given, door=door)
                tokens = [upload.token for upload in uploads]
                await turn.finish(_fingerprint(request, form), tokens)
                return form, uploads
            reader = Reader(max_bytes=self._settings.max_upload_bytes)
            form = await self._receive(request, reader, given)
            tokens = turn.tokens(_fingerprint(request, form))
            now = datetime.now(UTC)
            return form, [await self._uploads.find(token, now=now) for token in tokens]

    async def _begin(  # noqa: PLR0913 - ditto
        self,
        request: AnyRequest,
        read: Callable[[Form], Wishes],
        tasks: Iterable[TaskName],
        given: Mapping[str, str],
        *,
        door: Door,
        porter: Porter | None = None,
    ) -> tuple[Form, list[Upload]]:
        await self._backlog.refuse_when_full(tasks)
        form = await self._receive(request, self._intake, given, porter)
        owner = owner_of(request.scope["state"].get("sender", ""))
        return form, await self._submit(form, read, door, owner)

    async def _receive(
        self,
        request: AnyRequest,
        into: Sink,
        given: Mapping[str, str],
        porter: Porter | None = None,
    ) -> Form:
        limit = self._settings.max_request_bytes
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            raise TooLarge(f"the request announces {length} bytes")
        content_type = request.headers.get("content-type", "")
        form = await read_form(request.stream(), content_type, into, limit=limit, porter=porter)
        form.fields |= given
        return form

    async def _submit(
        self, form: Form, read: Callable[[Form], Wishes], door: Door, owner: str | None
    ) -> list[Upload]:
        headers = {TRACEPARENT: traceparent(trace())}
        uploads: list[Upload] = []
        waiting = form.files[::-1]
        try:
            wishes = read(form)
            if not form.files:
                raise BadRequest("there is no part named file: curl -F file=@take.wav")  # noqa: TRY301
            while waiting:
                received = waiting.pop()  # from here on it is the intake's
                upload = await self._intake.submit(
                    received, wishes, headers, door=door, owner=owner
                )
                uploads.append(upload)
        except BaseException:
            # Shielded: the sender may have gone away, and what it sent must go too.
            await asyncio.shield(self._take_back(uploads, waiting))
            raise
        return uploads

    async def _take_back(self, uploads: list[Upload], waiting: list[Received]) -> None:
        for upload in uploads:
            with suppress(DecibusError):  # then it expires
                await self._intake.withdraw(upload)
        for received in waiting:
            await self._intake.discard(received)


def _fingerprint(request: AnyRequest, form: Form) -> str:
    return fingerprint_of(request.scope["path"], form.fields, form.files)


def trace() -> str:
    """Return the id of the trace that the request continues or has begun."""
    return str(structlog.contextvars.get_contextvars()["trace_id"])
