"""
The port for those who keep a service running: `/metrics`, `/healthz`, `/readyz`.

Apart from the doors, so that no stranger reaches it, and in a thread of its own: a loop that is
stuck is told to be stuck, instead of not being told at all.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app

from decibus.process import Process
from decibus.settings import ManagementSettings
from decibus.telemetry import BUILD, READY

log = structlog.get_logger()

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""

_VERSION: Final = version("decibus")
_BEAT_S: Final = 1.0
_STUCK_S: Final = 15.0
_CLIENT_S: Final = 10.0
_NOT_FOUND: Final = (HTTPStatus.NOT_FOUND, "there are /metrics, /healthz and /readyz")


class Management:
    """
    What is known of a service's health.

    `live`: what is wrong that only a restart mends. `ready`: what is wrong, so that no work should
    come here for now.
    """

    def __init__(self, process: Process) -> None:
        self.live: list[Check] = [self._stuck]
        self.ready: list[Check] = [process.not_ready]
        self._beat_at = time.monotonic()

    async def beat(self) -> None:
        """Show that the loop turns."""
        while True:
            self._beat_at = time.monotonic()
            READY.set(not self._wrong(self.ready))
            await asyncio.sleep(_BEAT_S)

    def answer(self, path: str) -> tuple[HTTPStatus, str]:
        """Return status and text for a path."""
        match path:
            case "/healthz":
                return _told(self._wrong(self.live))
            case "/readyz":
                return _told(self._wrong([*self.live, *self.ready]))
            case _:
                return _NOT_FOUND

    def _stuck(self) -> str | None:
        silent_s = time.monotonic() - self._beat_at
        return (
            f"the event loop has been stuck for {silent_s:.0f} s" if silent_s > _STUCK_S else None
        )

    @staticmethod
    def _wrong(checks: Iterable[Check]) -> str:
        return "; ".join(wrong for check in checks if (wrong := check()))


@asynccontextmanager
async def managed(
    process: Process, settings: ManagementSettings, *, service: str
) -> AsyncIterator[Management]:
    """
    Serve the port while the block runs; port 0 is none.

    A port that is taken is told and left: what is watched is not worth a service.
    """
    BUILD.info({"service": service, "version": _VERSION})
    management = Management(process)
    # Not a TaskGroup: that would hand the block's own error on inside an ExceptionGroup.
    beating = asyncio.create_task(management.beat())  # noqa: TID251
    server = _server(management, settings)
    try:
        if server is not None:
            Thread(target=server.serve_forever, name="management", daemon=True).start()
        yield management
    finally:
        beating.cancel()
        if server is not None:
            await asyncio.to_thread(server.shutdown)
            server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_S

    def log_message(self, *_: Any) -> None:
        """Say nothing: probes come every few seconds."""


def _server(management: Management, settings: ManagementSettings) -> WSGIServer | None:
    if not settings.metrics_port:
        return None
    try:
        return make_server(
            settings.metrics_host, settings.metrics_port, _app(management), _Server, _Handler
        )
    except OSError as error:
        log.warning("management_port_unusable", port=settings.metrics_port, reason=str(error))
        return None


def _app(management: Management) -> Any:
    metrics = make_wsgi_app()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_response)  # type: ignore[no-any-return]
        status, text = management.answer(environ["PATH_INFO"])
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
        start_response(f"{status.value} {status.phrase}", headers)
        return [text.encode() + b"\n"]

    return app


def _told(wrong: str) -> tuple[HTTPStatus, str]:
    return (HTTPStatus.SERVICE_UNAVAILABLE, wrong) if wrong else (HTTPStatus.OK, "ok")
