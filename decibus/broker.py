"""
NATS, in the pipeline's words: publish a task, pull deliveries, keep records, hear events, answer.

Only this module and `blobs` speak NATS. Whatever the server or the network does wrong arrives at
the caller as `errors.Unavailable`; a lost compare-and-set as `Conflict`.

nats-py 2.16 is used for its connection alone: its `fetch` sleeps through a server's restart, its
key-value watcher notices one after 19 s, and its `flush` is no barrier for a fresh subscription.
"""

import asyncio
import ssl
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

import msgspec
import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro import add_service
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request
from nats.micro.service import EndpointConfig, ServiceConfig

from decibus import provision
from decibus.errors import BacklogFull, DecibusError, Unavailable
from decibus.inboxes import Inboxes
from decibus.pull import Delivery, Pull, status_of
from decibus.refusals import LIMIT_REACHED, REQUEST_TIMEOUT_S, is_full, translated
from decibus.settings import NatsLogin, SettingsError
from decibus.telemetry import NATS_CONNECTED, NATS_RECONNECTS, SLOW_CONSUMER
from decibus.topology import (
    ERRANDS,
    EVENTS_PREFIX,
    PARTITIONS,
    QUEUES,
    Bucket,
    Journal,
    Queue,
    Quota,
    Reader,
)

log = structlog.get_logger()

DEDUP_ID: Final = "Nats-Msg-Id"
_LEADER_PATIENCE_S: Final = 60.0
_WRONG_LAST_SEQUENCE: Final = (10071, 10164)
_NOTHING_TO_DELETE: Final = (10037, 10043, 10057)  # how servers say: there is no such message
_NOTHING_THERE: Final = (10037, 10043)
_INBOX_PREFIX: Final = "_INBOX"  # of all clients, also those with a prefix of their own
_TAKE_EXPIRES_S: Final = 0.2
_MAX_PUBLISHED: Final = 1024
_ANONYMOUS: Final = NatsLogin()


class Conflict(DecibusError):
    """The record is not at the revision that the writer had read."""


class Published(Enum):
    """What became of a task that was put on its queue."""

    NEW = auto()  # it is there now
    KNOWN = auto()  # it was published before, within two minutes; it may be done already
    IN_FLIGHT = auto()  # the queue holds another task of this key


class Record(msgspec.Struct, frozen=True):
    """A value in a bucket and the revision to write over it with."""

    value: bytes
    revision: int


class Event(msgspec.Struct, frozen=True):
    """A change of a record, as republished. Of two events on a key the higher revision is newer."""

    key: str
    value: bytes
    revision: int


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it lies in a stream."""

    subject: str
    sequence: int
    at: datetime
    body: bytes
    headers: Mapping[str, str]


class Backlog(msgspec.Struct, frozen=True):
    """
    Where a queue's consumer stands.

    `delivered`: the highest sequence that any worker was handed; `pending`: how many tasks wait
    behind it.
    """

    delivered: int
    pending: int


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a queue is, for those who watch it.

    `waiting`: tasks that no worker was handed; `in_hand`: handed and not settled, of which
    `redelivered` not for the first time; `oldest_at`: since when the next task waits.
    """

    waiting: int
    in_hand: int
    redelivered: int
    oldest_at: datetime | None


class Answer(msgspec.Struct, frozen=True):
    """What was replied; `is_refusal`: with the headers that micro services use for errors."""

    body: bytes
    is_refusal: bool


class _Message(msgspec.Struct, frozen=True):
    time: datetime
    subject: str = ""
    seq: int = 0
    data: bytes = b""  # base64 on the wire, and so are the headers
    hdrs: bytes = b""


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct, frozen=True):
    error: _Error | None = None
    seq: int = 0
    duplicate: bool = False


class _Found(msgspec.Struct, frozen=True):
    error: _Error | None = None
    message: _Message | None = None


class _Names(msgspec.Struct, frozen=True):
    streams: tuple[str, ...] | None = None


class _Announcement(msgspec.Struct, frozen=True):
    metadata: Mapping[str, str] = {}


class Call:
    """One request at the NATS door. It holds its body until that is taken, and no longer."""

    def __init__(self, connection: Client, request: Request, reply: str) -> None:
        self._connection = connection
        self._reply = reply
        self._body = request.data
        self.size = len(request.data)
        self.headers: Mapping[str, str] = request.headers or {}

    def take_body(self) -> bytes:
        """Return the body, once: the next time it is empty."""
        body, self._body = self._body, b""
        return body

    async def reply(self, body: bytes) -> None:
        """Answer."""
        with translated():
            await self._connection.publish(self._reply, body)

    async def refuse(self, status: int, description: str, body: bytes) -> None:
        """Answer with an error, in the headers that micro services use and in a body."""
        headers = {ERROR_HEADER: description, ERROR_CODE_HEADER: str(status)}
        with translated():
            await self._connection.publish(self._reply, body, headers=headers)


class Broker:
    """
    A connection to NATS. `connection` is there for `blobs`, and for nobody else.

    That a queue is several streams is known here: whoever gives one queue and a key means the
    partition of the key, whoever gives one queue alone all of its partitions.
    """

    def __init__(self, connection: Client, partitions: int = 1) -> None:
        self.connection = connection
        self._partitions = partitions
        self._js = connection.jetstream(timeout=REQUEST_TIMEOUT_S)
        self._inboxes = Inboxes(connection)
        self._on_reconnect: list[Callable[[], None]] = []
        self._on_closed: list[Callable[[], None]] = []
        self._quota_replicas = 1
        self._published: dict[str, int] = {}

    @property
    def is_connected(self) -> bool:
        """Whether the server is reachable at this moment."""
        return bool(self.connection.is_connected)

    def not_ready(self) -> str | None:
        """Return what is wrong with the connection, or None."""
        return None if self.is_connected else "NATS is away"

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone for good; the process should end."""
        return bool(self.connection.is_closed)

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the connection is gone for good: nats-py closes on any -ERR."""
        self._on_closed.append(callback)

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every reconnect; returns the way to stop that."""
        self._on_reconnect.append(callback)
        return lambda: self._on_reconnect.remove(callback)

    async def lost(self) -> None:
        """Tell everybody that there will be no reconnect."""
        for callback in self._on_closed:
            callback()

    async def reconnected(self) -> None:
        """Tell everybody who waits on the server that it has to be asked again."""
        log.info("nats_reconnected")
        NATS_RECONNECTS.inc()
        for callback in tuple(self._on_reconnect):
            callback()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """
        Translate errors, and ask nothing of a server that is away.

        nats-py would buffer the publish, time out, and store it after the reconnect all the same.
        """
        if not self.is_connected:
            raise Unavailable("NATS is away")
        with translated():
            yield

    async def declare(
        self,
        *,
        replicas: int = 1,
        queues: Iterable[Queue] = (*QUEUES.values(), *ERRANDS),
        repartition: bool = False,
    ) -> None:
        """
        Create what `topology` names, or bring it to what `topology` says; read it back.

        A cluster that has just started has no leader yet: that is waited for. Raises `Mismatch`
        when the server has something that cannot be changed, or ignores a field, and when its
        queues have another number of partitions, unless they may be given a new one.
        """
        deadline = asyncio.get_running_loop().time() + _LEADER_PATIENCE_S
        while True:
            try:
                with translated():
                    await provision.declare(
                        self._js,
                        replicas=replicas,
                        queues=queues,
                        partitions=self._partitions,
                        repartition=repartition,
                    )
            except Unavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                log.info("waiting_for_jetstream", reason=str(error))
                await asyncio.sleep(0.5)
            else:
                return

    async def agree(self) -> None:
        """Raise `Mismatch` when the server's queues have another number of partitions than here."""
        with self._asking():
            provision.agree(self._partitions, await provision.partitions_of(self._js))

    def partitions(self, queue: Queue) -> tuple[Queue, ...]:
        """Return the partitions of a queue; often it is its only one."""
        return queue.split(self._partitions)

    def partition(self, queue: Queue, key: str) -> Queue:
        """Return the partition of a queue in which a key's tasks are."""
        return queue.at(key, self._partitions)

    def cap(self, queue: Queue) -> int:
        """Return how many tasks a queue takes."""
        return sum(part.max_msgs for part in self.partitions(queue))

    async def left_behind(self, queue: Queue) -> list[Queue]:
        """Return the partitions of any former number that are still on the server."""
        with self._asking():
            request = msgspec.json.encode({"subject": f"{queue.root}>"})
            answer = await self._inboxes.ask(
                "$JS.API.STREAM.NAMES", request, within_s=REQUEST_TIMEOUT_S
            )
        there = msgspec.json.decode(answer.data, type=_Names).streams or ()
        formers = (queue.split(number) for number in PARTITIONS if number != self._partitions)
        return [part for parts in formers for part in parts if part.stream in there]

    async def publish(
        self, queue: Queue, key: str, body: bytes, *, dedup_id: str, headers: Mapping[str, str]
    ) -> Published:
        """Put a task on its queue. Raises `BacklogFull` at the cap."""
        with self._asking():
            try:
                stored = await self._store(
                    self.partition(queue, key).subject(key),
                    body,
                    headers={DEDUP_ID: dedup_id, **headers},
                )
            except nats.js.errors.APIError as error:
                if error.err_code != LIMIT_REACHED:
                    raise
                if "per subject" in (error.description or ""):
                    return Published.IN_FLIGHT
                if is_full(error.err_code, error.description):
                    raise
                raise BacklogFull(f"{queue.stream}: {error.description}") from error
            if stored.duplicate:
                return Published.KNOWN
            while len(self._published) >= _MAX_PUBLISHED:
                del self._published[next(iter(self._published))]
            self._published[dedup_id] = stored.seq
            return Published.NEW

    def published(self, dedup_id: str) -> int | None:
        """Return the number in its queue's stream of a task that was published here lately."""
        return self._published.get(dedup_id)

    async def count_tasks(self, queue: Queue) -> int:
        """Return how many tasks a queue holds, those in hand included."""
        with self._asking():
            infos = await asyncio.gather(
                *(self._js.stream_info(part.stream) for part in self.partitions(queue))
            )
            return sum(info.state.messages for info in infos)

    async def declare_quota(self, quota: Quota, *, replicas: int = 1) -> None:
        """Create the stream that counts requests, or bring it to these limits; read it back."""
        with translated():
            await provision.declare_quota(self._js, quota, replicas=replicas)
        self._quota_replicas = replicas

    async def count_request(self, quota: Quota, sender: str) -> bool:
        """Count a request, atomically; False when the sender has used up its share."""
        with self._asking():
            try:
                await self._count(quota, sender)
            except nats.js.errors.APIError as error:
                if error.err_code == LIMIT_REACHED and "per subject" in (error.description or ""):
                    return False
                raise
            return True

    async def _count(self, quota: Quota, sender: str) -> None:
        try:
            await self._store(quota.subject(sender), b"")
        except nats.errors.NoRespondersError:
            # It lives in memory: a server that was killed has forgotten it.
            await provision.declare_quota(self._js, quota, replicas=self._quota_replicas)
            await self._store(quota.subject(sender), b"")

    async def counted(self, quota: Quota, sender: str) -> tuple[int, datetime | None]:
        """Return how many of a sender's requests count now, and when the oldest of them came."""
        subject = quota.subject(sender)
        with self._asking():
            info, oldest = await asyncio.gather(
                self._js.stream_info(quota.stream, subjects_filter=subject),
                self._first_at(quota.stream, subject),
            )
            return (info.state.subjects or {}).get(subject, 0), oldest

    async def _first_at(self, stream: str, subject: str) -> datetime | None:
        found = await self._get(stream, seq=1, next_by_subj=subject)
        return None if found is None else found.time.astimezone(UTC)

    async def withdraw(self, queue: Queue, key: str) -> None:
        """Take a task back from its queue; none being there is no error."""
        # Not a purge by subject: with that, 2.9.10 moves the consumer to the end of the stream, and
        # no worker ever gets the tasks that others have waiting there.
        sequence = await self.sequence(queue, key)
        if sequence is not None:
            await self.remove(self.partition(queue, key).stream, sequence)

    async def waiting_keys(self, queue: Queue) -> set[str]:
        """Return whose tasks are on a queue, those that are being worked on included."""
        keys: set[str] = set()
        for part in self.partitions(queue):
            with self._asking():
                info = await self._js.stream_info(part.stream, subjects_filter=part.subjects)
            keys |= {part.key(subject) for subject in info.state.subjects or {}}
        return keys

    async def append(
        self, subject: str, body: bytes, *, dedup_id: str, headers: Mapping[str, str]
    ) -> None:
        """Add to a log what it does not have under this `dedup_id` yet."""
        with self._asking():
            await self._store(subject, body, headers={DEDUP_ID: dedup_id, **headers})

    async def extend(
        self, journal: Journal, key: str, epoch: int, body: bytes, *, behind: int
    ) -> int:
        """Add an entry whose predecessor is `behind` (0: it is the first); returns its sequence."""
        return await self._put_behind(behind, journal.subject(key, epoch), body)

    async def entries(
        self, journal: Journal, key: str, epoch: int | None = None, *, after: int = 0
    ) -> AsyncGenerator[Stored, None]:
        """Yield what a journal says of a job, behind a sequence; without an epoch, of any life."""
        subject = journal.subject(key, epoch)
        async with aclosing(self.walk(journal.stream, subject, after=after)) as messages:
            async for message in messages:
                yield message

    async def take(
        self, reader: Reader, *, most: int, within_s: float = _TAKE_EXPIRES_S
    ) -> list[Delivery]:
        """Return what a log's consumer has not seen yet, `most` or as many as come `within_s`."""
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        taken: list[Delivery] = []
        pull = {"batch": most, "expires": int(within_s * 1e9)}
        with self._asking():
            inbox = self.connection.new_inbox()
            subscription = await self.connection.subscribe(inbox, cb=arrived.put)
            try:
                subject = f"$JS.API.CONSUMER.MSG.NEXT.{reader.stream}.{reader.consumer}"
                await self.connection.publish(subject, msgspec.json.encode(pull), reply=inbox)
                async with asyncio.timeout(within_s + REQUEST_TIMEOUT_S):
                    while len(taken) < most and status_of(message := await arrived.get()) is None:
                        taken.append(Delivery(message))
            except TimeoutError:
                if not taken:  # what has come is there, whatever became of the rest
                    raise
            finally:
                await subscription.unsubscribe()
        return taken

    async def stored(self, stream: str, sequence: int) -> Stored | None:
        """Return a message by its sequence, or None when it is gone."""
        found = await self._get(stream, seq=sequence)
        return None if found is None else _stored(found)

    async def walk(
        self, stream: str, subjects: str, *, after: int = 0
    ) -> AsyncGenerator[Stored, None]:
        """
        Yield what lies behind a sequence, the oldest first, one message in memory at a time.

        What is written meanwhile is seen too; nothing is left on the server by one who stops early.
        """
        while (found := await self._get(stream, seq=after + 1, next_by_subj=subjects)) is not None:
            yield _stored(found)
            after = found.seq

    async def remove(self, stream: str, sequence: int) -> None:
        """Delete a message by its sequence. Removing nothing is no error."""
        request = msgspec.json.encode({"seq": sequence})
        api_subject = f"$JS.API.STREAM.MSG.DELETE.{stream}"
        with self._asking():
            answer = await self._inboxes.ask(api_subject, request, within_s=REQUEST_TIMEOUT_S)
        error = msgspec.json.decode(answer.data, type=_Found).error
        if error is not None and error.err_code not in _NOTHING_TO_DELETE:
            raise Unavailable(f"NATS: {error.description} ({error.err_code})")

    async def is_served(self, queue: Queue) -> bool:
        """Return whether a worker of this queue is alive: one that has announced itself answers."""
        return await self.announced(queue.consumer) is not None

    async def announced(self, name: str) -> Mapping[str, str] | None:
        """
        Return what the first service of this name to answer says about itself; None without any.

        One that is being replaced may say something else than the next one.
        """
        with self._asking():
            try:
                subject = f"$SRV.PING.{name}"
                answer = await self._inboxes.ask(subject, b"", within_s=1.0)
            except (nats.errors.NoRespondersError, TimeoutError):
                return None
            return msgspec.json.decode(answer.data, type=_Announcement).metadata

    async def announce(
        self, name: str, *, version: str, metadata: Mapping[str, str] | None = None
    ) -> Callable[[], Awaitable[None]]:
        """
        Show that this worker is ready, to `is_served` and to `nats micro ls`.

        `metadata` is what it says about itself. Returns the way to take all that back.
        """
        config = ServiceConfig(name=name, version=version, metadata=dict(metadata or {}))
        with translated():
            service = await add_service(self.connection, config)
            await self.settle_subscriptions()

        async def withdraw() -> None:
            with translated():
                await service.stop()
                await self.settle_subscriptions()

        return withdraw

    async def condition(self, queue: Queue) -> Condition:
        """Return how a queue is, all its partitions together."""
        parts = [await self._condition(part) for part in self.partitions(queue)]
        return Condition(
            waiting=sum(part.waiting for part in parts),
            in_hand=sum(part.in_hand for part in parts),
            redelivered=sum(part.redelivered for part in parts),
            oldest_at=min((part.oldest_at for part in parts if part.oldest_at), default=None),
        )

    async def _condition(self, part: Queue) -> Condition:
        with self._asking():
            info = await self._js.consumer_info(part.stream, part.consumer)
            delivered = (info.delivered.stream_seq if info.delivered else 0) or 0
            waiting = self.walk(part.stream, part.subjects, after=delivered)
            oldest = await anext(waiting, None) if info.num_pending else None
            return Condition(
                waiting=info.num_pending or 0,
                in_hand=info.num_ack_pending or 0,
                redelivered=info.num_redelivered or 0,
                oldest_at=None if oldest is None else oldest.at,
            )

    async def stream_bytes(self, stream: str) -> tuple[int, int]:
        """Return how many bytes a stream holds, and how many it may hold at most; 0: any."""
        with self._asking():
            info = await self._js.stream_info(stream)
            return info.state.bytes, max(info.config.max_bytes or 0, 0)

    async def count_subjects(self, stream: str, subjects: str) -> int:
        """Return how many subjects in a stream match."""
        with self._asking():
            info = await self._js.stream_info(stream, subjects_filter=subjects)
            return len(info.state.subjects or {})

    async def lag(self, stream: str, consumer: str) -> int:
        """Return how many messages a consumer has not settled yet."""
        with self._asking():
            info = await self._js.consumer_info(stream, consumer)
            return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def backlog(self, queue: Queue) -> Backlog:
        """Return how far a queue has been handed out; of several partitions, one that is given."""
        with self._asking():
            stream, info = await asyncio.gather(
                self._js.stream_info(queue.stream),
                self._js.consumer_info(queue.stream, queue.consumer),
            )
            delivered = info.delivered.stream_seq if info.delivered else 0
            # What was withdrawn from the head of the queue counts as handed out.
            return Backlog(
                delivered=max(delivered, stream.state.first_seq - 1), pending=info.num_pending or 0
            )

    async def sequence(self, queue: Queue, key: str) -> int | None:
        """Return the number of a task in its partition's stream, or None when it is not there."""
        part = self.partition(queue, key)
        found = await self._last(part.stream, part.subject(key))
        return None if found is None else found.seq

    def pull(self, queue: Queue) -> Pull:
        """Take one delivery after the other, for one free slot."""
        return Pull(self.connection, self.on_reconnect, self.partitions(queue))

    async def read(self, bucket: Bucket, key: str) -> Record | None:
        """Return a record as its leader has it, or None."""
        found = await self._last(bucket.stream, bucket.subject(key))
        if found is None or b"\nKV-Operation:" in found.hdrs:
            return None
        return Record(found.data, found.seq)

    async def _last(self, stream: str, subject: str) -> "_Message | None":
        return await self._get(stream, last_by_subj=subject)

    async def _get(self, stream: str, **asked: object) -> "_Message | None":
        """Return a message as a stream's leader has it; nats-py takes three times as long."""
        request = msgspec.json.encode(asked)
        api_subject = f"$JS.API.STREAM.MSG.GET.{stream}"
        with self._asking():
            answer = await self._inboxes.ask(api_subject, request, within_s=REQUEST_TIMEOUT_S)
        found = msgspec.json.decode(answer.data, type=_Found)
        if found.error is not None and found.error.err_code not in _NOTHING_THERE:
            raise Unavailable(f"NATS: {found.error.description} ({found.error.err_code})")
        return found.message

    async def write(
        self, bucket: Bucket, key: str, value: bytes, *, revision: int, was_bare: bool = False
    ) -> int:
        """
        Replace a record that still has `revision` (0: that does not exist yet).

        The bytes of the revision before are overwritten on disk, unless it was bare: that had
        nothing that must not stay. A stream that merely lets go of a message leaves it in its file,
        and to overwrite it costs the server the whole block around it.
        """
        sequence = await self._put_behind(revision, bucket.subject(key), value)
        if revision:
            with suppress(Unavailable):  # then it goes when the record is erased
                await (self._let_go if was_bare else self.remove)(bucket.stream, revision)
        return sequence

    async def _let_go(self, stream: str, sequence: int) -> None:
        """Have a message deleted some time soon; its bytes stay where they are."""
        request = msgspec.json.encode({"seq": sequence, "no_erase": True})
        subject = f"$JS.API.STREAM.MSG.DELETE.{stream}"
        with self._asking():  # the answer goes where nobody listens
            await self.connection.publish(subject, request, reply=self.connection.new_inbox())

    async def _put_behind(self, last: int, subject: str, body: bytes) -> int:
        """Store a message if the last one of its subject is that one; 0: if there is none."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        with self._asking():
            try:
                return (await self._store(subject, body, headers=headers)).seq
            except nats.js.errors.APIError as error:
                if error.err_code in _WRONG_LAST_SEQUENCE:
                    raise Conflict(subject) from error
                raise

    async def _store(
        self, subject: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> "_Ack":
        """Have a message stored by the stream of its subject."""
        answer = await self._inboxes.ask(subject, body, headers=headers, within_s=REQUEST_TIMEOUT_S)
        ack = msgspec.json.decode(answer.data, type=_Ack)
        if (error := ack.error) is not None:
            raise nats.js.errors.APIError(
                code=error.code, description=error.description, err_code=error.err_code
            )
        return ack

    async def erase(self, bucket: Bucket, key: str, *, revision: int | None = None) -> None:
        """
        Remove a record; its bytes are overwritten on disk. Removing nothing is no error.

        With `revision` a record is left alone that somebody has replaced meanwhile. Holds for the
        files of a stream with one replica. With more, each server's Raft log keeps a copy of what
        was written until it is compacted.
        """
        if revision is not None:
            await self.remove(bucket.stream, revision)
            return
        # The oldest first: no reader may see a record step back.
        while (found := await self.oldest(bucket, key)) is not None:
            await self.remove(bucket.stream, found.revision)

    async def oldest(self, bucket: Bucket, pattern: str) -> Event | None:
        """Return the record that was written first of all whose key matches, as in `by.*`."""
        found = await self._get(bucket.stream, seq=1, next_by_subj=bucket.subject(pattern))
        if found is None:
            return None
        return Event(found.subject.removeprefix(bucket.subject("")), found.data, found.seq)

    async def keys(self, bucket: Bucket, pattern: str) -> list[str]:
        """Return the keys that match, as in `by.*`, in order."""
        with self._asking():
            subjects = bucket.subject(pattern)
            info = await self._js.stream_info(bucket.stream, subjects_filter=subjects)
            prefix = bucket.subject("")
            return sorted(each.removeprefix(prefix) for each in info.state.subjects or {})

    async def count(self, bucket: Bucket, pattern: str) -> int:
        """Return how many keys match, as in `by.*.x`."""
        return await self.count_subjects(bucket.stream, bucket.subject(pattern))

    async def hear(self, callback: Callable[[Event], Awaitable[None]]) -> None:
        """Call back for every change of a record, from now on and across reconnects."""

        async def on_message(message: Msg) -> None:
            revision = int((message.headers or {}).get("Nats-Sequence", "0"))
            key = message.subject.removeprefix(EVENTS_PREFIX)
            await callback(Event(key, message.data, revision))

        with translated():
            await self.connection.subscribe(f"{EVENTS_PREFIX}>", cb=on_message)
            await self.settle_subscriptions()

    async def ask(self, subject: str, body: bytes, *, within_s: float) -> Answer:
        """Ask whoever answers there; `Unavailable` when nobody does in time."""
        with self._asking():
            answer = await self._inboxes.ask(subject, body, within_s=within_s)
            return Answer(answer.data, is_refusal=ERROR_CODE_HEADER in (answer.headers or {}))

    async def answer(
        self,
        name: str,
        *,
        version: str,
        group: str,
        handlers: Mapping[str, Callable[[Call], Awaitable[None]]],
    ) -> Callable[[], Awaitable[None]]:
        """
        Offer endpoints, by subject, as a NATS micro service; returns the way to stop that.

        Requests come one after the other: a handler that takes its time hands them to a task. One
        without an inbox to answer to is dropped: whoever may ask must not make us write elsewhere.
        """

        def guarded(
            subject: str, handler: Callable[[Call], Awaitable[None]]
        ) -> Callable[[Request], Awaitable[None]]:
            async def on_request(request: Request) -> None:
                reply = request._msg.reply  # noqa: SLF001 - nats-py 2.16 does not show it
                if reply.startswith(_INBOX_PREFIX):
                    await handler(Call(self.connection, request, reply))
                else:
                    log.warning("request_without_inbox", subject=subject)

            return on_request

        with translated():
            service = await add_service(self.connection, ServiceConfig(name=name, version=version))
            for subject, handler in handlers.items():
                await service.add_endpoint(
                    EndpointConfig(
                        name=subject.replace(".", "_"),
                        handler=guarded(subject, handler),
                        subject=subject,
                        queue_group=group,
                    )
                )
            await self.settle_subscriptions()
            return service.stop

    async def settle_subscriptions(self) -> None:
        """Return once the server knows of every subscription made so far."""
        # Twice: nats-py sends the first PING ahead of the SUBs that are still in its buffer.
        await self.connection.flush()
        await self.connection.flush()


@asynccontextmanager
async def connect(
    url: str, *, name: str, login: NatsLogin = _ANONYMOUS, partitions: int = 1
) -> AsyncIterator[Broker]:
    """
    Connect, waiting for a server as long as it takes; `url` may name several, with commas.

    `partitions`: how many streams each queue of jobs is.

    Answers come to inboxes under `_INBOX_<name>`, so that a server can keep everybody else from
    listening there. nats-py reconnects for ever; when it gives up all the same,
    `Broker.when_closed` tells.
    """
    connection = Client()
    broker = Broker(connection, partitions)
    is_ending = False
    NATS_CONNECTED.set_function(lambda: float(broker.is_connected))

    async def on_disconnected() -> None:  # nats-py wants coroutine functions
        if not is_ending:
            log.warning("nats_disconnected")

    async def on_error(error: Exception) -> None:
        # Four connection attempts a second would fill the log of a long outage.
        tell = log.debug if isinstance(error, OSError) else log.warning
        tell("nats_error", reason=f"{type(error).__name__} {error}".strip())
        if isinstance(error, nats.errors.SlowConsumerError):
            SLOW_CONSUMER.inc()
            await broker.reconnected()  # messages were dropped, which is as bad as an outage

    with translated():
        await connection.connect(
            url.split(","),
            name=name,
            inbox_prefix=f"{_INBOX_PREFIX}_{name}",
            user=login.nats_user or None,
            password=login.nats_password or None,
            user_credentials=login.nats_creds or None,
            tls=_tls(login),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # typed int, used as seconds
            ping_interval=10,
            max_outstanding_pings=2,
            pending_size=8 << 20,
            closed_cb=broker.lost,
            disconnected_cb=on_disconnected,
            error_cb=on_error,
            reconnected_cb=broker.reconnected,
        )
    try:
        yield broker
    finally:
        is_ending = True
        with suppress(nats.errors.Error, OSError):  # it may be away already
            await connection.close()


def _tls(login: NatsLogin) -> ssl.SSLContext | None:
    """Return what to encrypt with; None leaves it to the URL, with the system's authorities."""
    if not (login.nats_ca or login.nats_cert):
        return None
    try:
        context = ssl.create_default_context(cafile=login.nats_ca or None)
        if login.nats_cert:
            context.load_cert_chain(login.nats_cert, login.nats_key or None)
    except OSError as error:
        raise SettingsError(f"NATS_CA, NATS_CERT, NATS_KEY: {error}") from error
    return context


def _stored(message: _Message) -> Stored:
    return Stored(
        subject=message.subject,
        sequence=message.seq,
        at=message.time,
        body=message.data,
        headers=_headers(message.hdrs),
    )


def _headers(raw: bytes) -> dict[str, str]:
    """Read a line `NATS/1.0` and a `Name: value` each; of a name that comes twice, the last."""
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
