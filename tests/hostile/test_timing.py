"""
No answer tells by its time what it does not say (R7).

Two requests are asked in turns, a thousand times each, on one connection: what disturbs one
disturbs the other, and the medians are compared.
"""

import http.client
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import httpx
import msgspec
import pytest

from services.gateway.keys import digest
from tests.conftest import SERVERS, NatsServer
from tests.hostile.conftest import multipart
from tests.processes import Service, free_port, wait_for

TIMES: Final = 1_000
MOST_S: Final = 0.001
ALICE, BOB = "a" * 40, "b" * 40
FORM: Final = {"Content-Type": "multipart/form-data; boundary=x"}
TAKE: Final = multipart([('name="file"; filename="a"', b"RIFF....")])

Asked = tuple[str, str, dict[str, str]]


def ask(connection: http.client.HTTPConnection, asked: Asked) -> tuple[float, int, bytes]:
    """Return how long the answer took, its status, and what it says but for its trace."""
    method, path, headers = asked
    start = time.perf_counter()
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    took_s = time.perf_counter() - start
    said = msgspec.json.decode(body, type=dict[str, Any])
    return took_s, answer.status, msgspec.json.encode(said | {"trace_id": ""})


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start a gateway with two keys."""
    version = list(SERVERS)[-1]
    folder = tmp_path_factory.mktemp("timing")
    server = NatsServer(SERVERS[version], version, folder)
    server.start()
    port = free_port()
    keys = ",".join(f"{name}:{digest(key).hex()}" for name, key in (("alice", ALICE), ("bob", BOB)))
    env = {"NATS_URL": server.url, "HTTP_PORT": str(port), "RATE_LIMIT": "0", "API_KEYS": keys}
    gateway = Service("gateway", env | {"METRICS_PORT": "0"}, folder / "log").until_ready()
    yield port
    gateway.kill()
    server.kill()


@pytest.fixture(scope="module")
def pairs(port: int) -> dict[str, tuple[Asked, Asked]]:
    """Return requests that must look alike: what is there for somebody else, and what is not."""
    alice, bob = {"X-API-Key": ALICE}, {"X-API-Key": BOB}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:

        def ready() -> bool:
            try:
                return http.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(ready, within_s=20, what="the gateway")
        url = "/analyze?wait=0&tasks=loudness"
        token = http.post(url, content=TAKE, headers=alice | FORM).json()["token"]
        http.delete(f"/result/{token}")
        wanted = {"transcode": {"format": {"extension": "mp3"}}}
        job = http.post("/jobs/", json=wanted, headers=alice).json()
    ident, link = job["_id"], job["source"]["upload_url"]
    return {
        "a deleted token": (_get(f"/result/{token}"), _get(f"/result/{'x' * len(token)}")),
        "another's job": (_get(f"/jobs/{ident}/", bob), _get(f"/jobs/{ident[::-1]}/", bob)),
        "almost a key": (
            _get("/stats", {"X-API-Key": ALICE[:-1] + "x"}),
            _get("/stats", {"X-API-Key": "x" + ALICE[1:]}),
        ),
        "almost a signature": (
            ("PUT", link[:-1] + ("0" if link[-1] != "0" else "1"), {}),
            ("PUT", link[:-64] + ("0" if link[-64] != "0" else "1") + link[-63:], {}),
        ),
    }


def _get(path: str, headers: dict[str, str] | None = None) -> Asked:
    return "GET", path, headers or {}


@pytest.mark.parametrize(
    "name", ["a deleted token", "another's job", "almost a key", "almost a signature"]
)
def test_what_is_there_for_others_takes_as_long_as_what_is_not(
    port: int, pairs: dict[str, tuple[Asked, Asked]], name: str
) -> None:
    times: tuple[list[float], list[float]] = ([], [])
    said = set()

    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for _ in range(TIMES):
            for asked, taken in zip(pairs[name], times, strict=True):
                took_s, status, body = ask(connection, asked)
                taken.append(took_s)
                said.add((status, body))

    first, second = map(statistics.median, times)
    print(f"{name}: {first * 1e3:.3f} and {second * 1e3:.3f} ms")  # noqa: T201 - shown with -s
    assert len(said) == 1, said
    assert abs(first - second) < MOST_S
