"""
What is refused at the doors before a body is read, cheapest first.

    key       401   no I/O: digests are compared in memory
    rate      429   one message to NATS, counted there for all gateways
    backlog   503   the queues' fill, asked for at most twice a second

A guard that refuses has read nothing and stored nothing. The backlog guard may be half a second
old: publishing the task is the exact check, and this one saves the upload.
"""

import asyncio
import hashlib
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from decibus.broker import Broker
from decibus.errors import BacklogFull
from decibus.messages import TaskName
from decibus.settings import SettingsError
from decibus.topology import QUEUES, Queue, Quota
from services.gateway.keys import Keyring, shown
from services.gateway.rate import Rate, network_of
from services.gateway.restraints import Header
from services.gateway.settings import Settings

OPEN: Final = frozenset(
    {
        *("healthz", "readyz", "schema"),
        *("result", "ws", "events", "outputs"),
        *("uploads", "downloads"),
        "plain",
    }
)
"""
First parts of the paths that ask for no key, and are not counted.

A token is enough there, or a link that was signed. `GET /resample/` asks for a token, too. The
form of `POST /plain` has a field for the key, and its door admits by that.
"""
_OPEN_TO_READERS: Final = frozenset({"resample"})

_KEYED: Final = "key "

_FILL_IS_FRESH_S: Final = 0.5


class Backlog:
    """How full the queues are, asked of NATS when the last answer is old."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._fill: dict[str, tuple[int, float]] = {}
        self._asking = asyncio.Lock()

    async def refuse_when_full(self, tasks: Iterable[TaskName]) -> None:
        """Raise `BacklogFull` when one of the queues is at its cap."""
        for task in tasks:
            queue = QUEUES[task]
            if (waiting := await self._waiting(queue)) >= self._broker.cap(queue):
                raise BacklogFull(f"{waiting} tasks wait for {task}; send it again in a while")

    async def depths(self) -> dict[str, int]:
        """Return how many tasks wait for workers, or are with them, by what is to be done."""
        return {str(task): await self._waiting(queue) for task, queue in QUEUES.items()}

    async def _waiting(self, queue: Queue) -> int:
        now = asyncio.get_running_loop().time
        async with self._asking:  # many uploads at once ask once
            waiting, asked_at = self._fill.get(queue.stream, (0, float("-inf")))
            if now() - asked_at > _FILL_IS_FRESH_S:
                waiting, asked_at = await self._broker.count_tasks(queue), now()
                self._fill[queue.stream] = (waiting, asked_at)
        return waiting


class Guards:
    """The guards of one gateway, for all of its doors."""

    def __init__(self, broker: Broker, keyring: Keyring, settings: Settings) -> None:
        self._keyring = keyring
        self._rate = Rate(broker, quota_of(settings))
        self.backlog = Backlog(broker)

    async def admit(self, headers: Mapping[str, str], address: str | None) -> str:
        """
        Check the key and count the request; returns the sender, by which it is known from now on.

        Header names are in lower case. Without an address, as at the NATS door, a sender without a
        key is not counted: NATS has let it in by its own rules, and all would share one window.
        """
        name = self._keyring.name_of(shown(headers))
        sender = sender_of(name, address)
        if name is not None or address is not None:
            await self._rate.count(sender)
        return sender

    @property
    def asks_for_a_key(self) -> bool:
        """Whether nobody is let in without one."""
        return not self._keyring.is_open

    async def admit_http(
        self, connection: ASGIConnection[Any, Any, Any, Any], *, key: str | None = None
    ) -> None:
        """
        Let a request pass, or raise; its sender is then `connection.state.sender`.

        `key` is one that did not come in the headers, and then goes before theirs.
        """
        headers = connection.headers if key is None else {"x-api-key": key.strip()}
        address = _address(connection.scope)
        connection.scope["state"]["sender"] = await self.admit(headers, address)

    def told(self, scope: Scope) -> list[Header]:
        """Return the headers of an answer that tell how many requests its sender has left."""
        state: Mapping[str, Any] = scope.get("state", {})
        told = self._rate.headers(state.get("sender") or self._sender(scope))
        return [(name.lower().encode(), value.encode()) for name, value in told.items()]

    def _sender(self, scope: Scope) -> str:
        given = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        return sender_of(self._keyring.find(shown(given)), _address(scope))


def sender_of(name: str | None, address: str | None) -> str:
    """Return who asks, for counting and for keeping apart: a key's name, else an address."""
    if name is not None:
        return f"{_KEYED}{name}"
    return f"address {network_of(address)}" if address else "nobody"


def owner_of(sender: str) -> str | None:
    """Return what is kept of a sender with a key, from which its name cannot be read; else None."""
    if not sender.startswith(_KEYED):
        return None
    return hashlib.sha256(sender.encode()).hexdigest()[:32]


def quota_of(settings: Settings) -> Quota | None:
    """Return what every sender is given; None is without limit."""
    if settings.rate_limit <= 0:
        return None
    return Quota(limit=settings.rate_limit, window=timedelta(seconds=settings.rate_window_s))


def keys_from(settings: Settings) -> Keyring:
    """Read the keys, once, at start; a mistake ends the process with one line that tells."""
    try:
        return Keyring.load(api_keys=settings.api_keys, api_keys_file=settings.api_keys_file)
    except SettingsError as error:
        sys.exit(f"configuration: {error}")


def is_open(method: str, path: str, pages: Iterable[str] = ()) -> bool:
    """Return whether a path may be asked for by everybody: these, and the page's own."""
    first = path.strip("/").partition("/")[0]
    is_read = method in {"GET", "HEAD"}
    return path in pages or first in OPEN or (is_read and first in _OPEN_TO_READERS)


class AtTheDoor:
    """The guards as a Litestar guard: it runs before anything of the body is read."""

    def __init__(self, guards: Guards, pages: Iterable[BaseRouteHandler]) -> None:
        self._guards = guards
        self._pages = frozenset(path for page in pages for path in page.paths)

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
    ) -> None:
        """Admit the request where its path is not open to all."""
        method = str(connection.scope.get("method", "GET"))
        if not is_open(method, connection.scope["path"], self._pages):
            await self._guards.admit_http(connection)


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None
