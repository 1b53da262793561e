"""
A client of both sides of the race, light enough to leave the processors to the servers.

    python -m bench.client URL --bytes 200000 --work-ms 0 --clients 8 --jobs 400 [--websocket]

Each of `clients` sends a file that nobody has sent before, waits for its result, and goes on until
all `jobs` are done; or, with `--every 0.3`, one begins each 0.3 s. Prints a `Run` as JSON.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec
import uvloop
from websockets.asyncio.client import connect

from bench.work import head

WAIT_S: Final = 120
_BOUNDARY: Final = "b0undary"
_END: Final = f"\r\n--{_BOUNDARY}--\r\n".encode()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a client has seen; the latencies are from the first byte sent to the result."""

    seconds: float
    client_cpu_s: float
    latencies_ms: list[float]


class _Told(msgspec.Struct, frozen=True):
    token: str
    status: str


class _Update(msgspec.Struct, frozen=True):
    status: str


def form_of(fields: Mapping[str, str], file: Sequence[bytes]) -> tuple[str, tuple[bytes, ...]]:
    """Return a form's media type and, in pieces, the form: fields, then a file of some pieces."""
    begin = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = "".join(f'{begin}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    start = f'{parts}{begin}"file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return f"multipart/form-data; boundary={_BOUNDARY}", (start.encode(), *file, _END)


class Files:
    """Files of one size and work, no two of them the same."""

    def __init__(self, size: int, work_ms: float) -> None:
        self._head = head(work_ms)
        self._rest = secrets.token_bytes(max(0, size - len(self._head) - 32))

    def another(self) -> tuple[bytes, ...]:
        """Return one more, in pieces."""
        return self._head, secrets.token_hex(16).encode(), self._rest


class Connection:
    """HTTP/1.1 over one connection that is kept alive, one request after the other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, method: str, target: str, *body: bytes, kind: str = "") -> bytes:
        """Return the body of an answer, which has to be a good one."""
        headers = f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\n"
        if body:
            headers += f"Content-Type: {kind}\r\nContent-Length: {sum(map(len, body))}\r\n"
        self._writer.writelines((f"{headers}\r\n".encode(), *body))
        await self._writer.drain()
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(each[15:]) for each in rest if each.startswith(b"content-length:"))
        answer = await self._reader.readexactly(length)
        if first.split()[1] not in {b"200", b"202"}:
            raise RuntimeError(f"{method} {target}: {first.decode()} {answer.decode()[:200]}")
        return answer

    async def send(self, files: Files) -> str:
        """Send a file; returns its token."""
        kind, pieces = form_of({}, files.another())
        told = await self.ask("POST", "/analyze?tasks=loudness&wait=0", *pieces, kind=kind)
        return msgspec.json.decode(told, type=_Told).token

    async def result(self, token: str) -> None:
        """Wait for a result by long polling."""
        told = await self.ask("GET", f"/result/{token}?wait={WAIT_S}")
        if (status := msgspec.json.decode(told, type=_Told).status) != "done":
            raise RuntimeError(f"it is {status}")


async def hear(url: str, token: str) -> None:
    """Wait for a result by WebSocket."""
    async with connect(f"ws{url.removeprefix('http')}/ws/{token}", compression=None) as socket:
        async for message in socket:
            if msgspec.json.decode(message, type=_Update).status == "done":
                return
    raise RuntimeError("closed, and it is not done")


Job = Callable[[Connection], Coroutine[None, None, None]]


async def full(url: str, job: Job, *, clients: int, jobs: int) -> Run:
    """Let all clients go on until all jobs are done."""
    left = iter(range(jobs))
    latencies: list[float] = []

    async def one() -> None:
        async with Connection(url) as connection:
            for _ in left:
                start = time.perf_counter()
                await job(connection)
                latencies.append(1e3 * (time.perf_counter() - start))

    start, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    return Run(seconds=seconds, client_cpu_s=cpu_s, latencies_ms=latencies)


async def idle(url: str, job: Job, *, jobs: int, every_s: float) -> Run:
    """Begin one job after the other, with pauses in which nothing is done."""
    latencies: list[float] = []
    start = time.perf_counter()
    async with Connection(url) as connection:
        for _ in range(jobs):
            begun = time.perf_counter()
            await job(connection)
            latencies.append(1e3 * (time.perf_counter() - begun))
            await asyncio.sleep(max(0.0, every_s - (time.perf_counter() - begun)))
    seconds = time.perf_counter() - start
    return Run(seconds=seconds, client_cpu_s=time.process_time(), latencies_ms=latencies)


async def main(asked: argparse.Namespace) -> int:
    """Run as the command line says."""
    files = Files(asked.bytes, asked.work_ms)

    async def job(connection: Connection) -> None:
        token = await connection.send(files)
        await (hear(asked.url, token) if asked.websocket else connection.result(token))

    run = (
        await idle(asked.url, job, jobs=asked.jobs, every_s=asked.every)
        if asked.every
        else await full(asked.url, job, clients=asked.clients, jobs=asked.jobs)
    )
    sys.stdout.buffer.write(msgspec.json.encode(run))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--bytes", type=int, default=200_000)
    parser.add_argument("--work-ms", type=float, default=0.0)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--every", type=float, default=0.0)
    parser.add_argument("--websocket", action="store_true")
    sys.exit(uvloop.run(main(parser.parse_args())))
