"""
Faults, caused: a load of uploads, and processes that are killed, frozen and restarted under it.

Every run prints its seed; `CHAOS_SEED` repeats one. By default the doses are small, `make chaos`
gives the full ones (`CHAOS=full`).
"""

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx
import pytest

from tests.conftest import NatsServer
from tests.processes import Service, free_port, wait_for
from tests.signals import encode, music

T = TypeVar("T")

FULL: Final = os.getenv("CHAOS") == "full"

# What a retry, a second worker or another moment may change in a report, and nothing else may.
FLEETING: Final = ("token", "created_at", "expires_at", "timings", "latency", "filename")


def dose(small: T, full: T) -> T:
    """Return how much of a fault this run gets."""
    return full if FULL else small


@pytest.fixture
def chance() -> random.Random:
    """Chance that can be repeated."""
    seed = int(os.getenv("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - shown with a failure
    return random.Random(seed)  # noqa: S311 - no secret


@pytest.fixture(scope="session")
def takes() -> list[bytes]:
    """120 different files of some seconds."""
    base = music(4.0, 24_000)
    return [encode(base * (1.0 - number / 500.0), 24_000, "flac") for number in range(120)]


@pytest.fixture(scope="session")
def long_take() -> bytes:
    """Five minutes, so that an analyzer can be caught at it."""
    return encode(music(300.0), 48_000, "flac")


@dataclass
class Load:
    """Uploads through one or more gateways, and what became of them."""

    urls: list[str]
    tokens: dict[int, str] = field(default_factory=dict)
    refused: int = 0

    async def send(self, takes: list[bytes], *, at_once: int = 4) -> None:
        """Upload all, each until it is accepted; a 503 is tried again, anything else is wrong."""
        lanes = asyncio.Semaphore(at_once)
        async with httpx.AsyncClient(timeout=20) as client, asyncio.TaskGroup() as group:
            for number, take in enumerate(takes):
                await lanes.acquire()
                task = group.create_task(self._send_one(client, number, take))
                task.add_done_callback(lambda _: lanes.release())

    async def _send_one(self, client: httpx.AsyncClient, number: int, take: bytes) -> None:
        while True:
            url = self.urls[number % len(self.urls)]
            files, fields = {"file": (f"{number}.flac", take)}, {"tasks": "loudness", "wait": "0"}
            answer = await client.post(f"{url}/analyze", files=files, data=fields)
            if answer.status_code != 503:
                assert answer.status_code in {200, 202}, answer.text
                self.tokens[number] = answer.json()["token"]
                return
            assert answer.headers["retry-after"]
            self.refused += 1
            await asyncio.sleep(0.2)

    async def state(self, number: int) -> str:
        """Return where an upload stands."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self.urls[0]}/result/{self.tokens[number]}")
            return str(answer.json()["status"])

    async def reports(self, *, within_s: float) -> dict[int, Any]:
        """Return the final report of every accepted upload."""
        async with asyncio.timeout(within_s), httpx.AsyncClient(timeout=within_s) as client:
            return {
                number: await self._final(client, token) for number, token in self.tokens.items()
            }

    async def _final(self, client: httpx.AsyncClient, token: str) -> Any:
        while True:
            answer = await client.get(f"{self.urls[0]}/result/{token}", params={"wait": "5"})
            if answer.status_code == 200 and answer.json()["status"] in {"done", "failed"}:
                return answer.json()
            await asyncio.sleep(0.1)


def lasting(reports: dict[int, Any]) -> dict[int, Any]:
    """Return what must be the same in every run."""
    return {
        number: {name: value for name, value in report.items() if name not in FLEETING}
        for number, report in reports.items()
    }


@pytest.fixture
def start_gateway(service: Callable[..., Service]) -> Callable[..., tuple[Service, str]]:
    """Start a gateway, with more settings if need be; returns it and its address."""

    def start(server: NatsServer, **more: str) -> tuple[Service, str]:
        port = free_port()
        # Requests are counted, as in production, but a flood of retries is not refused.
        env = {"NATS_URL": server.url, "HTTP_PORT": str(port), "RATE_LIMIT": "100000"}
        running = service("gateway", **env, **more).until_ready()
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _is_ready(url), within_s=10, what=url)
        return running, url

    return start


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
