"""Jobs, persisted: pure moves from `jobs`, applied with compare-and-set."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import msgspec

from decibus.broker import Broker, Conflict
from decibus.errors import NotFound, Unavailable
from decibus.jobs import Job
from decibus.messages import read
from decibus.topology import ANALYSES


class Ledger:
    """Where every job stands. A move that loses a race is made again on the newer job."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def open(self, job: Job) -> tuple[Job, bool]:
        """Record a new job; when its key is known already, return that one as it stands."""
        while True:
            try:
                await self._broker.write(ANALYSES, job.key, msgspec.json.encode(job), revision=0)
            except Conflict:
                if (known := await self.find(job.key)) is not None:
                    return known, False
            else:
                return job, True

    async def find(self, key: str) -> Job | None:
        """Return the job as it stands, or None."""
        found = await self.look(key)
        return None if found is None else found[0]

    async def look(self, key: str) -> tuple[Job, int] | None:
        """Return the job as it stands with its revision, or None."""
        record = await self._broker.read(ANALYSES, key)
        if record is None:
            return None
        return read(record.value, Job), record.revision

    async def move(
        self, key: str, move: Callable[[Job], Job], *, patience: timedelta = timedelta()
    ) -> Job:
        """
        Apply a move of `jobs` and return the job after it.

        A move that changes nothing writes nothing. While NATS is away it is tried again for as
        long as `patience`, so that a result does not get lost for a restart of the server.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience.total_seconds()
        while True:
            try:
                return await self._move(key, move)
            except Conflict:
                continue
            except Unavailable:
                if loop.time() >= deadline:
                    raise
                await asyncio.sleep(0.25)

    async def _move(self, key: str, move: Callable[[Job], Job]) -> Job:
        record = await self._broker.read(ANALYSES, key)
        if record is None:
            raise NotFound(f"job {key} is unknown, expired or deleted")
        job = read(record.value, Job)
        moved = move(job)
        if moved is not job:
            value = msgspec.json.encode(moved)
            await self._broker.write(ANALYSES, key, value, revision=record.revision)
        return moved

    async def refresh(self, key: str) -> bool:
        """
        Give a job that nobody works on a full life in the bucket again, as a new revision.

        Who was about to `erase` the old one leaves it alone then. Returns whether it was in time.
        """
        record = await self._broker.read(ANALYSES, key)
        if record is None:
            return False
        try:
            await self._broker.write(ANALYSES, key, record.value, revision=record.revision)
        except Conflict:  # erased, or written by somebody else just now, which is as good
            return await self._broker.read(ANALYSES, key) is not None
        return True

    async def erase(self, key: str, *, revision: int | None = None) -> None:
        """Forget the job; with `revision`, unless it has a newer one by now."""
        if revision is None:
            await self._broker.erase(ANALYSES, key)
            return
        # The oldest first: no reader may see a record step back.
        while (found := await self._broker.oldest(ANALYSES, key)) and found.revision <= revision:
            await self._broker.erase(ANALYSES, key, revision=found.revision)
