"""nats-server killed and restarted, alone and in a cluster: nothing acknowledged is lost."""

import asyncio
import random
import time
from collections.abc import Callable

import httpx
import pytest

from tests.chaos.conftest import Load, dose
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service

Start = Callable[..., Service]
StartGateway = Callable[[NatsServer], tuple[Service, str]]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("nats_server", dose(list(SERVERS)[-1:], list(SERVERS)), indirect=True)
async def test_restarts_of_the_server_lose_no_accepted_upload(
    nats_server: NatsServer,
    service: Start,
    start_gateway: StartGateway,
    takes: list[bytes],
    chance: random.Random,
) -> None:
    _, url = await asyncio.to_thread(start_gateway, nats_server)
    for _ in range(2):
        await asyncio.to_thread(service("analyzer", NATS_URL=nats_server.url).until_ready)
    load = Load([url])
    sending = asyncio.create_task(load.send(takes * dose(1, 3)))
    answers: list[float] = []

    for number in range(dose(2, 10)):
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        end = nats_server.kill if number % 2 else nats_server.terminate
        await asyncio.to_thread(end)
        answers.append(await _answers_within(url))
        await asyncio.to_thread(nats_server.start)
        await _resumes(url, within_s=5)
    await sending
    reports = await load.reports(within_s=90)

    assert max(answers) < 1, "the gateway never hangs"
    assert len(reports) == len(takes) * dose(1, 3)
    assert {report["status"] for report in reports.values()} == {"done"}


async def _answers_within(url: str) -> float:
    """Return how long an upload waits for its refusal while NATS is away."""
    start = time.monotonic()
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.post(f"{url}/analyze", files={"file": b"\0" * 1000})
    assert answer.status_code == 503
    return time.monotonic() - start


async def _resumes(url: str, *, within_s: float) -> None:
    async with asyncio.timeout(within_s), httpx.AsyncClient() as client:
        while (await client.get(f"{url}/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
