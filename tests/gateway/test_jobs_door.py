"""Conversions in steps: announced, sent by a signed link, started, fetched by another."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from msgspec.structs import replace

from decibus.blobs import Blobs
from decibus.broker import connect
from decibus.topology import ANALYSES, AUDIO, OUTPUTS, REPORTS, SIGNING, TICKETS, TRANSCODE
from decibus.worker import Step
from services.gateway.links import Links
from services.gateway.tickets import STARTING, Starter, Ticket, Tickets
from tests.conftest import NatsServer
from tests.disk import count_on_disk, keys_of_objects
from tests.gateway.conftest import Pipeline, Replica, replica, report, transcoder_at
from tests.signals import encode, music, sine
from tests.transcoder.conversions import read

PATCHED = "application/offset+octet-stream"
TO_MP3 = {"extension": "mp3", "bit_depth": 16, "bit_rate": 192, "sample_rate": 44_100}
EVERYTHING = (AUDIO, OUTPUTS, TICKETS, REPORTS, ANALYSES)


@pytest.fixture(scope="module")
def take() -> bytes:
    return encode(sine(4.0, -20.0), 48_000, "wav16")


class Client:
    """What a sender does, one step a method."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def create(self, **headers: str) -> Any:
        body = {"transcode": {"format": TO_MP3}}
        made = await self.http.post("/jobs/", json=body, headers=headers)
        assert made.status_code == 201, made.text
        return report(made)

    async def send(self, job: Any, audio: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.put(job["source"]["upload_url"], content=audio, headers=named)

    async def more(self, job: Any, offset: int, audio: bytes, **headers: str) -> httpx.Response:
        told = httpx.Headers({"Upload-Offset": str(offset), "Content-Type": PATCHED})
        told.update({name.replace("_", "-"): value for name, value in headers.items()})
        return await self.http.patch(job["source"]["upload_url"], content=audio, headers=told)

    async def offset(self, job: Any) -> int:
        head = await self.http.head(job["source"]["upload_url"])
        assert head.headers["cache-control"] == "no-store"
        return int(head.headers["upload-offset"])

    async def start(self, job: Any) -> httpx.Response:
        return await self.http.post(f"/jobs/{job['_id']}/status/started/")

    async def show(self, job: Any) -> Any:
        return report(await self.http.get(f"/jobs/{job['_id']}/"))

    async def until(self, job: Any, status: str, within_s: float = 30.0) -> Any:
        async with asyncio.timeout(within_s):
            while (now := await self.show(job))["status"] != status:  # noqa: ASYNC110 - it is HTTP
                await asyncio.sleep(0.05)
        return now


@pytest.fixture
def client(pipeline: Pipeline) -> Client:
    return Client(pipeline.http)


async def messages(pipeline: Pipeline | Replica) -> dict[str, int]:
    found = {each.name: await pipeline.messages(each.stream) for each in EVERYTHING}
    return {name: count for name, count in found.items() if count}


async def test_a_conversion_is_announced_sent_started_and_fetched(
    pipeline: Pipeline, client: Client, nats_server: NatsServer, convert: Step, take: bytes
) -> None:
    job = await client.create()
    assert re.fullmatch("[0-9a-f]{32}", job["_id"])
    assert (job["status"], job["machine_id"]) == ("created", None)
    assert job["source"]["download_url"] is None
    assert (job["transcode"]["download_url"], job["transcode"]["upload_url"]) == (None, None)
    assert job["transcode"]["format"]["extension"] == "mp3"

    sent = await client.send(job, take, content_disposition="attachment;filename=song.wav")
    source = (await client.show(job))["source"]["download_url"]
    assert (sent.status_code, sent.headers["upload-offset"]) == (200, str(len(take)))
    assert (await pipeline.http.get(source)).content == take
    started = await client.start(job)
    assert (started.status_code, report(started)["status"]) == (200, "started")
    assert report(started)["source"] == {"download_url": None, "upload_url": None}
    assert (await pipeline.http.get(source)).status_code == 404

    async with transcoder_at(nats_server.url, convert):
        done = await client.until(job, "completed")

    assert done["machine_id"] == socket.gethostname()
    made = await pipeline.http.get(done["transcode"]["download_url"])
    assert made.status_code == 200
    assert made.headers["content-disposition"] == 'attachment; filename="song.mp3"'
    _, audio = read(made.content)
    assert (audio.codec, audio.sample_rate) == ("mp3", 44_100)
    assert audio.bit_rate == pytest.approx(192_000, rel=0.05)
    assert "decibus-token" not in made.headers
    part = await pipeline.http.get(
        done["transcode"]["download_url"], headers={"range": "bytes=10-19"}
    )
    assert part.content == made.content[10:20]
    assert report(await client.start(job))["status"] == "completed", "it is not done again"

    assert (await pipeline.http.delete(f"/jobs/{job['_id']}/")).status_code == 204
    assert await messages(pipeline) == {}
    assert (await pipeline.http.get(done["transcode"]["download_url"])).status_code == 404
    assert (await pipeline.http.get(f"/jobs/{job['_id']}/")).status_code == 404


async def test_an_upload_goes_on_where_it_had_come_to(
    pipeline: Pipeline, client: Client, nats_server: NatsServer, convert: Step, take: bytes
) -> None:
    job, whole, half = await client.create(), len(take), len(take) // 2
    first = await client.more(job, 0, take[:1000], upload_length=str(whole))
    assert (first.status_code, first.headers["upload-offset"]) == (204, "1000")

    early = await client.start(job)
    wrong = await client.more(job, 999, take[999:])
    typed = await client.more(job, 1000, take[1000:], content_type="audio/wav")
    blind = await pipeline.http.patch(
        job["source"]["upload_url"], content=b"x", headers={"Content-Type": PATCHED}
    )
    longer = await client.more(job, 1000, take + b"x")
    assert (early.status_code, report(early)["code"]) == (409, "conflict")
    assert (wrong.status_code, wrong.headers["upload-offset"]) == (409, "1000")
    assert (typed.status_code, report(typed)["code"]) == (415, "unsupported_type")
    assert [blind.status_code, longer.status_code] == [400, 400]
    assert await client.offset(job) == 1000

    both = await asyncio.gather(*(client.more(job, 1000, take[1000:half]) for _ in "ab"))
    assert sorted(each.status_code for each in both) == [204, 409]
    assert await client.offset(job) == half
    assert (await client.more(job, half, take[half:])).headers["upload-offset"] == str(whole)

    async with transcoder_at(nats_server.url, convert):
        assert (await client.start(job)).status_code == 200
        done = await client.until(job, "completed")
    made = await pipeline.http.get(done["transcode"]["download_url"])
    assert read(made.content)[1].duration == pytest.approx(4.0, abs=0.06)
    assert await pipeline.messages(AUDIO.stream) == 0, "no part is left"


async def test_a_source_that_the_store_let_go_of_has_to_come_anew(
    pipeline: Pipeline, client: Client, take: bytes
) -> None:
    job = await client.create()
    await client.more(job, 0, take[:1000], upload_length=str(len(take)))
    tickets, blobs = Tickets(pipeline.broker), Blobs(pipeline.broker.connection, AUDIO.name)
    ticket = await tickets.locate(job["_id"])
    long_ago = datetime.now(UTC) - AUDIO.ttl - timedelta(seconds=1)
    await tickets.move(ticket.key, lambda found: replace(found, created_at=long_ago))
    assert await client.offset(job) == 1000, "it is old, and still there"

    await blobs.delete(ticket.parts[0].name)

    assert await client.offset(job) == 0
    assert (await client.start(job)).status_code == 409
    wrong = await client.more(job, 1000, take[1000:])
    assert (wrong.status_code, wrong.headers["upload-offset"]) == (409, "0")
    assert (await client.more(job, 0, take)).status_code == 204
    assert (await client.start(job)).status_code == 200


async def test_a_new_source_replaces_the_old_until_it_is_started(
    pipeline: Pipeline, client: Client, take: bytes
) -> None:
    job = await client.create()
    await client.send(job, b"not what was meant")
    await client.send(job, take)

    assert await pipeline.broker.count_subjects(AUDIO.seals, AUDIO.seal_subjects) == 1
    assert (await client.start(job)).status_code == 200
    late = await client.send(job, b"too late")
    later = await client.more(job, len(take), b"too late")
    assert [late.status_code, later.status_code] == [409, 409]
    assert await pipeline.broker.count_subjects(AUDIO.seals, AUDIO.seal_subjects) == 1
    await pipeline.http.delete(f"/jobs/{job['_id']}/")
    assert await messages(pipeline) == {}


async def test_however_many_start_it_it_runs_once(
    pipeline: Pipeline, client: Client, nats_server: NatsServer, take: bytes
) -> None:
    job = await client.create()
    await client.more(job, 0, take[:1000], upload_length=str(len(take)))
    await client.more(job, 1000, take[1000:])

    async with (
        replica(nats_server, pipeline.settings) as other,
        other.http("127.0.0.1") as theirs,
    ):
        started = await asyncio.gather(
            *(each.start(job) for each in (client, Client(theirs)) for _ in range(4))
        )

    assert {each.status_code for each in started} == {200}
    assert {report(each)["status"] for each in started} == {"started"}
    assert await pipeline.messages(TRANSCODE.stream) == 1
    assert len(await pipeline.broker.keys(REPORTS, "by.*.*.*")) == 1
    assert await pipeline.broker.count_subjects(AUDIO.seals, AUDIO.seal_subjects) == 1


async def test_a_start_whose_gateway_died_is_taken_over_in_a_minute(
    pipeline: Pipeline, client: Client, take: bytes
) -> None:
    job, tickets = await client.create(), Tickets(pipeline.broker)
    await client.send(job, take)
    key = (await tickets.locate(job["_id"])).key

    def claimed(until: datetime) -> Any:
        def move(ticket: Ticket) -> Ticket:
            return replace(ticket, starter=Starter("somebody", until))

        return move

    await tickets.move(key, claimed(datetime.now(UTC) + STARTING))
    await client.start(job)
    untouched = await pipeline.messages(TRANSCODE.stream)
    await tickets.move(key, claimed(datetime.now(UTC) - timedelta(seconds=1)))
    taken_over = await client.start(job)

    assert untouched == 0
    assert report(taken_over)["status"] == "started"
    assert await pipeline.messages(TRANSCODE.stream) == 1


async def test_a_start_that_fails_may_be_tried_again(
    pipeline: Pipeline, client: Client, take: bytes
) -> None:
    job = await client.create()
    await client.send(job, take)
    js = pipeline.broker.connection.jetstream()
    config = (await js.stream_info(TRANSCODE.stream)).config
    await js.update_stream(replace_config(config, max_msgs=1))
    await pipeline.broker.connection.publish(TRANSCODE.subject("other"), b"{}")
    await pipeline.broker.connection.flush()

    refused = await client.start(job)
    await js.purge_stream(TRANSCODE.stream)
    again = await client.start(job)

    assert (refused.status_code, report(refused)["code"]) == (503, "backlog_full")
    assert report(again)["status"] == "started"


def replace_config(config: Any, **changes: int) -> Any:
    for name, value in changes.items():
        setattr(config, name, value)
    return config


async def test_a_file_that_is_no_audio_ends_as_failed_and_that_stays(
    pipeline: Pipeline, client: Client, nats_server: NatsServer, convert: Step
) -> None:
    job = await client.create()
    await client.send(job, b"<html>")
    async with transcoder_at(nats_server.url, convert):
        await client.start(job)
        failed = await client.until(job, "failed")
    assert (failed["error"]["code"], failed["machine_id"]) == ("not_audio", socket.gethostname())
    assert failed["transcode"]["download_url"] is None

    for key in await pipeline.broker.keys(ANALYSES, "*.*"):
        await pipeline.broker.erase(ANALYSES, key)

    assert (await client.show(job))["error"]["code"] == "not_audio"


async def test_senders_see_their_own_jobs_page_by_page(
    pipeline: Pipeline, nats_server: NatsServer
) -> None:
    async with (
        replica(nats_server, pipeline.settings) as gateway,
        gateway.http("198.51.100.1") as ours,
        gateway.http("198.51.100.2") as theirs,
    ):
        mine = [(await Client(ours).create())["_id"] for _ in range(5)]
        foreign = (await Client(theirs).create())["_id"]

        pages, cursor = [], ""
        while cursor is not None:
            asked = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = report(await ours.get("/jobs/", params=asked))
            pages.append([job["_id"] for job in page["data"]])
            cursor = page["next"]
        assert pages == [[mine[4], mine[3]], [mine[2], mine[1]], [mine[0]]]
        for method, path in (
            ("GET", f"/jobs/{foreign}/"),
            ("DELETE", f"/jobs/{foreign}/"),
            ("POST", f"/jobs/{foreign}/status/started/"),
            ("GET", "/jobs/*/"),
            ("DELETE", "/jobs/%3E/"),
        ):
            answer = await ours.request(method, path)
            assert (answer.status_code, report(answer)["code"]) == (404, "not_found"), path
        assert (await ours.get("/jobs/", params={"limit": "101"})).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"transcode": {}}',
        b'{"transcode": {"format": {"extension": "exe"}}}',
        b'{"transcode": {"format": {"extension": "mp3", "sample_rate": "many"}}}',
        b'{"transcode": {"format": {"extension": "mp3", "colour": "red"}}}',
        b'{"transcode": {"format": {"extension": "mp3", "bit_rate": 333}}}',
    ],
)
async def test_what_cannot_be_made_is_refused_at_once(pipeline: Pipeline, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    refused = await pipeline.http.post("/jobs/", content=body, headers=headers)

    assert (refused.status_code, report(refused)["code"]) == (400, "bad_request")
    assert refused.headers["content-type"] == "application/problem+json"
    assert await pipeline.messages(TICKETS.stream) == 0


async def test_a_repeated_announcement_is_the_same_job(client: Client) -> None:
    first, second = [await client.create(**{"Idempotency-Key": "again"}) for _ in "ab"]
    assert first["_id"] == second["_id"]
    assert first["_id"] != (await client.create())["_id"]


async def test_a_source_over_its_links_limit_is_refused(
    pipeline: Pipeline, nats_server: NatsServer
) -> None:
    small = replace(pipeline.settings, max_job_bytes=1000)
    async with replica(nats_server, small) as gateway, gateway.http("127.0.0.1") as http:
        client = Client(http)
        job = await client.create()

        announced = await client.send(job, b"x" * 1001)
        streamed = await http.put(job["source"]["upload_url"], content=slowly(b"x" * 1001))
        assert (await client.send(job, b"x" * 1000)).status_code == 200
        more = await client.more(job, 1000, b"x")

    assert [announced.status_code, streamed.status_code, more.status_code] == [413, 413, 413]
    assert await pipeline.broker.count_subjects(AUDIO.seals, AUDIO.seal_subjects) == 1


async def slowly(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def test_nothing_but_the_link_itself_opens_its_door(
    pipeline: Pipeline, client: Client, take: bytes
) -> None:
    job, other = await client.create(), await client.create()
    await client.send(job, take)
    source, link = (await client.show(job))["source"].values()
    unsigned, _, signature = link.partition("&signature=")

    bad = [
        *(
            f"{unsigned}&signature={int(signature, 16) ^ (1 << bit):064x}"
            for bit in range(0, 256, 37)
        ),
        link.replace("limit=", "limit=9"),
        link.replace("expires=", "expires=9"),
        link.replace(job["_id"], other["_id"]),
        source,  # of another method
        urlsplit(link).path,
        f"{link}&x=1",
        f"/uploads/{'0' * 32}?{urlsplit(link).query}",
        f"/uploads/none?{urlsplit(link).query}",
    ]
    tried = [await pipeline.http.put(each, content=b"x") for each in bad]
    tried.append(await pipeline.http.get(link))
    tried.append(await pipeline.http.get(link.replace("uploads", "downloads")))
    expired = Links(pipeline.broker, (), timedelta(seconds=-1))
    tried.append(await pipeline.http.put(await expired.make("PUT", urlsplit(link).path)))
    strange = Links(pipeline.broker, (b"k" * 32,), timedelta(hours=1))
    tried.append(await pipeline.http.put(await strange.make("PUT", urlsplit(link).path)))

    assert {each.status_code for each in tried} == {403}
    said = [{k: v for k, v in report(each).items() if k != "trace_id"} for each in tried]
    assert all(each == said[0] for each in said), "nothing is told of why"
    assert (await pipeline.http.get(source)).content == take


async def test_all_gateways_sign_with_one_key_that_the_first_makes(
    pipeline: Pipeline, nats_server: NatsServer
) -> None:
    async with connect(nats_server.url, name="other") as broker:
        hour = timedelta(hours=1)
        several = [Links(each, (), hour) for each in (pipeline.broker, broker) for _ in "abc"]

        made = await asyncio.gather(*(links.make("GET", "/downloads/x") for links in several))

        assert len({link.rpartition("=")[2] for link in made}) <= 2, "one each second"
        assert await pipeline.messages(SIGNING.stream) == 1


async def test_no_byte_of_a_deleted_job_is_left_on_the_disk(
    pipeline: Pipeline, client: Client, nats_server: NatsServer, convert: Step, tmp_path: Any
) -> None:
    source = encode(music(1.0), 48_000, "wav16")
    job, pending = await client.create(), await client.create()
    async with keys_of_objects(pipeline.broker) as keys:
        await client.send(job, source)
        await client.send(pending, source)
        async with transcoder_at(nats_server.url, convert):
            await client.start(job)
            done = await client.until(job, "completed")
    made = (await pipeline.http.get(done["transcode"]["download_url"])).content
    needles = (source[50_000:50_100], made[-3000:-2900], *keys)

    for each in (job, pending):
        assert (await pipeline.http.delete(f"/jobs/{each['_id']}/")).status_code == 204

    def on_disk() -> int:
        return count_on_disk(tmp_path / "nats" / "store", needles)

    assert len(keys) == 3, "of two sources and of what was made"
    deadline = time.monotonic() + 5.0
    while await asyncio.to_thread(on_disk) and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.1)
    assert await asyncio.to_thread(on_disk) == 0
