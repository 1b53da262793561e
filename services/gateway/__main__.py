"""Run the gateway: settings, connection, both doors, until SIGTERM or SIGINT."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import structlog
import uvicorn
import uvloop
from litestar.types import ASGIApp

from decibus import process
from decibus.broker import connect
from decibus.management import managed
from decibus.process import Process
from decibus.references import References, load_references
from decibus.settings import SettingsError, from_environment
from decibus.telemetry import LIVE_CLIENTS, configure_logs
from services.gateway.app import create_app
from services.gateway.built import Built, find_built
from services.gateway.chores import check
from services.gateway.connection import Connection, Socket
from services.gateway.gauges import gauges
from services.gateway.guards import keys_from
from services.gateway.keys import Keyring
from services.gateway.linger import lingering
from services.gateway.measured import measured
from services.gateway.opened import opened
from services.gateway.pace import paced
from services.gateway.parting import PARTING_S, parting
from services.gateway.reaper import Reaper
from services.gateway.settings import Settings

log = structlog.get_logger()

_KEEP_ALIVE_S: Final = 75
"""Longer than clients and proxies keep an idle connection (httpx 5 s, nginx and ALB 60 s): whoever
closes first must not be the one that could be sent a request at that moment."""


def configure(
    app: ASGIApp, settings: Settings, *, is_stopping: Callable[[], bool] = lambda: False
) -> uvicorn.Config:
    """Say how the app is served; a client's address comes from trusted proxies only."""
    return uvicorn.Config(
        measured(parting(lingering(paced(app)), is_stopping=is_stopping)),
        host=settings.http_host,
        port=settings.http_port,
        http=Connection,
        log_config=None,
        log_level="error",  # what strangers send is not worth a line
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=int(settings.grace_s),
        timeout_keep_alive=_KEEP_ALIVE_S,
        ws=Socket,
        # A client has nothing to say; and compression would take some 20 KiB for each idle socket.
        ws_max_size=64 << 10,
        ws_per_message_deflate=False,
    )


class Server(uvicorn.Server):
    """Uvicorn without its signal handlers: it would re-raise SIGTERM after a clean end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `main`."""
        yield


async def main(
    life: Process,
    settings: Settings,
    keyring: Keyring,
    references: References,
    built: Built | None,
) -> int:
    """Serve; returns the process's exit code."""
    async with (
        managed(life, settings, service="gateway") as management,
        connect(
            settings.nats_url, name="gateway", login=settings, partitions=settings.partitions
        ) as broker,
    ):
        broker.when_closed(life.end)
        management.ready.append(broker.not_ready)
        async with (
            opened(broker, settings, keyring, references, built) as gateway,
            keyring.watched(),
            Reaper(broker, settings).open(),
            gauges(broker),
            asyncio.TaskGroup() as group,
        ):
            app = create_app(gateway)
            server = Server(configure(app, settings, is_stopping=life.stop.is_set))
            LIVE_CLIENTS.set_function(lambda: gateway.live.waiters)
            serving = group.create_task(server.serve())
            life.ready(host=settings.http_host, port=settings.http_port)
            stopping = group.create_task(life.stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            gateway.live.close()  # whoever waits is answered now, with how far it is
            await asyncio.sleep(PARTING_S)
            server.should_exit = True
            stopping.cancel()
        log.info("stopped", connection_lost=broker.is_closed)
        return 1 if broker.is_closed else 0


if __name__ == "__main__":
    options = from_environment(Settings)
    configure_logs("gateway", options.log_level)
    try:
        check(options)
        references = load_references(options.profiles_dir)
    except SettingsError as error:
        sys.exit(f"configuration: {error}")
    keyring = keys_from(options)
    life = partial(
        main, settings=options, keyring=keyring, references=references, built=find_built()
    )
    sys.exit(uvloop.run(process.run(life)))
