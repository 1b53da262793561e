"""
Jobs as they change, for everybody who waits: one subscription a replica, fanned out in memory.

A watch reads each record once, then follows the events; the revision says which of two is newer.
After a reconnect it reads again, because what happened meanwhile was told to nobody.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from decibus.broker import Broker, Event
from decibus.errors import Unavailable, Unreadable
from decibus.jobs import Job
from decibus.messages import Segment, read
from decibus.topology import ANALYSES
from services.gateway.replay import Replay
from services.gateway.waiting import Lines

Jobs = dict[str, Job | None]
"""By key; None is a job whose record is gone."""

# Deleting a record is told to nobody, and a client that is too slow for its events loses some.
_DOUBT_AFTER_S: Final = 15.0


class Watch:
    """What one waiter knows of its jobs. `is_client`: it waits for somebody outside."""

    def __init__(self, keys: Iterable[str], *, is_client: bool = True) -> None:
        self.is_client = is_client
        self.jobs: Jobs = dict.fromkeys(keys)
        self.changed = asyncio.Event()
        self.must_read = True
        self.is_known = False
        self.read_at = 0.0
        self.is_over = False
        self._revisions: dict[str, int] = {}

    @property
    def revision(self) -> int:
        """The newest change that is known; it grows with every one."""
        return max(self._revisions.values(), default=0)

    @property
    def is_settled(self) -> bool:
        """Whether nothing will change any more."""
        return all(job is None or job.is_settled for job in self.jobs.values())

    def learn(self, key: str, job: Job, revision: int) -> None:
        """Take in a job as it stood at a revision."""
        if revision > self._revisions.get(key, 0):
            self._revisions[key] = revision
            self.jobs[key] = job
            self.changed.set()

    def doubt(self) -> None:
        """Read everything again before the next wait."""
        self.must_read = True
        self.changed.set()

    def end(self) -> None:
        """Wait for nothing more: the waiter has gone, or the gateway stops."""
        self.is_over = True
        self.changed.set()


class Live:
    """Waits for jobs on behalf of any number of clients. `lines`: how long the queues are."""

    def __init__(self, broker: Broker) -> None:
        self.lines = Lines(broker)
        self._broker = broker
        self._replay = Replay(broker)
        self._watches: dict[str, set[Watch]] = {}
        self._streams: set[Watch] = set()
        self._is_closing = False

    async def start(self) -> None:
        """Subscribe; from here on no change is missed while NATS is there."""
        self._broker.on_reconnect(self._doubt_all)
        await self._broker.hear(self._on_event)

    @property
    def waiters(self) -> int:
        """How many clients wait, each for the jobs of one request or stream."""
        return sum(watch.is_client for watch in set[Watch]().union(*self._watches.values()))

    def close(self) -> None:
        """Let nobody wait any longer: the process is about to end."""
        self._is_closing = True
        for watches in self._watches.values():
            for watch in watches:
                watch.changed.set()
        for stream in self._streams:
            stream.end()

    async def settled(
        self, keys: Iterable[str], *, within_s: float, is_client: bool = True
    ) -> Jobs:
        """Return the jobs once all are settled, or as they stand when the time is up."""
        with self._watching(keys, is_client=is_client) as watch:
            try:
                async with asyncio.timeout(within_s):
                    while not (watch.is_known and (watch.is_settled or self._is_closing)):
                        await self._news(watch)
            except TimeoutError:
                if watch.must_read:  # not even once: a deadline of 0 still gets a true answer
                    await self._read(watch)
            return watch.jobs

    async def news(self, watch: Watch, *, within_s: float) -> None:
        """Return once there may be something newer than before, or when the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._news(watch)

    async def heard(self, job: Job) -> tuple[Segment, ...]:
        """Return all that was heard so far of a job that somebody watches, not only the last."""
        kept = await self._replay.segments(job)
        if not job.partial:
            return kept
        return (*(each for each in kept if each.id < job.partial[0].id), *job.partial)

    async def _news(self, watch: Watch) -> None:
        loop = asyncio.get_running_loop()
        if not watch.must_read:
            try:
                async with asyncio.timeout_at(watch.read_at + _DOUBT_AFTER_S):
                    await watch.changed.wait()
            except TimeoutError:
                watch.must_read = True
        watch.changed.clear()
        while watch.must_read and not watch.is_over:
            try:
                await self._read(watch)
                watch.read_at = loop.time()
            except Unavailable:
                # NATS is away: the reconnect wakes us, unless it came before this try ended.
                await asyncio.sleep(0.25)

    async def _read(self, watch: Watch) -> None:
        watch.must_read = False
        try:
            for key in watch.jobs:
                record = await self._broker.read(ANALYSES, key)
                if record is None:
                    watch.jobs[key] = None
                else:
                    watch.learn(key, read(record.value, Job), record.revision)
            watch.is_known = True
        except BaseException:
            watch.must_read = True
            raise

    @contextmanager
    def streaming(self, keys: Iterable[str]) -> Iterator[Watch]:
        """Watch jobs while the block runs, or until `close`; to be read by `news`."""
        with self._watching(keys) as watch:
            if self._is_closing:
                watch.end()
            self._streams.add(watch)
            try:
                yield watch
            finally:
                self._streams.discard(watch)

    @contextmanager
    def _watching(self, keys: Iterable[str], *, is_client: bool = True) -> Iterator[Watch]:
        watch = Watch(keys, is_client=is_client)
        for key in watch.jobs:
            self._watches.setdefault(key, set()).add(watch)
        try:
            yield watch
        finally:
            for key in watch.jobs:
                self._watches[key].discard(watch)
                if not self._watches[key]:
                    del self._watches[key]
                    self._replay.forget(key)

    async def _on_event(self, event: Event) -> None:
        self.lines.hear(event)
        watches = self._watches.get(event.key)
        if watches:
            try:
                job = read(event.value, Job)  # once, however many watch it
            except Unreadable:
                return  # whoever reads the record is told
            for watch in watches:
                watch.learn(event.key, job, event.revision)

    def _doubt_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.doubt()
