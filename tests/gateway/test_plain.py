"""The page without a script: it uploads, waits, shows the report, and says what went wrong."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.gateway.keys import Keyring, digest
from services.gateway.settings import Settings
from tests.conftest import NatsServer
from tests.gateway.conftest import Pipeline, Replica, replica
from tests.signals import encode, sine

KEY = "a" * 40
HOSTILE = "<img src=x onerror=alert(1)>.wav"


async def send(http: httpx.AsyncClient, name: str, data: bytes, **fields: str) -> httpx.Response:
    # As browsers do: the fields in the order of the form, the file where it stands in it.
    parts: list[tuple[str, Any]] = [(field, (None, value)) for field, value in fields.items()]
    return await http.post("/plain", files=[*parts, ("file", (name, data, "audio/wav"))])


async def test_a_form_leads_to_a_report_that_a_person_can_read(pipeline: Pipeline) -> None:
    audio = encode(sine(2.0, -23.0, hz=997.0), 48_000, "wav16")
    async with pipeline.workers():
        sent = await send(pipeline.http, "take.wav", audio, genre="pop", target="")
        page = await pipeline.http.get(sent.headers["location"])
        while "http-equiv" in page.text:
            page = await pipeline.http.get(sent.headers["location"])

    assert sent.status_code == 303
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "private, no-cache"
    assert "<h1>take.wav</h1>" in page.text
    assert "−23.0 LUFS" in page.text
    assert "Tonal balance, held against pop" in page.text
    assert "Spotify" in page.text
    assert "No speech was heard." in page.text
    assert "not mastering advice" in page.text
    links = re.findall(r'href="(/result/[^"]*)"', page.text)
    assert [link.partition(".")[2] for link in links] == ["", "txt", "srt", "vtt", "csv"]
    for link in links:
        assert (await pipeline.http.get(link)).status_code == 200
    assert "<script" not in page.text


async def test_a_report_that_waits_loads_itself_again(pipeline: Pipeline) -> None:
    sent = await send(pipeline.http, "take.wav", b"RIFF")

    page = await pipeline.http.get(sent.headers["location"])

    assert '<meta http-equiv="refresh" content="3">' in page.text
    assert "place 1 of the queue" in page.text
    assert "/result/" not in page.text


async def test_what_a_sender_has_chosen_is_text(pipeline: Pipeline) -> None:
    sent = await send(pipeline.http, HOSTILE, b"RIFF")

    page = await pipeline.http.get(sent.headers["location"])

    assert "<img" not in page.text
    assert "&lt;img src=x onerror=alert(1)&gt;.wav" in page.text
    assert "unsafe" not in page.headers["content-security-policy"]


async def test_a_file_that_is_no_audio_is_told_in_words(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        sent = await send(pipeline.http, "notes.txt", b"dear diary")
        page = await pipeline.http.get(sent.headers["location"])

    assert "Send a sound file" in page.text
    assert "http-equiv" not in page.text


async def test_what_is_kept_by_choice_says_so_and_is_deleted_by_a_button(
    pipeline: Pipeline,
) -> None:
    async with pipeline.workers():
        sent = await send(
            pipeline.http, "a.wav", encode(sine(1.0, -20.0), 48_000, "wav16"), retention="library"
        )
        where = sent.headers["location"]
        kept = await pipeline.http.get(where)
    (action,) = re.findall(r'action="(/plain/[^"]*)"', kept.text)
    deleted = await pipeline.http.post(action)
    gone = await pipeline.http.get(where)

    assert "stays in the library" in kept.text
    assert (deleted.status_code, deleted.headers["location"]) == (303, "/plain")
    assert gone.status_code == 404
    assert "<h1>There is nothing here, or no longer</h1>" in gone.text


@pytest.fixture
async def locked(nats_server: NatsServer) -> AsyncIterator[Replica]:
    ring = Keyring.load(api_keys=f"alice:{digest(KEY).hex()}", api_keys_file="")
    async with replica(nats_server, Settings(max_upload_bytes=1_000_000), ring) as running:
        yield running


async def test_where_a_key_is_asked_for_the_form_has_a_field_for_it(locked: Replica) -> None:
    async with locked.http() as http:
        form = await http.get("/")
        nobody = await send(http, "a.wav", b"RIFF")
        wrong = await send(http, "a.wav", b"RIFF", key="b" * 40)
        alice = await send(http, "a.wav", b"RIFF", key=KEY)
        shown = await http.get(alice.headers["location"])

    assert form.text.index('name="key"') < form.text.index('name="file"')
    assert [nobody.status_code, wrong.status_code] == [401, 401]
    assert "<h1>This needs an API key</h1>" in nobody.text
    assert (alice.status_code, shown.status_code) == (303, 200)
    assert KEY not in form.text + shown.text


async def test_a_stranger_is_refused_before_the_file_is_read(locked: Replica) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield head + b"x"
        yield b"x" * 1000
        raise AssertionError("it was read")

    async with locked.http() as http:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        refused = await http.post("/plain", content=body(), headers=headers)

    assert refused.status_code == 401
    assert await locked.messages("OBJ_audio") == 0


async def test_too_large_a_file_is_told_as_a_page(locked: Replica) -> None:
    async with locked.http() as http:
        refused = await send(http, "a.wav", b"x" * 1_100_000, key=KEY)

    assert refused.status_code == 413
    assert refused.headers["content-type"].startswith("text/html")
    assert "Send a smaller file" in refused.text
    assert await locked.messages("OBJ_audio") == 0
