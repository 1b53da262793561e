"""
Jobs as they change, for everybody who waits: one subscription a replica, fanned out in memory.

A watch begins with what was heard of a job a moment ago, or reads its record once, then follows the
events; the revision says which of two is newer. After a reconnect it reads again, because what
happened meanwhile was told to nobody.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

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
_MAX_HEARD: Final = 1024


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

    def begin_with(self, heard: "list[_Heard]") -> None:
        """Take in what was heard of all jobs: there is nothing to read."""
        for each in heard:
            self._revisions[each.event.key] = each.event.revision
            self.jobs[each.event.key] = read(each.event.value, Job)
        self.must_read, self.is_known = False, True
        self.read_at = min(each.at for each in heard)

    def doubt(self) -> None:
        """Read everything again before the next wait."""
        self.must_read = True
        self.changed.set()

    def end(self) -> None:
        """Wait for nothing more: the waiter has gone, or the gateway stops."""
        self.is_over = True
        self.changed.set()


class _Heard(msgspec.Struct, frozen=True):
    """A job that is not settled, as an event has told it, and when."""

    event: Event
    at: float


class Live:
    """Waits for jobs on behalf of any number of clients. `lines`: how long the queues are."""

    def __init__(self, broker: Broker) -> None:
        self.lines = Lines(broker)
        self._broker = broker
        self._replay = Replay(broker)
        self._watches: dict[str, set[Watch]] = {}
        self._streams: set[Watch] = set()
        self._heard: dict[str, _Heard] = {}
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
        self, keys: Iterable[str], *, within_s: float, is_client: bool = True, anew: bool = False
    ) -> Jobs:
        """
        Return the jobs once all are settled, or as they stand when the time is up.

        `anew`: as their records say, and not as was heard a moment ago; who asks without waiting
        may have been told more by another replica.
        """
        with self._watching(keys, is_client=is_client) as watch:
            if not anew:
                self._remind(watch)
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

    def _remind(self, watch: Watch) -> None:
        """Begin with what was heard lately of jobs that are still to be done."""
        since = asyncio.get_running_loop().time() - _DOUBT_AFTER_S
        heard = [self._heard[key] for key in watch.jobs if key in self._heard]
        if heard and len(heard) == len(watch.jobs) and min(each.at for each in heard) > since:
            watch.begin_with(heard)

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
        self._keep(event, is_settled=self.lines.hear(event))
        watches = self._watches.get(event.key)
        if watches:
            try:
                job = read(event.value, Job)  # once, however many watch it
            except Unreadable:
                return  # whoever reads the record is told
            for watch in watches:
                watch.learn(event.key, job, event.revision)

    def _keep(self, event: Event, *, is_settled: bool) -> None:
        """Remember the last events of jobs that will have more."""
        known = self._heard.pop(event.key, None)
        if is_settled or (known is not None and known.event.revision > event.revision):
            return
        while len(self._heard) >= _MAX_HEARD:
            del self._heard[next(iter(self._heard))]
        self._heard[event.key] = _Heard(event, asyncio.get_running_loop().time())

    def _doubt_all(self) -> None:
        self._heard.clear()
        for watches in self._watches.values():
            for watch in watches:
                watch.doubt()
