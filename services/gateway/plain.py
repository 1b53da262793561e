"""
The page for a person with a file, without a script: a form, and the report as HTML.

    GET /plain ─▶ POST /plain ─▶ 303 ─▶ GET /plain/{token}, again and again until it is done

Where keys are configured the form has a field for one: it comes before the file, so that a stranger
is refused before a byte of that is read. The token is enough for the rest. Nothing is remembered
in the browser, so that no other site can act in its name.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from litestar import Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromPath

from decibus.errors import BadRequest
from decibus.messages import ALL_TASKS
from decibus.references import References
from services.gateway.browser import COMMON, PLAIN
from services.gateway.form import Form
from services.gateway.fresh import PRIVATE
from services.gateway.guards import Guards
from services.gateway.intake import Intake, Wishes
from services.gateway.plain_pages import ICON, STYLE, form_page, problem_page, report_page
from services.gateway.problem import Problem
from services.gateway.reading import Reading
from services.gateway.reception import AnyRequest, Reception
from services.gateway.settings import Settings
from services.gateway.wishes import read_wishes

_PATH: Final = "/plain"
_FOR_AN_HOUR: Final = {"Cache-Control": "max-age=3600"}
_WAIT_S: Final = 2.0
"""A short file is measured by then, and the first page that is shown is the report."""


class Plain:
    """What the routes need."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        reception: Reception,
        reading: Reading,
        intake: Intake,
        guards: Guards,
        references: References,
        settings: Settings,
    ) -> None:
        self._reception = reception
        self._reading = reading
        self._intake = intake
        self._guards = guards
        self._references = references
        self._limits = (
            f"up to {settings.max_upload_bytes / 1e6:.0f} MB "
            f"and {settings.max_duration_s / 60:.0f} minutes"
        )

    def form(self, request: AnyRequest) -> Response[str]:
        """Show the form."""
        html = form_page(
            self._references,
            str(request.base_url),
            asks_for_key=self._guards.asks_for_a_key,
            limits=self._limits,
        )
        return shown(html)

    async def send(self, request: AnyRequest) -> Response[None]:
        """Take a file in, and lead to where its report will be."""
        _, (upload,) = await self._reception.take_in(
            request,
            self._read,
            tasks=ALL_TASKS,
            given={"timeline": "true"},
            porter=partial(self._admit, request),
        )
        return moved(f"{_PATH}/{upload.token}")

    async def show(self, token: str) -> Response[str]:
        """Show a report as it stands."""
        read = await self._reading.report(token, wait_s=_WAIT_S)
        after = BackgroundTask(self._intake.delivered, read.upload, read.jobs)
        return shown(report_page(read.report), background=after)

    async def forget(self, token: str) -> Response[None]:
        """Delete a report."""
        read = await self._reading.report(token, wait_s=0.0)
        await self._intake.cancel_callback(read.upload.row)
        await self._intake.withdraw(read.upload)
        return moved(_PATH)

    async def _admit(self, request: AnyRequest, fields: dict[str, str]) -> None:
        await self._guards.admit_http(request, key=fields.pop("key", ""))

    def _read(self, form: Form) -> Wishes:
        if len(form.files) > 1:
            raise BadRequest("one file at a time, please")
        return read_wishes(form.fields, self._references)


def shown(
    html: str, *, status_code: int = 200, background: BackgroundTask | None = None
) -> Response[str]:
    """Answer with a page."""
    return Response(
        html,
        status_code=status_code,
        media_type=MediaType.HTML,
        headers=PLAIN | PRIVATE,
        background=background,
    )


def moved(path: str) -> Response[None]:
    """Lead the browser on, so that loading the page again sends nothing twice."""
    return Response(None, status_code=303, headers={"Location": path})


def speaks_here(path: str) -> bool:
    """Return whether errors are told as pages there."""
    return path == _PATH or path.startswith(f"{_PATH}/")


def refused(problem: Problem, headers: Mapping[str, str] | None) -> Response[Any]:
    """Tell what is wrong as a page."""
    answer = shown(problem_page(problem), status_code=problem.status)
    answer.headers.update(headers or {})
    return answer


@get(_PATH, include_in_schema=False)
async def form(request: AnyRequest, plain: NamedDependency[Plain]) -> Response[str]:
    """Show the form."""
    return plain.form(request)


@post(_PATH, include_in_schema=False, request_max_body_size=None)
async def send(request: AnyRequest, plain: NamedDependency[Plain]) -> Response[None]:
    """Take a file in."""
    return await plain.send(request)


@get(_PATH + "/{token:str}", include_in_schema=False)
async def show(token: FromPath[str], plain: NamedDependency[Plain]) -> Response[str]:
    """Show a report."""
    return await plain.show(token)


@post(_PATH + "/{token:str}/delete", include_in_schema=False)
async def forget(token: FromPath[str], plain: NamedDependency[Plain]) -> Response[None]:
    """Delete a report."""
    return await plain.forget(token)


@get(_PATH + ".css", include_in_schema=False)
async def style() -> Response[str]:
    """Serve the style from our own origin, so that the policy needs no exception."""
    return Response(STYLE, media_type=MediaType.CSS, headers=COMMON | _FOR_AN_HOUR)


@get(_PATH + ".svg", include_in_schema=False)
async def icon() -> Response[str]:
    """Serve the icon."""
    return Response(ICON, media_type="image/svg+xml", headers=COMMON | _FOR_AN_HOUR)


ROUTES: Final = (form, send, show, forget, style, icon)
