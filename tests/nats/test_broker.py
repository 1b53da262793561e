"""The broker against a real server: what it declares, publishes, pulls and hears."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import msgspec
import nats
import pytest
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from decibus.broker import Broker, Conflict, Event, Published, connect
from decibus.errors import BacklogFull, Unavailable
from decibus.provision import Mismatch
from decibus.pull import Delivery, Pull
from decibus.topology import ANALYSES, ANALYZE, DEAD, QUEUES, REAPER, REPORTS, TRANSCRIBE, Quota
from tests.conftest import NatsServer


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Broker]:
    async with connect(nats_server.url, name="test") as connected:
        await connected.declare()
        yield connected


async def publish(broker: Broker, key: str, dedup_id: str | None = None) -> bool:
    published = await broker.publish(
        ANALYZE, key, b"{}", dedup_id=dedup_id or f"{key}.1", headers={"traceparent": "t"}
    )
    return published is Published.NEW


async def first(pull: Pull, *, within_s: float = 5) -> Delivery:
    async with aclosing(aiter(pull)) as deliveries:  # type: ignore[type-var]  # it is a generator
        async with asyncio.timeout(within_s):
            return await anext(deliveries)


async def test_what_is_declared_twice_is_as_before(broker: Broker) -> None:
    await publish(broker, "a.1")

    await broker.declare()

    assert (await first(broker.pull(ANALYZE))).body == b"{}"


async def test_a_server_that_has_something_else_is_told_apart(nats_server: NatsServer) -> None:
    connection = await nats.connect(nats_server.url)
    await connection.jetstream().add_stream(
        StreamConfig(name=ANALYZE.stream, subjects=[ANALYZE.subjects])  # not a work queue
    )

    async with connect(nats_server.url, name="test") as broker:
        with pytest.raises(Mismatch, match=r"JOBS_ANALYZE has .*retention"):
            await broker.declare()

    await connection.close()


async def test_a_drifted_limit_is_brought_back(broker: Broker) -> None:
    js = nats.js.JetStreamContext(broker.connection)
    config = (await js.stream_info(ANALYZE.stream)).config
    config.max_msgs = 7
    await js.update_stream(config)

    await broker.declare()

    assert (await js.stream_info(ANALYZE.stream)).config.max_msgs == ANALYZE.max_msgs


async def test_a_key_is_in_flight_once(broker: Broker) -> None:
    assert await publish(broker, "a.1", "a.1.1")

    assert not await publish(broker, "a.1", "a.1.2")

    delivery = await first(broker.pull(ANALYZE))
    assert not await publish(broker, "a.1", "a.1.3"), "still in flight while it is worked on"
    await delivery.ack()
    assert await publish(broker, "a.1", "a.1.4")


async def test_the_same_opening_is_published_once(broker: Broker) -> None:
    assert await publish(broker, "a.1", "a.1.1")
    await (await first(broker.pull(ANALYZE))).ack()

    assert not await publish(broker, "a.1", "a.1.1")


async def test_beyond_the_cap_publishing_is_refused(broker: Broker) -> None:
    for number in range(TRANSCRIBE.max_msgs):
        await broker.publish(TRANSCRIBE, f"k.{number}", b"", dedup_id=f"{number}", headers={})

    with pytest.raises(BacklogFull):
        await broker.publish(TRANSCRIBE, "k.x", b"", dedup_id="x", headers={})


async def test_a_slot_takes_one_delivery_and_leaves_the_rest_to_others(broker: Broker) -> None:
    for number in range(2):
        await publish(broker, f"k.{number}")

    mine, others = await first(broker.pull(ANALYZE)), await first(broker.pull(ANALYZE))

    assert mine.headers["traceparent"] == "t"
    await mine.ack()
    await others.ack()


async def test_a_task_that_is_withdrawn_leaves_the_others_to_the_workers(broker: Broker) -> None:
    for number in range(4):
        await publish(broker, f"k.{number}")
    before = await broker.backlog(ANALYZE)

    await broker.withdraw(ANALYZE, "k.0")
    await broker.withdraw(ANALYZE, "k.2")
    await broker.withdraw(ANALYZE, "k.2")
    after = await broker.backlog(ANALYZE)

    async with asyncio.timeout(5):
        taken = [await first(broker.pull(ANALYZE)) for _ in range(2)]
    assert (before.pending, after.pending) == (4, 2)
    assert after.delivered == 1, "the head is gone: the next is first"
    assert [await broker.sequence(ANALYZE, f"k.{number}") for number in range(4)] == [
        None,
        2,
        None,
        4,
    ]
    for delivery in taken:
        await delivery.ack()


async def test_a_stopped_pull_leaves_no_task_behind(broker: Broker) -> None:
    pull = broker.pull(ANALYZE)
    taken = []

    async def work() -> None:
        async for delivery in pull:
            taken.append(delivery)
            await delivery.ack()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(work())
        await asyncio.sleep(0.05)
        await publish(broker, "a.1")
        pull.stop()

    if not taken:
        async with asyncio.timeout(ANALYZE.ack_wait.total_seconds() + 2):
            await (await first(broker.pull(ANALYZE), within_s=10)).ack()


async def test_pulling_resumes_within_a_second_of_a_restart(
    nats_server: NatsServer, broker: Broker
) -> None:
    pull = broker.pull(ANALYZE)
    arrived = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async for delivery in pull:
            arrived.set_result(time.monotonic())
            await delivery.ack()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(work())
        await asyncio.sleep(0.1)
        await asyncio.to_thread(nats_server.restart)
        async with connect(nats_server.url, name="publisher") as other:
            await publish(other, "a.1")
            published = time.monotonic()
        assert await arrived - published < 1
        pull.stop()


async def test_a_worker_is_seen_from_its_announcement_to_its_end(
    nats_server: NatsServer, broker: Broker
) -> None:
    assert not await broker.is_served(ANALYZE)

    async with connect(nats_server.url, name="worker") as worker:
        await worker.announce(ANALYZE.consumer, version="1.2.3")
        assert await broker.is_served(ANALYZE)
        assert not await broker.is_served(TRANSCRIBE)
        assert await broker.announced(TRANSCRIBE.consumer) is None

    assert not await broker.is_served(ANALYZE)


async def test_a_worker_tells_what_it_has_until_it_withdraws(
    nats_server: NatsServer, broker: Broker
) -> None:
    has = {"models": "small,large-v3"}

    async with connect(nats_server.url, name="worker") as worker:
        withdraw = await worker.announce(TRANSCRIBE.consumer, version="1.2.3", metadata=has)
        assert await broker.announced(TRANSCRIBE.consumer) == has

        await withdraw()

        assert await broker.announced(TRANSCRIBE.consumer) is None


async def test_of_two_writers_one_loses(broker: Broker) -> None:
    revision = await broker.write(REPORTS, "k", b"1", revision=0)

    await broker.write(REPORTS, "k", b"2", revision=revision)

    with pytest.raises(Conflict):
        await broker.write(REPORTS, "k", b"3", revision=revision)
    with pytest.raises(Conflict):
        await broker.write(REPORTS, "k", b"3", revision=0)
    record = await broker.read(REPORTS, "k")
    assert record
    assert record.value == b"2"


async def test_an_erased_record_is_gone_and_can_be_written_anew(broker: Broker) -> None:
    revision = await broker.write(REPORTS, "by.x.a", b"", revision=0)
    await broker.write(REPORTS, "by.x.b", b"", revision=0)
    assert await broker.count(REPORTS, "by.x.*") == 2

    await broker.erase(REPORTS, "by.x.a")
    await broker.erase(REPORTS, "by.x.a")

    assert await broker.read(REPORTS, "by.x.a") is None
    assert await broker.count(REPORTS, "by.x.*") == 1
    assert await broker.write(REPORTS, "by.x.a", b"", revision=0) > revision


async def test_every_change_is_heard_with_its_revision(
    nats_server: NatsServer, broker: Broker
) -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    await broker.hear(heard.put)

    revision = await broker.write(ANALYSES, "k.1", b"1", revision=0)

    async with asyncio.timeout(5):
        assert await heard.get() == Event("k.1", b"1", revision)
    await asyncio.to_thread(nats_server.restart)
    async with connect(nats_server.url, name="other") as other:
        while not broker.is_connected:  # noqa: ASYNC110 - nats-py has no event for it
            await asyncio.sleep(0.01)
        await broker.settle_subscriptions()
        again = await other.write(ANALYSES, "k.1", b"2", revision=revision)
    async with asyncio.timeout(5):
        assert await heard.get() == Event("k.1", b"2", again)


async def test_while_the_server_is_away_everything_is_unavailable(
    nats_server: NatsServer, broker: Broker
) -> None:
    await asyncio.to_thread(nats_server.kill)

    with pytest.raises(Unavailable):
        await broker.read(REPORTS, "k")

    assert not broker.is_connected
    await asyncio.to_thread(nats_server.start)


async def test_the_records_are_a_key_value_bucket_for_every_other_client(broker: Broker) -> None:
    value = msgspec.json.encode({"a": 1})
    await broker.write(ANALYSES, "k.1", value, revision=0)

    bucket = await broker.connection.jetstream().key_value(ANALYSES.name)

    assert (await bucket.get("k.1")).value == value


def test_every_task_has_one_queue() -> None:
    assert {queue.subject("k") for queue in QUEUES.values()} == {
        "jobs.analyze.k",
        "jobs.transcribe.k",
        "jobs.transcode.k",
    }


async def test_a_log_keeps_what_is_told_once_and_forgets_what_is_removed(broker: Broker) -> None:
    for number in (1, 1, 2, 3):
        await broker.append("jobs.dead.x.y", b"", dedup_id=f"{number}", headers={"A": f"{number}"})

    first_two = [each async for each in broker.walk(DEAD.stream, "jobs.dead.>")][:2]
    await broker.remove(DEAD.stream, first_two[0].sequence)
    await broker.remove(DEAD.stream, first_two[0].sequence)

    rest = [each.headers["A"] async for each in broker.walk(DEAD.stream, "jobs.dead.>")]
    assert rest == ["2", "3"]
    assert await broker.stored(DEAD.stream, first_two[0].sequence) is None
    assert await broker.stored(DEAD.stream, first_two[1].sequence) == first_two[1]
    after = first_two[1].sequence
    assert len([each async for each in broker.walk(DEAD.stream, "jobs.dead.*.y", after=after)]) == 1


async def test_what_waits_on_a_queue_is_known_by_its_keys(broker: Broker) -> None:
    await publish(broker, "a.1")
    await publish(broker, "a.2")
    await (await first(broker.pull(ANALYZE))).nak()

    assert await broker.waiting_keys(ANALYZE) == {"a.1", "a.2"}
    assert await broker.waiting_keys(TRANSCRIBE) == set()


async def test_a_log_without_news_gives_nothing_and_does_not_wait(broker: Broker) -> None:
    await broker.append("jobs.dead.x.y", b"", dedup_id="1", headers={})  # not what it consumes

    async with asyncio.timeout(2):
        assert await broker.take(REAPER, most=10) == []


async def test_a_server_that_has_forgotten_the_counts_counts_anew(broker: Broker) -> None:
    quota = Quota(limit=1, window=timedelta(minutes=1))
    await broker.declare_quota(quota)
    assert await broker.count_request(quota, "me")
    assert not await broker.count_request(quota, "me")

    await broker.connection.jetstream().delete_stream(quota.stream)

    assert await broker.count_request(quota, "me"), "not refused for ever: made anew"
    assert not await broker.count_request(quota, "me")


async def test_who_asks_is_answered_or_told_that_nobody_does(broker: Broker) -> None:
    async def on_question(message: Msg) -> None:
        if message.data:
            await message.respond(message.data)

    await broker.connection.subscribe("echo", cb=on_question)
    await broker.settle_subscriptions()

    answers = await asyncio.gather(
        *(broker.ask("echo", b"%d" % number, within_s=10) for number in range(20))
    )
    for silent in ("echo", "nobody.listens"):
        with pytest.raises(Unavailable):
            await broker.ask(silent, b"", within_s=0.1)
    given_up = asyncio.ensure_future(broker.ask("echo", b"", within_s=30))
    await asyncio.sleep(0.05)
    given_up.cancel()
    await asyncio.wait([given_up], timeout=10)

    assert [answer.body for answer in answers] == [b"%d" % number for number in range(20)]
    assert given_up.cancelled()
