"""The management port, asked over real HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx
import pytest
import structlog

from decibus import management
from decibus.management import Management, managed
from decibus.process import Process
from decibus.settings import ManagementSettings
from tests.processes import free_port

Ask = Callable[[str], httpx.Response]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def ask(port: int) -> Ask:
    return lambda path: httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5)


@pytest.fixture
async def life() -> AsyncIterator[Process]:
    starting = asyncio.ensure_future(asyncio.sleep(60, 0))
    yield Process(starting)
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting


async def test_readiness_follows_the_life_of_the_process(
    life: Process, port: int, ask: Ask
) -> None:
    states: list[tuple[int, str]] = []

    async def look() -> None:
        answer = await asyncio.to_thread(ask, "/readyz")
        states.append((answer.status_code, answer.text.strip()))

    async with managed(life, ManagementSettings(metrics_port=port), service="test"):
        await look()
        life.ready()
        await look()
        life.end()
        await look()

    assert states == [(503, "starting"), (200, "ok"), (503, "stopping")]
    with pytest.raises(httpx.ConnectError):
        ask("/readyz")


async def test_what_a_service_adds_makes_it_unready_or_dead(
    life: Process, port: int, ask: Ask
) -> None:
    async with managed(life, ManagementSettings(metrics_port=port), service="test") as health:
        life.ready()
        health.ready.append(lambda: "NATS is away")
        away = [await asyncio.to_thread(ask, path) for path in ("/healthz", "/readyz")]
        health.live.append(lambda: "an inference hangs")
        hung = await asyncio.to_thread(ask, "/healthz")

    assert [answer.status_code for answer in away] == [200, 503]
    assert (hung.status_code, hung.text.strip()) == (503, "an inference hangs")


async def test_a_loop_that_is_stuck_is_told_to_be_stuck(
    life: Process, port: int, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "_STUCK_S", 0.2)
    async with managed(life, ManagementSettings(metrics_port=port), service="test"):
        await asyncio.sleep(0)
        asking = asyncio.get_running_loop().run_in_executor(None, _ask_later, ask)
        time.sleep(1.0)  # noqa: ASYNC251 - the fault
        stuck = await asking

    assert stuck.status_code == 503
    assert "stuck" in stuck.text


def _ask_later(ask: Ask) -> httpx.Response:
    time.sleep(0.5)
    return ask("/healthz")


async def test_metrics_are_those_of_prometheus_and_nothing_else_is_there(
    life: Process, port: int, ask: Ask
) -> None:
    async with managed(life, ManagementSettings(metrics_port=port), service="test"):
        metrics = await asyncio.to_thread(ask, "/metrics")
        other = await asyncio.to_thread(ask, "/analyze")

    assert 'decibus_build_info{service="test"' in metrics.text
    assert other.status_code == 404


async def test_a_port_that_is_taken_is_told_and_stops_nothing(life: Process, port: int) -> None:
    with structlog.testing.capture_logs() as told:
        async with (
            managed(life, ManagementSettings(metrics_port=port), service="test"),
            managed(life, ManagementSettings(metrics_port=port), service="test") as second,
        ):
            assert isinstance(second, Management)

    assert [line["event"] for line in told] == ["management_port_unusable"]
