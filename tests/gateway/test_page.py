"""The page as it is served where it was built, and to whom the API is open from other sites."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from decibus.settings import SettingsError
from services.gateway.built import Built, find_built
from services.gateway.cors import read_origins
from services.gateway.settings import Settings
from tests.conftest import NatsServer
from tests.gateway.conftest import replica

SCRIPT = b"console.log('decibus');" * 100
ELSEWHERE = "https://page.example.com"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    dist = tmp_path_factory.mktemp("dist")
    (dist / "assets").mkdir()
    (dist / "index.html").write_text('<!doctype html><script src="./assets/a-1234.js"></script>')
    (dist / "assets" / "a-1234.js").write_bytes(SCRIPT)
    (dist / "icon.svg").write_text("<svg/>")
    (dist / ".built-1").touch()
    found = find_built(dist)
    assert found
    return found


@pytest.fixture
async def http(nats_server: NatsServer, built: Built) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(cors_origins=f"{ELSEWHERE}, http://localhost:5173")
    async with replica(nats_server, settings, built=built) as running, running.http() as client:
        yield client


def test_without_a_build_there_is_none(tmp_path: Path) -> None:
    assert find_built(tmp_path) is None


async def test_the_page_is_asked_for_again_and_its_files_are_kept_for_good(
    http: httpx.AsyncClient, built: Built
) -> None:
    page, script = await http.get("/"), await http.get("/assets/a-1234.js")
    again = await http.get("/", headers={"If-None-Match": page.headers["etag"]})

    assert set(built.files) == {"index.html", "assets/a-1234.js", "icon.svg"}
    assert page.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (await http.get("/icon.svg")).headers["cache-control"] == "no-cache"
    assert (await http.get("/assets/b.js")).status_code == 404
    assert (await http.get("/.built-1")).status_code == 404
    assert (await http.get("/plain")).text.count("<form") == 1


async def test_a_file_is_compressed_for_whoever_takes_it(http: httpx.AsyncClient) -> None:
    async with http.stream(
        "GET", "/assets/a-1234.js", headers={"Accept-Encoding": "br, gzip"}
    ) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    plain = await http.get("/assets/a-1234.js", headers={"Accept-Encoding": "gzip;q=0, br"})
    head = await http.head("/assets/a-1234.js", headers={"Accept-Encoding": "gzip"})

    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == SCRIPT
    assert len(raw) < len(SCRIPT) / 10
    assert plain.content == SCRIPT
    assert "content-encoding" not in plain.headers
    assert (int(head.headers["content-length"]), head.content) == (len(raw), b"")


async def test_a_browser_is_told_to_load_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    answers = [await http.get(path) for path in ("/", "/plain", "/assets/a-1234.js")]

    for answer in answers[:2]:
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        sources = set(" ".join(policy.values()).split())
        assert sources <= {"'none'", "'self'", "blob:"}
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "microphone=()" in answer.headers["permissions-policy"]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (ELSEWHERE, True),
        ("http://localhost:5173", True),
        (f"{ELSEWHERE}.evil.net", False),
        ("https://page-example.com", False),
        ("null", False),
    ],
)
async def test_only_sites_that_are_named_may_ask(
    http: httpx.AsyncClient, origin: str, *, is_allowed: bool
) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,idempotency-key",
    }
    before = await http.options("/analyze", headers=asked)
    found = await http.get("/result/x", headers={"Origin": origin})

    expected = origin if is_allowed else None
    assert before.headers.get("access-control-allow-origin") == expected
    assert found.headers.get("access-control-allow-origin") == expected, "with an error, too"
    assert (before.status_code == 204) is is_allowed
    if is_allowed:
        assert "retry-after" in found.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in found.headers


async def test_by_default_no_other_site_may_ask(nats_server: NatsServer) -> None:
    async with replica(nats_server, Settings()) as running, running.http() as client:
        found = await client.get("/result/x", headers={"Origin": ELSEWHERE})
        asked = {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"}
        before = await client.options("/analyze", headers=asked)

    assert not [name for name in found.headers if name.startswith("access-control")]
    assert "access-control-allow-origin" not in before.headers


@pytest.mark.parametrize("text", ["*", "example.com", "https://*.example.com", "https://a.com/x"])
def test_what_is_no_origin_ends_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="CORS_ORIGINS"):
        read_origins(text)
