"""
Audio in a NATS object store: streamed in, streamed out, never whole in memory.

    put     source ──▶ $O.<bucket>.C.<nuid>    a chunk a message, `window` of them not yet acked
                   ──▶ $O.<bucket>.M.<name>    the meta, last: what has no meta does not exist
    fetch   meta ──▶ an ephemeral pull consumer over the chunks ──▶ file, 8 MiB asked for ahead

The layout is NATS ADR-20: `nats object get` reads what is put here, `fetch` reads what
`nats object put` stored. nats-py 2.16 has an object store too, but its get moves on every 250 ms
(22 MB/s), waits for ever when chunks are gone, and leaks its consumer when it is cancelled.
"""

import asyncio
import hashlib
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Annotated, BinaryIO, Final, Self

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from decibus.errors import BadRequest, BlobGone, StorageFull, TooLarge, Unavailable, Unreadable
from decibus.inboxes import Inboxes
from decibus.messages import read
from decibus.refusals import is_full, translated

_DIGEST_TYPE: Final = "SHA-256="
_HEADER_BYTES: Final = 4096  # room for headers below the server's max_payload
_NAME_BYTES: Final = 1024  # a subject beyond the server's max_control_line ends the connection
_NO_MESSAGE_FOUND: Final = 10037  # nats-server's JSNoMessageFoundErr
_ERASE_WINDOW: Final = 4  # messages that are overwritten side by side: uploads must not starve
_ERASURES: Final = 4  # objects that are erased side by side: the server answers others in between
_ERASE_IDLE_S: Final = 30.0  # a server that overwrites a lot is slow, and not away
_PULL_BYTES: Final = 4 << 20  # one pull request; two are under way
_PULL_EXPIRES_NS: Final = 250_000_000  # how soon the server says that it has no more
_READER_EXPIRES_NS: Final = 30_000_000_000  # when it drops the consumer of a client that died
_IN_FLIGHT: Final = 32  # chunks of all puts that wait for an ack: 16 MiB, what a server holds well
_LOOK_EVERY_S: Final = 0.25  # whether the connection still is the one that answers would come by
_FEW_CHUNKS: Final = 4  # are asked for one by one: a reader costs as much as several questions
_DIRECT_S: Final = 1.0
_MAX_PLACES: Final = 256  # objects of which a store knows where their messages are


class _Options(msgspec.Struct, frozen=True):
    """How an object was cut."""

    max_chunk_size: Annotated[int, msgspec.Meta(ge=1)] = 128 * 1024  # where a meta does not say


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """
    An object's meta, as it stands in the store: ADR-20's ObjectInfo.

    Its chunks lie on the subject that ends in `nuid`. `mtime` is the time of the meta's message.
    """

    name: str
    bucket: str
    nuid: str
    size: Annotated[int, msgspec.Meta(ge=0)] = 0
    chunks: Annotated[int, msgspec.Meta(ge=0)] = 0
    digest: Annotated[str, msgspec.Meta(pattern=r"^$|^SHA-256=[\w-]{43}=$")] = ""
    deleted: bool = False
    options: _Options = _Options()

    @property
    def sha256(self) -> str:
        """The digest in hex, as `sha256sum` prints it."""
        return urlsafe_b64decode(self.digest.partition("=")[2]).hex()


class Listed(msgspec.Struct, frozen=True):
    """An object as the store lists it. `stored_at` is when its upload was finished."""

    blob: Blob
    sequence: int
    stored_at: datetime


class _Place(msgspec.Struct, frozen=True):
    """Where in the stream an object's messages are: the sequences of its chunks, and its meta's."""

    chunks: tuple[int, ...]
    meta: int


class Unfinished(msgspec.Struct, frozen=True):
    """Chunks without a meta: of a put that goes on, or of one that died."""

    nuid: str
    last_chunk_at: datetime


class Blobs:
    """
    The objects of one bucket.

    A put holds `window` chunks in memory, and all of them together keep the connection free for
    everything else that goes over it: some wait for the acks of others. `idle_s` is how long the
    server may be silent before whoever waits gets `Unavailable`.
    """

    def __init__(
        self,
        connection: Client,
        bucket: str,
        *,
        chunk_bytes: int = 512 * 1024,
        window: int = 4,
        idle_s: float = 8.0,
    ) -> None:
        self._connection = connection
        self._inboxes = Inboxes(connection)
        self._places: dict[str, _Place] = {}
        self._bucket = bucket
        self._stream = f"OBJ_{bucket}"
        self._chunk_bytes = chunk_bytes
        self._window = window
        self._idle_s = idle_s
        self._in_flight = _Slots(_IN_FLIGHT)
        self._erasing = asyncio.Semaphore(_ERASURES)

    async def put(
        self, name: str, source: AsyncIterator[bytes], *, limit: int, is_new: bool = False
    ) -> Blob:
        """
        Store what `source` yields; it replaces an object of that name.

        With `is_new` there is none, as the name was made up for it: none is looked for. Raises
        `TooLarge` as soon as `limit` bytes are passed. Whatever goes wrong, cancellation included,
        what had been stored is erased before the error reaches the caller.
        """
        meta_subject = self._meta_subject(name)
        nuid = secrets.token_hex(11)
        async with _Inbox(self._connection, self._inboxes, self._in_flight) as acks:
            try:
                blob = await self._write_chunks(name, nuid, source, limit, acks)
                replaced = None
                if not is_new:  # else nothing is lost by a meta whose chunks are refused
                    await self._settle(acks)
                    replaced = await self._find(name)
                meta = msgspec.json.encode(blob)
                await self._store(acks, meta_subject, meta, {"Nats-Rollup": "sub"})
                await self._settle(acks)
                if replaced:
                    await self._erase(self._chunk_subject(replaced.nuid))
            except BaseException:
                await asyncio.shield(self._discard(name, nuid, acks))
                raise
        return blob

    async def info(self, name: str) -> Blob:
        """Return what the store knows of an object, or raise `BlobGone`."""
        blob = await self._find(name)
        if blob is None:
            raise self._gone(name)
        return blob

    def _gone(self, name: str) -> BlobGone:
        return BlobGone(f"{name}: not in the store {self._bucket}")

    async def is_whole(self, name: str) -> bool:
        """Whether an object and every chunk of it is there: at `max_age` its chunks go first."""
        blob = await self._find(name)
        if blob is None:
            return False
        subject = self._chunk_subject(blob.nuid)
        return (await self._counts(subject)).get(subject, 0) == blob.chunks

    async def all(self, *, after: int = 0) -> AsyncGenerator[Listed, None]:
        """Yield the finished objects behind a sequence of the stream, the oldest first."""
        while True:
            get = f"STREAM.MSG.GET.{self._stream}"
            subjects = f"$O.{self._bucket}.M.>"
            try:
                answer = await self._call(get, seq=after + 1, next_by_subj=subjects)
            except BlobGone:
                return
            message = answer.message
            after = message.seq
            try:
                blob = read(message.data, Blob)
            except Unreadable:  # another client's idea of a meta
                continue
            if not blob.deleted:
                yield Listed(blob, message.seq, message.time)

    async def unfinished(self) -> list[Unfinished]:
        """List what has chunks and no meta. A client that dies in the middle of a put leaves it."""
        counts = await self._counts(self._chunk_subject(">"))
        if not counts:
            return []
        # After the chunks, as a put writes its meta last.
        finished = {self._chunk_subject(listed.blob.nuid) async for listed in self.all()}
        found = []
        for subject in counts.keys() - finished:
            with suppress(BlobGone):  # erased meanwhile
                last = await self._call(f"STREAM.MSG.GET.{self._stream}", last_by_subj=subject)
                found.append(Unfinished(subject.rpartition(".")[2], last.message.time))
        return found

    async def drop(self, unfinished: Unfinished) -> None:
        """Erase these chunks."""
        await self._erase(self._chunk_subject(unfinished.nuid))

    async def fetch(self, name: str, into: BinaryIO) -> Blob:
        """
        Write an object to a file, in a thread.

        Raises `BlobGone` within a second of finding that chunks are missing, and when the digest
        is wrong; `into` then holds a part of it.
        """
        found = await self._look(name)
        if found is None:
            raise self._gone(name)
        blob, meta = found
        sequences: list[int] = []
        sha256 = hashlib.sha256()

        def take(chunk: bytes) -> None:
            sha256.update(chunk)
            into.write(chunk)

        async with aclosing(self._chunks(blob, sequences)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(take, chunk)
        _verify(blob, sha256.hexdigest())
        self._remember(name, _Place(tuple(sequences), meta))
        return blob

    async def stream(self, name: str) -> AsyncGenerator[bytes, None]:
        """
        Yield an object chunk by chunk; a wrong digest shows after the last one.

        Whoever may stop early reads it in `contextlib.aclosing`, which ends the consumer too.
        """
        blob = await self.info(name)
        sha256 = hashlib.sha256()
        async with aclosing(self._chunks(blob, [])) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(sha256.update, chunk)
                yield chunk
        _verify(blob, sha256.hexdigest())

    async def delete(self, name: str) -> bool:
        """
        Remove an object, leaving no marker; tell whether there was one.

        Its bytes are overwritten in the store's files before this returns: 8 to 20 ms a megabyte.
        Where its messages are is known of what was fetched here, and else looked for.
        """
        place = self._places.pop(name, None)
        if place is not None and await self._erase_all(place.chunks, bare=(place.meta,)):
            return True
        blob = await self._find(name)
        if blob is None:
            return False
        await self._erase(self._chunk_subject(blob.nuid))
        await self._erase(self._meta_subject(name))
        return True

    async def _write_chunks(
        self, name: str, nuid: str, source: AsyncIterator[bytes], limit: int, acks: "_Inbox"
    ) -> Blob:
        subject = self._chunk_subject(nuid)
        chunk_bytes = min(self._chunk_bytes, self._connection.max_payload - _HEADER_BYTES)
        sha256 = hashlib.sha256()
        size = count = 0
        async with aclosing(_cut(source, chunk_bytes, limit)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(sha256.update, chunk)
                await self._store(acks, subject, chunk)
                size += len(chunk)
                count += 1
        return Blob(
            name=name,
            bucket=self._bucket,
            nuid=nuid,
            size=size,
            chunks=count,
            digest=_DIGEST_TYPE + urlsafe_b64encode(sha256.digest()).decode(),
            options=_Options(max_chunk_size=chunk_bytes),
        )

    async def _store(
        self, acks: "_Inbox", subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Publish to the stream, when less than `window` waits for its ack and there is a slot."""
        await self._settle(acks, below=self._window)
        await acks.admission(self._idle_s)
        if not self._connection.is_connected:  # nats-py would send it after the reconnect
            raise Unavailable("NATS: not connected")
        await acks.publish(subject, payload, headers)

    async def _settle(self, acks: "_Inbox", *, below: int = 1) -> None:
        """See what was published stored, or raise what the server has against it."""
        while acks.unanswered >= below:
            ack = await acks.next(self._idle_s)
            if ack is None:
                raise Unavailable(f"NATS: no ack within {self._idle_s} s")
            _answer(ack)

    async def _discard(self, name: str, nuid: str, acks: "_Inbox") -> None:
        """
        Erase what a failed put has stored, in half the time that the put was patient.

        Whoever called has waited once; what is left over then is `unfinished`.
        """
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(self._idle_s / 2):
                # A chunk that the stream takes in afterwards would stay: wait for all answers.
                while acks.unanswered and await acks.next(self._idle_s / 4):
                    pass
                await self._erase(self._chunk_subject(nuid))
                blob = await self._find(name)
                if blob and blob.nuid == nuid:
                    await self._erase(self._meta_subject(name))

    async def _chunks(self, blob: Blob, sequences: list[int]) -> AsyncGenerator[bytes, None]:
        """
        Yield each chunk once, and add to `sequences` where it is.

        A reader that ends early, because the server was restarted or has no more, is replaced by
        one that starts behind the last chunk. Opening that one tells what is still there.
        """
        received = last_seq = 0
        while received < blob.chunks <= _FEW_CHUNKS:
            message = await self._ask(blob, last_seq)
            if message is None:  # a reader will find out why
                break
            received += 1
            last_seq = int((message.headers or {})["Nats-Sequence"])
            sequences.append(last_seq)
            yield message.data
        waiting_since = time.monotonic()
        while received < blob.chunks:
            if time.monotonic() - waiting_since > self._idle_s:
                raise Unavailable(f"{blob.name}: stalled at chunk {received} of {blob.chunks}")
            async with aclosing(self._read(blob, last_seq, blob.chunks - received)) as messages:
                async for message in messages:
                    received += 1
                    last_seq = message.metadata.sequence.stream
                    sequences.append(last_seq)
                    yield message.data
                    waiting_since = time.monotonic()

    async def _ask(self, blob: Blob, last_seq: int) -> Msg | None:
        """
        Return the chunk behind `last_seq`, from any server that has it; None if that has none.

        A chunk never changes, so that it does not matter who answers.
        """
        subject = self._chunk_subject(blob.nuid)
        request = msgspec.json.encode({"seq": last_seq + 1, "next_by_subj": subject})
        direct = f"$JS.API.DIRECT.GET.{self._stream}"
        try:
            message = await self._connection.request(direct, request, timeout=_DIRECT_S)
        except nats.errors.Error:
            return None
        return None if _status(message) else message

    async def _read(self, blob: Blob, last_seq: int, left: int) -> AsyncGenerator[Msg, None]:
        """Yield the `left` chunks behind `last_seq`; end early when they cease to come."""
        consumer = f"{self._stream}.{secrets.token_hex(8)}"
        batch = max(1, _PULL_BYTES // blob.options.max_chunk_size)
        asked = 0
        async with _Inbox(self._connection) as arrived:
            try:
                found = await self._open(consumer, self._chunk_subject(blob.nuid), last_seq)
                if found != left:
                    raise BlobGone(f"{blob.name}: of {left} chunks {found} are there")
                for received in range(left):
                    while asked < min(left, received + batch + 1):
                        count = min(batch, left - asked)
                        asked += count
                        pull = {"batch": count, "expires": _PULL_EXPIRES_NS}
                        subject = f"$JS.API.CONSUMER.MSG.NEXT.{consumer}"
                        await arrived.publish(subject, msgspec.json.encode(pull))
                    message = await arrived.next(self._idle_s / 2)
                    if message is None or _status(message):
                        return
                    yield message
            finally:
                with suppress(Unavailable):
                    await arrived.publish(f"$JS.API.CONSUMER.DELETE.{consumer}", b"")

    async def _open(
        self, consumer: str, subject: str, last_seq: int, *, headers_only: bool = False
    ) -> int:
        """Create a consumer of the messages behind `last_seq`; return how many there are."""
        config = {
            "name": consumer.rpartition(".")[2],
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": last_seq + 1,
            "filter_subject": subject,
            "headers_only": headers_only,
            "inactive_threshold": _READER_EXPIRES_NS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        created = await self._call(
            f"CONSUMER.CREATE.{consumer}", stream_name=self._stream, config=config
        )
        return created.num_pending

    async def _find(self, name: str) -> Blob | None:
        found = await self._look(name)
        return None if found is None else found[0]

    async def _look(self, name: str) -> tuple[Blob, int] | None:
        """Return an object's meta and the sequence of that, or None."""
        get = f"STREAM.MSG.GET.{self._stream}"  # answered by the leader, so never out of date
        try:
            answer = await self._call(get, last_by_subj=self._meta_subject(name))
        except BlobGone:
            return None
        try:
            blob = read(answer.message.data, Blob)
        except Unreadable as error:  # written by somebody else, who may mean harm
            raise BlobGone(f"{name}: its meta cannot be read: {error}") from error
        return None if blob.deleted else (blob, answer.message.seq)

    def _remember(self, name: str, place: _Place) -> None:
        while len(self._places) >= _MAX_PLACES:
            del self._places[next(iter(self._places))]
        self._places[name] = place

    async def _counts(self, subjects: str) -> dict[str, int]:
        """Count the messages on each of these subjects."""
        found = await self._call(f"STREAM.INFO.{self._stream}", subjects_filter=subjects)
        return found.state.subjects or {}

    async def _erase(self, subject: str) -> None:
        """
        Remove what lies on a subject, so that no byte of it stays in the store's files.

        A purge, and `max_age`, only let go of a message: its bytes stay in the file of its block,
        up to 8 MB, until everything else in there is gone too. Deleting a message by its sequence
        overwrites it, on 2.9 as on 2.15. That holds for the files of a stream with one replica:
        the Raft logs of a replicated one keep copies until they are compacted.
        """
        # An error says that the message is gone: another replica was faster.
        await self._erase_all(await self._sequences(subject))
        # What was stored meanwhile, and what could not be erased.
        await self._purge(subject)

    async def _erase_all(self, sequences: Sequence[int], *, bare: Sequence[int] = ()) -> bool:
        """
        Overwrite messages, and let go of bare ones; returns whether all were still there.

        Bare is what has nothing of an upload but its digest: overwriting costs the server the
        whole block around it.
        """
        delete = f"$JS.API.STREAM.MSG.DELETE.{self._stream}"
        requests = [{"seq": seq} for seq in sequences]
        requests += [{"seq": seq, "no_erase": True} for seq in bare]
        refused = 0
        async with self._erasing, _Inbox(self._connection, self._inboxes) as answers:
            for request in requests:
                while answers.unanswered >= _ERASE_WINDOW:
                    refused += not await self._is_erased(answers)
                await answers.publish(delete, msgspec.json.encode(request))
            while answers.unanswered:
                refused += not await self._is_erased(answers)
        return not refused

    async def _is_erased(self, answers: "_Inbox") -> bool:
        message = await answers.next(_ERASE_IDLE_S)
        if message is None:
            raise Unavailable(f"NATS: no answer within {_ERASE_IDLE_S} s")
        return _status(message) is None and _parsed(message).error is None

    async def _sequences(self, subject: str) -> list[int]:
        """Return where in the stream the messages on a subject are."""
        consumer = f"{self._stream}.{secrets.token_hex(8)}"
        sequences: list[int] = []
        async with _Inbox(self._connection) as arrived:
            try:
                left = await self._open(consumer, subject, 0, headers_only=True)
                pull = {"batch": max(1, left), "expires": _PULL_EXPIRES_NS}
                next_ = f"$JS.API.CONSUMER.MSG.NEXT.{consumer}"
                if left:
                    await arrived.publish(next_, msgspec.json.encode(pull))
                while len(sequences) < left:
                    message = await arrived.next(self._idle_s / 2)
                    if message is None or _status(message):
                        break
                    sequences.append(message.metadata.sequence.stream)
            finally:
                with suppress(Unavailable):
                    await arrived.publish(f"$JS.API.CONSUMER.DELETE.{consumer}", b"")
        return sequences

    async def _purge(self, subject: str) -> None:
        await self._call(f"STREAM.PURGE.{self._stream}", filter=subject)

    async def _call(self, api: str, **request: object) -> "_Answer":
        payload = msgspec.json.encode(request)
        with translated():
            return _answer(
                await self._connection.request(f"$JS.API.{api}", payload, timeout=self._idle_s)
            )

    def _chunk_subject(self, nuid: str) -> str:
        return f"$O.{self._bucket}.C.{nuid}"

    def _meta_subject(self, name: str) -> str:
        encoded = name.encode()
        if not 0 < len(encoded) <= _NAME_BYTES:
            raise BadRequest(f"an object's name has 1 to {_NAME_BYTES} bytes, not {len(encoded)}")
        return f"$O.{self._bucket}.M.{urlsafe_b64encode(encoded).decode()}"


class _Inbox:
    """
    A fresh subject: what is published through here is answered here, in order.

    One of the `inboxes` is enough for answers; what a consumer delivers keeps the subject that it
    was stored under, and needs a subscription of its own. `slots` are shared by many: who asks for
    `admission` holds one until an answer comes.
    """

    def __init__(
        self,
        connection: Client,
        inboxes: Inboxes | None = None,
        slots: "_Slots | None" = None,
    ) -> None:
        self.unanswered = 0
        self._connection = connection
        self._inboxes = inboxes
        self._slots = slots
        self._held = 0
        self._reconnects = 0
        self._subject = ""
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        with translated():
            if self._inboxes is not None:
                self._subject = await self._inboxes.open(self._arrive)
                return self
            self._subject = self._connection.new_inbox()
            subscribe = self._connection.subscribe(self._subject, cb=self._arrived.put)
            self._subscription = await subscribe
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._inboxes is not None:
                self._inboxes.close(self._subject)
            elif self._subscription is not None:
                with suppress(nats.errors.Error):
                    await self._subscription.unsubscribe()
        finally:
            self._give_back(self._held, answered=False)

    async def admission(self, timeout_s: float) -> None:
        """Wait for a slot, for as long as answers come to those who have one."""
        if self._slots:
            await self._slots.take(timeout_s)
            self._held += 1

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Publish with this inbox as the reply."""
        if not self.unanswered:
            self._reconnects = self._connection.stats["reconnects"]
        # Counted first: when this is cancelled half-way, nats-py sends the message all the same.
        self.unanswered += 1
        with translated():
            await self._connection.publish(subject, payload, self._subject, headers)

    async def next(self, timeout_s: float) -> Msg | None:
        """Wait for a message; None when none came in time, or none can as the connection broke."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, _LOOK_EVERY_S)):
                    message = await self._arrived.get()
            except TimeoutError:
                if self._broken:
                    break
                continue
            self.unanswered -= 1
            return message
        return None

    def _arrive(self, message: Msg) -> None:
        # Given back here, and not by its reader, who may be waiting for another slot.
        self._give_back(min(1, self._held), answered=True)
        self._arrived.put_nowait(message)

    def _give_back(self, count: int, *, answered: bool) -> None:
        if self._slots:
            self._held -= count
            for _ in range(count):
                self._slots.give_back(answered=answered)

    @property
    def _broken(self) -> bool:
        """Tell whether the connection was lost: the server has forgotten whom to answer."""
        connection = self._connection
        return not connection.is_connected or connection.stats["reconnects"] != self._reconnects


class _Slots:
    """How many messages of all inboxes together may be unanswered."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._answered_at = 0.0

    async def take(self, timeout_s: float) -> None:
        """Wait for a slot; `Unavailable` when nobody was answered for so long."""
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._free.acquire()
            except TimeoutError:
                if time.monotonic() - self._answered_at > timeout_s:
                    raise Unavailable(f"NATS: no ack within {timeout_s} s") from None
            else:
                return

    def give_back(self, *, answered: bool) -> None:
        """Let the next one in."""
        if answered:
            self._answered_at = time.monotonic()
        self._free.release()


class _Error(msgspec.Struct, frozen=True):
    err_code: int = 0
    description: str = ""


class _Message(msgspec.Struct, frozen=True):
    data: bytes = b""  # base64 on the wire
    seq: int = 0
    time: datetime = datetime.min.replace(tzinfo=UTC)


class _State(msgspec.Struct, frozen=True):
    subjects: dict[str, int] | None = None


class _Answer(msgspec.Struct, frozen=True):
    """What we read of JetStream's answers; each call fills another field."""

    error: _Error | None = None
    num_pending: int = 0
    message: _Message = _Message()
    state: _State = _State()


async def _cut(
    source: AsyncIterator[bytes], chunk_bytes: int, limit: int
) -> AsyncGenerator[bytes, None]:
    """Yield the same bytes in chunks of one size; the last one is shorter."""
    size = 0
    rest = bytearray()
    async for part in source:
        size += len(part)
        if size > limit:
            raise TooLarge(f"more than {limit} bytes")
        rest += part
        while len(rest) >= chunk_bytes:
            yield bytes(memoryview(rest)[:chunk_bytes])
            del rest[:chunk_bytes]
    if rest:
        yield bytes(rest)


def _verify(blob: Blob, sha256: str) -> None:
    if sha256 != blob.sha256:
        raise BlobGone(f"{blob.name}: SHA-256 is {sha256}, not {blob.sha256}")


def _answer(message: Msg) -> _Answer:
    """Parse an answer of JetStream, or raise what it refuses, in its words."""
    if status := _status(message):
        raise Unavailable(f"NATS: status {status}, no stream takes this")
    answer = _parsed(message)
    if answer.error is None:
        return answer
    if answer.error.err_code == _NO_MESSAGE_FOUND:
        raise BlobGone(answer.error.description)
    full = is_full(answer.error.err_code, answer.error.description)
    kind = StorageFull if full else Unavailable
    raise kind(f"NATS: {answer.error.description} ({answer.error.err_code})")


def _parsed(message: Msg) -> _Answer:
    return msgspec.json.decode(message.data, type=_Answer)


def _status(message: Msg) -> str | None:
    return (message.headers or {}).get("Status")
