"""
Who waits at which place in a queue, and for how long still.

The place is JetStream's: the sequence of the job's message against what its consumer has delivered,
and of the queue's other partitions, which are served in turn, as many as are ahead in its own.
How long is the replica's own forecast, from the events that it hears anyway.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from decibus import jobs
from decibus.broker import Backlog, Broker, Event
from decibus.errors import Unavailable, Unreadable
from decibus.jobs import Job, State
from decibus.messages import TaskName, read
from decibus.topology import QUEUES, Queue
from services.gateway.forecast import Activity, Sign

_FRESH_S: Final = 1.0
_FRESH_WHEN_MOVED_S: Final = 0.1
_MAX_KNOWN: Final = 4096


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where a report waits: `position` 1 is the next to be worked on.

    `eta_s` is in how many seconds the report will be done; null when no worker was heard yet.
    """

    position: int
    eta_s: float | None


class Lines:
    """The queues as those see them who wait in them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._activity: dict[TaskName, Activity] = defaultdict(Activity)
        self._ends = {task: _End(broker, queue) for task, queue in QUEUES.items()}
        self._tickets: dict[str, _Ticket] = {}  # of the jobs by key, until they are begun

    @property
    def known(self) -> int:
        """Count the jobs of which the place is known."""
        return len(self._tickets)

    def hear(self, event: Event) -> bool:
        """
        Learn from a change of any job how fast its queue is.

        Returns whether the job may be over: it has been settled, or cannot be read.
        """
        try:
            sign = read(event.value, Sign)
        except Unreadable:  # a newer release's, in the middle of a rollout
            return True
        if sign.state is not State.QUEUED:
            self._tickets.pop(event.key, None)
        task = jobs.task_of(sign.options)
        if self._activity[task].hear(event.key, sign, now=datetime.now(UTC)) and task in self._ends:
            self._ends[task].has_moved = True
        return sign.state in {State.DONE, State.FAILED}

    async def place(self, waiting: Mapping[str, Job | None]) -> Place | None:
        """
        Return where an upload's jobs wait, the one that waits longest; None when none does.

        Also None while NATS is away: nobody should miss a report for want of its place.
        """
        queued = [job for job in waiting.values() if job and job.state is State.QUEUED]
        try:
            found = [await self._place(job) for job in queued]
        except Unavailable:
            return None
        places = [place for place in found if place]
        if not places:
            return None
        etas = [place.eta_s for place in places]
        return Place(
            position=max(place.position for place in places),
            eta_s=None if None in etas else max(eta for eta in etas if eta is not None),
        )

    async def _place(self, job: Job) -> Place | None:
        task = jobs.task_of(job.options)
        ticket = await self._ticket(job, QUEUES[task])
        if ticket is None:  # not queued yet, or done this moment
            return None
        end = self._ends[task]
        backlogs = await end.backlogs()
        own = self._broker.partition(QUEUES[task], job.key)
        position = ticket.advance(
            backlogs[own.stream],
            [backlog.pending for stream, backlog in backlogs.items() if stream != own.stream],
            is_older=end.read_at < ticket.drawn_at,
        )
        eta_s = self._activity[task].eta_s(position, now=datetime.now(UTC))
        return Place(position=position, eta_s=None if eta_s is None else round(eta_s, 1))

    async def _ticket(self, job: Job, queue: Queue) -> "_Ticket | None":
        """Return the job's ticket; it keeps it for as long as this life of it is queued."""
        ticket = self._tickets.get(job.key)
        if ticket is None or ticket.dedup_id != job.dedup_id:
            sequence = self._broker.published(job.dedup_id)
            if sequence is None:
                sequence = await self._broker.sequence(queue, job.key)
            if sequence is None:
                return None
            while len(self._tickets) >= _MAX_KNOWN:
                del self._tickets[next(iter(self._tickets))]
            ticket = _Ticket(job.dedup_id, sequence)
            self._tickets[job.key] = ticket
        return ticket


class _Ticket:
    """A job's number in its stream, and the best position that anybody was told of it."""

    def __init__(self, dedup_id: str, sequence: int) -> None:
        self.dedup_id = dedup_id
        self.drawn_at = asyncio.get_running_loop().time()
        self._sequence = sequence
        self._position: int | None = None

    def advance(self, backlog: Backlog, elsewhere: Iterable[int], *, is_older: bool) -> int:
        """
        Return the position now: it only falls, though JetStream only tells bounds of it.

        `elsewhere`: how many tasks wait in each of the queue's other partitions.
        """
        ahead = self._sequence - backlog.delivered
        if not is_older:  # else this job may not be among those that it counts
            ahead = min(ahead, backlog.pending)
        # A free slot asks one partition after the other: of each go as many as of ours.
        ahead += sum(min(max(ahead - 1, 0), pending) for pending in elsewhere)
        if self._position is not None:
            ahead = min(ahead, self._position)
        self._position = max(ahead, 1)  # delivered and given back: it is next
        return self._position


class _End:
    """
    The end of one queue where tasks leave it: asked when it was seen to move, or after a second.

    However many ask, and however fast it moves, JetStream is asked at most ten times a second.
    """

    def __init__(self, broker: Broker, queue: Queue) -> None:
        self._broker = broker
        self._queue = queue
        self._asking = asyncio.Lock()
        self._backlogs: dict[str, Backlog] = {}
        self.read_at = 0.0
        self.has_moved = False

    async def backlogs(self) -> Mapping[str, Backlog]:
        """Return how far each of the queue's partitions is, by its stream."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            fresh_s = _FRESH_WHEN_MOVED_S if self.has_moved else _FRESH_S
            if not self._backlogs or now - self.read_at > fresh_s:
                self.has_moved = False
                self._backlogs = {
                    part.stream: await self._broker.backlog(part)
                    for part in self._broker.partitions(self._queue)
                }
                self.read_at = now
            return self._backlogs
