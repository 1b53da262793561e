"""Every HTTP request counted and timed by its route, for Prometheus."""

import time
from http import HTTPStatus
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from decibus.telemetry import REQUEST_SECONDS, REQUESTS, REQUESTS_ACTIVE

_NO_ROUTE: Final = "other"
"""What was asked for and is not there: by its path, a stranger could make as many series."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STREAMS: Final = ("text/event-stream",)


def measured(app: ASGIApp) -> ASGIApp:
    """Wrap an app, outermost: what is refused before a handler runs counts as well."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        answer = _Answer(send)
        start = time.perf_counter()
        with REQUESTS_ACTIVE.track_inprogress():
            try:
                await app(scope, receive, answer.send)
            finally:
                answer.count(scope, time.perf_counter() - start)

    return wrapped


class _Answer:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._is_stream = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            types = [value for name, value in message["headers"] if name == b"content-type"]
            self._is_stream = any(kind.startswith(_STREAMS) for kind in map(bytes.decode, types))
        await self._send(message)

    def count(self, scope: HTTPScope, seconds: float) -> None:
        route = str(scope.get("path_template") or _NO_ROUTE)
        method = str(scope["method"])
        method = method if method in _METHODS else "_OTHER"
        # No answer at all: the client has gone first.
        status = self._status or HTTPStatus.REQUEST_TIMEOUT.value
        REQUESTS.labels(route, method, status).inc()
        if not self._is_stream:
            REQUEST_SECONDS.labels(route, method).observe(seconds)
