"""
Where a stream bends: publish latency and throughput at rising rates, over 1, 2 and 4 partitions.

    python -m bench.streams [--partitions 1 2 4] [--seconds 1.2] [--server PATH]

    queue     a task is published with its dedup id, pulled, and acked: the streams of `topology`,
              without their cap on the backlog
    records   a job's record is created, claimed and finished by compare-and-set, and each former
              revision erased, as `Ledger` does: buckets like `analyses`. That one is never split;
              what two or four would do is measured to know what is lost by that
    encrypted the same on a server that encrypts its files, and that therefore does not overwrite
              what is erased
    audio     files of 5 MB are put into a store and fetched, four at once; and besides erased
    events    what each change of a record takes of every gateway's processor, which hears them all

First as much as goes, with a bounded number in flight; then rates up to a little more than that, at
which JetStream's answers are timed. One process makes the load, in NATS' own protocol: nats-py
would be busier than the server. It shares the machine with the server, so that only ratios travel.
"""

import argparse
import asyncio
import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from os import sysconf
from pathlib import Path
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

import msgspec
import uvloop
from nats.js.api import RePublish

from bench.blobs import parts
from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Event, connect
from decibus.messages import AnalyzeOptions
from decibus.topology import ANALYSES, ANALYZE, AUDIO, Queue
from services.gateway.waiting import Lines
from tests.steps import words

RESULTS: Final = Path(__file__).parent / "results" / "streams.json"
BUILT: Final = Path(__file__).parent.parent / ".tools" / "bin" / "nats-server"
SHARES: Final = (0.25, 0.5, 0.75, 1.0, 1.25)
_TICK_S: Final = 0.002
_BATCH: Final = 100  # messages a pull request
_PATIENCE_S: Final = 60.0

# Half of what a block of the store takes: an erasure writes the whole block anew.
_FORMER_RECORDS: Final = 1000
_FILE_BYTES: Final = 5_000_000
_AUDIO_S: Final = 2.5
_FILES_AT_ONCE: Final = 4

# A record as it is created, claimed, and finished with what the analyzer has measured; in bytes.
_RECORD_BYTES: Final = (600, 700, 4000)
# What overwrites the revision before: the claim and the end of the work do not, the last report's
# end does.
_OVERWRITES: Final = (3,)

Rows = list["Row"]


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a rate did, in jobs a second.

    The latencies are those of JetStream's answer to a publish or a write; `server_cpu_us` is what a
    job took of nats-server's processor time.
    """

    offered: float
    achieved: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """
    One ladder. `most` is as much as went, `holds` the highest rate that was kept up with.

    `server_cores` and `client_cores` were busy when as much went as goes.
    """

    what: str
    partitions: int
    sync_interval: str
    most: float
    holds: float
    server_cores: float
    client_cores: float
    levels: list[Level]


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """MB/s through one object store, and what nats-server takes of a processor for one."""

    sync_interval: str
    erased: bool
    mb_per_s: float
    server_cpu_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/streams.json."""

    server: str
    seconds: float
    rows: list[Row]
    audio: list[Audio]
    event_cpu_us: float


class Server(msgspec.Struct, frozen=True):
    """A nats-server that runs."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return what it has taken of the processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")


@contextmanager
def server(binary: str, sync_interval: str, *, encrypted: bool = False) -> Iterator[Server]:
    """Run a nats-server on a free port, with its store in the temporary directory."""
    sync = f"sync_interval: {sync_interval}\n" if sync_interval != "default" else ""
    if encrypted:
        sync += 'cipher: aes\nkey: "a key of no consequence"'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = Path(folder, "server.conf")
        config.write_text(
            f'host: 127.0.0.1\nport: -1\nports_file_dir: "{folder}"\nmax_payload: 8MB\n'
            f'max_pending: 64MB\njetstream {{ store_dir: "{folder}/store"\n{sync}\n }}\n'
        )
        with subprocess.Popen(  # noqa: S603 - the binary is ours to choose
            [binary, "--config", config], stderr=subprocess.DEVNULL
        ) as process:
            try:
                while not (ports := list(Path(folder).glob("*.ports"))):
                    time.sleep(0.01)
                time.sleep(0.1)
                told = msgspec.json.decode(ports[0].read_bytes(), type=dict[str, list[str]])
                port = urlsplit(told["nats"][0]).port
                yield Server(f"nats://127.0.0.1:{port}", process.pid)
            finally:
                process.kill()


class Wire(asyncio.Protocol):
    """A connection that is written to as NATS reads, and searched for what a pattern finds."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._left = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self.transport = cast("asyncio.Transport", transport)
        hello = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        self.transport.write(b"CONNECT " + msgspec.json.encode(hello) + b"\r\n")

    def data_received(self, data: bytes) -> None:
        """Hand on what is whole; a line that was cut in two waits for its rest."""
        data = self._left + data
        if data.startswith(b"PING\r\n") or b"\r\nPING\r\n" in data:
            self.transport.write(b"PONG\r\n")
        self._left = data[self._load.take(data) :][-4096:]


class Load(Protocol):
    """
    What is done again and again: jobs that begin, and end some time.

    `in_flight`: how many at once when as much as goes is asked for.
    """

    in_flight: int
    begun: int
    ended: int
    latencies: "array[float]"
    wire: Wire

    def begin(self, count: int) -> None:
        """Begin so many jobs."""

    def take(self, data: bytes) -> int:
        """Take in what has arrived; returns how much of it is done with."""


class Tasks:
    """Tasks that are published, pulled and acked."""

    in_flight = 400
    # A delivery's line ends in where its ack goes, and two lengths.
    _FOUND: Final = re.compile(
        rb"MSG _I\.(\d+) 1 \d+\r\n(\{[^\r]*)\r\n|\$JS\.ACK\.([^.\s]+)(\S+) \d+ \d+\r\n"
    )

    def __init__(self, parts: tuple[Queue, ...]) -> None:
        self.begun = self.ended = 0
        self.latencies = array("d")
        self.wire = Wire(self)
        self._parts = parts
        self._by_stream = {part.stream.encode(): part for part in parts}
        self._pulled = dict.fromkeys(self._by_stream, 0)
        self._sent = array("d")

    def start(self) -> None:
        """Ask for what is to come."""
        self.wire.transport.write(b"SUB _I.* 1\r\nSUB _P 2\r\n")
        for part in 2 * self._parts:
            self._pull(part)

    def _pull(self, part: Queue) -> None:
        body = msgspec.json.encode({"batch": _BATCH, "expires": 60 * 10**9})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{part.stream}.{part.consumer}"
        self.wire.transport.write(b"PUB %b _P %d\r\n%b\r\n" % (subject.encode(), len(body), body))

    def begin(self, count: int) -> None:
        """Publish so many."""
        out = []
        for number in range(self.begun, self.begun + count):
            part = self._parts[number % len(self._parts)]
            key = f"{number:064x}.{0:016x}"
            header = f"NATS/1.0\r\nNats-Msg-Id: {key}.1\r\n\r\n"
            body = f'{{"key":"{key}"}}'
            subject = part.subject(key)
            total = len(header) + len(body)
            out.append(f"HPUB {subject} _I.{number} {len(header)} {total}\r\n{header}{body}\r\n")
        self.begun += count
        self._sent.extend([time.perf_counter()] * count)
        self.wire.transport.write("".join(out).encode())

    def take(self, data: bytes) -> int:
        """Time what is stored, ack what is delivered."""
        now, done, out = time.perf_counter(), 0, []
        for found in self._FOUND.finditer(data):
            done = found.end()
            number, answer, stream, rest = found.groups()
            if number is not None:
                _check(answer)
                self.latencies.append(now - self._sent[int(number)])
                continue
            out.append(b"PUB $JS.ACK.%b%b 4\r\n+ACK\r\n" % (stream, rest))
            self.ended += 1
            self._pulled[stream] += 1
            if self._pulled[stream] % _BATCH == 0:
                self._pull(self._by_stream[stream])
        self.wire.transport.write(b"".join(out))
        return done


class Records:
    """Records that are created, claimed and finished, each former revision erased."""

    in_flight = 8
    _FOUND: Final = re.compile(rb"MSG _I\.(\d+)\.(\d) 1 \d+\r\n(\{[^\r]*)\r\n")
    _SEQUENCE: Final = re.compile(rb'"seq": ?(\d+)')
    _CLAIMED: Final = 1
    _FINISHED: Final = 2
    _BODIES: Final = tuple(b"x" * size for size in _RECORD_BYTES)

    def __init__(self, buckets: list[str]) -> None:
        self.begun = self.ended = 0
        self.latencies = array("d")
        self.wire = Wire(self)
        self._buckets = buckets
        self._sent = array("d")
        self._revision: list[bytes] = []

    def start(self) -> None:
        """Ask for the answers."""
        self.wire.transport.write(b"SUB _I.*.* 1\r\n")

    def begin(self, count: int) -> None:
        """Create so many."""
        first = self.begun
        self.begun += count
        self._sent.extend([0.0] * count)
        self._revision.extend([b"0"] * count)
        self.wire.transport.write(b"".join(self._write(n, 0) for n in range(first, self.begun)))

    def _write(self, number: int, stage: int) -> bytes:
        self._sent[number] = time.perf_counter()
        header = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %b\r\n\r\n"
        header %= self._revision[number]
        body = self._BODIES[stage]
        subject = f"$KV.{self._bucket(number)}.{number:064x}.{0:016x} _I.{number}.{2 * stage}"
        lengths = f"{len(header)} {len(header) + len(body)}"
        return f"HPUB {subject} {lengths}\r\n".encode() + header + body + b"\r\n"

    def _erase(self, number: int, stage: int) -> bytes:
        no_erase = b"false" if stage in _OVERWRITES else b"true"
        body = b'{"seq":%b,"no_erase":%b}' % (self._revision[number], no_erase)
        subject = f"$JS.API.STREAM.MSG.DELETE.KV_{self._bucket(number)} _I.{number}.{2 * stage + 1}"
        return f"PUB {subject} {len(body)}\r\n".encode() + body + b"\r\n"

    def _bucket(self, number: int) -> str:
        return self._buckets[number % len(self._buckets)]

    def take(self, data: bytes) -> int:
        """Do with each record what comes next: a write, then the erasure of what was before it."""
        now, done, out = time.perf_counter(), 0, []
        for found in self._FOUND.finditer(data):
            done = found.end()
            number, (stage, is_erased) = int(found[1]), divmod(int(found[2]), 2)
            _check(found[3])
            if not is_erased:
                self.latencies.append(now - self._sent[number])
                if stage:
                    out.append(self._erase(number, stage))
                self._revision[number] = self._SEQUENCE.findall(found[3])[0]
                if not stage:
                    out.append(self._write(number, self._CLAIMED))
            elif stage == self._CLAIMED:
                out.append(self._write(number, self._FINISHED))
            elif stage == self._FINISHED:  # in time, its last report goes, and it with that
                out.append(self._erase(number, stage + 1))
            else:
                self.ended += 1
        self.wire.transport.write(b"".join(out))
        return done


def _check(answer: bytes) -> None:
    if b'"error"' in answer:
        raise SystemExit(f"JetStream refuses: {answer.decode()}")


async def as_much_as_goes(load: Load, seconds: float) -> float:
    """Keep as many in flight as there may be; returns how many jobs ended a second."""
    started, ended = time.perf_counter(), load.ended
    while (taken := time.perf_counter() - started) < seconds:
        load.begin(max(0, load.in_flight - (load.begun - load.ended)))
        await asyncio.sleep(0.001)
    return (load.ended - ended) / taken


async def at_rate(load: Load, rate: float, seconds: float) -> float:
    """
    Begin jobs at an even pace; returns how many ended a second.

    No more are begun than half a second's, should the server not keep up.
    """
    started, ended, begun = time.perf_counter(), load.ended, load.begun
    while (taken := time.perf_counter() - started) < seconds:
        if load.begun - load.ended < max(load.in_flight, 0.5 * rate):
            load.begin(max(0, int(rate * taken) - (load.begun - begun)))
        await asyncio.sleep(_TICK_S)
    return (load.ended - ended) / taken


async def until_all_have_ended(load: Load) -> None:
    """Let what is in flight arrive."""
    async with asyncio.timeout(_PATIENCE_S):
        while load.ended < load.begun:  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.01)


async def ladder(
    load: Load, running: Server, seconds: float
) -> tuple[float, float, float, list[Level]]:
    """Return as much as goes, the cores that server and client had for it, and the rates."""
    await as_much_as_goes(load, seconds / 4)
    server_s, client_s = running.cpu_s(), time.process_time()
    most = await as_much_as_goes(load, 2 * seconds)
    server_cores = (running.cpu_s() - server_s) / (2 * seconds)
    client_cores = (time.process_time() - client_s) / (2 * seconds)
    levels = []
    for share in SHARES:
        await until_all_have_ended(load)
        del load.latencies[:]
        cpu_s, ended = running.cpu_s(), load.ended
        achieved = await at_rate(load, share * most, seconds)
        cpu_s = running.cpu_s() - cpu_s
        times = sorted(load.latencies)
        levels.append(
            Level(
                offered=round(share * most),
                achieved=round(achieved),
                p50_ms=round(1e3 * times[len(times) // 2], 3),
                p99_ms=round(1e3 * times[int(len(times) * 0.99)], 3),
                server_cpu_us=round(1e6 * cpu_s / (load.ended - ended), 1),
            )
        )
    await until_all_have_ended(load)
    return most, server_cores, client_cores, levels


async def measure(
    binary: str, what: str, partitions: int, sync_interval: str, seconds: float
) -> tuple[str, Row]:
    """Climb one ladder on a server of its own."""
    with server(binary, sync_interval, encrypted=what == "encrypted") as running:
        load, version = await _prepare(running, what, partitions)
        await _connect(load.wire, running)
        load.start()
        most, server_cores, client_cores, levels = await ladder(load, running, seconds)
        load.wire.transport.close()
    kept_up = [level.achieved for level in levels if level.achieved > 0.95 * level.offered]
    row = Row(
        what=what,
        partitions=partitions,
        sync_interval=sync_interval,
        most=round(most),
        holds=max(kept_up, default=0.0),
        server_cores=round(server_cores, 2),
        client_cores=round(client_cores, 2),
        levels=levels,
    )
    return version, row


async def _prepare(running: Server, what: str, partitions: int) -> tuple[Tasks | Records, str]:
    """Make the streams as the services do; returns the load for them, and the server's version."""
    uncapped = msgspec.structs.replace(ANALYZE, max_msgs=-1)
    async with connect(running.url, name="bench", partitions=partitions) as broker:
        found = broker.connection.connected_server_version
        version = f"{found.major}.{found.minor}.{found.patch}"
        await broker.declare(queues=(uncapped,))
        if what == "queue":
            return Tasks(uncapped.split(partitions)), version
        buckets = [f"records{number}" for number in range(partitions)]
        js = broker.connection.jetstream()
        like = (await js.stream_info(ANALYSES.stream)).config
        for bucket in buckets:
            like.name, like.subjects = f"KV_{bucket}", [f"$KV.{bucket}.>"]
            like.republish = RePublish(src=f"$KV.{bucket}.>", dest="audio.evt.>")
            await js.add_stream(like)
            for number in range(_FORMER_RECORDS):
                await js.publish(f"$KV.{bucket}.former.{number}", bytes(_RECORD_BYTES[-1]))
        return Records(buckets), version


async def through_a_store(binary: str, sync_interval: str, *, erased: bool) -> Audio:
    """Put files into the store and fetch them; erase them, or leave them to their age."""
    data = hashlib.shake_256(b"decibus").digest(_FILE_BYTES)
    with server(binary, sync_interval) as running:
        async with connect(running.url, name="bench") as broker:
            await broker.declare(queues=())
            blobs, done = Blobs(broker.connection, AUDIO.name), 0
            started = time.perf_counter()

            async def files(name: str) -> None:
                nonlocal done
                with Path("/dev/null").open("wb") as nowhere:  # noqa: ASYNC230 - opens at once
                    for turn in count():
                        if time.perf_counter() - started > _AUDIO_S:
                            return
                        await blobs.put(f"{name}-{turn}", parts(data), limit=len(data))
                        await blobs.fetch(f"{name}-{turn}", nowhere)
                        if erased:
                            await blobs.delete(f"{name}-{turn}")
                        done += 1

            cpu_s = running.cpu_s()
            await asyncio.gather(*(files(str(number)) for number in range(_FILES_AT_ONCE)))
            megabytes = done * _FILE_BYTES / 1e6
            return Audio(
                sync_interval=sync_interval,
                erased=erased,
                mb_per_s=round(megabytes / (time.perf_counter() - started), 1),
                server_cpu_ms=round(1e3 * (running.cpu_s() - cpu_s) / megabytes, 2),
            )


async def hearing_us(binary: str, events: int = 30_000) -> float:
    """Return what an event takes of the processor of a gateway where nobody waits for that job."""
    with server(binary, "default") as running:
        async with connect(running.url, name="bench") as broker:
            lines, heard = Lines(broker), 0

            async def on_event(event: Event) -> None:
                nonlocal heard
                lines.hear(event)
                heard += 1

            await broker.hear(on_event)
            wire, told = Records([]).wire, _told()
            await _connect(wire, running)
            cpu_s = time.process_time()
            for sent in range(0, events, 3 * 100):
                wire.transport.write(b"".join(told(number) for number in range(sent, sent + 300)))
                while heard < sent:  # noqa: ASYNC110 - one batch ahead
                    await asyncio.sleep(0)
            return 1e6 * (time.process_time() - cpu_s) / heard


async def _connect(wire: Wire, running: Server) -> None:
    place = urlsplit(running.url)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: wire, place.hostname or "", place.port or 0)


def _told() -> Callable[[int], bytes]:
    """Return what makes events as a bucket republishes them: of each job three."""
    now, key = datetime.now(UTC), f"{0:064x}.{0:016x}"
    job = jobs.open_job(key, AnalyzeOptions(), blob="upload-0", siblings=(), now=now)
    claimed = jobs.claim(job, owner="a-1-b", now=now, lease=ANALYZE.lease)
    result = words("one two three " * 250)
    done = jobs.finish(claimed, fence=claimed.fence, result=result, now=now)
    bodies = [msgspec.json.encode(each) for each in (job, claimed, done)]

    def told(number: int) -> bytes:
        body = bodies[number % 3]
        header = f"NATS/1.0\r\nNats-Sequence: {number}\r\n\r\n".encode()
        subject = f"audio.evt.{number // 3:064x}.{0:016x}"
        lengths = f"{len(header)} {len(header) + len(body)}"
        return f"HPUB {subject} {lengths}\r\n".encode() + header + body + b"\r\n"

    return told


async def main(binary: str, partitions: list[int], seconds: float) -> None:
    """Climb all ladders, print them, and write the results."""
    rows: Rows = []
    version = ""
    print("            sync     parts   most/s holds/s  cores (client) |  p50, p99 ms at")
    print(f"{'':62} | " + "".join(f"{share:>15.0%}" for share in SHARES))
    for what in ("queue", "records", "encrypted"):
        for sync_interval in ("default", "always"):
            for number in partitions if what != "encrypted" else [1]:
                version, row = await measure(binary, what, number, sync_interval, seconds)
                times = "".join(f"{each.p50_ms:8.2f}{each.p99_ms:7.1f}" for each in row.levels)
                print(
                    f"{what:10} {sync_interval:8} {number:6} {row.most:9.0f} {row.holds:7.0f}"
                    f" {row.server_cores:5.2f} ({row.client_cores:.2f})      | {times}",
                    flush=True,
                )
                rows.append(row)
    audio = []
    for sync_interval in ("default", "always"):
        for erased in (False, True):
            through = await through_a_store(binary, sync_interval, erased=erased)
            audio.append(through)
            print(
                f"audio      {sync_interval:8} {'erased' if erased else 'left':8}"
                f" {through.mb_per_s:6.1f} MB/s, {through.server_cpu_ms:.1f} ms a MB"
            )
    event_cpu_us = round(await hearing_us(binary), 1)
    print(f"an event takes {event_cpu_us} us of a gateway")
    RESULTS.parent.mkdir(exist_ok=True)
    report = Report(
        server=version, seconds=seconds, rows=rows, audio=audio, event_cpu_us=event_cpu_us
    )
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=1.2)
    parser.add_argument(
        "--server", default=str(BUILT) if BUILT.exists() else shutil.which("nats-server")
    )
    arguments = parser.parse_args()
    uvloop.run(main(arguments.server, arguments.partitions, arguments.seconds))
