"""The blob store against real servers: what it promises, and what happens when they misbehave."""

import asyncio
import hashlib
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from io import BytesIO
from pathlib import Path
from typing import Protocol

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from decibus.blobs import Blob, Blobs
from decibus.errors import BadRequest, BlobGone, TooLarge, Unavailable
from tests.disk import count_on_disk

CHUNK = 64 * 1024
MB = 1_000_000
LIMIT = 50 * MB
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * MB]


class Server(Protocol):
    """What these tests do to a nats-server."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def restart(self) -> None: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Store:
    """A bucket, the blobs in it, and what the server says about it."""

    def __init__(self, connection: Client, bucket: ObjectStore) -> None:
        self.connection = connection
        self.bucket = bucket
        self.js: JetStreamContext = connection.jetstream()
        self.blobs = Blobs(connection, "audio", chunk_bytes=CHUNK, idle_s=2.0)
        self.impatient = Blobs(connection, "audio", chunk_bytes=CHUNK, idle_s=0.5)

    async def messages(self) -> int:
        """How many messages the streams hold, chunks and seals."""
        infos = [await self.js.stream_info(name) for name in ("OBJ_audio", "SEALS_audio")]
        return sum(info.state.messages for info in infos)

    async def is_empty(self) -> bool:
        return await self.messages() == 0

    async def readers(self) -> int:
        """How many consumers are left on the stream."""
        return len(await self.js.consumers_info("OBJ_audio"))

    async def put(self, name: str, data: bytes) -> None:
        await self.blobs.put(name, parts(data), limit=LIMIT)

    async def sequences(self) -> list[int]:
        state = (await self.js.stream_info("OBJ_audio")).state
        return list(range(state.first_seq, state.last_seq + 1))


@pytest.fixture
async def store(nats_server: Server) -> AsyncIterator[Store]:
    async def quiet(_: Exception) -> None:
        """Servers are ended on purpose here."""

    connection = await nats.connect(
        nats_server.url,
        error_cb=quiet,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
    )
    bucket = await connection.jetstream().create_object_store("audio")
    await connection.jetstream().add_stream(name="SEALS_audio", subjects=["seals.audio.*"])
    yield Store(connection, bucket)
    was_connected = connection.is_connected
    with suppress(OSError):  # nats-py's flush towards a server that is gone
        await connection.close()
    if not was_connected:
        await asyncio.sleep(0.1)  # it cancels its reconnecting, and does not wait for the end


async def parts(data: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    """Hand out data as an HTTP body comes: in pieces of no particular size."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def noise(size: int) -> bytes:
    return hashlib.shake_256(b"decibus").digest(size)


async def drain(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(2):
        while not await condition():  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_put_is_fetched(store: Store, size: int) -> None:
    data = noise(size)

    put = await store.blobs.put("a.wav", parts(data), limit=size)
    file = BytesIO()
    fetched = await store.blobs.fetch("a.wav", file)

    assert file.getvalue() == data
    assert put == fetched == await store.blobs.info("a.wav")
    assert put.sha256 == hashlib.sha256(data).hexdigest()
    assert (put.size, put.chunks) == (size, -(-size // CHUNK))


async def test_a_stream_yields_the_same_bytes(store: Store) -> None:
    data = noise(MB)
    await store.put("a.wav", data)

    assert await drain(store.blobs.stream("a.wav")) == data


@pytest.mark.parametrize("name", ["Übung 1/ä.wav", "a.b.c > *", "日本語.flac", "x" * 1024])
async def test_a_name_is_any_text(store: Store, name: str) -> None:
    await store.put(name, b"audio")

    assert await drain(store.blobs.stream(name)) == b"audio"


@pytest.mark.parametrize("name", ["", "x" * 1025])
async def test_a_name_that_the_server_could_not_take_is_refused(store: Store, name: str) -> None:
    with pytest.raises(BadRequest, match="1 to 1024 bytes"):
        await store.put(name, b"audio")


@pytest.mark.parametrize("size", [0, 1, MB])
async def test_what_nats_py_has_put_is_read(store: Store, size: int) -> None:
    data = noise(size)
    await store.bucket.put("a.wav", data)

    blob = await store.blobs.offered("a.wav")

    assert await drain(store.blobs.stream_offered(blob)) == data
    assert blob.sha256 == hashlib.sha256(data).hexdigest()


async def test_what_others_have_put_and_what_is_ours_do_not_meet(store: Store) -> None:
    await store.bucket.put("theirs.wav", b"theirs")
    await store.put("ours.wav", b"ours")

    with pytest.raises(BlobGone):
        await store.blobs.fetch("theirs.wav", BytesIO())
    with pytest.raises(BlobGone):
        await store.blobs.offered("ours.wav")
    assert [listed.blob.name async for listed in store.blobs.all()] == ["ours.wav"]
    assert await store.blobs.unfinished() == []


def cli(nats_cli: Path, server: Server, *words: str | Path) -> str:
    command = [nats_cli, "--server", server.url, "--no-context", "object", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


@pytest.mark.natscli
@pytest.mark.parametrize("size", SIZES)
async def test_what_the_nats_command_has_put_is_read(
    store: Store, nats_server: Server, nats_cli: Path, tmp_path: Path, size: int
) -> None:
    data = noise(size)
    (tmp_path / "ü.wav").write_bytes(data)

    args = ("put", "audio", tmp_path / "ü.wav", "--name", "ü.wav", "--force", "--no-progress")
    await asyncio.to_thread(cli, nats_cli, nats_server, *args)
    blob = await store.blobs.offered("ü.wav")

    assert await drain(store.blobs.stream_offered(blob)) == data
    assert blob.size == size


@pytest.mark.natscli
async def test_what_the_nats_command_removed_is_gone(
    store: Store, nats_server: Server, nats_cli: Path
) -> None:
    await store.bucket.put("a.wav", b"audio")

    await asyncio.to_thread(cli, nats_cli, nats_server, "rm", "audio", "a.wav", "--force")

    with pytest.raises(BlobGone, match=r"a\.wav"):
        await store.blobs.offered("a.wav")


async def test_over_the_limit_is_refused_at_once_and_leaves_nothing(store: Store) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 50_000
            yield bytes(50_000)

    with pytest.raises(TooLarge, match="1000000"):
        await store.blobs.put("a.wav", endless(), limit=MB)

    assert read == 1_050_000
    assert await store.messages() == 0


async def test_a_source_that_fails_leaves_nothing(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(50_000)
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        await store.blobs.put("a.wav", broken(), limit=LIMIT)

    assert await store.messages() == 0


@pytest.mark.parametrize("after_ms", [0, 1, 2, 4, 8, 16, 32])
async def test_a_cancelled_put_leaves_nothing(store: Store, after_ms: int) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(50_000)
            await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_ms / 1000):
            await store.blobs.put("a.wav", endless(), limit=1 << 40)

    assert await store.messages() == 0


@pytest.mark.parametrize("message", [1, 2, 5, 6, 7])  # the seventh is the seal
async def test_a_put_cancelled_behind_any_message_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, message: int
) -> None:
    publish = store.connection.publish
    count = 0

    async def cancel_behind(
        subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        nonlocal count
        await publish(subject, payload, reply, headers)
        is_put = subject.startswith(("$O.", "seals."))
        count += is_put
        if count == message and is_put:
            raise asyncio.CancelledError

    monkeypatch.setattr(store.connection, "publish", cancel_behind)
    with pytest.raises(asyncio.CancelledError):
        await store.put("a.wav", noise(6 * CHUNK))

    assert count == message
    assert await store.messages() == 0


async def test_delete_leaves_nothing(store: Store) -> None:
    await store.put("a.wav", noise(MB))

    assert await store.blobs.delete("a.wav") is True
    assert await store.blobs.delete("a.wav") is False

    await until(store.is_empty)
    with pytest.raises(BlobGone, match=r"a\.wav: not in the store"):
        await store.blobs.fetch("a.wav", BytesIO())


async def test_of_two_who_delete_one_has_done_it(store: Store) -> None:
    await store.put("a.wav", noise(2 * CHUNK))
    await store.blobs.fetch("a.wav", BytesIO())

    assert await store.impatient.delete("a.wav") is True
    assert await store.blobs.delete("a.wav") is False


async def test_nothing_of_a_deleted_object_can_be_read_in_the_files(
    store: Store, tmp_path: Path
) -> None:
    files = tmp_path / "nats" / "store"
    data = noise(3 * CHUNK)
    pieces = [data[start : start + 32] for start in range(0, len(data), 4096)]
    await store.put("a.wav", data)
    await store.put("b.wav", data)  # the one that stays keeps the files of both
    seal = (await store.js.get_last_msg("SEALS_audio", subject(b"a.wav"))).data or b""
    key = msgspec.json.decode(seal)["key"].encode()

    async def is_written() -> bool:
        return count_on_disk(files, [key]) == 1

    await until(is_written)  # nats-server 2.9 does it a moment later
    assert count_on_disk(files, pieces) == 0

    await store.blobs.delete("a.wav")

    assert count_on_disk(files, [key]) == 0
    assert await drain(store.blobs.stream("b.wav")) == data


async def test_no_two_objects_have_the_same_bytes_in_the_store(store: Store) -> None:
    for name in ("a.wav", "b.wav"):
        await store.put(name, noise(CHUNK))

    stored = [(await store.js.get_msg("OBJ_audio", seq)).data for seq in (1, 2)]

    assert stored[0] != stored[1]


def subject(name: bytes) -> str:
    return f"seals.audio.{urlsafe_b64encode(name).decode()}"


async def test_others_are_read_while_objects_are_deleted(store: Store) -> None:
    data = noise(300 * CHUNK)
    await store.put("a.wav", data)
    names = [f"{number}.wav" for number in range(30)]
    for name in names:
        await store.put(name, noise(3 * CHUNK))

    start = time.monotonic()
    async with aclosing(store.blobs.stream("a.wav")) as chunks:
        got = await anext(chunks)
        for name in names:
            await store.blobs.delete(name)
        got += await drain(chunks)

    assert got == data
    assert time.monotonic() - start < 2, "no reader was thrown off its place"


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_small_object_is_had_directly_or_by_a_reader(
    store: Store, *, allowed: bool
) -> None:
    config = (await store.js.stream_info("OBJ_audio")).config
    config.allow_direct = allowed
    await store.js.update_stream(config)
    data = noise(3 * CHUNK)
    await store.put("a.wav", data)

    file = BytesIO()
    await store.blobs.fetch("a.wav", file)

    assert file.getvalue() == data


async def test_a_delete_does_not_wait_for_a_server_that_was_killed(
    store: Store, nats_server: Server
) -> None:
    await store.put("a.wav", noise(40 * MB))

    nats_server.pause()
    async with asyncio.TaskGroup() as group:
        deleting = group.create_task(refused_after(store.blobs.delete("a.wav")))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(nats_server.kill)

    assert deleting.result() < 5
    await asyncio.to_thread(nats_server.start)
    assert await store.blobs.delete("a.wav") is True
    await until(store.is_empty)


async def refused_after(work: Awaitable[object]) -> float:
    """Return after how many seconds it was refused for want of a server."""
    start = time.monotonic()
    with pytest.raises(Unavailable):
        await work
    return time.monotonic() - start


@pytest.mark.parametrize(("stream", "room"), [("OBJ_audio", MB), ("SEALS_audio", 100)])
async def test_a_full_store_is_unavailable_in_the_servers_words(
    store: Store, stream: str, room: int
) -> None:
    config = (await store.js.stream_info(stream)).config
    config.max_bytes = room
    config.discard = api.DiscardPolicy.NEW
    await store.js.update_stream(config)

    with pytest.raises(Unavailable, match="maximum bytes exceeded"):
        await store.blobs.put("a.wav", parts(noise(2 * MB)), limit=LIMIT)

    assert await store.messages() == 0


async def test_a_bucket_that_is_not_there_is_unavailable(store: Store) -> None:
    elsewhere = Blobs(store.connection, "elsewhere", idle_s=1.0)

    with pytest.raises(Unavailable, match="stream not found"):
        await elsewhere.info("a.wav")
    with pytest.raises(Unavailable, match="no stream takes this"):
        await elsewhere.put("a.wav", parts(noise(MB)), limit=LIMIT)


@pytest.mark.parametrize("place", [0, 7, 15])
async def test_a_vanished_chunk_is_told_at_once(store: Store, place: int) -> None:
    await store.put("a.wav", noise(16 * CHUNK))
    await store.js.delete_msg("OBJ_audio", (await store.sequences())[place])

    start = time.monotonic()
    with pytest.raises(BlobGone, match="of 16 chunks 15 are there"):
        await store.blobs.fetch("a.wav", BytesIO())

    assert time.monotonic() - start < 0.5


async def test_a_chunk_that_vanishes_during_the_reading_is_told_within_a_second(
    store: Store,
) -> None:
    # The reader asks 8 MiB ahead: what is beyond that can still vanish.
    await store.put("a.wav", noise(200 * CHUNK))
    sequences = await store.sequences()

    async with aclosing(store.blobs.stream("a.wav")) as chunks:
        await anext(chunks)
        await store.js.delete_msg("OBJ_audio", sequences[190])
        start = time.monotonic()
        with pytest.raises(BlobGone):
            await drain(chunks)

    assert 0 < time.monotonic() - start < 1


async def test_a_purge_during_the_reading_is_told_within_a_second(store: Store) -> None:
    await store.put("a.wav", noise(200 * CHUNK))

    async with aclosing(store.blobs.stream("a.wav")) as chunks:
        await anext(chunks)
        await store.js.purge_stream("OBJ_audio")
        start = time.monotonic()
        with pytest.raises(BlobGone):
            await drain(chunks)

    assert 0 < time.monotonic() - start < 1
    await until(lambda: nobody_reads(store))


async def test_corrupted_bytes_are_not_taken_for_audio(store: Store) -> None:
    await store.put("a.wav", noise(4 * CHUNK))
    nuid = (await store.blobs.info("a.wav")).nuid
    third = await store.js.get_msg("OBJ_audio", (await store.sequences())[2])
    bytes_ = bytearray(third.data or b"")
    bytes_[CHUNK // 2] ^= 1
    await swap(store, nuid, {2: bytes(bytes_)})

    with pytest.raises(BlobGone, match="chunk 2 is not what was stored"):
        await store.blobs.fetch("a.wav", BytesIO())


async def test_chunks_in_another_order_are_not_taken_for_audio(store: Store) -> None:
    await store.put("a.wav", noise(4 * CHUNK))
    nuid = (await store.blobs.info("a.wav")).nuid
    chunks = [(await store.js.get_msg("OBJ_audio", n)).data or b"" for n in (2, 3)]
    await swap(store, nuid, {1: chunks[1], 2: chunks[0]})

    with pytest.raises(BlobGone, match="chunk 1 is not what was stored"):
        await store.blobs.fetch("a.wav", BytesIO())


async def test_corrupted_bytes_of_others_are_not_taken_either(store: Store) -> None:
    await store.bucket.put("a.wav", noise(CHUNK))
    blob = await store.blobs.offered("a.wav")
    await swap(store, blob.nuid, {0: bytes(CHUNK)})

    with pytest.raises(BlobGone, match="SHA-256"):
        await drain(store.blobs.stream_offered(blob))


async def swap(store: Store, nuid: str, others: dict[int, bytes]) -> None:
    """Put other chunks in the place of some: all are written anew, in order."""
    subject = f"$O.audio.C.{nuid}"
    chunks: list[bytes] = []
    for seq in await store.sequences():
        with suppress(NotFoundError):
            message = await store.js.get_msg("OBJ_audio", seq)
            if message.subject == subject:
                chunks.append(message.data or b"")
    await store.js.purge_stream("OBJ_audio", subject=subject)
    for number, chunk in enumerate(chunks):
        await store.js.publish(subject, others.get(number, chunk))


async def nobody_reads(store: Store) -> bool:
    return await store.readers() == 0


async def test_no_consumer_and_no_subscription_is_left(store: Store) -> None:
    await store.put("a.wav", noise(200 * CHUNK))
    subscriptions = len(store.connection._subs)  # noqa: SLF001 - not public

    await store.blobs.fetch("a.wav", BytesIO())
    async with aclosing(store.blobs.stream("a.wav")) as chunks:
        await anext(chunks)
    for after_ms in (0, 1, 2, 4, 8, 16):
        try:
            async with asyncio.timeout(after_ms / 1000):
                await store.blobs.fetch("a.wav", BytesIO())
        except TimeoutError:
            continue

    await until(lambda: nobody_reads(store))
    assert len(store.connection._subs) == subscriptions  # noqa: SLF001 - not public


async def test_a_paused_server_ends_a_fetch_in_bounded_time(
    store: Store, nats_server: Server
) -> None:
    await store.put("a.wav", noise(200 * CHUNK))

    async with aclosing(store.impatient.stream("a.wav")) as chunks:
        await anext(chunks)
        nats_server.pause()
        start = time.monotonic()
        with pytest.raises(Unavailable):
            await drain(chunks)
    assert time.monotonic() - start < 2

    nats_server.resume()
    await store.blobs.fetch("a.wav", BytesIO())


async def test_a_pause_shorter_than_the_patience_is_survived(
    store: Store, nats_server: Server
) -> None:
    data = noise(200 * CHUNK)
    await store.put("a.wav", data)

    async with aclosing(store.blobs.stream("a.wav")) as chunks:
        got = await anext(chunks)
        nats_server.pause()
        asyncio.get_running_loop().call_later(1.2, nats_server.resume)
        got += await drain(chunks)

    assert got == data


async def test_a_fetch_goes_on_after_a_restart(store: Store, nats_server: Server) -> None:
    data = noise(400 * CHUNK)
    await store.put("a.wav", data)

    start = time.monotonic()
    async with aclosing(store.blobs.stream("a.wav")) as chunks:
        got = await anext(chunks)
        await asyncio.to_thread(nats_server.restart)
        got += await drain(chunks)

    assert got == data
    assert time.monotonic() - start < 5


async def test_a_paused_server_ends_a_put_in_bounded_time(
    store: Store, nats_server: Server
) -> None:
    async def paused_in_the_middle() -> AsyncIterator[bytes]:
        yield noise(4 * CHUNK)
        nats_server.pause()
        yield noise(20 * CHUNK)

    start = time.monotonic()
    with pytest.raises(Unavailable, match="no ack within"):
        await store.impatient.put("a.wav", paused_in_the_middle(), limit=LIMIT)
    assert time.monotonic() - start < 2

    nats_server.resume()
    await store.put("a.wav", b"audio")
    assert await drain(store.blobs.stream("a.wav")) == b"audio"


async def test_many_puts_wait_for_each_others_acks_and_not_for_ever(
    store: Store, nats_server: Server
) -> None:
    names = [f"{number}.wav" for number in range(60)]

    async def put_all(blobs: Blobs) -> list[BaseException | Blob]:
        puts = (blobs.put(name, parts(noise(CHUNK)), limit=LIMIT) for name in names)
        return await asyncio.gather(*puts, return_exceptions=True)

    nats_server.pause()
    start = time.monotonic()
    before = store.connection.stats["out_msgs"]
    sending = asyncio.create_task(put_all(store.impatient))
    await asyncio.sleep(0.3)
    assert store.connection.stats["out_msgs"] - before == 32, "the connection is for others, too"
    assert all(isinstance(each, Unavailable) for each in await sending)
    assert time.monotonic() - start < 4

    nats_server.resume()
    assert all(isinstance(each, Blob) for each in await put_all(store.blobs))
    assert {listed.blob.name async for listed in store.blobs.all()} == set(names)


async def test_a_server_that_dies_ends_a_put(store: Store, nats_server: Server) -> None:
    async def killed_in_the_middle() -> AsyncIterator[bytes]:
        yield noise(4 * CHUNK)
        await asyncio.to_thread(nats_server.kill)
        while True:
            yield noise(CHUNK)

    start = time.monotonic()
    with pytest.raises(Unavailable):
        await store.impatient.put("a.wav", killed_in_the_middle(), limit=LIMIT)
    assert time.monotonic() - start < 2

    await asyncio.to_thread(nats_server.restart)
    with pytest.raises(BlobGone):
        await store.blobs.info("a.wav")


async def test_without_a_server_everything_is_unavailable(
    store: Store, nats_server: Server
) -> None:
    nats_server.terminate()

    start = time.monotonic()
    for call in (
        store.impatient.put("a.wav", parts(b"audio"), limit=LIMIT),
        store.impatient.info("a.wav"),
        store.impatient.fetch("a.wav", BytesIO()),
        store.impatient.delete("a.wav"),
    ):
        with pytest.raises(Unavailable):
            await call

    assert time.monotonic() - start < 4


async def test_a_closed_connection_is_unavailable(store: Store) -> None:
    await store.connection.close()

    for call in (store.put("b.wav", b"audio"), store.blobs.fetch("a.wav", BytesIO())):
        with pytest.raises(Unavailable, match="ConnectionClosed"):
            await call


# VmHWM, not getrusage: ru_maxrss starts with the peak of the process that started this one.
MEMORY = """
import asyncio, sys
from pathlib import Path
import nats
from decibus.blobs import Blobs

def peak_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

async def source():
    for _ in range(1000):
        yield bytes(100_000)

async def main():
    connection = await nats.connect(sys.argv[1])
    blobs = Blobs(connection, "audio")
    before = peak_kib()
    await blobs.put("big", source(), limit=1 << 40)
    put = peak_kib()
    with open("/dev/null", "wb") as nowhere:
        await blobs.fetch("big", nowhere)
    print(put - before, peak_kib() - before)
    await connection.close()

asyncio.run(main())
"""


async def test_memory_does_not_grow_with_the_audio(store: Store, nats_server: Server) -> None:
    printed = await asyncio.to_thread(
        subprocess.check_output, [sys.executable, "-c", MEMORY, nats_server.url], text=True
    )

    put_kib, put_and_fetch_kib = map(int, printed.split())
    assert put_kib < 16 * 1024
    assert put_and_fetch_kib < 24 * 1024
    assert await store.messages() == 1 + 191


@pytest.mark.parametrize(
    "meta",
    [
        b'{"name":"x","bucket":"b","nuid":"n","size":1,"chunks":1,"options":{"max_chunk_size":0}}',
        b'{"name":"x","bucket":"b","nuid":"n","size":-1,"chunks":1}',
        b'{"name":"x","bucket":"b","nuid":"n","size":1,"chunks":1,"digest":"MD5=0"}',
        b'{"name":7}',
        b"no json",
    ],
)
async def test_a_meta_that_somebody_else_wrote_wrongly_is_no_object(
    store: Store, meta: bytes
) -> None:
    await store.js.publish(f"$O.audio.M.{urlsafe_b64encode(b'x').decode()}", meta)

    with pytest.raises(BlobGone):
        await store.blobs.offered("x")


@pytest.mark.parametrize("key", ["", "AAAA", "no base64!"])
async def test_a_seal_without_a_key_is_no_object(store: Store, key: str) -> None:
    seal = {"name": "x", "bucket": "audio", "nuid": "n", "size": 1, "chunks": 1, "key": key}
    await store.js.publish(subject(b"x"), msgspec.json.encode(seal))

    with pytest.raises(BlobGone, match="seal cannot be read"):
        await store.blobs.fetch("x", BytesIO())
    assert [listed async for listed in store.blobs.all()] == []
