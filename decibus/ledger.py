"""Jobs, persisted: pure moves from `jobs`, applied with compare-and-set."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from decibus.broker import Broker, Conflict
from decibus.errors import DecibusError, NotFound, Unavailable
from decibus.jobs import Job
from decibus.messages import read
from decibus.topology import ANALYSES

_MAX_KNOWN: Final = 256


class Ledger:
    """
    Where every job stands. A move that loses a race is made again on the newer job.

    What was written here and is not settled is remembered, so that the next move need not read it
    first. It may be old: it is only good for a write, which the server refuses then.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._known: dict[str, tuple[Job, int]] = {}

    async def open(self, job: Job) -> tuple[Job, int | None]:
        """
        Record a new job and return it with its revision.

        When its key is known already, that one as it stands, and None.
        """
        while True:
            try:
                value = msgspec.json.encode(job)
                return job, await self._broker.write(ANALYSES, job.key, value, revision=0)
            except Conflict:
                if (known := await self.find(job.key)) is not None:
                    return known, None

    def recall(self, job: Job, revision: int) -> None:
        """Take somebody's word for how a job stands: it is only good for the next move."""
        while len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[job.key] = job, revision

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
                return await self._move_known(key, move) or await self._move(key, move)
            except Conflict:
                continue
            except Unavailable:
                if loop.time() >= deadline:
                    raise
                await asyncio.sleep(0.25)

    async def _move_known(self, key: str, move: Callable[[Job], Job]) -> Job | None:
        """Move a job as it was written last, if that leads to a write; None: it is to be read."""
        known = self._known.pop(key, None)
        if known is None:
            return None
        job, revision = known
        try:
            moved = move(job)
        except DecibusError:  # it may be legal by now
            return None
        return None if moved is job else await self._replace(job, moved, revision)

    async def _move(self, key: str, move: Callable[[Job], Job]) -> Job:
        found = await self.look(key)
        if found is None:
            raise NotFound(f"job {key} is unknown, expired or deleted")
        job, revision = found
        moved = move(job)
        return job if moved is job else await self._replace(job, moved, revision)

    async def _replace(self, job: Job, moved: Job, revision: int) -> Job:
        written = await self._broker.write(
            ANALYSES,
            job.key,
            msgspec.json.encode(moved),
            revision=revision,
            was_bare=job.is_bare,
        )
        if not moved.is_settled:
            self.recall(moved, written)
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
