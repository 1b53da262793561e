"""
What is done of a job that takes long, so that another attempt goes on behind it.

    step ─▶ Keeper ─▶ CHECKPOINTS, an entry a part ─▶ the next attempt
                                                   └▶ who listens late, at a gateway

Two things keep a worker that has lost its job from adding to what its successor relies on. An entry
is added by compare-and-set behind the last one that its writer knows, so that none is added behind
a successor's. And the job's record is the arbiter: it is read after each entry, and whoever finds
that the job is not its own any more adds none after it. The one that it has added then is as good
as those before; where the successor has heard that part as well, its own takes the place.

Is the job over, or gone, the entry is taken back: whoever erases a job's entries once it is over
finds all others. Not so in a job's life: nats-server 2.9 takes nothing behind a last message that
was deleted.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Final

import msgspec
import structlog

from decibus import jobs
from decibus.broker import Broker, Conflict
from decibus.errors import Superseded, Unavailable, Unreadable
from decibus.jobs import Job
from decibus.ledger import Ledger
from decibus.messages import Checkpoint, read
from decibus.topology import CHECKPOINTS

log = structlog.get_logger()

_TRIES: Final = 3
_UNREADABLE: Final = Checkpoint(number=0)
"""What another release has kept: it takes the place of all before it, and is of no use itself."""
_ERASE_WINDOW: Final = 4  # entries that are overwritten side by side


class Chain:
    """The parts of a job that are done, in order; entries are to be added as they were stored."""

    def __init__(self, checkpoints: Iterable[Checkpoint] = ()) -> None:
        self.parts: list[Checkpoint] = []
        for checkpoint in checkpoints:
            self.add(checkpoint)

    def add(self, checkpoint: Checkpoint) -> None:
        """Add a part, in the place of whatever had its number; behind a gap it is worth nothing."""
        if checkpoint.number <= len(self.parts):
            self.parts[checkpoint.number :] = [checkpoint]


class Checkpoints:
    """All jobs' entries."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def entries(
        self, key: str, epoch: int, *, after: int = 0
    ) -> AsyncGenerator[tuple[int, Checkpoint], None]:
        """Yield each entry of one life of a job with its sequence, as they were stored."""
        found = self._broker.entries(CHECKPOINTS, key, epoch, after=after)
        async with aclosing(found) as messages:
            async for message in messages:
                try:
                    yield message.sequence, read(message.body, Checkpoint)
                except Unreadable:
                    yield message.sequence, _UNREADABLE

    async def add(self, key: str, epoch: int, checkpoint: Checkpoint, *, behind: int) -> int:
        """Add an entry whose predecessor is `behind`; `Conflict` when that is not the last one."""
        body = msgspec.json.encode(checkpoint)
        return await self._broker.extend(CHECKPOINTS, key, epoch, body, behind=behind)

    async def remove(self, sequence: int) -> None:
        """Remove one entry; its bytes are overwritten on disk."""
        await self._broker.remove(CHECKPOINTS.stream, sequence)

    async def erase(self, key: str) -> None:
        """Remove what was kept of a job; its bytes are overwritten on disk."""
        async with aclosing(self._broker.entries(CHECKPOINTS, key)) as messages:
            sequences = [message.sequence async for message in messages]
        for first in range(0, len(sequences), _ERASE_WINDOW):
            window = sequences[first : first + _ERASE_WINDOW]
            await asyncio.gather(*(self.remove(sequence) for sequence in window))


class Keeper:
    """What one attempt at a job finds kept, and keeps."""

    def __init__(self, broker: Broker, job: Job) -> None:
        self._checkpoints = Checkpoints(broker)
        self._ledger = Ledger(broker)
        self._job = job
        self._last = 0
        self._unkept: list[Checkpoint] = []
        self._is_lost = False

    async def kept(self) -> tuple[Checkpoint, ...]:
        """Return what the attempts before this one have kept."""
        if self._job.attempt == 1:
            return ()
        chain = Chain()
        entries = self._checkpoints.entries(self._job.key, self._job.epoch)
        async with aclosing(entries) as found:
            async for self._last, checkpoint in found:
                chain.add(checkpoint)
        return tuple(chain.parts)

    async def keep(self, checkpoint: Checkpoint) -> None:
        """
        Keep one part more; raises `Superseded` when the job is another's.

        While NATS is away or full, parts wait for the next call: then more has to be done again
        after a kill, and nothing else is worse.
        """
        if self._is_lost:
            raise Superseded(f"job {self._job.key} was lost before")
        self._unkept.append(checkpoint)
        try:
            while self._unkept:
                await self._add(self._unkept[0])
                del self._unkept[0]
        except Superseded:
            self._is_lost = True
            raise
        except Unavailable as error:
            log.warning("checkpoint_unkept", waiting=len(self._unkept), reason=str(error))

    async def _add(self, checkpoint: Checkpoint) -> None:
        key, epoch = self._job.key, self._job.epoch
        for _ in range(_TRIES):
            try:
                added = await self._checkpoints.add(key, epoch, checkpoint, behind=self._last)
            except Conflict:
                await self._refuse_if_lost()
                # Somebody who has just lost the job was here, or an answer to us was lost.
                async with aclosing(self._checkpoints.entries(key, epoch)) as found:
                    self._last = max([sequence async for sequence, _ in found], default=0)
                continue
            self._last = added
            await self._refuse_if_lost(added)
            return
        raise Unavailable(f"the checkpoints of {key} do not keep still")

    async def _refuse_if_lost(self, added: int | None = None) -> None:
        """Raise `Superseded` if the job is not ours; is it over, take back what was just added."""
        found = await self._ledger.find(self._job.key)
        if found is None or found.epoch != self._job.epoch or found.is_settled:
            if added is not None:
                await self._checkpoints.remove(added)
            raise Superseded(f"job {self._job.key} is over")
        jobs.held(found, self._job.fence)
