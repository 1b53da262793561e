"""Who waits is told: WebSockets, Server-Sent Events, long polls, places in the queue."""

import asyncio
import os
import queue
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import httpx
import msgspec
import pytest
from nats.aio.msg import Msg
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, connect
from decibus.errors import BadAudio
from decibus.jobs import Job, State
from decibus.ledger import Ledger
from decibus.messages import AudioFormat, Checkpoint, Segment, Transcript
from decibus.progress import Progress
from decibus.topology import ANALYSES, AUDIO, TRANSCRIBE, Queue
from decibus.worker import Step, Worker
from services.gateway import live as live_module
from services.gateway import streams
from services.gateway.__main__ import Server, configure
from services.gateway.app import create_app
from services.gateway.keys import Keyring
from services.gateway.live import Live
from services.gateway.opened import opened
from services.gateway.settings import Settings
from services.gateway.streams import follow
from services.gateway.uploads import Uploads
from tests.conftest import NatsServer
from tests.gateway.conftest import REFERENCES, replica, report

ROOT: Final = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Served:
    """A gateway behind a real uvicorn, in the test's own event loop."""

    port: int
    http: httpx.AsyncClient
    broker: Broker
    live: Live
    uploads: Uploads

    async def upload(self, audio: bytes = b"some audio", **options: str) -> str:
        """Queue one file for the transcriber; returns its token."""
        return await upload(self.http, audio, **options)

    def socket(self, token: str) -> open_socket:
        return open_socket(f"ws://127.0.0.1:{self.port}/ws/{token}")

    async def events(self, token: str, **headers: str) -> list["Sent"]:
        """Return all events of a stream, to its end."""
        return [event async for event in self.stream(token, **headers)]

    async def stream(self, token: str, **headers: str) -> AsyncIterator["Sent"]:
        async with self.http.stream("GET", f"/events/{token}", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                yield Sent(fields)
                fields = {}


class Sent:
    """One Server-Sent Event."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.is_comment = "" in fields
        self.id = fields.get("id", "")
        self.event = fields.get("event", "")
        self.body = msgspec.json.decode(fields.get("data", "null"))


async def upload(http: httpx.AsyncClient, audio: bytes, **options: str) -> str:
    answer = await http.post(
        "/analyze",
        files={"file": ("take.wav", audio)},
        data={"tasks": "transcribe"} | options,
        headers={"Prefer": "respond-async"},
    )
    assert answer.status_code == 202, answer.text
    return str(report(answer)["token"])


@pytest.fixture
def settings(nats_server: NatsServer) -> Settings:
    return Settings(http_port=free_port(), nats_url=nats_server.url, grace_s=5.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    async with (
        connect(settings.nats_url, name="gateway") as broker,
        opened(broker, settings, Keyring(), REFERENCES) as gateway,
    ):
        server = Server(configure(create_app(gateway), settings))
        url = f"http://127.0.0.1:{settings.http_port}"
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve())
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
            async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                yield Served(settings.http_port, http, broker, gateway.live, gateway.uploads)
            gateway.live.close()
            server.should_exit = True


class Speech:
    """A transcriber's step that says what the test tells it to, and keeps all that it has said."""

    def __init__(self, said: tuple[Segment, ...] = ()) -> None:
        self._orders: queue.SimpleQueue[tuple[Segment, ...] | Exception | None] = (
            queue.SimpleQueue()
        )
        self._before = self.said = said

    def say(self, *words: str) -> None:
        """Hear something more."""
        first = len(self.said)
        self.said += tuple(segment(first + number, word) for number, word in enumerate(words))
        self._orders.put(self.said[first:])

    def end(self, error: Exception | None = None) -> None:
        self._orders.put(error)

    def __call__(self, _: BinaryIO, __: Any, progress: Progress) -> Transcript:
        parts = list(progress.kept)
        known = sum(len(part.segments) for part in parts)
        progress.take_over(known)
        if again := self._before[known:]:  # was on its way when the worker was lost
            progress(0.0, again)
        while (order := self._next(progress)) is not None:
            if isinstance(order, Exception):
                raise order
            progress((order[-1].id + 1) / max(10, len(self.said)), order)
            parts.append(Checkpoint(number=len(parts), segments=order))
            progress.keep(parts[-1])
        return transcript(self.said)

    def _next(self, progress: Progress) -> tuple[Segment, ...] | Exception | None:
        while True:
            with suppress(queue.Empty):
                return self._orders.get(timeout=0.2)
            progress(progress.fraction)  # the place where it is stopped


def segment(number: int, word: str) -> Segment:
    return Segment(
        id=number,
        start=float(number),
        end=number + 1.0,
        text=word,
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
    )


def transcript(segments: tuple[Segment, ...]) -> Transcript:
    return Transcript(
        text=" ".join(segment.text for segment in segments),
        language="en",
        language_probability=1.0,
        model="test",
        segments=segments,
        audio=AudioFormat(
            container="raw",
            codec="none",
            sample_rate=48_000,
            channels=1,
            layout="mono",
            bit_depth=None,
            bit_rate=None,
            duration=1.0,
        ),
    )


@asynccontextmanager
async def working(
    broker: Broker,
    step: Step,
    *,
    slots: int = 1,
    on: Queue = TRANSCRIBE,
    grace: timedelta = timedelta(seconds=5),
) -> AsyncIterator[None]:
    worker = Worker(broker, Blobs(broker.connection, AUDIO.name), on, step, slots=slots)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.serve(until=stop, grace=grace))
        try:
            yield
        finally:
            stop.set()


async def message(socket: ClientConnection) -> Any:
    async with asyncio.timeout(15):
        return msgspec.json.decode(await socket.recv())


async def until(socket: ClientConnection, status: str) -> Any:
    while (found := await message(socket))["status"] != status:
        pass
    return found


async def close_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    return int(socket.close_code or 0)


# What is told.


async def test_a_socket_is_told_every_change_and_closed_at_the_end(served: Served) -> None:
    token, speech = await served.upload(), Speech()

    async with served.socket(token) as socket:
        queued = await message(socket)
        async with working(served.broker, speech):
            running = await until(socket, "running")
            speech.say("one", "two")
            first = await message(socket)
            speech.say("three")
            second = await message(socket)
            speech.end()
            done = await until(socket, "done")
        code = await close_code(socket)

    assert (queued["type"], queued["status"], queued["progress"]) == ("state", "queued", 0.0)
    assert queued["report"]["token"] == token
    assert queued["queue"] == queued["report"]["queue"] == {"position": 1, "eta_s": None}
    assert (running["report"], running["queue"]) == (None, None)
    assert [heard["text"] for heard in first["segments"]] == ["one", "two"]
    assert [(heard["id"], heard["text"]) for heard in second["segments"]] == [(2, "three")]
    assert (first["progress"], second["progress"]) == (0.2, 0.3)
    assert (done["progress"], done["report"]["transcription"]) == (1.0, "one two three")
    assert queued["revision"] < running["revision"] < first["revision"] < done["revision"]
    assert code == 1000


async def test_server_sent_events_tell_the_same(served: Served) -> None:
    token, speech = await served.upload(), Speech()
    told: list[Sent] = []

    async with working(served.broker, speech):
        async for event in served.stream(token):
            told.append(event)
            if len(told) == 1:
                speech.say("one")
            if event.body["segments"]:
                speech.end()

    assert [event.event for event in told[:-1]] == ["state"] * (len(told) - 1)
    assert told[-1].event == told[-1].body["status"] == "done"
    assert told[-1].body["report"]["transcription"] == "one"
    ids = [int(event.id) for event in told]
    assert ids == sorted(ids)


async def test_a_failure_is_told_with_its_reason(served: Served) -> None:
    token, speech = await served.upload(), Speech()
    speech.end(BadAudio("damaged"))

    async with working(served.broker, speech), served.socket(token) as socket:
        failed = await until(socket, "failed")

    assert failed["report"]["errors"][0]["code"] == "bad_audio"
    assert (await served.events(token))[-1].event == "failed"


async def test_who_connects_again_gets_the_state_as_it_is(served: Served) -> None:
    token, speech = await served.upload(), Speech()
    speech.say("one")

    async with working(served.broker, speech):
        async with served.socket(token) as socket:
            while not (await message(socket))["segments"]:
                pass
        async with served.socket(token) as socket:
            again = await message(socket)
        speech.end()
        async with served.socket(token) as socket:
            await until(socket, "done")
    async with served.socket(token) as socket:
        after = await message(socket)
        code = await close_code(socket)

    assert (again["status"], again["report"]["status"]) == ("running", "running")
    assert [heard["text"] for heard in again["segments"]] == ["one"]
    assert (after["status"], after["report"]["transcription"], code) == ("done", "one", 1000)


async def test_who_comes_late_to_a_long_talk_gets_all_of_it_and_then_each_segment_once(
    served: Served, nats_server: NatsServer
) -> None:
    token, speech = await served.upload(), Speech()
    talk = [f"word {number} ".ljust(300, "-") for number in range(200)]  # 2.5 times a record's

    async with connect(nats_server.url, name="worker") as broker:
        async with working(broker, speech, grace=timedelta(milliseconds=50)):
            for first in range(0, 160, 20):
                speech.say(*talk[first : first + 20])
            async with served.socket(token) as socket:
                ids = await listen(socket, last=159)
        job = await served.broker.oldest(ANALYSES, ">")
        assert job
        assert len(job.value) < jobs.MAX_PARTIAL_BYTES + 1000
        async with served.socket(token) as socket:
            between = await message(socket)
            # The next worker goes on behind what was kept, which is all but the last.
            async with working(broker, heir := Speech(speech.said)):
                heir.say(*talk[160:])
                after = await listen(socket, last=199)
                stream = served.stream(token)
                first_event = await anext(stream)
                heir.end()
                done = await until(socket, "done")

    assert ids == [*range(160)]
    assert [heard["id"] for heard in between["segments"]] == [*range(160)]
    assert after[0] in {140, 160}
    assert after == [*range(after[0], 200)], "nothing is missing, nothing is told twice"
    assert [heard["id"] for heard in first_event.body["segments"]] == [*range(200)]
    assert [heard["text"] for heard in done["report"]["transcript"]["segments"]] == talk


async def listen(socket: ClientConnection, *, last: int) -> list[int]:
    """Return the ids of the segments that are told, up to one."""
    ids: list[int] = []
    while not ids or ids[-1] != last:
        ids += [heard["id"] for heard in (await message(socket))["segments"]]
    return ids


async def test_an_event_source_that_had_the_end_is_told_to_stop_asking(served: Served) -> None:
    token, speech = await served.upload(), Speech()
    speech.end()
    async with working(served.broker, speech):
        (*_, last) = await served.events(token)

    answer = await served.http.get(f"/events/{token}", headers={"Last-Event-ID": last.id})
    replayed = await served.events(token, **{"Last-Event-ID": "1"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert [event.event for event in replayed] == ["done"]


async def test_an_unknown_token_is_told_so_at_each_door(served: Served) -> None:
    async with served.socket("unknown") as socket:
        assert await close_code(socket) == 4404
    answer = await served.http.get("/events/unknown")

    assert (answer.status_code, report(answer)["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_stream_ends_with_its_token(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await served.upload()
    expiry = datetime.now(UTC) + timedelta(seconds=1)

    async with served.socket(token) as socket:
        await message(socket)
        monkeypatch.setattr(streams, "_is_expired", lambda _: datetime.now(UTC) > expiry)
        assert await close_code(socket) == 4404


async def test_a_deleted_report_fails_for_who_waits_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_DOUBT_AFTER_S", 0.5)
    token = await served.upload()

    async with served.socket(token) as socket:
        await message(socket)
        assert (await served.http.delete(f"/result/{token}")).status_code == 204
        failed = await message(socket)

    assert (failed["status"], failed["report"]["errors"][0]["code"]) == ("failed", "not_found")


async def test_a_quiet_stream_of_events_is_kept_alive(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.3)
    token, speech = await served.upload(), Speech()

    async with working(served.broker, speech):
        told = []
        async for event in served.stream(token):
            told.append(event.is_comment)
            if told.count(True) == 3:
                break
        speech.end()

    assert told[0] is False


# What it costs.


async def test_a_slow_client_gets_the_newest_state_and_no_backlog(served: Served) -> None:
    token = await served.upload()
    found = await served.uploads.find(token, now=datetime.now(UTC))
    (key,) = found.keys.values()
    ledger = Ledger(served.broker)
    lease = timedelta(seconds=60)

    with served.live.streaming([key]) as watch:
        updates = follow(served.live, watch, found, REFERENCES)
        await anext(updates)
        claim = partial(jobs.claim, owner="a", now=datetime.now(UTC), lease=lease)
        running = await ledger.move(key, claim)
        for number in range(1, 100):

            def hear(job: Job, number: int = number) -> Job:
                return jobs.renew(
                    job,
                    fence=running.fence,
                    progress=number / 100,
                    now=datetime.now(UTC),
                    lease=lease,
                )

            await ledger.move(key, hear)
        await asyncio.sleep(0.2)  # all events are here, and nobody has looked
        update = await anext(updates)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(updates)

    assert update
    assert (update.status, update.progress) == (State.RUNNING, 0.99)


async def test_who_has_gone_leaves_nothing_behind(served: Served) -> None:
    token = await served.upload()

    async def come_and_go(number: int) -> None:
        if number % 2:
            async with served.socket(token) as socket:
                await message(socket)
        else:
            async for _ in served.stream(token):
                break

    for first in range(0, 200, 20):
        await asyncio.gather(*(come_and_go(number) for number in range(first, first + 20)))

    async with asyncio.timeout(2):
        while served.live.waiters:  # noqa: ASYNC110 - nothing tells that nobody is left
            await asyncio.sleep(0.01)
    assert not [task for task in asyncio.all_tasks() if "_end_with_client" in repr(task)]


@pytest.fixture
def process(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway in a process of its own, as it is deployed."""
    log = tmp_path / "gateway.log"
    env = {"NATS_URL": settings.nats_url, "HTTP_PORT": str(settings.http_port), "GRACE_S": "20"}
    with log.open("wb") as out:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            cwd=ROOT,
            env=os.environ | env,
            stdout=out,
            stderr=out,
        )
    deadline = time.monotonic() + 20
    while not is_listening(settings.http_port):
        assert gateway.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    yield gateway
    gateway.kill()
    gateway.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def rss_mib(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def test_a_thousand_idle_sockets_cost_less_than_60_mib_and_all_hear_the_end(
    process: subprocess.Popen[bytes], settings: Settings
) -> None:
    url = f"127.0.0.1:{settings.http_port}"
    speech = Speech()
    async with (
        httpx.AsyncClient(base_url=f"http://{url}") as http,
        connect(settings.nats_url, name="worker") as broker,
        working(broker, speech),
    ):
        tokens = [await upload(http, b"some audio") for _ in range(10)]  # one job
        before = rss_mib(process)

        async def open_one(number: int) -> ClientConnection:
            socket = await open_socket(
                f"ws://{url}/ws/{tokens[number % 10]}", compression=None, open_timeout=30
            )
            await message(socket)
            return socket

        sockets: list[ClientConnection] = []
        for first in range(0, 1000, 50):
            sockets += await asyncio.gather(*(open_one(first + n) for n in range(50)))
        await asyncio.sleep(1)
        grown = rss_mib(process) - before
        healthy = await http.get("/healthz")
        speech.end()
        ends = await asyncio.gather(*(until(socket, "done") for socket in sockets))
        codes = {await close_code(socket) for socket in sockets}

    print(f"1000 sockets: {grown:.1f} MiB")  # noqa: T201 - pytest -rP shows it
    assert grown < 60
    assert healthy.status_code == 200
    assert all(end["report"]["status"] == "done" for end in ends)
    assert codes == {1000}


async def test_a_gateway_that_stops_sends_its_streams_to_another_at_once(
    process: subprocess.Popen[bytes], settings: Settings
) -> None:
    url = f"127.0.0.1:{settings.http_port}"
    async with httpx.AsyncClient(base_url=f"http://{url}") as http:
        token = await upload(http, b"some audio")
        async with (
            open_socket(f"ws://{url}/ws/{token}") as socket,
            http.stream("GET", f"/events/{token}") as events,
        ):
            await message(socket)
            lines = events.aiter_lines()
            await anext(lines)

            start = time.monotonic()
            process.terminate()
            rest = [line async for line in lines]
            assert await close_code(socket) == 1012
            status = await asyncio.to_thread(process.wait, 10)

    assert not any(line.startswith("event: done") for line in rest)
    assert time.monotonic() - start < 5
    assert status == 0


async def test_a_restart_of_nats_is_a_pause_and_nothing_else(
    served: Served, nats_server: NatsServer
) -> None:
    token, speech = await served.upload(), Speech()

    async with working(served.broker, speech), served.socket(token) as socket:
        await until(socket, "running")
        stream = served.stream(token)
        await anext(stream)
        await asyncio.to_thread(nats_server.restart)
        speech.say("one")
        speech.end()
        done = await until(socket, "done")
        assert await close_code(socket) == 1000
        told = [event async for event in stream]

    assert done["report"]["transcription"] == "one"
    assert told[-1].event == "done"


# Waiting by asking.


async def test_a_long_poll_ends_with_the_job(served: Served) -> None:
    token, speech = await served.upload(), Speech()

    async with working(served.broker, speech), asyncio.TaskGroup() as group:
        start = time.monotonic()
        polled = group.create_task(served.http.get(f"/result/{token}?wait=20"))
        await asyncio.sleep(0.3)
        speech.end()
        answer = await polled
        again = await served.http.get(f"/result/{token}?wait=20")

    assert report(answer)["status"] == report(again)["status"] == "done"
    assert time.monotonic() - start < 3


async def test_a_long_poll_reads_the_row_of_what_came_in_here_once(served: Served) -> None:
    asked: list[str] = []

    async def on_question(message: Msg) -> None:
        asked.append(message.subject)

    row = "$JS.API.STREAM.MSG.GET.KV_reports"
    await served.broker.connection.subscribe(row, cb=on_question)
    await served.broker.settle_subscriptions()
    token = await served.upload()

    await served.http.get(f"/result/{token}?wait=0.1")
    await served.broker.settle_subscriptions()
    once = len(asked)
    await served.http.get(f"/result/{token}")
    await served.broker.settle_subscriptions()

    assert once == 1
    assert len(asked) == 2


async def test_what_another_replica_has_deleted_is_not_shown_to_who_waits(
    served: Served, settings: Settings, nats_server: NatsServer
) -> None:
    token, twin, speech = await served.upload(), await served.upload(), Speech()

    async with (
        replica(nats_server, settings) as other,
        other.http() as elsewhere,
        working(served.broker, speech),
        asyncio.TaskGroup() as group,
    ):
        polled = group.create_task(served.http.get(f"/result/{token}?wait=20"))
        await asyncio.sleep(0.2)
        gone = await elsewhere.delete(f"/result/{token}")
        late = group.create_task(served.http.get(f"/result/{token}?wait=20"))
        at_once = await served.http.get(f"/result/{token}")
        speech.end()
        kept = await served.http.get(f"/result/{twin}?wait=20")

    assert gone.status_code == 204
    assert polled.result().status_code == late.result().status_code == 404
    assert at_once.status_code == 404
    assert report(kept)["status"] == "done"


@pytest.mark.parametrize(
    ("prefer", "query", "applied"),
    [
        ("wait=0", "", "wait=0"),
        ("respond-async, wait=1", "", "respond-async, wait=1"),
        ("wait=1", "?wait=0", None),
        ("respond-async", "", "respond-async"),
    ],
)
async def test_a_preference_is_followed_and_said_to_be(
    served: Served, prefer: str, query: str, applied: str | None
) -> None:
    start = time.monotonic()
    answer = await served.http.post(
        f"/analyze{query}", files={"file": ("a.wav", b"some audio")}, headers={"Prefer": prefer}
    )

    assert answer.status_code == 202
    assert answer.headers.get("preference-applied") == applied
    waited = re.findall(r"wait=(\d)", applied or "")
    assert 0 <= time.monotonic() - start - sum(map(int, waited)) < 1


async def test_an_idle_connection_is_kept_longer_than_clients_keep_it(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)

    for pause_s in (0.0, 5.5):  # uvicorn and httpx both let go after 5 s, unless told otherwise
        await asyncio.sleep(pause_s)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 200"), answer

    writer.close()
    await writer.wait_closed()


# The place in the queue.


async def test_the_place_only_falls_and_the_forecast_comes_true(served: Served) -> None:
    work_s = 1.0
    finished: dict[str, float] = {}
    places: dict[str, list[int]] = {}
    etas: dict[str, list[tuple[float, float, float]]] = {}

    def slow(_: BinaryIO, __: Any, ___: Progress) -> Transcript:
        time.sleep(work_s)
        return transcript(())

    tokens = [await served.upload(bytes([number]) * 100) for number in range(10)]
    first = [await queue_of(served, token) for token in tokens]
    async with working(served.broker, slow, slots=2):
        while len(finished) < len(tokens):
            for token in set(tokens) - set(finished):
                asked = time.monotonic()
                found = report(await served.http.get(f"/result/{token}"))
                if found["status"] == "done":
                    finished[token] = time.monotonic()
                elif place := found["queue"]:
                    places.setdefault(token, []).append(place["position"])
                    if len(finished) >= 3:
                        told = (asked, time.monotonic(), place["eta_s"])
                        etas.setdefault(token, []).append(told)
            await asyncio.sleep(0.05)

    assert [place["position"] for place in first] == list(range(1, 11))
    assert {place["eta_s"] for place in first} == {None}, "nothing was measured yet"
    assert all(told == sorted(told, reverse=True) for told in places.values())
    true = [
        (finished[token] - answered) / 2 <= eta_s <= (finished[token] - asked) * 2
        for token, forecasts in etas.items()
        for asked, answered, eta_s in forecasts
    ]
    assert len(true) > 10
    assert sum(true) > 0.9 * len(true), "a machine that stalls spoils one, but not most"
    assert served.live.lines.known == 0, "what waits no more is forgotten"


async def queue_of(served: Served, token: str) -> Any:
    return report(await served.http.get(f"/result/{token}"))["queue"]


async def test_a_job_that_waits_no_more_has_no_place(served: Served) -> None:
    token, speech = await served.upload(), Speech()

    async with working(served.broker, speech), served.socket(token) as socket:
        await until(socket, "running")
        running = await queue_of(served, token)
        speech.end()
        await until(socket, "done")

    assert running is None
    assert await queue_of(served, token) is None


async def test_a_withdrawn_job_makes_the_next_ones_move_up(served: Served) -> None:
    tokens = [await served.upload(bytes([number]) * 100) for number in range(3)]

    await served.http.delete(f"/result/{tokens[0]}")
    await asyncio.sleep(1.1)  # the queue is looked at once a second

    assert [(await queue_of(served, token))["position"] for token in tokens[1:]] == [1, 2]
