"""
Make on the server what `topology` names, and end.

    python -m decibus.bootstrap

Where each service has a NATS user of its own, this is the one that may create; the others find
their streams there, or wait for them. Run at every upgrade; what is as it should be stays.
"""

import asyncio
import sys

import structlog

from decibus.broker import connect
from decibus.errors import DecibusError
from decibus.settings import LogLevel, NatsLogin, Positive, from_environment
from decibus.telemetry import configure_logs

log = structlog.get_logger()


class Settings(NatsLogin, frozen=True, kw_only=True):
    """Where, and on how many servers each stream is kept."""

    nats_url: str = "nats://127.0.0.1:4222"
    nats_replicas: Positive = 1
    log_level: LogLevel = "info"


async def main(settings: Settings) -> int:
    """Declare all; returns the process's exit code."""
    async with connect(settings.nats_url, name="bootstrap", login=settings) as broker:
        try:
            await broker.declare(replicas=settings.nats_replicas)
        except DecibusError as error:
            log.error("not_declared", reason=str(error))  # noqa: TRY400 - it says all there is
            return 1
        log.info("declared", replicas=settings.nats_replicas)
        return 0


if __name__ == "__main__":
    given = from_environment(Settings)
    configure_logs("bootstrap", given.log_level)
    sys.exit(asyncio.run(main(given)))
