"""The library's door: what is kept is listed, searched, read and deleted, each sender's own."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import msgspec
import pytest

from decibus.broker import Broker
from decibus.jobs import State
from decibus.topology import LIBRARY
from services.gateway import shelf
from services.gateway.guards import owner_of
from services.gateway.keys import Keyring, digest
from services.gateway.library import volume_of
from services.gateway.report import Provenance, Report, Timings
from services.gateway.settings import Settings
from services.gateway.shelf import Books, Query, Shelf
from services.gateway.uploads import Retention, Upload, row_of
from tests.conftest import NatsServer
from tests.gateway.conftest import Pipeline, Replica, replica, report
from tests.signals import encode, sine

ALICE, BOB = "a" * 40, "b" * 40
START = datetime(2026, 11, 21, tzinfo=UTC)
T = TypeVar("T")


async def keep(
    broker: Broker, name: str, *, minute: int = 0, text: str = "", owner: str | None = None
) -> str:
    """Put a final report into the library; returns its id."""
    row = hashlib.sha256(name.encode()).hexdigest()
    told: dict[str, Any] = {
        "sha256": "0" * 64,
        "filename": name,
        "genre": None,
        "target": None,
        "created_at": START + timedelta(minutes=minute),
        "expires_at": None,
        "token": "",
    }
    upload = Upload(
        keys={},
        size=1,
        received_s=0.0,
        row=row,
        retention=Retention.LIBRARY,
        owner=owner and owner_of(f"key {owner}"),
        **told,
    )
    kept = Report(
        status=State.DONE,
        progress=1.0,
        bytes=1,
        transcription=text,
        timings=Timings(received=0.0),
        provenance=Provenance(),
        **told,
    )
    value = msgspec.json.encode(volume_of(upload, kept))
    await broker.write(LIBRARY, row, value, revision=0)
    return row


async def listed(http: httpx.AsyncClient, **query: str | int) -> list[str]:
    answer = await http.get("/transcripts", params=query)
    assert answer.status_code == 200, answer.text
    return [entry["filename"] for entry in report(answer)["data"]]


async def until(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    async with asyncio.timeout(10):
        while not holds(seen := await look()):  # noqa: ASYNC110 - a gateway's memory
            await asyncio.sleep(0.05)
        return seen


async def test_what_is_kept_is_listed_read_and_deleted(pipeline: Pipeline) -> None:
    audio = encode(sine(1.0, -20.0), 48_000, "wav16")
    async with pipeline.workers():
        fields = {"retention": "library", "tasks": "loudness", "timeline": "true"}
        kept = report(await pipeline.analyze(audio, **fields))
    await until(lambda: listed(pipeline.http), bool)

    (entry,) = report(await pipeline.http.get("/transcripts"))["data"]
    path = f"/transcripts/{entry['id']}"
    shown = await pipeline.http.get(path)
    again = await pipeline.http.get(path, headers={"If-None-Match": shown.headers["etag"]})
    table = await pipeline.http.get(f"{path}.csv")
    deleted = await pipeline.http.delete(path)

    assert entry["id"] == row_of(kept["token"])
    assert (entry["filename"], entry["audio_length"]) == ("take.wav", 1.0)
    assert entry["integrated_lufs"] == kept["loudness"]["integrated_lufs"]
    assert report(shown) == kept | {"token": ""}
    assert again.status_code == 304
    assert table.text.startswith("time_s,")
    assert deleted.status_code == 204
    assert await listed(pipeline.http) == []
    for gone in (path, f"/result/{kept['token']}"):
        assert (await pipeline.http.get(gone)).status_code == 404
    assert await pipeline.messages(LIBRARY.stream) == 0


async def test_pages_follow_each_other_while_others_come(pipeline: Pipeline) -> None:
    for minute in range(5):
        await keep(pipeline.broker, f"{minute}", minute=minute)
    await until(lambda: listed(pipeline.http), lambda names: len(names) == 5)

    pages, cursor = [], ""
    while True:
        asked = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = report(await pipeline.http.get("/transcripts", params=asked))
        pages.append([entry["filename"] for entry in page["data"]])
        if not (cursor := page["next"]):
            break
        await keep(pipeline.broker, f"new {len(pages)}", minute=100 + len(pages))
        await asyncio.sleep(0.6)

    assert pages == [["4", "3"], ["2", "1"], ["0"]]


async def test_it_is_searched_by_name_and_by_words(pipeline: Pipeline) -> None:
    await keep(pipeline.broker, "Interview Müller.wav", minute=1, text="All about the bass.")
    await keep(pipeline.broker, "bass take.flac", minute=2, text="One two three")
    await until(lambda: listed(pipeline.http), lambda names: len(names) == 2)

    by_name = await listed(pipeline.http, q="MU\N{COMBINING DIAERESIS}LLER interview")
    by_word = await listed(pipeline.http, q="bass", **{"in": "text"})
    in_names = await listed(pipeline.http, q="bass")
    in_both = await listed(pipeline.http, q="wav bass", **{"in": "text"})

    assert by_name == ["Interview Müller.wav"]
    assert by_word == ["bass take.flac", "Interview Müller.wav"]
    assert in_names == ["bass take.flac"]
    assert in_both == ["Interview Müller.wav"]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"in": "tags"}, {"cursor": "?"}]
)
async def test_what_makes_no_sense_is_refused(pipeline: Pipeline, query: dict[str, str]) -> None:
    refused = await pipeline.http.get("/transcripts", params=query)

    assert (refused.status_code, report(refused)["code"]) == (400, "bad_request")


@pytest.fixture
async def locked(nats_server: NatsServer) -> AsyncIterator[Replica]:
    lines = ",".join(
        f"{name}:{digest(key).hex()}" for name, key in (("alice", ALICE), ("bob", BOB))
    )
    ring = Keyring.load(api_keys=lines, api_keys_file="")
    async with replica(nats_server, Settings(), ring) as running:
        yield running


async def test_a_key_sees_its_own_and_nothing_else(locked: Replica) -> None:
    hers = await keep(locked.broker, "hers.wav", owner="alice")
    await keep(locked.broker, "his.wav", owner="bob")
    await keep(locked.broker, "nobodys.wav")
    async with (
        locked.http() as nobody,
        locked.http(x_api_key=ALICE) as alice,
        locked.http(x_api_key=BOB) as bob,
    ):
        await until(lambda: listed(bob), bool)
        seen = [await listed(alice), await listed(bob)]
        refused = await nobody.get("/transcripts")
        path = f"/transcripts/{hers}"
        foreign = [await bob.get(path), await bob.delete(path), await nobody.get(path)]
        own = [await alice.get(path), await alice.delete(path), await alice.get(path)]

    assert seen == [["hers.wav"], ["his.wav"]]
    assert (refused.status_code, report(refused)["code"]) == (401, "unauthorized")
    assert [answer.status_code for answer in foreign] == [404, 404, 401]
    assert [answer.status_code for answer in own] == [200, 204, 404]


async def test_an_upload_belongs_to_the_key_that_it_came_with(locked: Replica) -> None:
    files = {"file": ("take.wav", b"RIFF")}
    async with locked.http(x_api_key=ALICE) as alice:
        body = {"retention": "library", "wait": "0"}
        token = report(await alice.post("/analyze", files=files, data=body))["token"]

    kept = await locked.broker.read(LIBRARY, row_of(token))

    assert kept is not None
    assert b'"owner":"%s"' % (owner_of("key alice") or "").encode() in kept.value
    assert b"alice" not in kept.value


async def test_what_is_deleted_by_one_gateway_leaves_the_list_of_another(
    pipeline: Pipeline, nats_server: NatsServer
) -> None:
    ident = await keep(pipeline.broker, "take.wav")
    async with replica(nats_server, Settings()) as other, other.http() as http:
        await until(lambda: listed(http), bool)
        await pipeline.http.delete(f"/transcripts/{ident}")
        left = await until(lambda: listed(http), lambda names: not names)

    assert left == []


async def test_texts_beyond_the_memory_are_read_a_few_at_a_time(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "MAX_READS", 2)
    for minute in range(5):
        await keep(pipeline.broker, f"{minute}", minute=minute, text=f"word {minute}")
    small = Shelf(pipeline.broker, Books(max_text_bytes=0))
    await small.look()

    first = await small.find(Query(words=("word", "0"), in_text=True))
    assert first.next
    second = await small.find(
        Query(words=("word", "0"), in_text=True, after=shelf.read_cursor(first.next))
    )
    assert second.next
    third = await small.find(
        Query(words=("word", "0"), in_text=True, after=shelf.read_cursor(second.next))
    )

    found = [*first.data, *second.data, *third.data]
    assert [entry.filename for entry in found] == ["0"]
    assert third.next is None
