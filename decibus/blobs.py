"""
Audio in NATS: streamed in, streamed out, never whole in memory, and sealed.

    put     source ──▶ $O.<bucket>.C.<nuid>    a chunk a message, `window` of them not yet acked
                   ──▶ seals.<bucket>.<name>   the seal, last: what has no seal does not exist
    fetch   seal ──▶ the chunks, 8 MiB asked for ahead ──▶ file
    delete  the seal is overwritten; the chunks are let go of

Each object is encrypted with a key of its own, AES-256-GCM (NIST SP 800-38D), the number of a chunk
its nonce. The key is in the seal and nowhere else, so that an object is erased with that one small
message: NIST SP 800-88 calls it cryptographic erase. Overwriting the chunks themselves would take
nats-server 5 to 12 ms of processor time a megabyte. The tag of each chunk, its number and how many
there are tell whether what was fetched is what was put.

The chunks lie where ADR-20 of NATS has them, in the object store of the bucket, beside what other
clients have put there, which `offered` and `stream_offered` read. nats-py 2.16 has an object store
too, but its get moves on every 250 ms (22 MB/s), waits for ever when chunks are gone, and leaks its
consumer when it is cancelled.
"""

import asyncio
import hashlib
import os
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Annotated, BinaryIO, Final, Self

import msgspec
import nats.errors
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from decibus.errors import BadRequest, BlobGone, StorageFull, TooLarge, Unavailable, Unreadable
from decibus.inboxes import Inboxes
from decibus.messages import read
from decibus.refusals import is_full, translated

_DIGEST_TYPE: Final = "SHA-256="
_HEADER_BYTES: Final = 4096  # room for headers and a tag below the server's max_payload
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_NAME_BYTES: Final = 1024  # a subject beyond the server's max_control_line ends the connection
_NOT_THERE: Final = (10037, 10043, 10057)  # how servers say: there is no such message
_PULL_BYTES: Final = 4 << 20  # one pull request; two are under way
_PULL_EXPIRES_NS: Final = 250_000_000  # how soon the server says that it has no more
_READER_EXPIRES_NS: Final = 30_000_000_000  # when it drops the consumer of a client that died
_IN_FLIGHT: Final = 32  # chunks of all puts here that wait for an ack: 16 MiB
_LOOK_EVERY_S: Final = 0.25  # whether the connection still is the one that answers would come by
_FEW_CHUNKS: Final = 4  # are asked for one by one: a reader costs as much as several questions
_SMALL_BYTES: Final = 256 << 10  # is hashed where it comes: a thread for it costs as much
_USUAL_CHUNK: Final = 128 * 1024  # of other clients, where a meta does not say
_DIRECT_S: Final = 1.0
_MAX_PLACES: Final = 256  # objects of which a store knows where their seals are


class _Options(msgspec.Struct, frozen=True):
    """How an object was cut."""

    max_chunk_size: Annotated[int, msgspec.Meta(ge=1)] = _USUAL_CHUNK


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known of an object: ADR-20's ObjectInfo. `size` and `digest` are those of the audio.

    Its chunks lie on the subject that ends in `nuid`. Of ours it is told by a seal, of others' by
    their meta, which may be `deleted`.
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


class _Seal(Blob, frozen=True, kw_only=True):
    """A blob as it is kept, with what its chunks were encrypted with. It never leaves here."""

    key: Annotated[bytes, msgspec.Meta(min_length=_KEY_BYTES, max_length=_KEY_BYTES)]

    def blob(self) -> Blob:
        """Return all but the key."""
        return Blob(**{field: getattr(self, field) for field in Blob.__struct_fields__})


class Listed(msgspec.Struct, frozen=True):
    """An object as the store lists it. `stored_at` is when its upload was finished."""

    blob: Blob
    sequence: int
    stored_at: datetime


class _Place(msgspec.Struct, frozen=True):
    """Where an object is: its chunks, and its seal by sequence."""

    nuid: str
    seal: int


class Unfinished(msgspec.Struct, frozen=True):
    """Chunks without a seal: of a put that goes on, or of one that died."""

    nuid: str
    last_chunk_at: datetime


class Blobs:
    """
    The objects of one bucket. A name is put once: whoever makes it up makes up a new one.

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
        self._seals = f"SEALS_{bucket}"
        self._chunk_bytes = chunk_bytes
        self._window = window
        self._idle_s = idle_s
        self._in_flight = _Slots(_IN_FLIGHT)

    async def put(self, name: str, source: AsyncIterator[bytes], *, limit: int) -> Blob:
        """
        Store what `source` yields, under a name that nothing else has or had.

        Raises `TooLarge` as soon as `limit` bytes are passed. Whatever goes wrong, cancellation
        included, what had been stored is erased before the error reaches the caller; where the
        server is away, it is left over as `unfinished`.
        """
        seal_subject = self._seal_subject(name)
        nuid = secrets.token_hex(11)
        async with _Inbox(self._connection, self._inboxes, self._in_flight) as acks:
            try:
                seal = await self._write_chunks(name, nuid, source, limit, acks)
                # Not after their acks: a seal whose chunks are refused is erased again.
                await self._store(acks, seal_subject, msgspec.json.encode(seal))
                await self._settle(acks)
            except BaseException:
                await asyncio.shield(self._discard(name, nuid, acks))
                raise
        return seal.blob()

    async def info(self, name: str) -> Blob:
        """Return what the store knows of an object, or raise `BlobGone`."""
        return (await self._seal(name))[0].blob()

    async def offered(self, name: str) -> Blob:
        """Return the meta of an object that another client has put, or raise `BlobGone`."""
        message = await self._last(self._stream, self._meta_subject(name))
        if message is None:
            raise self._gone(name)
        try:
            blob = read(message.data, Blob)
        except Unreadable as error:  # written by somebody who may mean harm
            raise BlobGone(f"{name}: its meta cannot be read: {error}") from error
        if blob.deleted:
            raise self._gone(name)
        return blob

    def _gone(self, name: str) -> BlobGone:
        return BlobGone(f"{name}: not in the store {self._bucket}")

    async def is_whole(self, name: str) -> bool:
        """Whether an object and every chunk of it is there: at `max_age` its chunks go first."""
        found = await self._look(name)
        if found is None:
            return False
        subject = self._chunk_subject(found[0].nuid)
        return (await self._counts(subject)).get(subject, 0) == found[0].chunks

    async def all(self, *, after: int = 0) -> AsyncGenerator[Listed, None]:
        """Yield the finished objects behind a sequence of the seals, the oldest first."""
        async with aclosing(self._messages(self._seals, self._seal_subjects, after)) as messages:
            async for message in messages:
                with suppress(Unreadable):  # not ours
                    blob = read(message.data, _Seal).blob()
                    yield Listed(blob, message.seq, message.time)

    async def unfinished(self) -> list[Unfinished]:
        """List what has chunks and no seal. A client that dies in the middle of a put leaves it."""
        counts = await self._counts(self._chunk_subject(">"))
        if not counts:
            return []
        # After the chunks, as a put writes its seal last, and others their meta.
        finished = {self._chunk_subject(listed.blob.nuid) async for listed in self.all()}
        metas = f"$O.{self._bucket}.M.>"
        async with aclosing(self._messages(self._stream, metas, 0)) as messages:
            async for message in messages:
                with suppress(Unreadable):
                    finished.add(self._chunk_subject(read(message.data, Blob).nuid))
        return [
            Unfinished(subject.rpartition(".")[2], last.time)
            for subject in counts.keys() - finished
            if (last := await self._last(self._stream, subject))  # else erased meanwhile
        ]

    async def drop(self, unfinished: Unfinished) -> None:
        """Let go of these chunks; their key was never stored, or is erased."""
        await self._purge(unfinished.nuid)

    async def fetch(self, name: str, into: BinaryIO) -> Blob:
        """
        Write an object to a file, in a thread.

        Raises `BlobGone` within a second of finding that chunks are missing, and when one is not
        what was put; `into` then holds a part of it.
        """
        seal, sequence = await self._seal(name)
        cipher = AESGCM(seal.key)

        def take(number: int, chunk: bytes) -> None:
            into.write(_opened(seal, cipher, number, chunk))

        async with aclosing(self._chunks(seal)) as chunks:
            number = 0
            async for chunk in chunks:
                await asyncio.to_thread(take, number, chunk)
                number += 1
        self._remember(name, _Place(seal.nuid, sequence))
        return seal.blob()

    async def stream(self, name: str) -> AsyncGenerator[bytes, None]:
        """
        Yield an object chunk by chunk.

        Whoever may stop early reads it in `contextlib.aclosing`, which ends the consumer too.
        """
        seal, _ = await self._seal(name)
        cipher = AESGCM(seal.key)
        async with aclosing(self._chunks(seal)) as chunks:
            number = 0
            async for chunk in chunks:
                yield _opened(seal, cipher, number, chunk)
                number += 1

    async def stream_offered(self, blob: Blob) -> AsyncGenerator[bytes, None]:
        """Yield an object of another client in the same way; a wrong digest shows at the end."""
        sha256 = hashlib.sha256()
        async with aclosing(self._chunks(blob)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(sha256.update, chunk)
                yield chunk
        if sha256.hexdigest() != blob.sha256:
            raise BlobGone(f"{blob.name}: SHA-256 is {sha256.hexdigest()}, not {blob.sha256}")

    async def delete(self, name: str) -> bool:
        """
        Remove an object, leaving no marker; tell whether there was one.

        When this returns nobody can read its bytes any more. Where its seal is, is known of what
        was fetched here, and else looked for.
        """
        place = self._places.pop(name, None)
        if place is None or not await self._break(place.seal):
            found = await self._look(name)
            if found is None:
                return False
            place = _Place(found[0].nuid, found[1])
            if not await self._break(place.seal) and await self._look(name) is not None:
                raise Unavailable(f"NATS: the seal of {name} cannot be erased")
        with suppress(Unavailable):  # it is `unfinished` then
            await self._purge(place.nuid)
        return True

    async def _break(self, sequence: int) -> bool:
        """
        Overwrite a seal in the server's files; returns whether it was there.

        A purge, and `max_age`, only let go of a message: its bytes stay in the file of its block
        until everything else in there is gone too. Deleting a message by its sequence overwrites
        it, on 2.9 as on 2.15. That holds for the files of a stream with one replica: the Raft logs
        of a replicated one keep copies until they are compacted.
        """
        try:
            await self._call(f"STREAM.MSG.DELETE.{self._seals}", seq=sequence)
        except BlobGone:  # another replica was faster
            return False
        return True

    async def _write_chunks(
        self, name: str, nuid: str, source: AsyncIterator[bytes], limit: int, acks: "_Inbox"
    ) -> _Seal:
        subject = self._chunk_subject(nuid)
        chunk_bytes = min(self._chunk_bytes, self._connection.max_payload - _HEADER_BYTES)
        key = os.urandom(_KEY_BYTES)
        cipher = AESGCM(key)
        sha256 = hashlib.sha256()
        size = count = 0

        def take(chunk: bytearray) -> bytes:
            sha256.update(chunk)
            return cipher.encrypt(_nonce(count), chunk, None)

        async with aclosing(_cut(source, chunk_bytes, limit)) as chunks:
            async for chunk in chunks:
                is_small = len(chunk) <= _SMALL_BYTES
                sealed = take(chunk) if is_small else await asyncio.to_thread(take, chunk)
                await self._store(acks, subject, sealed)
                size += len(chunk)
                count += 1
        return _Seal(
            name=name,
            bucket=self._bucket,
            nuid=nuid,
            size=size,
            chunks=count,
            digest=_DIGEST_TYPE + urlsafe_b64encode(sha256.digest()).decode(),
            options=_Options(max_chunk_size=chunk_bytes),
            key=key,
        )

    async def _store(self, acks: "_Inbox", subject: str, payload: bytes) -> None:
        """Publish to the stream, when less than `window` waits for its ack and there is a slot."""
        await self._settle(acks, below=self._window)
        await acks.admission(self._idle_s)
        if not self._connection.is_connected:  # nats-py would send it after the reconnect
            raise Unavailable("NATS: not connected")
        await acks.publish(subject, payload)

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
                found = await self._look(name)
                if found is not None and found[0].nuid == nuid:
                    await self._break(found[1])
                await self._purge(nuid)

    async def _chunks(self, blob: Blob) -> AsyncGenerator[bytes, None]:
        """
        Yield each chunk once, as it is stored.

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
            yield message.data
        waiting_since = time.monotonic()
        while received < blob.chunks:
            if time.monotonic() - waiting_since > self._idle_s:
                raise Unavailable(f"{blob.name}: stalled at chunk {received} of {blob.chunks}")
            async with aclosing(self._read(blob, last_seq, blob.chunks - received)) as messages:
                async for message in messages:
                    received += 1
                    last_seq = message.metadata.sequence.stream
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
            message = await self._inboxes.ask(direct, request, within_s=_DIRECT_S)
        except (nats.errors.Error, TimeoutError):
            return None
        return None if _status(message) else message

    async def _read(self, blob: Blob, last_seq: int, left: int) -> AsyncGenerator[Msg, None]:
        """Yield the `left` chunks behind `last_seq`; end early when they cease to come."""
        consumer = f"{self._stream}.{secrets.token_hex(8)}"
        # What others say of their chunks is not believed beyond what is usual.
        batch = max(1, _PULL_BYTES // max(blob.options.max_chunk_size, _USUAL_CHUNK))
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

    async def _open(self, consumer: str, subject: str, last_seq: int) -> int:
        """Create a consumer of the messages behind `last_seq`; return how many there are."""
        config = {
            "name": consumer.rpartition(".")[2],
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": last_seq + 1,
            "filter_subject": subject,
            "inactive_threshold": _READER_EXPIRES_NS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        created = await self._call(
            f"CONSUMER.CREATE.{consumer}", stream_name=self._stream, config=config
        )
        return created.num_pending

    async def _seal(self, name: str) -> tuple[_Seal, int]:
        found = await self._look(name)
        if found is None:
            raise self._gone(name)
        return found

    async def _look(self, name: str) -> tuple[_Seal, int] | None:
        """Return an object's seal and the sequence of that, or None."""
        message = await self._last(self._seals, self._seal_subject(name))
        if message is None:
            return None
        try:
            return read(message.data, _Seal), message.seq
        except Unreadable as error:
            raise BlobGone(f"{name}: its seal cannot be read: {error}") from error

    async def _last(self, stream: str, subject: str) -> "_Message | None":
        """Return the last message on a subject; from the leader, so never out of date."""
        try:
            return (await self._call(f"STREAM.MSG.GET.{stream}", last_by_subj=subject)).message
        except BlobGone:
            return None

    async def _messages(
        self, stream: str, subjects: str, after: int
    ) -> AsyncGenerator["_Message", None]:
        """Yield the messages on these subjects behind a sequence, one question each."""
        while True:
            get = f"STREAM.MSG.GET.{stream}"
            try:
                answer = await self._call(get, seq=after + 1, next_by_subj=subjects)
            except BlobGone:
                return
            after = answer.message.seq
            yield answer.message

    def _remember(self, name: str, place: _Place) -> None:
        while len(self._places) >= _MAX_PLACES:
            del self._places[next(iter(self._places))]
        self._places[name] = place

    async def _counts(self, subjects: str) -> dict[str, int]:
        """Count the messages on each of these subjects."""
        found = await self._call(f"STREAM.INFO.{self._stream}", subjects_filter=subjects)
        return found.state.subjects or {}

    async def _purge(self, nuid: str) -> None:
        """Let go of an object's chunks."""
        await self._call(f"STREAM.PURGE.{self._stream}", filter=self._chunk_subject(nuid))

    async def _call(self, api: str, **request: object) -> "_Answer":
        payload = msgspec.json.encode(request)
        with translated():
            return _answer(
                await self._inboxes.ask(f"$JS.API.{api}", payload, within_s=self._idle_s)
            )

    def _chunk_subject(self, nuid: str) -> str:
        return f"$O.{self._bucket}.C.{nuid}"

    def _meta_subject(self, name: str) -> str:
        return f"$O.{self._bucket}.M.{_token(name)}"

    def _seal_subject(self, name: str) -> str:
        return f"seals.{self._bucket}.{_token(name)}"

    @property
    def _seal_subjects(self) -> str:
        return f"seals.{self._bucket}.*"


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

    async def publish(self, subject: str, payload: bytes) -> None:
        """Publish with this inbox as the reply."""
        if not self.unanswered:
            self._reconnects = self._connection.stats["reconnects"]
        # Counted first: when this is cancelled half-way, nats-py sends the message all the same.
        self.unanswered += 1
        with translated():
            await self._connection.publish(subject, payload, self._subject)

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
) -> AsyncGenerator[bytearray, None]:
    """Yield the same bytes in chunks of one size; the last one is shorter."""
    size = 0
    chunk = bytearray()
    async for part in source:
        size += len(part)
        if size > limit:
            raise TooLarge(f"more than {limit} bytes")
        taken = 0
        while len(chunk) + len(part) - taken >= chunk_bytes:
            until = taken + chunk_bytes - len(chunk)
            chunk += memoryview(part)[taken:until]
            taken = until
            yield chunk
            chunk = bytearray()
        chunk += memoryview(part)[taken:]
    if chunk:
        yield chunk


def _nonce(number: int) -> bytes:
    """A key is used for one object only, and in it once for each number."""
    return number.to_bytes(_NONCE_BYTES, "big")


def _opened(seal: _Seal, cipher: AESGCM, number: int, chunk: bytes) -> bytes:
    try:
        return cipher.decrypt(_nonce(number), chunk, None)
    except InvalidTag:
        raise BlobGone(f"{seal.name}: chunk {number} is not what was stored") from None


def _token(name: str) -> str:
    """Return a name as ADR-20 writes it into a subject."""
    encoded = name.encode()
    if not 0 < len(encoded) <= _NAME_BYTES:
        raise BadRequest(f"an object's name has 1 to {_NAME_BYTES} bytes, not {len(encoded)}")
    return urlsafe_b64encode(encoded).decode()


def _answer(message: Msg) -> _Answer:
    """Parse an answer of JetStream, or raise what it refuses, in its words."""
    if status := _status(message):
        raise Unavailable(f"NATS: status {status}, no stream takes this")
    answer = _parsed(message)
    if answer.error is None:
        return answer
    if answer.error.err_code in _NOT_THERE:
        raise BlobGone(answer.error.description)
    full = is_full(answer.error.err_code, answer.error.description)
    kind = StorageFull if full else Unavailable
    raise kind(f"NATS: {answer.error.description} ({answer.error.err_code})")


def _parsed(message: Msg) -> _Answer:
    return msgspec.json.decode(message.data, type=_Answer)


def _status(message: Msg) -> str | None:
    return (message.headers or {}).get("Status")
