"""The gateway's HTTP doors: routes, limits and error answers, assembled in `create_app`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import msgspec
import structlog
from litestar import Litestar, Response, delete, get, post
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, FromQuery
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from decibus.broker import Broker
from decibus.errors import DecibusError, Unavailable
from decibus.ledger import Ledger
from decibus.messages import ALL_TASKS, TaskName
from decibus.outputs import Outputs
from decibus.references import References
from decibus.telemetry import TRACEPARENT, trace_id
from decibus.topology import QUEUES, RECORDER
from services.gateway import (
    conversions,
    jobs_door,
    openai,
    page,
    plain,
    problem,
    restraints,
    stats,
    streams,
    transcripts,
)
from services.gateway.built import Built
from services.gateway.conversions import Conversions
from services.gateway.cors import allowed
from services.gateway.form import Form
from services.gateway.fresh import fresh
from services.gateway.guards import AtTheDoor, Guards
from services.gateway.idempotency import Idempotency
from services.gateway.intake import Intake, Wishes
from services.gateway.jobs_door import JobsDoor
from services.gateway.links import Links, read_signing_keys
from services.gateway.live import Jobs, Live
from services.gateway.models import Models
from services.gateway.openapi import ANSWERS, ANY_KEY, GONE_ANSWERS, RESULT_ANSWERS, SECURITY
from services.gateway.openapi_document import describe
from services.gateway.plain import Plain
from services.gateway.prefer import read_patience, read_prefer
from services.gateway.problem import Problem
from services.gateway.reading import Reading
from services.gateway.reception import AnyRequest, Reception
from services.gateway.renditions import rendered
from services.gateway.report import VERSION, Report, Reports, compose, refusal
from services.gateway.settings import Settings
from services.gateway.shelf import Shelf
from services.gateway.sources import Sources
from services.gateway.stats import Statistics
from services.gateway.tickets import Tickets
from services.gateway.transcripts import Library
from services.gateway.uploads import Upload, Uploads, row_of
from services.gateway.wishes import read_tasks, read_wait, read_wishes

log = structlog.get_logger()

_JSON: Final = "application/json"
# Searched for, and not matched, lest Litestar warns that "/" is among what is left out.
_COMPRESSED: Final = CompressionConfig(backend="gzip", exclude=r"(?<=^/)(?!schema)")
"""The API's description alone: audio is compressed, and streams go out as they come."""


@dataclass(frozen=True)
class Gateway:
    """What every route needs, built once in `__main__`."""

    broker: Broker
    intake: Intake
    live: Live
    uploads: Uploads
    settings: Settings
    guards: Guards
    idempotency: Idempotency
    references: References
    statistics: Statistics
    shelf: Shelf
    built: Built | None = None


class Readiness(msgspec.Struct, frozen=True):
    """`workers`: for which tasks a worker is alive and ready; `recorder`: whether calls count."""

    status: str
    workers: dict[str, bool]
    recorder: bool = False


@post(
    "/analyze",
    status_code=200,
    request_max_body_size=None,
    responses=ANSWERS,
    security=ANY_KEY,
)
async def analyze(
    request: AnyRequest, gateway: NamedDependency[Gateway], reception: NamedDependency[Reception]
) -> Response[bytes]:
    """Analyze one or more uploads; wait for the report, or answer 202 with its token."""
    settings = gateway.settings
    preferences = read_prefer(request.headers.getall("prefer", []))
    asked = request.query_params.get("wait")
    read_wait(asked, default_s=0.0, max_s=settings.max_wait_s)  # refused before the body is read
    tasks = _asked_tasks(request)
    form, uploads = await reception.take_in(
        request,
        partial(_read, gateway=gateway),
        tasks=tasks or ALL_TASKS,
        given={"tasks": ",".join(tasks)} if tasks else {},
    )
    asked = asked or form.fields.get("wait")
    wait_s, applied = read_patience(
        preferences,
        asked_s=read_wait(asked, default_s=0.0, max_s=settings.max_wait_s) if asked else None,
        default_s=settings.wait_s,
        max_s=settings.max_wait_s,
    )
    jobs = await gateway.live.settled(
        {key for upload in uploads for key in upload.keys.values()},
        within_s=wait_s,
    )
    if len(uploads) == 1 and (fault := refusal(jobs)) is not None:
        await gateway.uploads.remove(uploads[0])  # nobody has its token
        return problem.answer(problem.of_fault(fault), problem.headers_of_fault(fault))
    answer = await _answer(uploads, jobs, gateway, applied=applied)
    answer.background = BackgroundTask(_delivered, gateway, uploads, jobs)
    return answer


def _asked_tasks(request: AnyRequest) -> tuple[TaskName, ...]:
    """Return the tasks that the URL names, so that only their queues need to have room."""
    asked = request.query_params.get("tasks")
    return read_tasks(asked) if asked else ()


def _read(form: Form, gateway: Gateway) -> Wishes:
    read_wait(form.fields.get("wait"), default_s=0.0, max_s=gateway.settings.max_wait_s)
    return read_wishes(form.fields, gateway.references)


@get("/result/{token:str}", responses=RESULT_ANSWERS)
async def result(
    request: AnyRequest,
    token: FromPath[str],
    gateway: NamedDependency[Gateway],
    reading: NamedDependency[Reading],
    wait: FromQuery[str | None] = None,
) -> Response[bytes]:
    """
    Return the report as it stands, or once it is settled within `wait` seconds.

    With `.txt`, `.srt`, `.vtt` or `.json` after the token, return its transcript in that form, with
    `.csv` its loudness timeline.
    """
    token, _, form = token.partition(".")
    wait_s = read_wait(wait, default_s=0.0, max_s=gateway.settings.max_wait_s)
    read = await reading.report(token, wait_s=wait_s)
    after = BackgroundTask(gateway.intake.delivered, read.upload, read.jobs)
    return fresh(request, *rendered(read.report, form), background=after)


@delete("/result/{token:str}", responses=GONE_ANSWERS)
async def forget(token: FromPath[str], gateway: NamedDependency[Gateway]) -> None:
    """Delete the report, and the audio and results that no other report shares."""
    await gateway.intake.cancel_callback(row_of(token))
    await gateway.intake.withdraw(await gateway.uploads.find(token, now=datetime.now(UTC)))
    gateway.shelf.remove(row_of(token))


@get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "alive"}


@get("/readyz", responses={503: ResponseSpec(Readiness, generate_examples=False)})
async def readyz(gateway: NamedDependency[Gateway]) -> Response[Readiness]:
    """Say whether uploads can be taken, and which workers are there."""
    if not gateway.broker.is_connected:
        return Response(Readiness("NATS is away", {}), status_code=503)
    workers = {str(task): await gateway.broker.is_served(queue) for task, queue in QUEUES.items()}
    return Response(
        Readiness("ready", workers, await gateway.broker.announced(RECORDER) is not None)
    )


def create_app(gateway: Gateway) -> Litestar:
    """Assemble the app around what `__main__` has connected."""
    reception = Reception(
        gateway.intake,
        gateway.uploads,
        gateway.guards.backlog,
        gateway.idempotency,
        gateway.settings,
    )
    door = openai.OpenAI(
        reception,
        gateway.intake,
        gateway.uploads,
        gateway.live,
        Models(gateway.broker),
        gateway.references,
        gateway.settings,
    )
    converter = Conversions(
        reception,
        gateway.intake,
        gateway.uploads,
        gateway.live,
        Outputs(gateway.broker),
        gateway.references,
        gateway.settings,
    )
    jobs = _jobs_door(gateway, converter)
    library = Library(gateway.shelf, gateway.uploads, gateway.intake)
    reading = Reading(gateway.uploads, gateway.live, gateway.references)
    without_script = Plain(
        reception,
        reading,
        gateway.intake,
        gateway.guards,
        gateway.references,
        gateway.settings,
    )
    pages = [*plain.ROUTES, *page.routes(gateway.built)]
    app = Litestar(
        [
            *(analyze, result, forget, healthz, readyz),
            *conversions.ROUTES,
            *jobs_door.ROUTES,
            *openai.ROUTES,
            *stats.ROUTES,
            *streams.ROUTES,
            *transcripts.ROUTES,
            *pages,
        ],
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "live": Provide(lambda: gateway.live, sync_to_thread=False),
            "uploads": Provide(lambda: gateway.uploads, sync_to_thread=False),
            "references": Provide(lambda: gateway.references, sync_to_thread=False),
            "statistics": Provide(lambda: gateway.statistics, sync_to_thread=False),
            "reception": Provide(lambda: reception, sync_to_thread=False),
            "openai": Provide(lambda: door, sync_to_thread=False),
            "conversions": Provide(lambda: converter, sync_to_thread=False),
            "jobs_door": Provide(lambda: jobs, sync_to_thread=False),
            "library": Provide(lambda: library, sync_to_thread=False),
            "reading": Provide(lambda: reading, sync_to_thread=False),
            "plain": Provide(lambda: without_script, sync_to_thread=False),
        },
        exception_handlers={
            DecibusError: refuse,
            HTTPException: refuse_http,
            Exception: refuse_bug,
        },
        guards=[AtTheDoor(gateway.guards, pages)],
        before_send=[gateway.guards.tell, restraints.restrain, _allow],
        compression_config=_COMPRESSED,
        cors_config=allowed(gateway.settings.cors_origins),
        middleware=[_traced],
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="decibus",
            version=VERSION,
            description="Loudness, true peak, tonal balance and transcripts of audio.",
            path="/schema",
            components=SECURITY,
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
            use_handler_docstrings=True,
        ),
    )
    describe(app.openapi_schema, gateway.references, gateway.settings)
    return app


def _jobs_door(gateway: Gateway, converter: Conversions) -> JobsDoor:
    tickets = Tickets(gateway.broker)
    return JobsDoor(
        tickets,
        Sources(gateway.broker, tickets),
        Ledger(gateway.broker),
        gateway.intake,
        gateway.guards.backlog,
        gateway.idempotency,
        Links(
            gateway.broker,
            read_signing_keys(gateway.settings.signing_keys),
            timedelta(seconds=gateway.settings.link_ttl_s),
        ),
        converter,
        gateway.settings,
    )


def refuse(request: AnyRequest, error: DecibusError) -> Response[bytes]:
    """Answer what the project itself raises; the one place that knows how."""
    if isinstance(error, Unavailable):
        log.warning("request_unavailable", reason=str(error))
    elif not isinstance(error, problem.EXPECTED):
        log.error("request_failed", exc_info=error)
    return _told(request, problem.of_error(error), problem.headers_of(error), error)


def refuse_http(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Answer what the framework raises before a handler runs."""
    detail = error.detail
    if isinstance(error.extra, list):  # what was wrong with each part of a JSON body
        detail = "; ".join(str(each.get("message")) for each in error.extra) or detail
    return _told(request, problem.of_status(error.status_code, detail), error.headers)


def refuse_bug(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer a bug: logged here, and nothing of it told."""
    log.error("request_failed", exc_info=error)
    return _told(request, problem.internal())


async def _answer(
    uploads: list[Upload], jobs: Jobs, gateway: Gateway, *, applied: str | None
) -> Response[bytes]:
    own = [{key: jobs[key] for key in upload.keys.values()} for upload in uploads]
    reports = [
        compose(upload, jobs, gateway.references, await gateway.live.lines.place(jobs))
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
    )


async def _delivered(gateway: Gateway, uploads: list[Upload], jobs: Jobs) -> None:
    for upload in uploads:
        own = {key: jobs[key] for key in upload.keys.values()}
        await gateway.intake.delivered(upload, own)


def _told(
    request: AnyRequest,
    answer: Problem,
    headers: dict[str, str] | None = None,
    error: DecibusError | None = None,
) -> Response[bytes]:
    """Tell what is wrong in the words of the API that was asked."""
    if openai.speaks_here(request.scope["path"]):
        return openai.refused(answer, headers, error)
    if plain.speaks_here(request.scope["path"]):
        return plain.refused(answer, headers)
    return problem.answer(answer, headers)


async def _allow(message: Message, scope: Scope) -> None:
    """Tell all methods of a path: Litestar 2.25 tells those of the handler that came first."""
    if message["type"] != "http.response.start" or scope.get("method") != "OPTIONS":
        return
    methods = {
        method
        for route in scope["litestar_app"].routes
        if isinstance(route, HTTPRoute) and route.path_format == scope.get("path_template")
        for method in route.methods
    }
    others = [header for header in message["headers"] if header[0] != b"allow"]
    message["headers"] = [*others, (b"allow", ", ".join(sorted(methods)).encode())]


def _traced(app: ASGIApp) -> ASGIApp:
    """Continue the sender's trace, or begin one: every log line and every task carries it."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        sent = dict(scope.get("headers", [])).get(TRACEPARENT.encode(), b"")
        with structlog.contextvars.bound_contextvars(trace_id=trace_id(sent.decode("latin-1"))):
            await app(scope, receive, send)

    return middleware
