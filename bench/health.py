"""
How soon the gateway answers while all cores hear long talks.

    python -m bench.health [--seconds 20] [--talks 4] [--minutes 10] [--rounds 3]

A gateway and a transcriber with a worker a CPU, each in a session of its own, a nats-server and
whoever asks, on one machine. `/healthz` is asked each 10 ms, over one connection: first while
nothing else happens, then while so many talks are heard at once, turn by turn. `computed` is what
the gateway's process has used between a question and its answer: what an answer takes longer was
spent waiting for a core, and by whoever asked.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec

from bench.transcriber import nats_server, write_long
from tests.health import Answer, answers
from tests.processes import Service, free_port

RESULTS: Final = Path(__file__).parent / "results" / "health.json"
SLOW_MS: Final = 20.0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked at one time. Milliseconds; `slow`: the part that took over 20 of them."""

    beside: str
    asked: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    slow: float
    computed_p99_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/health.json."""

    talks: int
    minutes: float
    rounds: int
    rows: list[Row]


def row(beside: str, answers: Sequence[Answer]) -> Row:
    """Sum up some answers."""
    took, computed = (
        sorted(1e3 * each for each in column) for column in zip(*answers, strict=True)
    )
    return Row(
        beside=beside,
        asked=len(took),
        p50_ms=round(statistics.median(took), 2),
        p99_ms=round(took[len(took) * 99 // 100], 2),
        worst_ms=round(took[-1], 2),
        slow=round(sum(each > SLOW_MS for each in took) / len(took), 4),
        computed_p99_ms=round(computed[len(computed) * 99 // 100], 2),
    )


async def ask(gateway: Service, port: int, seconds: float) -> list[Answer]:
    """Ask for so long."""
    found: list[Answer] = []
    until = time.monotonic() + seconds
    async with aclosing(answers(port, gateway.process.pid)) as asking:
        while time.monotonic() < until:
            found.append(await anext(asking))
    return found


async def measure(
    gateway: Service, port: int, talks: list[bytes], seconds: float, rounds: int
) -> list[Row]:
    """Ask with and without talks, turn by turn."""
    idle: list[Answer] = []
    loaded: list[Answer] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for turn in range(rounds):
            idle += await ask(gateway, port, seconds)
            async with heard(client, [talk + bytes([turn]) for talk in talks]):
                loaded += await ask(gateway, port, seconds)
    return [row("nothing", idle), row(f"{len(talks)} talks", loaded)]


@asynccontextmanager
async def heard(client: httpx.AsyncClient, talks: list[bytes]) -> AsyncIterator[None]:
    """Have all of them heard at once while the block runs."""
    tokens = [await upload(client, talk) for talk in talks]
    try:
        while {await state(client, token) for token in tokens} != {"running"}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        yield
        still = {await state(client, token) for token in tokens}
        if still != {"running"}:
            raise SystemExit(f"the talks were too short, or went wrong: {still}")
    finally:
        for token in tokens:
            await client.delete(f"/result/{token}")


async def upload(client: httpx.AsyncClient, talk: bytes) -> str:
    """Send a talk; returns the token of its report."""
    fields = {"tasks": "transcribe", "wait": "0"}
    answer = await client.post("/analyze", files={"file": ("talk.wav", talk)}, data=fields)
    answer.raise_for_status()
    return str(answer.json()["token"])


async def state(client: httpx.AsyncClient, token: str) -> str:
    """Return where an upload stands."""
    return str((await client.get(f"/result/{token}")).json()["status"])


def main(seconds: float, talks: int, minutes: float, rounds: int) -> None:
    """Measure, print the table, and write the results."""
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as scratch,
        nats_server(Path(scratch)) as server,
        ExitStack() as services,
    ):
        env = {"NATS_URL": server.url, "RATE_LIMIT": "100000", "MAX_DURATION_S": "7200"}
        env |= {"DECIBUS_MODEL": "demo", "OMP_NUM_THREADS": "1", "SLOTS": str(talks)}
        started: list[Service] = []
        for name in ("gateway", "transcriber"):
            more = {"HTTP_PORT": str(port)}
            started.append(Service(name, env | more, Path(scratch) / name).until_ready())
            services.callback(started[-1].terminate)
        write_long(Path(scratch), minutes)
        talk = (Path(scratch) / "long.wav").read_bytes()
        different = [talk + bytes([number]) for number in range(talks)]
        rows = asyncio.run(measure(started[0], port, different, seconds, rounds))
    for each in rows:
        print(
            f"beside {each.beside:8} {each.asked:6} asked: p50 {each.p50_ms:6.2f}, p99"
            f" {each.p99_ms:6.2f}, worst {each.worst_ms:6.2f} ms; {each.slow:.2%} over"
            f" {SLOW_MS:g} ms; computed p99 {each.computed_p99_ms:.2f} ms"
        )
    report = Report(talks=talks, minutes=minutes, rounds=rounds, rows=rows)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--talks", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.seconds, arguments.talks, arguments.minutes, arguments.rounds)
