"""The same upload sent again, with an Idempotency-Key: one report, whatever happens meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from decibus.topology import AUDIO, IDEMPOTENCY, REPORTS
from services.gateway.idempotency import LEASE, Begun, Idempotency, open_row
from services.gateway.settings import Settings
from tests.conftest import NatsServer
from tests.gateway.conftest import Pipeline, Replica, replica, report
from tests.signals import encode, sine

TONE = encode(sine(1.0, -23.0), 48_000, "wav16")
KEY = {"Idempotency-Key": "0b7e-41c9"}
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"
BOUNDARY = {"content-type": "multipart/form-data; boundary=x"}


@pytest.fixture
async def running(nats_server: NatsServer) -> AsyncIterator[Replica]:
    async with replica(nats_server, Settings(report_ttl_s=1.5)) as started:
        yield started


async def send(http: httpx.AsyncClient, audio: bytes = TONE, **fields: str) -> httpx.Response:
    headers = KEY | {"Prefer": "respond-async"}
    return await http.post("/analyze", files={"file": audio}, data=fields, headers=headers)


async def test_sent_again_it_is_the_same_report_and_nothing_more_is_stored(
    pipeline: Pipeline,
) -> None:
    async with pipeline.workers():
        first = await send(pipeline.http)
        rows = await pipeline.messages(REPORTS.stream)
        headers = dict(KEY)
        again = await pipeline.http.post("/analyze", files={"file": TONE}, headers=headers)

    assert (first.status_code, again.status_code) == (202, 200)
    assert report(again)["token"] == report(first)["token"]
    assert report(again)["status"] == "done"
    assert await pipeline.messages(REPORTS.stream) == rows
    assert await pipeline.messages(AUDIO.stream) == 0


async def test_several_files_are_the_same_reports(running: Replica) -> None:
    files = [("file", ("a.wav", TONE)), ("file", ("b.wav", TONE))]
    async with running.http() as http:
        answers = [
            report(await http.post("/analyze", files=files, data={"wait": "0"}, headers=KEY))
            for _ in range(2)
        ]

    first, again = ([each["token"] for each in answer["reports"]] for answer in answers)
    assert again == first
    assert len(set(first)) == 2


@pytest.mark.parametrize("other", [{"audio": TONE + b"x"}, {"genre": "pop"}])
async def test_a_key_that_comes_with_something_else_is_refused(
    running: Replica, other: dict[str, object]
) -> None:
    async with running.http() as http:
        await send(http)
        stored = await running.messages(AUDIO.stream)

        refused = await send(http, **other)  # type: ignore[arg-type]

    assert (refused.status_code, report(refused)["code"]) == (422, "idempotency_mismatch")
    assert await running.messages(AUDIO.stream) == stored


async def test_a_key_that_comes_at_another_door_is_refused(running: Replica) -> None:
    async with running.http() as http:
        await send(http)

        refused = await http.post("/resample/", files={"file": TONE}, headers=KEY)

    assert (refused.status_code, report(refused)["code"]) == (422, "idempotency_mismatch")


async def test_while_the_first_is_in_flight_the_second_is_told_before_its_body_is_read(
    running: Replica,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield HEAD + TONE
        begun.set()
        await go_on.wait()
        yield TAIL

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    headers = KEY | BOUNDARY | {"Prefer": "respond-async"}
    async with running.http() as http, asyncio.TaskGroup() as group:
        first = group.create_task(http.post("/analyze", content=slow(), headers=headers))
        await begun.wait()

        refused = await http.post("/analyze", content=unread(), headers=headers)
        go_on.set()

    assert (refused.status_code, report(refused)["code"]) == (409, "conflict")
    assert first.result().status_code == 202


async def test_of_two_gateways_one_works(nats_server: NatsServer) -> None:
    async with (
        replica(nats_server, Settings()) as one,
        replica(nats_server, Settings()) as two,
        one.http() as first,
        two.http() as second,
    ):
        answers = await asyncio.gather(*(send(each) for each in (first, second) for _ in "ab"))
        rows = await one.messages(REPORTS.stream)

    # A later one may find the first done already, and is then given its report.
    assert set(Counter(each.status_code for each in answers)) <= {202, 409}
    assert len({report(each)["token"] for each in answers if each.status_code == 202}) == 1
    assert rows == 3, "one upload: its row, and one for each of its jobs"


async def test_a_refused_request_leaves_its_key_free(running: Replica) -> None:
    async with running.http() as http:
        refused = await send(http, tasks="louder")

        assert refused.status_code == 400
        assert await running.messages(IDEMPOTENCY.stream) == 0
        assert (await send(http)).status_code == 202


async def test_a_sender_that_went_away_can_come_again(running: Replica) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield HEAD
        begun.set()
        await asyncio.sleep(60)

    async with running.http() as http:
        gone = asyncio.ensure_future(
            http.post("/analyze", content=endless(), headers=KEY | BOUNDARY)
        )
        await begun.wait()
        assert (await send(http)).status_code == 409
        gone.cancel()
        await asyncio.wait([gone])

        assert (await send(http)).status_code == 202


async def test_the_key_of_a_gateway_that_died_is_taken_over_and_it_cannot_finish(
    running: Replica,
) -> None:
    rows = Idempotency(running.broker)
    async with rows.turn("address 198.51.100.7", KEY["Idempotency-Key"]) as dead:
        assert isinstance(dead, Begun)
        secret = f"address 198.51.100.7\n{KEY['Idempotency-Key']}"
        long_ago = datetime.now(UTC) - LEASE - timedelta(seconds=1)
        await rows.replace(secret, open_row(now=long_ago), revision=1)
        async with running.http() as http:
            taken = await send(http)
            await dead.finish("late", ["late"])
            await dead.abandon()
            again = await send(http)

    assert taken.status_code == 202
    assert report(again)["token"] == report(taken)["token"]


async def test_two_senders_may_have_the_same_key(running: Replica) -> None:
    async with running.http("198.51.100.1") as one, running.http("198.51.100.2") as two:
        answers = [await send(one), await send(two, TONE + b"x")]

    assert [each.status_code for each in answers] == [202, 202]


async def test_no_token_can_be_read_from_the_store(running: Replica) -> None:
    async with running.http() as http:
        token = report(await send(http))["token"]

    js = running.broker.connection.jetstream()
    row = await js.get_msg(
        IDEMPOTENCY.stream, (await js.stream_info(IDEMPOTENCY.stream)).state.last_seq
    )
    assert token.encode() not in (row.data or b"")
    assert KEY["Idempotency-Key"] not in f"{row.subject} {row.data!r}"
    assert msgspec.json.decode(row.data or b"")["tokens"]


async def test_an_expired_report_is_not_made_anew(running: Replica) -> None:
    async with running.http() as http:
        await send(http)
        await asyncio.sleep(1.6)

        gone = await send(http)

    assert (gone.status_code, report(gone)["code"]) == (404, "not_found")


@pytest.mark.parametrize("key", ["", "a" * 256, "\xe9"])
async def test_a_key_that_is_none_is_told(running: Replica, key: str) -> None:
    async with running.http() as http:
        headers = {b"Idempotency-Key": key.encode("latin-1")}
        refused = await http.post("/analyze", files={"file": TONE}, headers=headers)

    assert (refused.status_code, report(refused)["code"]) == (400, "bad_request")
