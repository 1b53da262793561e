"""What was heard of jobs before somebody listened: read once, however many listen late."""

import asyncio
from contextlib import aclosing
from itertools import chain

from decibus.broker import Broker
from decibus.checkpoints import Chain, Checkpoints
from decibus.jobs import Job
from decibus.messages import Segment


class _Recording:
    """The checkpoints of one life of a job, up to the entry that was read last."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.chain = Chain()
        self.last = 0
        self.reading = asyncio.Lock()


class Replay:
    """The checkpoints of the jobs that are asked for, until they are forgotten."""

    def __init__(self, broker: Broker) -> None:
        self._checkpoints = Checkpoints(broker)
        self._recordings: dict[str, _Recording] = {}

    async def segments(self, job: Job) -> tuple[Segment, ...]:
        """Return what was kept of a job so far; only what is new is read."""
        known = self._recordings.get(job.key)
        if known is None or known.epoch != job.epoch:
            known = self._recordings[job.key] = _Recording(job.epoch)
        async with known.reading:
            entries = self._checkpoints.entries(job.key, job.epoch, after=known.last)
            async with aclosing(entries) as found:
                async for known.last, checkpoint in found:
                    known.chain.add(checkpoint)
            return tuple(chain.from_iterable(part.segments for part in known.chain.parts))

    def forget(self, key: str) -> None:
        """Let go of a job that nobody listens to any more."""
        self._recordings.pop(key, None)
