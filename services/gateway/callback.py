"""
Call a stranger's URL without being led into our own network (SSRF).

    url ─▶ read_callback: scheme, port, no credentials      at the door, without a look-up
        ─▶ resolve once ─▶ is_public, all of the answers    at each delivery
        ─▶ connect to exactly the address that was checked, TLS with the host's name

The name is never resolved a second time, so that a DNS server that changes its mind wins nothing.
Redirects are not followed, and no proxy is read from the environment.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

import httpcore
import msgspec

from decibus.errors import BadRequest, Unavailable

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host name."""
Stream = TypeVar("Stream")

MAX_URL: Final = 2048
TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 * 1024

# IANA's special-purpose registries of 2025, and multicast; what is_global knows is left out.
_PRIVATE_V4: Final = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and what some clouds use inside
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: the clouds' metadata services
        "168.63.129.16/32",  # Azure's, which looks public
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
# Only 2000::/3 is handed out. So whatever maps, embeds or translates an IPv4 address below 2000::
# is out (::ffff:0:0/96, ::/96, 64:ff9b::/96 and 64:ff9b:1::/48), as is fc00::/7 and up.
_GLOBAL_V6: Final = ip_network("2000::/3")
_PRIVATE_V6: Final = tuple(
    ip_network(block)
    for block in (
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4 embeds an IPv4 address
        "3fff::/20",
    )
)


class Blocked(BadRequest):
    """The callback is not to be called, and will not be: not now and not later."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What may be called."""

    ports: frozenset[int] = frozenset({443})
    allow_http: bool = False
    allow_loopback: bool = False


def read_callback(text: str, rules: Rules) -> str:
    """Return the URL when it may be called as far as can be told without a look-up."""
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise Blocked(f"callback_url: at most {MAX_URL} printable ASCII characters")
    try:
        url = urlsplit(text)
        port = _port(url)
    except ValueError as error:
        raise Blocked(f"callback_url: {error}") from None
    if url.scheme != "https" and not (rules.allow_http and url.scheme == "http"):
        raise Blocked("callback_url: only https")
    if "@" in url.netloc or "\\" in text or url.fragment or not url.hostname:
        raise Blocked("callback_url: a host, and neither credentials nor a fragment")
    if port not in rules.ports:
        raise Blocked(f"callback_url: port {port} is not among those that may be called")
    try:
        literal = ip_address(url.hostname)
    except ValueError:  # a name: it is looked up, and checked, when it is called
        return text
    check_addresses([str(literal)], rules)
    return text


def check_addresses(answers: Iterable[str], rules: Rules) -> list[str]:
    """Return the addresses when each of them may be called; one that may not spoils all."""
    addresses = [ip_address(answer) for answer in answers]
    for address in addresses:
        if not (is_public(address) or (rules.allow_loopback and address.is_loopback)):
            raise Blocked("callback_url: leads to a private or reserved address")
    return [str(address) for address in addresses]


def is_public(address: Address) -> bool:
    """
    Whether an address is one that the internet routes to somebody else.

    Written out, as `is_global` differs between the patch releases of Python, and calls multicast
    global. An address with a zone is never public.
    """
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _PRIVATE_V4)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    return not any(address in block for block in _PRIVATE_V6)


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"the host of the callback is unknown: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Caller:
    """Posts to callbacks. `resolve` and `tls` are there for tests."""

    def __init__(
        self, rules: Rules, *, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        self._network = _Guarded(rules, resolve)
        self._tls = tls or ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """
        Return the status of the answer, whatever it is; a redirect is one like another.

        Raises `Blocked` when the URL must not be called, `Unavailable` when nobody answers within
        ten seconds. Of the answer at most 64 KiB are read.
        """
        read_callback(url, self._rules)
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpcore.AsyncConnectionPool(
                    ssl_context=self._tls, network_backend=self._network, http2=False
                ) as pool,
                pool.stream("POST", url, headers=list(headers.items()), content=body) as answer,
            ):
                await _skim(answer)
                return answer.status
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise Unavailable(f"the callback did not answer within {TIMEOUT_S:g} s") from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ConnectionNotAvailable,
            OSError,
        ) as error:
            raise Unavailable(f"the callback cannot be reached: {type(error).__name__}") from error


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked; TLS above it still sees the host's name."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        if port not in self._rules.ports:
            raise Blocked(f"callback_url: port {port} is not among those that may be called")
        error: Exception = Unavailable("the host of the callback has no address")
        for address in check_addresses(await self._resolve(host, port), self._rules):
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as raised:
                error = raised
        raise error

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise Blocked("callback_url: no sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def _skim(answer: httpcore.Response) -> None:
    size = 0
    async for part in answer.aiter_stream():
        size += len(part)
        if size >= MAX_ANSWER_BYTES:
            return


def _port(url: SplitResult) -> int:
    return url.port or (80 if url.scheme == "http" else 443)
