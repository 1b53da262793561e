"""
The server that nats-dev runs: each user can do its work there, and nothing else.

It has the rendered configuration; the services run as processes, with their pods' environment.
"""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import nats
import pytest
import yaml
from nats.aio.client import Client

from decibus import topology
from laptop import authority
from tests.charts.rendering import CHART, documents, find, matches, template
from tests.conftest import SERVERS
from tests.processes import ROOT, Service, free_port, wait_for
from tests.speech import say, silence, wav

pytestmark = pytest.mark.helm

PERMISSIONS: Final[Any] = yaml.safe_load((CHART / "files" / "nats-permissions.yaml").read_text())
SERVICES: Final = ("gateway", "analyzer", "transcriber", "transcoder", "recorder")


class Server:
    """A nats-server with the rendered configuration, and the passwords of its users."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        sets = "nats-dev.tlsSecret=tls,nats.tls.existingSecret=tls" if tls else ""
        rendered = documents(template(CHART / "ci" / "dev-values.yaml", sets=sets))
        self.passwords: dict[str, str] = find(rendered, "Secret", "release-nats-passwords")[
            "stringData"
        ]
        self._config = folder / "nats" / "nats.conf"
        self._config.parent.mkdir(parents=True)
        (folder / "nats-auth").mkdir()
        self._tls = folder / "nats-tls" if tls else None
        if self._tls:
            self._tls.mkdir()
            authority.sign(self._tls, ["release-nats", "127.0.0.1"])
        auth = find(rendered, "ConfigMap", "release-nats-auth")["data"]["auth.conf"]
        (folder / "nats-auth" / "auth.conf").write_text(auth)
        self.port = free_port()
        config = find(rendered, "ConfigMap", "release-nats")["data"]["nats.conf"]
        assert "include ../nats-auth/auth.conf" in config
        for place, here in (
            ("listen: 0.0.0.0:4222", f"listen: 127.0.0.1:{self.port}"),
            ("http: 0.0.0.0:8222", ""),
            ("/data", str(folder / "data")),
            *([("/etc/nats-tls", str(self._tls))] if tls else []),
        ):
            assert place in config
            config = config.replace(place, here)
        self._config.write_text(config)
        quoted = {f"QUOTED_{user.upper()}": f'"{self.passwords[user]}"' for user in self.passwords}
        self._env = os.environ | quoted | {"QUOTED_POD": '"release-nats-0"'}
        self._binary = list(SERVERS.values())[-1]
        self.log = folder / "nats.log"

    def check(self) -> None:
        """Have the server itself read its configuration."""
        command: list[str | Path] = [self._binary, "-t", "--config", self._config]
        subprocess.run(command, env=self._env, check=True, capture_output=True)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it."""
        with self.log.open("wb") as log:
            command: list[str | Path] = [self._binary, "--config", self._config]
            process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        wait_for(lambda: b"Server is ready" in self.log.read_bytes(), within_s=10, what="nats")
        return process

    def bootstrap(self) -> None:
        """Have its user `bootstrap` make all streams."""
        env = os.environ | self.login("bootstrap")
        command = [sys.executable, "-m", "decibus.bootstrap"]
        subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=50)

    def login(self, user: str) -> dict[str, str]:
        """Return the environment of a pod of this user."""
        url = f"{'tls' if self._tls else 'nats'}://127.0.0.1:{self.port}"
        trust = {"NATS_CA": str(self._tls / "ca.crt")} if self._tls else {}
        return {"NATS_URL": url, "NATS_USER": user, "NATS_PASSWORD": self.passwords[user], **trust}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the server, with all streams made by its user `bootstrap`."""
    server = Server(tmp_path_factory.mktemp("nats-dev"))
    server.check()
    process = server.start()
    server.bootstrap()
    yield server
    process.kill()
    process.wait()


@pytest.mark.espeak
@pytest.mark.timeout(120)
def test_each_service_does_its_work_as_its_own_user(
    server: Server, service: Callable[..., Service], tmp_path: Path
) -> None:
    port = free_port()
    env = {"HTTP_PORT": str(port), "DECIBUS_MODEL": "demo", "OMP_NUM_THREADS": "1"}
    running = [service(name, **env, **server.login(name)) for name in SERVICES]
    for each in running:
        each.until_ready()

    # What `helm test` runs: an upload by HTTP, and a request of the user `client`.
    smoke: list[str | Path] = [sys.executable, CHART / "files" / "smoke.py"]
    for door in ({"GATEWAY_URL": f"http://127.0.0.1:{port}"}, server.login("client")):
        subprocess.run(smoke, cwd=tmp_path, env=os.environ | door, check=True, timeout=60)

    # What the gateway does beside: keep a report, delete it, tell an operator.
    url = f"http://127.0.0.1:{port}"
    words = wav(silence(0.5), say("one two three"), silence(2.0), say("four five"), silence(0.5))
    files = {"file": ("spoken.wav", words)}
    kept = httpx.post(f"{url}/analyze", files=files, data={"retention": "library"}, timeout=60)
    assert kept.json()["status"] == "done"
    assert kept.json()["transcription"]
    assert httpx.delete(url + kept.headers["location"], timeout=30).status_code == 204
    asked = {"extension": "flac", "retention": "once"}
    converted = httpx.post(f"{url}/transcode", files=files, data=asked, timeout=60)
    assert converted.status_code == 200
    assert converted.content.startswith(b"fLaC")
    command = [sys.executable, "-m", "services.gateway.dead", "list"]
    gateway = os.environ | server.login("gateway")
    subprocess.run(command, cwd=ROOT, env=gateway, check=True, timeout=30)

    for each in running:
        assert each.terminate() == 0
        assert "ermissions" not in each.printed
    assert "ermissions" not in server.log.read_text()


def test_a_service_that_comes_first_waits_for_its_streams(
    service: Callable[..., Service], tmp_path: Path
) -> None:
    server = Server(tmp_path / "nats-dev")
    process = server.start()
    analyzer = service("analyzer", **server.login("analyzer"))
    wait_for(lambda: "waiting_for_jetstream" in analyzer.printed, within_s=40, what="it waits")

    server.bootstrap()

    analyzer.until_ready()
    assert analyzer.terminate() == 0
    process.kill()
    process.wait()


@pytest.fixture
async def as_user(server: Server) -> AsyncIterator[Callable[[str], Any]]:
    """Connect as a user; returns the connection and what the server has against it."""
    connections: list[Client] = []

    async def connect(user: str, to: Server = server) -> tuple[Client, list[str]]:
        told: list[str] = []

        async def on_error(error: Exception) -> None:
            told.append(str(error).lower())

        login = to.login(user)
        trust = login.get("NATS_CA")
        connections.append(
            await nats.connect(
                login["NATS_URL"],
                user=user,
                password=login["NATS_PASSWORD"],
                tls=ssl.create_default_context(cafile=trust) if trust else None,
                error_cb=on_error,
                inbox_prefix=f"_INBOX_{user}",
            )
        )
        return connections[-1], told

    yield connect
    for connection in connections:
        await connection.close()


WORST: Final = (
    *(f"$JS.API.STREAM.DELETE.{stream}" for stream in ("JOBS_ANALYZE", "KV_library", "OBJ_audio")),
    "$JS.API.STREAM.CREATE.theirs",
    "$JS.API.STREAM.RESTORE.theirs",
    "$JS.API.STREAM.SNAPSHOT.KV_library",
    "$JS.API.CONSUMER.DELETE.JOBS_ANALYZE.analyzer",
    "$JS.API.CONSUMER.CREATE.KV_reports.spy",
    "$JS.API.DIRECT.GET.KV_reports",
    "$SYS.REQ.SERVER.PING",
    "_INBOX_gateway.x",
)


def _example(pattern: str) -> str:
    """Return a subject that matches."""
    return pattern.replace(">", "x").replace("*", "x")


@pytest.mark.parametrize("user", [user for user in PERMISSIONS if user != "operator"])
async def test_a_user_is_refused_what_is_another_users(
    user: str, as_user: Callable[[str], Any]
) -> None:
    own = PERMISSIONS[user]["publish"]["allow"]
    others = {
        _example(pattern)
        for other, permissions in PERMISSIONS.items()
        if other not in {user, "operator"}
        for pattern in permissions["publish"]["allow"]
    }
    foreign = {
        subject
        for subject in {*others, *WORST}
        if not any(matches(pattern, subject) for pattern in own)
    }
    heard = PERMISSIONS[user]["subscribe"]["allow"]
    listening = {
        subject
        for other, permissions in PERMISSIONS.items()
        if other not in {user, "operator"}
        for subject in map(_example, permissions["subscribe"]["allow"])
        if not any(matches(pattern, subject) for pattern in heard)
    }
    listening |= {f"_INBOX_{other}.>" for other in PERMISSIONS if other != user}
    if user != "gateway":
        listening |= {"audio.evt.>", "audio.process", "jobs.>", "$KV.>", ">"}
    connection, told = await as_user(user)

    for subject in foreign:
        await connection.publish(subject, b"")
    for subject in listening:
        await connection.subscribe(subject)
    # Twice: nats-py sends the first PING ahead of what is still in its buffer.
    await connection.flush()
    await connection.flush()

    refused = "\n".join(told)
    assert len(foreign) > 10
    for subject in foreign:
        assert f'publish to "{subject.lower()}"' in refused
    for subject in listening:
        assert f'subscription to "{subject.lower()}"' in refused
    assert connection.is_connected


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Server]:
    """Start a server that speaks TLS only, with all streams made by its user `bootstrap`."""
    server = Server(tmp_path, tls=True)
    server.check()
    process = server.start()
    server.bootstrap()
    yield server
    process.kill()
    process.wait()


async def test_by_tls_each_user_is_let_do_what_is_its_own(
    encrypted: Server, as_user: Callable[..., Any]
) -> None:
    for user, permissions in PERMISSIONS.items():
        connection, told = await as_user(user, encrypted)

        for pattern in permissions["publish"]["allow"]:
            await connection.publish(_example(pattern), b"")
        for pattern in permissions["subscribe"]["allow"]:
            await connection.subscribe(pattern)
        await connection.flush()
        await connection.flush()

        assert told == [], user
        assert permissions["publish"]["allow"], "there is something to be allowed"


async def test_who_does_not_speak_tls_or_trusts_another_authority_has_no_connection(
    encrypted: Server, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    authority.sign(other, ["127.0.0.1"])
    login = encrypted.login("client")

    reader, writer = await asyncio.open_connection("127.0.0.1", encrypted.port)
    writer.write(b'CONNECT {"user": "client"}\r\nPING\r\n')
    plain = await reader.read()
    writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await nats.connect(
            login["NATS_URL"],
            user="client",
            password=login["NATS_PASSWORD"],
            tls=ssl.create_default_context(cafile=other / "ca.crt"),
            allow_reconnect=False,
        )

    assert b'"tls_required":true' in plain
    assert b"PONG" not in plain


async def test_nothing_was_stored_by_those_who_were_refused(as_user: Callable[[str], Any]) -> None:
    connection, _ = await as_user("operator")
    js = connection.jetstream()

    for queue in topology.QUEUES.values():
        assert (await js.stream_info(queue.stream)).state.messages == 0
    names = {info.config.name for info in await js.streams_info()}
    assert "theirs" not in names


async def test_who_has_no_password_has_no_connection(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    writer.write(b"CONNECT {}\r\nPING\r\n")

    assert b"Authorization Violation" in await reader.read()
    writer.close()
