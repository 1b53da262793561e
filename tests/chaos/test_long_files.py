"""Long talks: a killed worker's is gone on with, and they keep nobody else waiting."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from decibus.broker import Broker, connect
from decibus.topology import CHECKPOINTS
from tests.chaos.conftest import dose
from tests.conftest import SERVERS, NatsServer
from tests.health import Answer, answers
from tests.processes import Service
from tests.speech import RATE_HZ, digits, say, wav, with_pauses

Start = Callable[..., Service]
StartGateway = Callable[..., tuple[Service, str]]

NEWEST = list(SERVERS)[-1:]


@pytest.fixture(scope="session")
def talk() -> bytes:
    """A minute of digits, in some sixteen windows."""
    phrases = [say(digits("en", 4, seed=number), speaker=number) for number in range(8)]
    turn, _ = with_pauses(phrases, [0.7, 0.9, 1.2, 0.8, 4.0, 0.6, 1.5, 0.9])
    return wav(np.resize(turn, 60 * RATE_HZ)).getvalue()


async def upload(client: httpx.AsyncClient, take: bytes) -> str:
    answer = await client.post(
        "/analyze",
        files={"file": ("talk.wav", take)},
        data={"tasks": "transcribe", "wait": "0"},
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["token"])


async def final(client: httpx.AsyncClient, token: str) -> Any:
    while True:
        report = (await client.get(f"/result/{token}", params={"wait": "20"})).json()
        if report["status"] in {"done", "failed"}:
            return report


async def until_kept(witness: Broker, parts: int) -> None:
    stream = witness.connection.jetstream()
    async with asyncio.timeout(60):
        while (await stream.stream_info(CHECKPOINTS.stream)).state.messages < parts:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def heard_by(service: Service) -> dict[str, list[int]]:
    """Return the numbers of the windows that a transcriber has heard, by the trace of the talk."""
    lines = [line for line in service.printed.splitlines() if '"window_heard"' in line]
    found: dict[str, list[int]] = defaultdict(list)
    for line in map(msgspec.json.decode, lines):
        found[line["trace_id"]].append(line["window"])
    return found


@pytest.mark.espeak
@pytest.mark.timeout(180)
@pytest.mark.parametrize("nats_server", dose(NEWEST, list(SERVERS)), indirect=True)
async def test_a_killed_transcribers_talk_goes_on_behind_the_last_window(
    nats_server: NatsServer, service: Start, start_gateway: StartGateway, talk: bytes
) -> None:
    _, url = await asyncio.to_thread(start_gateway, nats_server)
    env = {
        "NATS_URL": nats_server.url,
        "DECIBUS_MODEL": "demo",
        "SLOTS": "1",
        "LOG_LEVEL": "debug",
    }
    victim = await asyncio.to_thread(service("transcriber", **env).until_ready)
    async with (
        httpx.AsyncClient(base_url=url, timeout=60) as client,
        connect(nats_server.url, name="witness") as witness,
    ):
        token = await upload(client, talk)
        await until_kept(witness, 5)
        victim.kill()
        twin = await upload(client, talk + b"\0")  # heard while the other waits for its turn
        heir = service("transcriber", **env)
        report, quiet = await final(client, token), await final(client, twin)

    assert report["status"] == quiet["status"] == "done"
    assert report["transcript"] == quiet["transcript"], "no segment twice, none missing"
    ((trace, before),) = heard_by(victim).items()
    after = heard_by(heir).pop(trace)
    assert len(before) >= 5
    assert sorted({*before, *after}) == [*range(after[-1] + 1)]
    assert len({*before} & {*after}) <= 1, "windows that were heard twice"


@pytest.mark.espeak
@pytest.mark.timeout(180)
@pytest.mark.parametrize("nats_server", NEWEST, indirect=True)
async def test_four_long_talks_keep_neither_a_short_clip_nor_the_gateway_waiting(
    nats_server: NatsServer, service: Start, start_gateway: StartGateway, talk: bytes
) -> None:
    gateway, url = await asyncio.to_thread(start_gateway, nats_server, MAX_DURATION_S="3600")
    env = {"NATS_URL": nats_server.url, "DECIBUS_MODEL": "demo", "OMP_NUM_THREADS": "1"}
    crew = [service("transcriber", **env, SLOTS=slots) for slots in ("4", "1")]
    for each in crew:
        await asyncio.to_thread(each.until_ready)
    samples = np.frombuffer(talk[44:], "<i2").astype(np.float32) / 2**15
    long = wav(np.tile(samples, 10)).getvalue()
    clip = wav(say("one two three")).getvalue()
    health: list[Answer] = []

    async with (
        httpx.AsyncClient(base_url=url, timeout=60) as client,
        connect(nats_server.url, name="witness") as witness,
        aclosing(answers(httpx.URL(url).port or 0, gateway.process.pid)) as asking,
    ):
        tokens = [await upload(client, long + bytes(number)) for number in range(4)]
        await until_kept(witness, 8)
        waiting = asyncio.create_task(final(client, await upload(client, clip)))
        async for answer in asking:
            health.append(answer)
            if waiting.done() and len(health) >= 150:
                break
        short = await waiting
        rest = [(await client.get(f"/result/{token}")).json() for token in tokens]
        for token in tokens:
            await client.delete(f"/result/{token}")

    assert short["transcription"] == "one two three"
    assert [report["status"] for report in rest] == ["running"] * 4
    took_ms, computed_ms = np.percentile(np.multiply(health, 1e3), 99, axis=0)
    print(f"/healthz: {len(health)} times, p99 {took_ms:.1f} ms, {computed_ms:.1f} of it computing")  # noqa: T201
    assert computed_ms < 20.0, "what is over 20 ms has waited for a core, and not for the gateway"
