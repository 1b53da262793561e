"""Every call measured, by the processes that users run: two gateways, workers, a recorder."""

import asyncio
import hashlib
import secrets
import statistics
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from decibus.broker import connect
from decibus.points import points_of
from decibus.telemetry import trace_id
from decibus.topology import METRICS, POINTS_PREFIX
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service, free_port
from tests.signals import encode, music

CALLS = 40
DIFFERENT = 10
TRACE = secrets.token_hex(16)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
async def test_n_calls_through_two_gateways_are_n_and_no_log_tells_a_secret(
    nats_server: NatsServer, service: Callable[..., Service]
) -> None:
    key, name = f"dcb_{secrets.token_urlsafe(24)}", f"planted-{secrets.token_hex(8)}.flac"
    hashed = hashlib.sha256(key.encode()).hexdigest()
    common = {"NATS_URL": nats_server.url, "LOG_LEVEL": "info", "DECIBUS_MODEL": "demo"}
    ports = [free_port(), free_port()]
    running = [
        *(
            service("gateway", HTTP_PORT=str(port), API_KEYS=f"me:{hashed}", **common)
            for port in ports
        ),
        *(service(each, **common) for each in ("analyzer", "transcriber", "recorder")),
    ]
    for each in running:
        await asyncio.to_thread(each.until_ready)
    takes = [encode(music(0.5) * (1 - n / 50), 48_000, "flac") for n in range(DIFFERENT)]

    async with asyncio.timeout(90):
        done = await asyncio.gather(
            *(_call(ports[n % 2], key, name, takes[n % DIFFERENT], n) for n in range(CALLS))
        )
        found = [await _counted(port, key) for port in ports]

    latencies = [each["latency"] for each in done]
    for each in found:
        assert each["total_calls"] == CALLS
        assert each["tasks"]["analyze"]["total"] == CALLS
        assert each["median_latency"] == pytest.approx(statistics.median(latencies), rel=0.01)
        assert each["error_rate"] == 0.0
    bodies, traces = await _points(nats_server)
    assert traces == {TRACE}, "from the first door to the last"
    said = "".join(each.printed for each in running)
    assert said.count('"job_settled"') >= DIFFERENT
    for secret in (key, name, hashed, *(each["token"] for each in done)):
        assert secret not in said
        assert secret not in bodies
    heard = {each["transcription"] for each in done if each["transcription"]}
    assert not any(words in said for words in heard)


async def _call(port: int, key: str, name: str, take: bytes, number: int) -> Any:
    """Upload one take; every other one asks for its report afterwards."""
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-{'1' * 16}-01"}
    fields = {"tasks": "loudness,transcribe" if number < 2 else "loudness"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=80) as client:
        wait = {"wait": "0" if number % 2 else "60"}
        answer = await client.post(
            "/analyze", files={"file": (name, take)}, data=fields, params=wait
        )
        assert answer.status_code in {200, 202}, answer.text
        token = answer.json()["token"]
        return (await client.get(f"/result/{token}", params={"wait": "60"})).json()


async def _counted(port: int, key: str) -> Any:
    headers = {"X-API-Key": key}
    async with httpx.AsyncClient(headers=headers) as client:
        while True:
            found = (await client.get(f"http://127.0.0.1:{port}/stats")).json()
            if found["total_calls"] >= CALLS:
                return found
            await asyncio.sleep(0.1)


async def _points(server: NatsServer) -> tuple[str, set[str]]:
    async with connect(server.url, name="test") as broker:
        found = [each async for each in broker.walk(METRICS.stream, f"{POINTS_PREFIX}>")]
    assert len(found) == CALLS
    assert all(list(points_of(each.body)) for each in found)
    traces = {trace_id(each.headers["traceparent"]) for each in found}
    return "".join(each.body.decode() for each in found), traces
