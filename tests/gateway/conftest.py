"""A gateway in the test's own event loop, over a real NATS and with real workers."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from litestar import Litestar

from decibus.blobs import Blobs
from decibus.broker import Broker, connect
from decibus.messages import Conversion
from decibus.references import References, load_references
from decibus.sandbox import Sandbox
from decibus.topology import ANALYZE, AUDIO, TRANSCODE, TRANSCRIBE
from decibus.worker import Step, Worker
from services.analyzer.analyze import analyze
from services.gateway.app import create_app
from services.gateway.built import Built
from services.gateway.keys import Keyring
from services.gateway.live import Live
from services.gateway.opened import opened
from services.gateway.settings import Settings
from services.transcoder.settings import Settings as TranscoderSettings
from services.transcoder.transcode import transcode
from services.transcriber.model import Model, load
from services.transcriber.transcribe import transcribe
from tests.conftest import SERVERS, NatsServer

REFERENCES: Final = load_references()


@dataclass(frozen=True)
class Pipeline:
    """What a test talks to, and what it looks at afterwards."""

    http: httpx.AsyncClient
    broker: Broker
    settings: Settings
    workers: Callable[[], AbstractAsyncContextManager[None]]

    async def messages(self, stream: str) -> int:
        """How many messages a stream holds."""
        return (await self.broker.connection.jetstream().stream_info(stream)).state.messages

    async def analyze(self, audio: bytes, **fields: str) -> httpx.Response:
        """Upload one file."""
        files = {"file": ("take.wav", audio, "audio/wav")}
        return await self.http.post("/analyze", files=files, data=fields)


@dataclass(frozen=True)
class Replica:
    """A gateway without workers, for tests that need several or a special one."""

    app: Litestar
    broker: Broker
    live: Live

    def http(
        self, address: str = "198.51.100.7", *, app: Any = None, **headers: str
    ) -> httpx.AsyncClient:
        """Return a client that comes from this address."""
        served: Any = app or self.app
        transport = httpx.ASGITransport(served, raise_app_exceptions=False, client=(address, 1))
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.AsyncClient(
            transport=transport, base_url="http://gateway", timeout=30, headers=sent
        )

    async def messages(self, stream: str) -> int:
        """How many messages a stream holds."""
        return (await self.broker.connection.jetstream().stream_info(stream)).state.messages

    async def limit(self, stream: str, max_bytes: int) -> None:
        """Make a stream small, or large again."""
        js = self.broker.connection.jetstream()
        config = (await js.stream_info(stream)).config
        config.max_bytes = max_bytes
        await js.update_stream(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    With several nats-servers, give each test here one of them, unless all are asked for.

    What a server does differently is tested in tests/nats, on each.
    """
    if os.getenv("SERVERS") == "all":
        return
    here = Path(__file__).parent
    out = [item for item in items if item.path.is_relative_to(here) and not _has_its_server(item)]
    items[:] = [item for item in items if item not in set(out)]
    config.hook.pytest_deselected(items=out)


def _has_its_server(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    version = call.params.get("nats_server") if call else None
    if version not in SERVERS:
        return True
    name = item.nodeid.replace(version, "")  # the same for all servers, in all processes
    return bool(version == list(SERVERS)[zlib.crc32(name.encode()) % len(SERVERS)])


@pytest.fixture(scope="session")
def model() -> Model:
    return load("demo", workers=1)


@pytest.fixture
def settings() -> Settings:
    return Settings(max_upload_bytes=2_000_000, max_request_bytes=8_000_000, max_duration_s=60.0)


@pytest.fixture
def references(settings: Settings) -> References:
    return load_references(settings.profiles_dir)


@pytest.fixture
async def pipeline(
    nats_server: NatsServer, settings: Settings, references: References, model: Model
) -> AsyncIterator[Pipeline]:
    async with (
        connect(nats_server.url, name="gateway") as broker,
        opened(broker, settings, Keyring(), references) as gateway,
    ):
        app: Any = create_app(gateway)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", timeout=60
        ) as http:
            yield Pipeline(http, broker, settings, partial(workers_at, nats_server.url, model))


@asynccontextmanager
async def replica(
    server: NatsServer,
    settings: Settings,
    keyring: Keyring | None = None,
    built: Built | None = None,
) -> AsyncIterator[Replica]:
    """Run one more gateway, on a connection of its own."""
    async with (
        connect(server.url, name="gateway") as broker,
        opened(broker, settings, keyring or Keyring(), REFERENCES, built) as gateway,
    ):
        yield Replica(create_app(gateway), broker, gateway.live)


@asynccontextmanager
async def workers_at(url: str, model: Model) -> AsyncIterator[None]:
    """One analyzer and one transcriber, as their processes run them."""
    async with connect(url, name="workers") as broker:
        names = {"models": model.name, f"languages.{model.name}": ",".join(model.languages)}
        await broker.announce(ANALYZE.consumer, version="0.0.0")
        await broker.announce(TRANSCRIBE.consumer, version="0.0.0", metadata=names)
        async with _working(broker, model):
            yield


@pytest.fixture(scope="session")
def convert() -> Iterator[Step]:
    """Return what a transcoder does, in a sandbox as its process has it."""
    settings = TranscoderSettings()
    step, warm = "services.transcoder.convert:convert", "services.transcoder.convert:warm"
    sandbox = Sandbox(step, warm=warm, returns=Conversion, limits=settings.limits)
    sandbox.start()
    yield partial(transcode, sandbox=sandbox, max_bytes=settings.max_output_bytes)
    sandbox.close()


@asynccontextmanager
async def transcoder_at(url: str, convert: Step) -> AsyncIterator[None]:
    """Run one transcoder."""
    stop = asyncio.Event()
    async with connect(url, name="transcoder") as broker, asyncio.TaskGroup() as group:
        blobs = Blobs(broker.connection, AUDIO.name)
        worker = Worker(broker, blobs, TRANSCODE, convert, slots=2)
        group.create_task(worker.serve(until=stop, grace=timedelta(seconds=5)))
        try:
            yield
        finally:
            stop.set()


@asynccontextmanager
async def _working(broker: Broker, model: Model) -> AsyncIterator[None]:
    blobs = Blobs(broker.connection, AUDIO.name)
    stop = asyncio.Event()
    steps = ((ANALYZE, analyze), (TRANSCRIBE, partial(transcribe, model=model)))
    async with asyncio.TaskGroup() as group:
        for queue, step in steps:
            worker = Worker(broker, blobs, queue, step, slots=2)
            group.create_task(worker.serve(until=stop, grace=timedelta(seconds=5)))
        try:
            yield
        finally:
            stop.set()


def report(response: httpx.Response) -> Any:
    """Return the JSON of an answer."""
    return msgspec.json.decode(response.content)
