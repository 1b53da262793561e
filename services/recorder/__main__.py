"""Run a recorder: calls counted, and written to InfluxDB if there is one, until SIGTERM."""

import sys
from contextlib import AsyncExitStack, closing
from functools import partial
from importlib.metadata import version

import structlog
import uvloop

from decibus import process
from decibus.broker import connect
from decibus.management import managed
from decibus.process import Process
from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from decibus.topology import INFLUX_ASKED, RECORDER
from services.recorder.asked import Asked
from services.recorder.counting import counting
from services.recorder.influx import Influx
from services.recorder.settings import Settings
from services.recorder.writing import Writer

log = structlog.get_logger()


async def main(life: Process, settings: Settings) -> int:
    """Record; returns the process's exit code."""
    async with (
        managed(life, settings, service="recorder") as management,
        connect(
            settings.nats_url, name="recorder", login=settings, partitions=settings.partitions
        ) as broker,
        AsyncExitStack() as stack,
    ):
        broker.when_closed(life.end)
        management.ready.append(broker.not_ready)
        await broker.declare(replicas=settings.nats_replicas)
        influx: Influx | None = None
        if settings.influxdb_url:
            influx = stack.enter_context(closing(Influx(settings)))
            await stack.enter_async_context(Writer(broker, influx).open())
        await stack.enter_async_context(counting(broker))
        asked = Asked(influx, settings.influxdb_bucket)
        await broker.answer(
            RECORDER,
            version=version("decibus"),
            group=RECORDER,
            handlers={INFLUX_ASKED: asked.answer},
        )
        life.ready(influxdb=influx is not None)
        await life.stop.wait()
        log.info("stopped", connection_lost=broker.is_closed)
        return 1 if broker.is_closed else 0


if __name__ == "__main__":
    given = from_environment(Settings)
    configure_logs("recorder", given.log_level)
    sys.exit(uvloop.run(process.run(partial(main, settings=given))))
