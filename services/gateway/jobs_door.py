"""
Conversions in steps: announced, sent by a signed link, started, fetched by another one.

    POST   /jobs/                        a ticket, and the link to send its source by
    PUT    /uploads/{id}?…               the source; HEAD, PATCH and GET: see `sources`
    POST   /jobs/{id}/status/started/    its job, as of every other door
    GET    /jobs/{id}/                   how far it is, and the link to fetch the file by
    GET    /downloads/{id}?…             the file
"""

import asyncio
import hashlib
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
from litestar import HttpMethod, Response, delete, get, head, patch, post, put, route
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from msgspec.structs import replace

from decibus.errors import BadRequest, DecibusError, NotFound, OutOfTurn
from decibus.formats import FORMATS
from decibus.jobs import Job
from decibus.ledger import Ledger
from decibus.messages import Conversion, TaskName, TranscodeOptions
from decibus.telemetry import TRACEPARENT, traceparent
from services.gateway import tickets as moves
from services.gateway.conversions import Conversions
from services.gateway.guards import Backlog
from services.gateway.idempotency import Begun, Idempotency
from services.gateway.intake import Intake, Received
from services.gateway.jobs_view import (
    JobFormat,
    JobView,
    JobViews,
    Made,
    NewJob,
    Place,
    format_of,
    machine_of,
    status_of,
)
from services.gateway.links import Links
from services.gateway.openapi import (
    ANY_KEY,
    FILE_ANSWERS,
    JOB_ANSWERS,
    LINK_ANSWERS,
    SOURCE_ANSWERS,
)
from services.gateway.reception import AnyRequest, trace
from services.gateway.report import fault_of
from services.gateway.settings import Settings
from services.gateway.sources import Sources
from services.gateway.tickets import Ending, Ticket, Tickets
from services.gateway.uploads import Door
from services.gateway.wishes import converting

_MOST: Final = 100
_SOME: Final = 20


class JobsDoor:
    """What the routes need."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        tickets: Tickets,
        sources: Sources,
        ledger: Ledger,
        intake: Intake,
        backlog: Backlog,
        idempotency: Idempotency,
        links: Links,
        conversions: Conversions,
        settings: Settings,
    ) -> None:
        self.tickets = tickets
        self.sources = sources
        self.links = links
        self._ledger = ledger
        self._intake = intake
        self._backlog = backlog
        self._idempotency = idempotency
        self._conversions = conversions
        self._settings = settings

    async def create(self, request: AnyRequest, wanted: NewJob) -> JobView:
        """Announce a conversion, or find the one that a repeated request has announced."""
        sender = _sender(request)
        options = self._options(wanted.transcode.format)
        key = request.headers.get("idempotency-key")
        if key is None:
            return await self.view(await self._add(sender, options))
        fingerprint = hashlib.sha256(msgspec.json.encode(["/jobs/", options])).hexdigest()
        async with self._idempotency.turn(sender, key) as turn:
            if isinstance(turn, Begun):
                ticket = await self._add(sender, options)
                await turn.finish(fingerprint, [ticket.id])
            else:
                (ident,) = turn.tokens(fingerprint)
                ticket = await self.tickets.find(sender, ident)
        return await self.view(ticket)

    async def start(self, request: AnyRequest, ident: str) -> JobView:
        """Make a job of what was sent; a second start finds the first one's."""
        ticket = await self.tickets.find(_sender(request), ident)
        if ticket.upload is None:
            await self._backlog.refuse_when_full([TaskName.TRANSCODE])
            ticket = await self.sources.current(ticket)
            name = secrets.token_hex(8)
            begin = partial(moves.begin, name=name, now=datetime.now(UTC))
            _, ticket = await self.tickets.move(ticket.key, begin)
            if ticket.starter is not None and ticket.starter.name == name:
                ticket = await self._start(ticket, name)
        return await self.view(ticket)

    async def delete(self, request: AnyRequest, ident: str) -> None:
        """Erase a ticket, its source and its file."""
        ticket = await self.tickets.find(_sender(request), ident)
        if ticket.upload is None:
            await self.sources.erase(ticket.parts)
        else:
            await self._intake.withdraw(ticket.upload)
        await self.tickets.remove(ticket.key)

    async def list(self, request: AnyRequest, cursor: str | None, limit: int) -> JobViews:
        """Return a sender's tickets from behind the cursor on."""
        sender = _sender(request)
        idents = await self.tickets.idents(sender)
        behind = [ident for ident in idents if cursor is None or ident < cursor]
        views = []
        for ident in behind[:limit]:
            with suppress(NotFound):  # deleted meanwhile
                views.append(await self.view(await self.tickets.find(sender, ident)))
        return JobViews(tuple(views), behind[limit - 1] if len(behind) > limit else None)

    async def fetch(self, request: AnyRequest, ident: str) -> Response[Any]:
        """Answer with the file."""
        ticket = await self.tickets.locate(ident)
        job = await self._job(ticket)
        if ticket.upload is None or job is None or ticket.upload.has_expired(datetime.now(UTC)):
            raise NotFound("there is no file, or no longer")
        return await self._conversions.send(request, ticket.upload, {job.key: job}, {})

    async def view(self, ticket: Ticket) -> JobView:
        """Tell how a ticket stands, with links that begin to work now."""
        job = await self._job(ticket)
        if ticket.ending is None and job is not None and job.is_settled and not job.is_withdrawn:
            ended = Ending(machine_id=machine_of(job), fault=fault_of(job))
            ticket = replace(ticket, ending=ended)
            with suppress(DecibusError):  # then whoever looks next does it
                await self.tickets.move(ticket.key, partial(moves.end, ending=ended))
        status, error = status_of(ticket, job, datetime.now(UTC))
        return JobView(
            id=ticket.id,
            status=status,
            machine_id=ticket.ending.machine_id if ticket.ending else machine_of(job),
            source=await self._place(ticket, status),
            transcode=Made(
                format=format_of(ticket.options), download_url=await self._download(ticket, job)
            ),
            progress=1.0 if status == "completed" else job.progress if job else 0.0,
            created_at=ticket.created_at,
            error=error,
        )

    def _options(self, wanted: JobFormat) -> TranscodeOptions:
        given = msgspec.structs.asdict(wanted)
        given["extension"] = wanted.extension.lower().removeprefix(".")
        if (form := FORMATS.get(given["extension"])) is not None:
            given["bit_depth"] = wanted.bit_depth if form.depths else None
            given["bit_rate"] = wanted.bit_rate if form.kbps else None
        options = TranscodeOptions(**given, max_duration_s=self._settings.max_job_duration_s)
        converting(options, {}, max_duration_s=options.max_duration_s)
        return options

    async def _add(self, sender: str, options: TranscodeOptions) -> Ticket:
        ticket = moves.open_ticket(sender, options, now=datetime.now(UTC))
        await self.tickets.add(ticket)
        return ticket

    async def _start(self, ticket: Ticket, name: str) -> Ticket:
        try:
            ticket = await self.sources.whole(ticket, name=name)
            wishes = converting(ticket.options, {}, max_duration_s=ticket.options.max_duration_s)
            headers = {TRACEPARENT: traceparent(trace())}
            (source,) = ticket.parts
            received = Received(source, ticket.filename, 0.0)
            upload = await self._intake.submit(received, wishes, headers, door=Door.JOB, keeps=True)
        except BaseException:
            # Shielded: the sender may have gone away, and will start it again.
            give_up = self.tickets.move(ticket.key, partial(moves.release, name=name))
            with suppress(DecibusError):  # then it may be begun again in a minute
                await asyncio.shield(give_up)
            raise
        try:
            started = partial(moves.start, upload=upload, name=name)
            _, ticket = await self.tickets.move(ticket.key, started)
        except (NotFound, OutOfTurn):
            await self._intake.withdraw(upload)
            raise
        return ticket

    async def _job(self, ticket: Ticket) -> Job | None:
        if ticket.upload is None:
            return None
        return await self._ledger.find(ticket.upload.keys[TaskName.TRANSCODE])

    async def _place(self, ticket: Ticket, status: str) -> Place:
        path = f"/uploads/{ticket.id}"
        if status != "created":
            return Place(download_url=None, upload_url=None)
        limit = self._settings.max_job_bytes
        return Place(
            download_url=await self.links.make("GET", path) if ticket.parts else None,
            upload_url=await self.links.make("PUT", path, limit=limit),
        )

    async def _download(self, ticket: Ticket, job: Job | None) -> str | None:
        upload = ticket.upload
        if upload is None or job is None or not isinstance(job.result, Conversion):
            return None
        if upload.has_expired(datetime.now(UTC)):
            return None
        return await self.links.make("GET", f"/downloads/{ticket.id}", until=upload.expires_at)


@post("/jobs/", status_code=201, responses=JOB_ANSWERS, security=ANY_KEY)
async def create_job(
    request: AnyRequest, data: JSONBody[NewJob], jobs_door: NamedDependency[JobsDoor]
) -> Response[JobView]:
    """Announce a conversion; the answer has the link to send its source by."""
    view = await jobs_door.create(request, data)
    return Response(view, status_code=201, headers={"Location": f"/jobs/{view.id}/"})


@get("/jobs/", responses=JOB_ANSWERS, security=ANY_KEY)
async def list_jobs(
    request: AnyRequest,
    jobs_door: NamedDependency[JobsDoor],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = _SOME,
) -> JobViews:
    """List the conversions that the same sender has announced, the newest first."""
    if not 1 <= limit <= _MOST:
        raise BadRequest(f"limit: 1 to {_MOST}")
    return await jobs_door.list(request, cursor, limit)


@get("/jobs/{ident:str}/", responses=JOB_ANSWERS, security=ANY_KEY)
async def show_job(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> JobView:
    """Tell how far a conversion is; when it is completed, with the link to fetch the file by."""
    return await jobs_door.view(await jobs_door.tickets.find(_sender(request), ident))


@delete("/jobs/{ident:str}/", responses=JOB_ANSWERS, security=ANY_KEY)
async def delete_job(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> None:
    """Erase a conversion: its source, its file, and what is known of it."""
    await jobs_door.delete(request, ident)


@post("/jobs/{ident:str}/status/started/", status_code=200, responses=JOB_ANSWERS, security=ANY_KEY)
async def start_job(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> JobView:
    """Start a conversion whose source has come; again, it tells how far that is."""
    return await jobs_door.start(request, ident)


@put("/uploads/{ident:str}", request_max_body_size=None, responses=LINK_ANSWERS)
async def put_source(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> Response[bytes]:
    """Send a source; what has come when it breaks off stays, and PATCH goes on from there."""
    permission = await jobs_door.links.check("PUT", request.scope)
    ticket = await jobs_door.tickets.locate(ident)
    ticket = await jobs_door.sources.put(request, ticket, limit=permission.limit)
    return _told(ticket, status_code=200)


@patch("/uploads/{ident:str}", request_max_body_size=None, responses=LINK_ANSWERS)
async def patch_source(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> Response[bytes]:
    """Send more of a source, from `Upload-Offset` on."""
    permission = await jobs_door.links.check("PUT", request.scope)
    ticket = await jobs_door.tickets.locate(ident)
    ticket = await jobs_door.sources.append(request, ticket, limit=permission.limit)
    return _told(ticket, status_code=204)


@head("/uploads/{ident:str}", responses=LINK_ANSWERS)
async def ask_source(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> Response[None]:
    """Tell how much of a source has come."""
    await jobs_door.links.check("PUT", request.scope)
    ticket = await jobs_door.sources.current(await jobs_door.tickets.locate(ident))
    return _told(ticket, status_code=200)


@get("/uploads/{ident:str}", responses=SOURCE_ANSWERS)
async def get_source(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> Response[Any]:
    """Return as much of a source as has come, until it is started."""
    await jobs_door.links.check("GET", request.scope)
    ticket = await jobs_door.sources.current(await jobs_door.tickets.locate(ident))
    if ticket.upload is not None or not ticket.parts:
        raise NotFound("there is no source, or no longer")
    return Stream(
        jobs_door.sources.read(ticket),
        media_type="application/octet-stream",
        headers={"Content-Length": str(ticket.offset), "Cache-Control": "no-store"},
    )


@route(
    "/downloads/{ident:str}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    responses=FILE_ANSWERS,
)
async def download(
    request: AnyRequest, ident: FromPath[str], jobs_door: NamedDependency[JobsDoor]
) -> Response[Any]:
    """Return the converted file, or a range of it, or what its headers would be."""
    await jobs_door.links.check("GET", request.scope)
    return await jobs_door.fetch(request, ident)


def _told(ticket: Ticket, *, status_code: int) -> Response[Any]:
    headers = {"Upload-Offset": str(ticket.offset), "Cache-Control": "no-store"}
    if ticket.length is not None:
        headers["Upload-Length"] = str(ticket.length)
    return Response(b"", status_code=status_code, headers=headers, media_type="text/plain")


def _sender(request: AnyRequest) -> str:
    return str(request.scope["state"]["sender"])


ROUTES: Final = (
    create_job,
    list_jobs,
    show_job,
    delete_job,
    start_job,
    put_source,
    patch_source,
    ask_source,
    get_source,
    download,
)
