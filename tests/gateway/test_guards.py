"""What is refused before a body is read: too often, too much waiting, no room left."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from decibus.topology import ANALYSES, ANALYZE, AUDIO, PROCESS, REPORTS, TRANSCRIBE, Queue
from services.gateway.__main__ import configure
from services.gateway.keys import Keyring, digest
from services.gateway.settings import Settings
from tests.conftest import NatsServer
from tests.gateway.conftest import Replica, replica, report

FORM = {"file": ("take.wav", b"RIFF....", "audio/wav")}
ASYNC = {"Prefer": "respond-async"}
ALICE, BOB = "a" * 40, "b" * 40


async def unread() -> AsyncIterator[bytes]:
    raise AssertionError("it was read")
    yield b""


async def fill(running: Replica, queue: Queue) -> None:
    for number in range(queue.max_msgs):
        await running.broker.publish(queue, f"k.{number}", b"", dedup_id=f"{number}", headers={})


# ── rate


async def test_of_two_gateways_exactly_the_limit_is_let_in(nats_server: NatsServer) -> None:
    settings = Settings(rate_limit=20)
    async with (
        replica(nats_server, settings) as one,
        replica(nats_server, settings) as two,
        one.http() as first,
        two.http() as second,
    ):
        answers = await asyncio.gather(
            *(client.post("/analyze") for client in (first, second) for _ in range(20))
        )

    refused = [each for each in answers if each.status_code == 429]
    assert len(answers) - len(refused) == 20
    assert {report(each)["code"] for each in refused} == {"rate_limited"}
    for each in refused:
        assert 55 <= int(each.headers["retry-after"]) <= 60
        assert each.headers["ratelimit"].startswith('"default";r=0;t=')


async def test_over_the_limit_nothing_is_read(nats_server: NatsServer) -> None:
    async with replica(nats_server, Settings(rate_limit=1)) as running, running.http() as http:
        await http.post("/analyze")

        refused = await http.post("/analyze", content=unread())

    assert refused.status_code == 429


async def test_the_window_slides(nats_server: NatsServer) -> None:
    settings = Settings(rate_limit=3, rate_window_s=2)
    async with replica(nats_server, settings) as running, running.http() as http:
        statuses = []
        for pause_s in (0.0, 1.0, 0.0, 0.0, 1.4, 0.0):
            await asyncio.sleep(pause_s)
            statuses.append((await http.post("/analyze")).status_code)

    assert statuses == [400, 400, 400, 429, 400, 429], "only the first counts no more"


async def test_who_waits_as_told_is_let_in(nats_server: NatsServer) -> None:
    settings = Settings(rate_limit=1, rate_window_s=1)
    async with replica(nats_server, settings) as running, running.http() as http:
        await http.post("/analyze")
        refused = await http.post("/analyze")
        # 2.10 and newer let go of what is old up to a quarter of a second late.
        await asyncio.sleep(int(refused.headers["retry-after"]) + 0.3)

        assert refused.status_code == 429
        assert (await http.post("/analyze")).status_code == 400


async def test_every_answer_tells_what_is_left(nats_server: NatsServer) -> None:
    async with replica(nats_server, Settings()) as running, running.http() as http:
        asked = await http.post("/analyze")
        others = [await http.get(path) for path in ("/healthz", "/nowhere", "/result/x", "/")]

    assert asked.headers["ratelimit-policy"] == '"default";q=600;w=60'
    assert asked.headers["ratelimit"] == '"default";r=599;t=60'
    for each in others:
        assert each.headers["ratelimit-policy"] == '"default";q=600;w=60'
        assert each.headers["ratelimit"].startswith('"default";r=599;t='), "and is not counted"


async def test_without_a_limit_nothing_is_counted_or_told(nats_server: NatsServer) -> None:
    async with replica(nats_server, Settings(rate_limit=0)) as running, running.http() as http:
        answers = [await http.post("/analyze") for _ in range(5)]

    assert {each.status_code for each in answers} == {400}
    assert "ratelimit" not in answers[0].headers


async def test_each_address_has_a_share_of_its_own(nats_server: NatsServer) -> None:
    async with (
        replica(nats_server, Settings(rate_limit=1)) as running,
        running.http("198.51.100.1") as one,
        running.http("198.51.100.2") as two,
    ):
        statuses = [(await each.post("/analyze")).status_code for each in (one, two, one)]

    assert statuses == [400, 400, 429]


async def test_each_key_has_a_share_of_its_own_wherever_it_is_used(nats_server: NatsServer) -> None:
    names = ",".join(
        f"{name}:{digest(key).hex()}" for name, key in (("alice", ALICE), ("bob", BOB))
    )
    ring = Keyring.load(api_keys=names, api_keys_file="")
    async with replica(nats_server, Settings(rate_limit=1), ring) as running:
        async with running.http("198.51.100.1") as one, running.http("198.51.100.2") as two:
            statuses = [
                (await client.post("/analyze", headers={"X-API-Key": key})).status_code
                for client, key in ((one, ALICE), (one, BOB), (two, ALICE))
            ]
        by_nats = await running.broker.connection.request(
            PROCESS, b"30", timeout=5, headers={"Api-Key": BOB}
        )

    assert statuses == [400, 400, 429]
    assert msgspec.json.decode(by_nats.data)["code"] == "rate_limited"


@pytest.mark.parametrize(("trusted", "second"), [("198.51.100.0/24", 400), ("", 429)])
async def test_only_a_trusted_proxy_says_where_a_request_comes_from(
    nats_server: NatsServer, trusted: str, second: int
) -> None:
    settings = Settings(rate_limit=1, trusted_proxies=trusted)
    async with replica(nats_server, settings) as running:
        config = configure(running.app, settings)
        config.load()
        async with running.http(app=config.loaded_app) as http:
            answers = [
                await http.post("/analyze", headers={"X-Forwarded-For": address})
                for address in ("192.0.2.1", "192.0.2.2")
            ]

    assert [each.status_code for each in answers] == [400, second]


async def test_while_nats_is_away_a_request_is_unavailable_and_not_over_its_limit(
    nats_server: NatsServer,
) -> None:
    async with replica(nats_server, Settings(rate_limit=1)) as running, running.http() as http:
        await asyncio.to_thread(nats_server.kill)
        while running.broker.is_connected:  # noqa: ASYNC110 - nats-py has no event for it
            await asyncio.sleep(0.01)

        answers = [await http.post("/analyze", content=unread()) for _ in range(3)]

    assert {report(each)["code"] for each in answers} == {"unavailable"}


# ── backlog


async def test_while_a_queue_is_full_nothing_is_read_or_stored_and_the_answer_is_quick(
    nats_server: NatsServer,
) -> None:
    async with replica(nats_server, Settings()) as running, running.http() as http:
        await fill(running, TRANSCRIBE)

        start = time.monotonic()
        refused = await http.post("/analyze", content=unread())
        took_s = time.monotonic() - start
        by_nats = await running.broker.connection.request(PROCESS, b"\0" * 10**6, timeout=5)

        assert (refused.status_code, report(refused)["code"]) == (503, "backlog_full")
        assert int(refused.headers["retry-after"]) > 0
        assert took_s < 0.05
        assert msgspec.json.decode(by_nats.data)["code"] == "backlog_full"
        for stream in (AUDIO.stream, REPORTS.stream, ANALYSES.stream, ANALYZE.stream):
            assert await running.messages(stream) == 0


async def test_a_full_queue_does_not_hold_up_what_needs_another(nats_server: NatsServer) -> None:
    async with replica(nats_server, Settings()) as running, running.http() as http:
        await fill(running, TRANSCRIBE)

        taken = await http.post("/analyze?tasks=loudness", files=FORM, headers=ASYNC)
        by_nats = await running.broker.connection.request(
            PROCESS, b"RIFF....", timeout=5, headers={"Tasks": "loudness", "Wait": "0"}
        )

        assert taken.status_code == 202
        assert await running.messages(ANALYZE.stream) == 1
        assert msgspec.json.decode(by_nats.data)["status"] == "queued"


async def test_when_there_is_room_again_uploads_are_taken_without_a_restart(
    nats_server: NatsServer,
) -> None:
    async with replica(nats_server, Settings()) as running, running.http() as http:
        await fill(running, TRANSCRIBE)
        assert (await http.post("/analyze", files=FORM, headers=ASYNC)).status_code == 503

        await running.broker.withdraw(TRANSCRIBE, "k.0")
        await asyncio.sleep(0.6)

        assert (await http.post("/analyze", files=FORM, headers=ASYNC)).status_code == 202


# ── storage

SMALL = {AUDIO.stream: 200_000, REPORTS.stream: 100, ANALYSES.stream: 100}


@pytest.mark.parametrize("stream", SMALL)
async def test_without_room_nothing_is_half_stored_and_with_room_uploads_are_taken_again(
    nats_server: NatsServer, stream: str
) -> None:
    upload = {"file": ("take.wav", b"RIFF" * 100_000, "audio/wav")}
    async with replica(nats_server, Settings()) as running, running.http() as http:
        await running.limit(stream, SMALL[stream])

        refused = await http.post("/analyze", files=upload, headers=ASYNC)

        assert (refused.status_code, report(refused)["code"]) == (507, "storage_full")
        assert int(refused.headers["retry-after"]) > 0
        for each in (*SMALL, ANALYZE.stream, TRANSCRIBE.stream):
            assert await running.messages(each) == 0
        await running.limit(stream, 10**8)
        assert (await http.post("/analyze", files=upload, headers=ASYNC)).status_code == 202


async def test_when_the_second_record_has_no_room_the_first_goes_too(
    nats_server: NatsServer,
) -> None:
    async with replica(nats_server, Settings()) as running, running.http() as http:
        await http.post("/analyze?tasks=loudness", files=FORM, headers=ASYNC)
        info = await running.broker.connection.jetstream().stream_info(ANALYSES.stream)
        await running.limit(ANALYSES.stream, info.state.bytes * 5 // 2)
        other = {"file": ("take.wav", b"RIFF other", "audio/wav")}

        refused = await http.post("/analyze", files=other, headers=ASYNC)

        assert refused.status_code == 507
        assert await running.messages(ANALYSES.stream) == 1
        assert await running.messages(TRANSCRIBE.stream) == 0


async def test_the_nats_door_says_that_there_is_no_room(nats_server: NatsServer) -> None:
    async with replica(nats_server, Settings()) as running:
        await running.limit(AUDIO.stream, 1000)

        refused = await running.broker.connection.request(PROCESS, b"\0" * 10_000, timeout=5)

        assert msgspec.json.decode(refused.data)["code"] == "storage_full"
        assert await running.messages(AUDIO.stream) == 0
