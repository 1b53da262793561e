"""The gateway's HTTP doors: routes, limits and error answers, assembled in `create_app`."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec
import structlog
from litestar import Litestar, Response, get
from litestar.config.compression import CompressionConfig
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from decibus.broker import Broker
from decibus.errors import DecibusError, Unavailable
from decibus.ledger import Ledger
from decibus.outputs import Outputs
from decibus.references import References
from decibus.telemetry import TRACEPARENT, trace_id
from decibus.topology import QUEUES, RECORDER
from services.gateway import (
    analyses,
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
from services.gateway.analyses import Analyses
from services.gateway.built import Built
from services.gateway.conversions import Conversions
from services.gateway.cors import allowed
from services.gateway.guards import AtTheDoor, Guards
from services.gateway.idempotency import Idempotency
from services.gateway.intake import Intake
from services.gateway.jobs_door import JobsDoor
from services.gateway.links import Links, read_signing_keys
from services.gateway.live import Live
from services.gateway.models import Models
from services.gateway.openapi import SECURITY
from services.gateway.openapi_document import describe
from services.gateway.plain import Plain
from services.gateway.problem import Problem
from services.gateway.reading import Reading
from services.gateway.reception import AnyRequest, Reception
from services.gateway.report import VERSION
from services.gateway.restraints import Header
from services.gateway.settings import Settings
from services.gateway.shelf import Shelf
from services.gateway.sources import Sources
from services.gateway.stats import Statistics
from services.gateway.streams import Streams
from services.gateway.tickets import Tickets
from services.gateway.transcripts import Library
from services.gateway.uploads import Uploads

log = structlog.get_logger()

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
    """
    Whether the gateway is of use now.

    `workers`: for which tasks a worker is alive and ready; `recorder`: whether calls count;
    `queued`: how many of each task are not done, half a second ago at most.
    """

    status: str
    workers: dict[str, bool]
    recorder: bool = False
    queued: dict[str, int] = {}


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
    recorder = await gateway.broker.announced(RECORDER) is not None
    return Response(Readiness("ready", workers, recorder, await gateway.guards.backlog.depths()))


def create_app(gateway: Gateway) -> Litestar:
    """Assemble the app around what `__main__` has connected."""
    reception = Reception(
        gateway.intake,
        gateway.uploads,
        gateway.live,
        gateway.guards.backlog,
        gateway.idempotency,
        gateway.settings,
    )
    door = openai.OpenAI(
        reception,
        gateway.intake,
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
    reading = Reading(gateway.uploads, gateway.live, gateway.references, gateway.intake.lately)
    analyzed = Analyses(
        reception,
        reading,
        gateway.intake,
        gateway.uploads,
        gateway.live,
        gateway.shelf,
        gateway.references,
        gateway.settings,
    )
    followed = Streams(gateway.live, gateway.uploads, gateway.references)
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
            *(healthz, readyz),
            *analyses.ROUTES,
            *conversions.ROUTES,
            *jobs_door.ROUTES,
            *openai.ROUTES,
            *stats.ROUTES,
            *streams.ROUTES,
            *transcripts.ROUTES,
            *pages,
        ],
        # One for each route: of two, Litestar 2.25 makes a task each, at 0.1 ms a request.
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "statistics": Provide(lambda: gateway.statistics, sync_to_thread=False),
            "analyses": Provide(lambda: analyzed, sync_to_thread=False),
            "streams": Provide(lambda: followed, sync_to_thread=False),
            "openai": Provide(lambda: door, sync_to_thread=False),
            "conversions": Provide(lambda: converter, sync_to_thread=False),
            "jobs_door": Provide(lambda: jobs, sync_to_thread=False),
            "library": Provide(lambda: library, sync_to_thread=False),
            "plain": Provide(lambda: without_script, sync_to_thread=False),
        },
        exception_handlers={
            DecibusError: refuse,
            HTTPException: refuse_http,
            Exception: refuse_bug,
        },
        guards=[AtTheDoor(gateway.guards, pages)],
        before_send=[partial(_complete, guards=gateway.guards)],
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


async def _complete(message: Message, scope: Scope, *, guards: Guards) -> None:
    """Add to an answer's headers what all answers say."""
    if message["type"] != "http.response.start":
        return
    headers = message["headers"]
    if scope.get("method") == "OPTIONS":
        headers = [*(header for header in headers if header[0] != b"allow"), _allow(scope)]
    message["headers"] = [*headers, *guards.told(scope), *restraints.unsaid(headers)]


def _allow(scope: Scope) -> Header:
    """Tell all methods of a path: Litestar 2.25 tells those of the handler that came first."""
    methods = {
        method
        for route in scope["litestar_app"].routes
        if isinstance(route, HTTPRoute) and route.path_format == scope.get("path_template")
        for method in route.methods
    }
    return b"allow", ", ".join(sorted(methods)).encode()


def _traced(app: ASGIApp) -> ASGIApp:
    """Continue the sender's trace, or begin one: every log line and every task carries it."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        sent = dict(scope.get("headers", [])).get(TRACEPARENT.encode(), b"")
        with structlog.contextvars.bound_contextvars(trace_id=trace_id(sent.decode("latin-1"))):
            await app(scope, receive, send)

    return middleware
