"""
Make on the server what `topology` names, and end.

    python -m decibus.bootstrap

It alone changes, on a server in use, into how many partitions the queues of jobs are split: the
services are to be restarted then, and refuse to start with another number.

Where each service has a NATS user of its own, this is the one that may create; the others find
their streams there, or wait for them. Run at every upgrade; what is as it should be stays.
"""

import asyncio
import sys

import structlog

from decibus.broker import connect
from decibus.errors import DecibusError
from decibus.settings import LogLevel, NatsLogin, Partitions, Positive, from_environment
from decibus.telemetry import configure_logs

log = structlog.get_logger()


class Settings(NatsLogin, frozen=True, kw_only=True):
    """Where, on how many servers each stream is kept, and how many streams each queue is."""

    nats_url: str = "nats://127.0.0.1:4222"
    nats_replicas: Positive = 1
    partitions: Partitions = 1
    log_level: LogLevel = "info"


async def main(settings: Settings) -> int:
    """Declare all; returns the process's exit code."""
    async with connect(
        settings.nats_url, name="bootstrap", login=settings, partitions=settings.partitions
    ) as broker:
        try:
            await broker.declare(replicas=settings.nats_replicas, repartition=True)
        except DecibusError as error:
            log.error("not_declared", reason=str(error))  # noqa: TRY400 - it says all there is
            return 1
        log.info("declared", replicas=settings.nats_replicas, partitions=settings.partitions)
        return 0


if __name__ == "__main__":
    given = from_environment(Settings)
    configure_logs("bootstrap", given.log_level)
    sys.exit(asyncio.run(main(given)))
