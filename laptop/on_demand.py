"""
A worker for each job: `python -m laptop.on_demand` starts transcoders that do one and end.

What a KEDA ScaledJob does in a cluster, by processes: while nothing waits, none of them runs.
"""

import asyncio
import os
import sys
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Final

import structlog

from decibus import process
from decibus.broker import Broker, connect
from decibus.errors import Unavailable
from decibus.process import Process
from decibus.settings import WorkerSettings, from_environment
from decibus.telemetry import configure_logs
from decibus.topology import TRANSCODE

log = structlog.get_logger()

_LOOK_EVERY_S: Final = 0.5
_COMMAND: Final = (sys.executable, "-m", "services.transcoder", "--once")
_VERSION: Final = version("decibus")


class Crew:
    """The processes that run now, `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[asyncio.subprocess.Process] = set()

    async def look(self, broker: Broker) -> None:
        """Start what is missing: one for each task that waits or is in hand, as KEDA does."""
        self._running = {each for each in self._running if each.returncode is None}
        parts = broker.partitions(TRANSCODE)
        tasks = sum([await broker.lag(part.stream, part.consumer) for part in parts])
        for _ in range(min(tasks, self._most) - len(self._running)):
            # A port for its metrics is one that another may have just now.
            env = os.environ | {"METRICS_PORT": "0"}  # noqa: TID251 - handed on
            started = await asyncio.create_subprocess_exec(*_COMMAND, env=env)
            log.info("worker_started", pid=started.pid)
            self._running.add(started)

    async def end(self) -> None:
        """Let each finish or hand back what it has."""
        for each in self._running:
            with suppress(ProcessLookupError):
                each.terminate()
        await asyncio.gather(*(each.wait() for each in self._running))


async def main(life: Process, settings: WorkerSettings) -> int:
    """Watch the queue until told to stop; returns the exit code."""
    crew = Crew(most=os.cpu_count() or 1)
    # By the name of the user that it is to a NATS with users.
    async with connect(
        settings.nats_url, name="transcoder", login=settings, partitions=settings.partitions
    ) as broker:
        broker.when_closed(life.end)
        await broker.declare(replicas=settings.nats_replicas)
        # Jobs are taken: it needs no worker that is there already.
        await broker.announce(TRANSCODE.consumer, version=_VERSION)
        life.ready()
        while not life.stop.is_set():
            with suppress(Unavailable):  # NATS is away: look again
                await crew.look(broker)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await life.stop.wait()
        await crew.end()
        return 1 if broker.is_closed else 0


if __name__ == "__main__":
    given = from_environment(WorkerSettings)
    configure_logs("transcoder", given.log_level)
    sys.exit(asyncio.run(process.run(partial(main, settings=given))))
