"""
Databases that take line protocol, for tests that stop them, and what is put in front to do worse.

    Influxd     InfluxDB 2 itself, where `make influxd` has built it
    Victoria    Debian's VictoriaMetrics, which takes the same writes, to the millisecond
    Unreliable  a proxy before either, which can break HTTP in every way
"""

import asyncio
import contextlib
import gzip
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from tests.processes import free_port, wait_for

TOKEN: Final = "a-token-for-tests"  # noqa: S105 - of nothing
INFLUXD: Final = Path(__file__).parent.parent / ".tools" / "bin" / "influxd"


class Database:
    """A process that can be stopped and started again; its port and its store stay."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return what to run."""
        raise NotImplementedError

    def is_up(self) -> bool:
        """Say whether it answers."""
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def start(self) -> None:
        """Start it, and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        wait_for(self.is_up, within_s=40, what=str(self.folder / "log"))

    def stop(self) -> None:
        """End it in good order."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=20)
            self._process = None

    def values(self, measurement: str, field: str) -> list[float]:
        """Return every value of a field that it holds."""
        raise NotImplementedError


class Influxd(Database):
    """InfluxDB 2."""

    def command(self) -> list[str]:
        return [
            str(INFLUXD),
            f"--bolt-path={self.folder}/bolt",
            f"--engine-path={self.folder}/engine",
            f"--sqlite-path={self.folder}/sqlite",
            f"--http-bind-address=127.0.0.1:{self.port}",
            "--reporting-disabled",
            "--log-level=warn",
        ]

    def start(self) -> None:
        super().start()
        if httpx.get(f"{self.url}/api/v2/setup").json()["allowed"]:
            told = {"username": "me", "password": TOKEN, "org": "decibus", "bucket": "first"}
            httpx.post(f"{self.url}/api/v2/setup", json=told | {"token": TOKEN}).raise_for_status()

    def values(self, measurement: str, field: str) -> list[float]:
        question = (
            'from(bucket: "calls") |> range(start: -7d)'
            f' |> filter(fn: (r) => r._measurement == "{measurement}" and r._field == "{field}")'
            ' |> group() |> keep(columns: ["_value"])'
        )
        answer = httpx.post(
            f"{self.url}/api/v2/query",
            params={"org": "decibus"},
            headers={
                "Authorization": f"Token {TOKEN}",
                "Content-Type": "application/vnd.flux",
                "Accept": "application/csv",
            },
            content=question,
            timeout=30,
        )
        if answer.status_code == 404:  # no bucket yet
            return []
        answer.raise_for_status()
        rows = [line.split(",") for line in answer.text.split() if line.startswith(",_result,")]
        return [float(row[-1]) for row in rows]


class Victoria(Database):
    """VictoriaMetrics: it knows no buckets, no tasks and no Flux."""

    def command(self) -> list[str]:
        return [
            "victoria-metrics",
            f"-storageDataPath={self.folder}/data",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-dedup.minScrapeInterval=1ms",  # as InfluxDB: one time, one point
            "-loggerLevel=WARN",
        ]

    def values(self, measurement: str, field: str) -> list[float]:
        httpx.get(f"{self.url}/internal/force_flush", timeout=30).raise_for_status()
        matching = {"match[]": f'{{__name__="{measurement}_{field}"}}'}
        answer = httpx.get(f"{self.url}/api/v1/export", params=matching, timeout=30)
        answer.raise_for_status()
        series: list[Any] = [msgspec.json.decode(line) for line in answer.content.splitlines()]
        return [float(value) for each in series for value in each["values"]]


def databases() -> dict[str, Callable[[Path], Database]]:
    """Return the databases that are here."""
    found: dict[str, Callable[[Path], Database]] = {}
    if INFLUXD.exists():
        found["influxd"] = Influxd
    if shutil.which("victoria-metrics"):
        found["victoria"] = Victoria
    return found


class Mood(Enum):
    """What the proxy does to a request."""

    GOOD = auto()  # hands it on
    STRICT = auto()  # ditto, but refuses what holds a line that says `rubbish`
    FAILING = auto()  # 500
    BUSY = auto()  # 429, Retry-After: 1
    GARBAGE = auto()  # what is no HTTP
    SILENT = auto()  # takes the request, and never answers
    FORGETFUL = auto()  # hands it on, and then says 500


class Unreliable:
    """An HTTP proxy in front of a database. `seen`: how many requests it had in each mood."""

    def __init__(self, behind: str) -> None:
        self.mood = Mood.GOOD
        self.seen = dict.fromkeys(Mood, 0)
        self.url = ""
        self._behind = behind

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Unreliable"]:
        """Serve while the block runs."""
        async with httpx.AsyncClient(base_url=self._behind, timeout=30) as self._client:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            try:
                yield self
            finally:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side has gone
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        mood = self.mood
        self.seen[mood] += 1
        match mood:
            case Mood.GARBAGE:
                writer.write(b"\x15\x03\x01 garbage\r\n\r\n")
            case Mood.SILENT:
                await reader.read()  # until the client has had enough
            case Mood.FAILING:
                writer.write(_reply(500, b"no"))
            case Mood.BUSY:
                writer.write(_reply(429, b"later", "Retry-After: 1\r\n"))
            case _:
                writer.write(await self._hand_on(mood, method, path, headers, body))
        await writer.drain()

    async def _hand_on(
        self, mood: Mood, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> bytes:
        if mood is Mood.STRICT and b"rubbish" in _plain(headers, body):
            return _reply(400, b"partial write: rubbish")
        for name in ("host", "content-length", "connection"):
            headers.pop(name, None)
        try:
            answer = await self._client.request(method, path, headers=headers, content=body)
        except httpx.TransportError:
            return _reply(502, b"there is nothing behind")
        if mood is Mood.FORGETFUL:
            return _reply(500, b"I have forgotten")
        kind = answer.headers.get("content-type", "text/plain")
        return _reply(answer.status_code, answer.content, f"Content-Type: {kind}\r\n")


def _plain(headers: dict[str, str], body: bytes) -> bytes:
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def _reply(status: int, body: bytes, headers: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if status != 204 else ""
    head = f"HTTP/1.1 {status} X\r\n{length}{headers}Connection: close\r\n\r\n"
    return head.encode() + body
