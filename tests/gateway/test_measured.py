"""What a gateway tells Prometheus about its requests and its queues."""

import asyncio

from prometheus_client import REGISTRY

from services.gateway import gauges
from services.gateway.measured import measured
from services.gateway.settings import Settings
from tests.conftest import NatsServer
from tests.gateway.conftest import Pipeline, replica
from tests.signals import encode, music


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def requests(route: str, method: str, status: int) -> float:
    return value(
        "http_server_requests_total",
        http_route=route,
        http_request_method=method,
        http_response_status_code=str(status),
    )


async def test_requests_count_by_their_route_and_strangers_make_no_series(
    nats_server: NatsServer, settings: Settings
) -> None:
    before = [requests("/result/{token}", "GET", 404), requests("other", "GET", 404)]
    async with (
        replica(nats_server, settings) as gateway,
        gateway.http(app=measured(gateway.app)) as http,
    ):
        for number in range(3):
            await http.get(f"/result/token-{number}")
            await http.get(f"/made/up/{number}")
        await http.request("BREW", "/analyze")

    after = [requests("/result/{token}", "GET", 404), requests("other", "GET", 404)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 3]
    assert value(
        "http_server_request_duration_seconds_count",
        http_route="/result/{token}",
        http_request_method="GET",
    )
    methods = {
        sample.labels["http_request_method"]
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if "http_request_method" in sample.labels
    }
    assert "BREW" not in methods


async def test_the_queues_are_shown_as_they_are(pipeline: Pipeline) -> None:
    for number in range(3):
        audio = encode(music(0.5 + number / 10), 48_000, "wav16")
        await pipeline.analyze(audio, tasks="loudness", wait="0")
    await asyncio.sleep(0.2)

    await gauges.read(pipeline.broker)

    assert value("decibus_queue_waiting", task="analyze") == 3
    assert value("decibus_queue_oldest_seconds", task="analyze") > 0.1
    assert value("decibus_queue_oldest_seconds", task="transcribe") == 0
    assert value("decibus_stream_bytes", stream="OBJ_audio") > 3 * 96_000
    assert value("decibus_stream_cap_bytes", stream="OBJ_audio") == 4 << 30
    assert value("decibus_jobs_opened_total", task="analyze", found="new") >= 3
