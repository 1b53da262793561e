"""A recorder's parts over a real NATS, and a real database."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from decibus.broker import Broker, connect
from decibus.points import Kind, Point, Status, line_of
from decibus.topology import POINTS_PREFIX
from services.recorder.settings import Settings
from tests.conftest import NatsServer
from tests.databases import TOKEN, Database, Unreliable, databases


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Broker]:
    async with connect(nats_server.url, name="test") as connected:
        await connected.declare()
        yield connected


@pytest.fixture(params=databases() or ["no database here"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database for one test; the same test once for each that is here."""
    folder = tmp_path / request.param
    folder.mkdir()
    started = databases()[request.param](folder)
    started.start()
    yield started
    started.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Unreliable]:
    """What stands between the recorder and the database."""
    async with Unreliable(database.url).open() as opened:
        yield opened


def settings_for(url: str, **more: object) -> Settings:
    """Return the settings of a recorder that writes there."""
    given = {"influxdb_url": url, "influxdb_token": TOKEN, "influxdb_timeout_s": 2.0}
    return Settings(**given | more)  # type: ignore[arg-type]


def message(number: int, *, at_us: int) -> bytes:
    """Return the points of a call that can be told from all others by its `bytes`."""
    points = [
        Point(
            kind=kind,
            service="test",
            task="analyze",
            status=Status.DONE,
            source="http",
            latency=number / 100,
            queue_wait=0.25,
            work=number / 200,
            audio_length=2.0,
            bytes=number,
            attempt=1,
            at_us=at_us,
        )
        for kind in Kind
    ]
    return "\n".join(map(line_of, points)).encode()


async def publish(broker: Broker, number: int, *, at_us: int, body: bytes = b"") -> None:
    """Put one call into METRICS, as a gateway does."""
    await broker.append(
        f"{POINTS_PREFIX}http",
        body or message(number, at_us=at_us),
        dedup_id=f"row-{number}",
        headers={"traceparent": f"trace-{number}"},
    )
