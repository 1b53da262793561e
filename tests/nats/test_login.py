"""Who we are to NATS: by password, over TLS, and what a user without rights finds out."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from decibus.bootstrap import Settings, main
from decibus.broker import connect
from decibus.errors import Unavailable
from decibus.settings import NatsLogin, SettingsError
from decibus.topology import ANALYZE
from tests.conftest import NatsServer

USERS = """
authorization { users: [
  {user: maker, password: m}
  {user: looker, password: l, permissions: {
    publish: ["$JS.API.STREAM.INFO.>", "$JS.API.CONSUMER.INFO.>"], subscribe: "_INBOX_looker.>"}}
] }
"""
LOOKER = NatsLogin(nats_user="looker", nats_password="l")  # noqa: S106 - for this test
Configure = Callable[[str], NatsServer]


async def test_who_may_only_look_is_content_with_what_bootstrap_made(configured: Configure) -> None:
    server = configured(USERS)
    maker = Settings(nats_url=server.url, nats_user="maker", nats_password="m")  # noqa: S106
    assert await main(maker) == 0
    assert await main(maker) == 0, "a second time, nothing is to be done"

    async with connect(server.url, name="looker", login=LOOKER) as broker:
        await broker.declare()


async def test_who_may_not_write_stores_nothing(configured: Configure) -> None:
    server = configured(USERS)

    async with connect(server.url, name="looker", login=LOOKER) as broker:
        with pytest.raises(Unavailable):
            await broker.publish(ANALYZE, "k", b"{}", dedup_id="k", headers={})
        assert not broker.is_closed


async def test_an_unknown_authority_is_not_trusted(configured: Configure, tmp_path: Path) -> None:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    names = "-subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    for name in ("ours", "theirs"):
        files = f"-keyout {name}.key -out {name}.crt"
        command = f"{make} {names} {files}".split()
        await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, check=True)
    server = configured(f"tls {{ cert_file: {tmp_path}/ours.crt, key_file: {tmp_path}/ours.key }}")
    url = server.url.replace("nats:", "tls:")

    async with connect(url, name="test", login=NatsLogin(nats_ca=f"{tmp_path}/ours.crt")) as broker:
        assert broker.is_connected
    with pytest.raises(TimeoutError):
        async with (
            asyncio.timeout(1),  # it is tried again for ever
            connect(url, name="test", login=NatsLogin(nats_ca=f"{tmp_path}/theirs.crt")),
        ):
            pass
    with pytest.raises(SettingsError, match="NATS_CA"):
        async with connect(url, name="test", login=NatsLogin(nats_ca=f"{tmp_path}/none.crt")):
            pass


async def test_an_answer_comes_to_an_inbox_of_our_own(nats_server: NatsServer) -> None:
    inboxes: asyncio.Queue[str] = asyncio.Queue()

    async def answer(message: Msg) -> None:
        await inboxes.put(message.reply)
        await message.respond(b"")

    async with (
        connect(nats_server.url, name="other") as other,
        connect(nats_server.url, name="test") as broker,
    ):
        await other.connection.subscribe("who", cb=answer)
        await other.settle_subscriptions()
        await broker.connection.request("who", b"", timeout=5)
        await broker.ask("who", b"", within_s=5)

    for _ in range(2):
        assert (await inboxes.get()).startswith("_INBOX_test.")
