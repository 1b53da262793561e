"""/stats and audio.stats: every call counts once, by whichever door and however it ends."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from decibus.broker import Stored
from decibus.calls import Hour, Stats, Tally, Window, key_of
from decibus.points import Status, points_of
from decibus.sketches import Sketch
from decibus.topology import METRICS, POINTS_PREFIX, PROCESS, STATS, STATS_ASKED
from services.gateway.settings import Settings
from services.gateway.stats import Statistics
from services.recorder.counting import counting
from tests.conftest import NatsServer
from tests.gateway.conftest import Pipeline, replica, report
from tests.signals import encode, sine

TONES = [encode(sine(1.0 + n / 10, -20.0), 48_000, "flac") for n in range(4)]
LOUDNESS = {"tasks": "loudness"}


async def stats(pipeline: Pipeline, **query: str) -> Any:
    answer = await pipeline.http.get("/stats", params=query)
    assert answer.status_code == 200, answer.text
    return report(answer)


async def counted(read: Callable[[], Awaitable[Any]], total: int) -> Any:
    """Wait until so many calls are counted."""
    async with asyncio.timeout(20):
        while True:
            found = await read()
            if found["total_calls"] >= total:
                return found
            await asyncio.sleep(0.05)


async def points(broker: Any) -> list[Stored]:
    return [each async for each in broker.walk(METRICS.stream, f"{POINTS_PREFIX}>")]


async def test_a_record_that_is_none_does_not_hide_the_others(nats_server: NatsServer) -> None:
    now = datetime.now(UTC)
    async with replica(nats_server, Settings()) as running:
        for key, value in (
            ("no-hour", b"{}"),
            (key_of(now - timedelta(hours=2)), b'{"x":' + b"[" * 100_000),
            (key_of(now - timedelta(hours=1)), b'{"tasks":{"\xff":{}}}'),
            (key_of(now), msgspec.json.encode(Hour(calls=Tally(ended={Status.DONE: 3})))),
        ):
            await running.broker.write(STATS, key, value, revision=0)
        statistics = Statistics(running.broker)

        await statistics.look()

        assert statistics.tell(Window(), now=now).total_calls == 3


async def test_every_call_counts_once_by_whichever_door_and_however_it_ends(
    pipeline: Pipeline,
) -> None:
    connection = pipeline.broker.connection
    async with counting(pipeline.broker):
        early = report(await pipeline.analyze(TONES[0], **LOUDNESS, wait="0"))["token"]
        gone = report(await pipeline.analyze(TONES[3], **LOUDNESS, wait="0"))["token"]
        await pipeline.http.delete(f"/result/{gone}")
        async with pipeline.workers():
            done = [
                report(await pipeline.http.get(f"/result/{early}?wait=30")),
                report(await pipeline.analyze(TONES[1])),
                report(await pipeline.analyze(TONES[1])),  # from the cache
                msgspec.json.decode((await connection.request(PROCESS, TONES[2], timeout=30)).data),
            ]
            heard = await pipeline.http.post(
                "/v1/audio/transcriptions", files={"file": TONES[1]}, data={"model": "whisper-1"}
            )
            refused = await pipeline.analyze(b"no audio", **LOUDNESS)
            found = await counted(lambda: stats(pipeline), 7)
            await asyncio.sleep(1.2)
            found = await stats(pipeline)
            by_nats = msgspec.json.decode((await connection.request(STATS_ASKED, b"")).data)
            by_post = report(await pipeline.http.post("/stats"))

    assert (heard.status_code, refused.status_code) == (200, 415)
    ends = [next(iter(points_of(each.body))) for each in await points(pipeline.broker)]
    (by_openai,) = [end for end in ends if end.source == "openai"]
    latencies = [by_openai.latency, *(each["latency"] for each in done)]
    assert found["total_calls"] == 7
    assert found["median_latency"] == pytest.approx(statistics.median(latencies), abs=1e-6)
    assert found["average_audio_length"] == f"{found['average_audio_length_seconds']:.3f}s"
    lengths = [by_openai.audio_length, *(each["audio_length"] for each in done)]
    assert found["average_audio_length_seconds"] == pytest.approx(statistics.mean(lengths))
    assert (found["error_rate"], found["quantile_error"]) == (0.0, 0.0)
    assert {task: each["total"] for task, each in found["tasks"].items()} == {
        "analyze": 6,
        "transcribe": 4,
    }
    assert found["tasks"]["analyze"]["median_work"] > 0
    assert found["tasks"]["analyze"]["p95_queue_wait"] > 0
    assert (found["window"], found["source"]) == ("30d", "sketches")
    assert found == by_nats == by_post

    stored = await points(pipeline.broker)
    assert sorted(end.status for end in ends) == sorted(
        [Status.DONE] * 5 + [Status.REFUSED, Status.WITHDRAWN]
    )
    assert sorted(end.source for end in ends) == ["http"] * 5 + ["nats", "openai"]
    told = b"".join(each.body for each in stored).decode()
    for secret in (early, gone, done[1]["token"], done[1]["sha256"], "take.wav"):
        assert secret not in told


@pytest.mark.parametrize("query", ["window=31d", "window=soon", "source=elsewhere"])
async def test_what_makes_no_sense_is_refused(pipeline: Pipeline, query: str) -> None:
    refused = await pipeline.http.get(f"/stats?{query}")

    assert (refused.status_code, report(refused)["code"]) == (400, "bad_request")


async def test_without_an_influxdb_it_cannot_be_asked(pipeline: Pipeline) -> None:
    refused = await pipeline.http.get("/stats?source=influx")

    assert (refused.status_code, report(refused)["code"]) == (503, "unavailable")


async def test_a_million_calls_are_merged_in_milliseconds(pipeline: Pipeline) -> None:
    hours = 30 * 24
    values = [0.02 * 1.01**number for number in range(700)] * 2
    tally = Tally(
        ended={Status.DONE: len(values)},
        heard=len(values),
        audio_s=11.476 * len(values),
        latency=Sketch().adding(values),
        queue_wait=Sketch().adding(values),
        work=Sketch().adding(values),
    )
    hour = Hour(calls=tally, tasks=dict.fromkeys(("analyze", "transcribe", "transcode"), tally))
    body = msgspec.json.encode(hour)
    now = datetime.now(UTC)
    for age in range(hours):
        key = key_of(now - timedelta(hours=age))
        await pipeline.broker.append(STATS.subject(key), body, dedup_id=key, headers={})
    statistics_ = Statistics(pipeline.broker)
    await statistics_.look()

    def tell() -> Stats:
        return statistics_.tell(Window(), now=now)

    took_s = []
    for _ in range(20):
        start = time.perf_counter()
        tell()
        took_s.append(time.perf_counter() - start)
    told = tell()

    assert told.total_calls == hours * len(values) > 1_000_000
    assert told.median_latency == pytest.approx(statistics.median(values), rel=0.01)
    assert told.average_audio_length == "11.476s"
    assert (told.quantile_error, len(told.tasks)) == (0.01, 3)
    assert min(took_s) < 0.01
    assert told.since.minute == 0


async def test_what_a_stopping_gateway_leaves_open_another_one_counts(
    nats_server: NatsServer, settings: Settings, pipeline: Pipeline
) -> None:
    files = {"file": ("take.flac", TONES[0])}
    async with replica(nats_server, settings) as leaving:
        accepted = await leaving.http().post("/analyze", files=files, data=LOUDNESS | {"wait": "0"})
    assert accepted.status_code == 202
    assert not await points(pipeline.broker)

    async with pipeline.workers(), counting(pipeline.broker):
        await counted(lambda: stats(pipeline), 1)

    assert len(await points(pipeline.broker)) == 1


async def test_no_request_waits_for_metrics_that_cannot_be_written(pipeline: Pipeline) -> None:
    js = pipeline.broker.connection.jetstream()
    await js.delete_stream(METRICS.stream)

    async with pipeline.workers():
        answer = await pipeline.analyze(TONES[0], **LOUDNESS)
        await pipeline.broker.declare()
        async with counting(pipeline.broker):
            found = await counted(lambda: stats(pipeline), 1)

    assert answer.status_code == 200
    assert found["total_calls"] == 1, "once it could be written"
