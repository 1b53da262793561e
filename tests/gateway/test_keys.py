"""Who may ask for work, at both doors, and how the file of keys is followed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import structlog
from structlog.testing import LogCapture

from decibus.topology import PROCESS
from services.gateway import keys
from services.gateway.keys import Keyring, digest
from services.gateway.settings import Settings
from tests.conftest import NatsServer
from tests.gateway.conftest import Replica, replica, report

ALICE, BOB = "a" * 40, "b" * 40
AUDIO_FORM = {"file": ("take.wav", b"RIFF....", "audio/wav")}
ASYNC = {"Prefer": "respond-async"}


def line(name: str, key: str) -> str:
    return f"{name}:{digest(key).hex()}\n"


@pytest.fixture
async def locked(nats_server: NatsServer) -> AsyncIterator[Replica]:
    ring = Keyring.load(api_keys=f"{line('alice', ALICE)},{line('bob', BOB)}", api_keys_file="")
    async with replica(nats_server, Settings(), ring) as running:
        yield running


async def unread() -> AsyncIterator[bytes]:
    raise AssertionError("it was read")
    yield b""


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "c" * 40}, {"Authorization": f"Basic {ALICE}"}]
)
async def test_without_a_known_key_nothing_is_read(
    locked: Replica, headers: dict[str, str]
) -> None:
    async with locked.http() as http:
        refused = await http.post("/analyze", content=unread(), headers=headers)

    assert (refused.status_code, report(refused)["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_a_key_opens_and_a_token_is_enough_from_then_on(locked: Replica, header: str) -> None:
    shown = {header: f"Bearer {ALICE}" if header == "Authorization" else ALICE}
    async with locked.http() as http:
        taken = await http.post("/analyze", files=AUDIO_FORM, headers=shown | ASYNC)
        seen = await http.get(taken.headers["location"])
        deleted = await http.delete(taken.headers["location"])

    assert [taken.status_code, seen.status_code, deleted.status_code] == [202, 200, 204]


async def test_every_path_asks_for_a_key_but_those_that_must_not(locked: Replica) -> None:
    open_to_all = set()
    async with locked.http() as http:
        for route in locked.app.routes:
            method = "POST" if "POST" in route.methods else "GET"
            path = route.path.replace("{token:str}", "x").replace("{ident:str}", "x")
            if (await http.request(method, path)).status_code != 401:
                open_to_all.add(route.path)

    may_be = {
        "/",
        "/healthz",
        "/readyz",
        "/result/{token:str}",
        "/ws/{token:str}",
        "/events/{token:str}",
        "/outputs/{token:str}",
        "/uploads/{ident:str}",
        "/downloads/{ident:str}",
        "/plain.css",
        "/plain.svg",
        "/plain",
        "/plain/{token:str}",
        "/plain/{token:str}/delete",
    }
    assert {path for path in open_to_all if not path.startswith("/schema")} == may_be


async def test_a_link_or_a_token_is_enough_where_a_file_is_fetched(locked: Replica) -> None:
    async with locked.http() as http, locked.http(x_api_key=ALICE) as alice:
        body = {"transcode": {"format": {"extension": "flac"}}}
        link = report(await alice.post("/jobs/", json=body))["source"]["upload_url"]
        asked = [
            await http.post("/jobs/", json=body),
            await http.put(link, content=b"sent"),
            await http.get("/resample/", params={"file_path": "x"}),
            await http.post("/resample/"),
        ]

    assert [answer.status_code for answer in asked] == [401, 200, 404, 401]


async def test_the_nats_door_asks_for_a_key_too(locked: Replica) -> None:
    async def ask(headers: dict[str, str]) -> str:
        answer = await locked.broker.connection.request(PROCESS, b"30", timeout=5, headers=headers)
        return str(msgspec.json.decode(answer.data)["code"])

    assert await ask({}) == "unauthorized"
    assert await ask({"Api-Key": "c" * 40}) == "unauthorized"
    assert await ask({"Api-Key": ALICE}) == "bad_request", "let in, and told what is wrong"
    assert await ask({"Authorization": f"Bearer {BOB}"}) == "bad_request"


async def test_the_api_says_how_to_show_a_key(locked: Replica) -> None:
    async with locked.http() as http:
        schema = report(await http.get("/schema"))

    assert set(schema["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    upload = schema["paths"]["/analyze"]["post"]
    assert {"bearer": []} in upload["security"]
    assert "application/problem+json" in upload["responses"]["401"]["content"]


async def test_a_changed_file_is_in_force_within_two_seconds(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(line("alice", ALICE))
    ring = await asyncio.to_thread(Keyring.load, api_keys="", api_keys_file=str(file))

    async with ring.watched():
        file.write_text(line("bob", BOB))
        async with asyncio.timeout(2):
            while ring.find(BOB) is None:  # noqa: ASYNC110 - it is a file
                await asyncio.sleep(0.02)

        assert ring.find(ALICE) is None


@pytest.mark.parametrize("broken", ["", "alice", None])
async def test_a_file_that_cannot_be_used_leaves_the_old_keys_and_is_told_once(
    tmp_path: Path, broken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = LogCapture()
    monkeypatch.setattr(keys, "log", structlog.wrap_logger(None, processors=[told]))
    monkeypatch.setattr(keys, "POLL_S", 0.02)
    file = tmp_path / "keys"
    file.write_text(line("alice", ALICE))
    ring = await asyncio.to_thread(Keyring.load, api_keys="", api_keys_file=str(file))

    async with ring.watched(), asyncio.timeout(5):
        file.unlink() if broken is None else file.write_text(broken)
        await asyncio.sleep(0.2)
        assert ring.find(ALICE) == "alice"
        assert [each["event"] for each in told.entries] == ["keys_kept"]
        file.write_text(line("bob", BOB))
        while ring.find(BOB) is None:  # noqa: ASYNC110 - it is a file
            await asyncio.sleep(0.02)
