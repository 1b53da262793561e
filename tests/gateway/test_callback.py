"""Calling a stranger's URL: what is refused, and that what is refused is never contacted."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import ip_addresses
from msgspec.structs import replace

from decibus.errors import Unavailable
from services.gateway import callback
from services.gateway.callback import Blocked, Caller, Rules, is_public, read_callback
from tests.gateway.receiver import OK, Receiver

STRICT = Rules()
LOOSE = Rules(allow_http=True, allow_loopback=True)

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - refused, not bound
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2606:4700::1111%eth0",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_the_internets_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "9.9.9.9", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"]
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(ip_addresses())
def test_nothing_is_public_that_python_calls_private(address: callback.Address) -> None:
    assert not is_public(address) or address.is_global


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https://example.com:22/",
        "https://example.com:4222/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://example.com/#part",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/ x",
        "https://example.com/\r\nx: y",
        "https://exämple.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_a_url_that_must_not_be_called_is_refused_at_the_door(url: str) -> None:
    with pytest.raises(Blocked, match="callback_url"):
        read_callback(url, STRICT)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/hook?id=1", "https://example.com:443", "https://[2606:4700::1111]/"],
)
def test_a_url_on_the_internet_is_taken(url: str) -> None:
    assert read_callback(url, STRICT) == url


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


def within(rules: Rules, receiver: Receiver) -> Rules:
    return replace(rules, ports=frozenset({receiver.port}))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0",
        "localhost",
        "LOCALHOST.",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
    ],
)
async def test_loopback_is_not_contacted_however_it_is_written(
    receiver: Receiver, host: str
) -> None:
    rules = replace(within(STRICT, receiver), allow_http=True)

    with pytest.raises((Blocked, Unavailable)):  # some resolvers know fewer notations
        await Caller(rules).post(f"http://{host}:{receiver.port}/", {}, b"{}")

    assert receiver.connections == 0


async def test_one_private_address_among_public_ones_spoils_them(receiver: Receiver) -> None:
    async def both(_: str, __: int) -> list[str]:
        return ["1.1.1.1", "127.0.0.1"]

    rules = replace(within(STRICT, receiver), allow_http=True)

    with pytest.raises(Blocked):
        await Caller(rules, resolve=both).post(f"http://a.test:{receiver.port}/", {}, b"{}")

    assert receiver.connections == 0


async def test_a_name_is_resolved_once_and_that_address_is_called(receiver: Receiver) -> None:
    asked: list[str] = []

    async def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    caller = Caller(within(LOOSE, receiver), resolve=rebinding)

    # No such name exists: whoever asked the system for it would get nowhere.
    status = await caller.post(f"http://rebind.invalid:{receiver.port}/hook", {}, b"{}")

    assert status == 204
    assert asked == ["rebind.invalid"]
    assert receiver.posts[0].headers["host"] == f"rebind.invalid:{receiver.port}"


async def test_a_name_that_turns_private_is_refused_at_the_next_attempt(
    receiver: Receiver,
) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(_: str, __: int) -> list[str]:
        return answers.pop(0)

    caller = Caller(within(LOOSE, receiver), resolve=rebinding)
    url = f"http://rebind.invalid:{receiver.port}/"
    await caller.post(url, {}, b"{}")

    with pytest.raises(Blocked):
        await caller.post(url, {}, b"{}")

    assert receiver.connections == 1


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    moved = f"302 Found\nlocation: http://127.0.0.1:{receiver.port}/secret\r\n"
    async with Receiver(moved).open() as redirecting:
        rules = Rules(
            allow_http=True,
            allow_loopback=True,
            ports=frozenset({receiver.port, redirecting.port}),
        )
        status = await Caller(rules).post(f"http://127.0.0.1:{redirecting.port}/", {}, b"{}")

    assert status == 302
    assert receiver.connections == 0


async def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver().open() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await Caller(within(LOOSE, receiver)).post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}")

    assert (receiver.connections, proxy.connections) == (1, 0)


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    read = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal read
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while read < 64 << 20:
                writer.write(b"x" * 65_536)
                await writer.drain()
                read += 65_536
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        rules = replace(LOOSE, ports=frozenset({port}))
        status = await Caller(rules).post(f"http://127.0.0.1:{port}/", {}, b"{}")

    assert status == 200
    assert read < 16 << 20, "what the kernel's buffers hold, at most"


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback, "TIMEOUT_S", 0.2)
    waiting = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        rules = replace(LOOSE, ports=frozenset({port}))
        with pytest.raises(Unavailable, match="did not answer"):
            await Caller(rules).post(f"http://127.0.0.1:{port}/", {}, b"{}")
        waiting.set()


async def test_who_is_not_there_is_told() -> None:
    rules = replace(LOOSE, ports=frozenset({9}))

    with pytest.raises(Unavailable, match="cannot be reached"):
        await Caller(rules).post("http://127.0.0.1:9/", {}, b"{}")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate of hooks.test, signed by itself, with its key."""
    path = tmp_path / "hooks.pem"
    subject = ["-subj", "/CN=hooks.test", "-addext", "subjectAltName=DNS:hooks.test"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        [*made, "-nodes", "-days", "1", "-keyout", path, "-out", f"{path}.crt", *subject],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


async def loopback(_: str, __: int) -> list[str]:
    return ["127.0.0.1"]


async def test_tls_is_spoken_with_the_hosts_name(certificate: Path) -> None:
    names: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.sni_callback = lambda _, name, __: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with Receiver(OK).open(server) as receiver:
        rules = Rules(allow_loopback=True, ports=frozenset({receiver.port}))
        caller = Caller(rules, resolve=loopback, tls=trusting)
        port = receiver.port

        status = await caller.post(f"https://hooks.test:{port}/x", {"a": "b"}, b"{}")
        with pytest.raises(Unavailable, match="cannot be reached"):
            await caller.post(f"https://other.test:{port}/x", {}, b"{}")
        with pytest.raises(Unavailable, match="cannot be reached"):
            await Caller(rules, resolve=loopback).post(f"https://hooks.test:{port}/", {}, b"{}")

    assert status == 204
    assert names[:2] == ["hooks.test", "other.test"]
    assert len(receiver.posts) == 1
    assert receiver.posts[0].headers["a"] == "b"
