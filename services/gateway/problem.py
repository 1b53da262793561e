"""Errors as the user sees them: RFC 9457 problem details, the same at every door."""

import math
from typing import Final

import msgspec
import structlog
from litestar import Response

from decibus.errors import (
    DecibusError,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
    WrongOffset,
    WrongRange,
)
from decibus.messages import Fault
from decibus.telemetry import trace_id

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
"""Where nobody knows better: in a few seconds workers have done some of what waits."""
EXPECTED: Final = (Refused, Unavailable)
"""What can go wrong without anything being wrong here."""

_KINDS: Final[tuple[type[Refused] | type[Unavailable], ...]] = (
    *Refused.__subclasses__(),
    Unavailable,
    *(kind for kind in Unavailable.__subclasses__() if kind.code != Unavailable.code),
)
_TITLES: Final = {kind.code: (kind.status, kind.title) for kind in _KINDS}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is stable and meant for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str


def of_error(error: DecibusError) -> Problem:
    """
    Tell what was wrong with a request, in the error's own words.

    What is unavailable is not told in the server's words: they name streams and addresses.
    """
    match error:
        case Refused():
            return _problem(error.status, error.code, error.title, str(error) or error.title)
        case Unavailable():
            return _problem(error.status, error.code, error.title, error.title)
        case _:
            return internal()


def headers_of(error: DecibusError) -> dict[str, str]:
    """Return the HTTP headers that an error's answer carries: when, or how, to try again."""
    match error:
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case RateLimited():
            return {"Retry-After": str(math.ceil(error.retry_after.total_seconds()))}
        case WrongOffset():
            return {"Upload-Offset": str(error.offset)}
        case WrongRange():
            return {"Content-Range": f"bytes */{error.size}"}
        case Unavailable():
            return {"Retry-After": str(RETRY_AFTER_S)}
        case _:
            return {}


def of_fault(fault: Fault) -> Problem:
    """Tell why a job has failed."""
    status, title = _TITLES.get(fault.code, (500, "The job has failed"))
    return _problem(status, fault.code, title, fault.detail)


def headers_of_fault(fault: Fault) -> dict[str, str]:
    """Return the HTTP headers of a job's failure: when to try again what was not refused."""
    status, _ = _TITLES.get(fault.code, (500, ""))
    return {"Retry-After": str(RETRY_AFTER_S)} if status == Unavailable.status else {}


def failed(fault: Fault) -> Response[bytes]:
    """Tell over HTTP why a job has failed."""
    return answer(of_fault(fault), headers_of_fault(fault))


def answer(problem: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Tell it over HTTP."""
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def of_status(status: int, detail: str) -> Problem:
    """Tell what the framework found wrong before any handler ran."""
    if status >= 500:  # noqa: PLR2004 - ours
        return internal()
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    return _problem(status, codes.get(status, "bad_request"), detail, detail)


def internal() -> Problem:
    """Say that it is our fault, and nothing that would help an attacker."""
    return _problem(500, "internal_error", "Something went wrong here", "It has been logged")


def _problem(status: int, code: str, title: str, detail: str) -> Problem:
    # A path that leads nowhere is refused before the trace is bound: then it begins here.
    trace = str(structlog.contextvars.get_contextvars().get("trace_id") or trace_id(None))
    return Problem(
        type="about:blank", title=title, status=status, detail=detail, code=code, trace_id=trace
    )
