"""Signed links of one gateway, with the keys that all gateways share."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs

from litestar.types import Scope

from decibus.broker import Broker, Conflict
from decibus.errors import Unavailable
from decibus.settings import SettingsError
from decibus.topology import SIGNING
from services.gateway.signing import Permission, Signer

_MIN_KEY: Final = 32
_KEY: Final = "key"


def read_signing_keys(text: str) -> tuple[bytes, ...]:
    """Read the keys, the one that signs first; raises `SettingsError`."""
    keys = tuple(key.encode() for key in text.split())
    if any(len(key) < _MIN_KEY for key in keys):
        raise SettingsError(f"SIGNING_KEYS: each has {_MIN_KEY} characters at least")
    return keys


class Links:
    """
    Makes links, and checks those that come back.

    Without `keys` the first gateway to need one makes it, and the others take it from NATS.
    """

    def __init__(self, broker: Broker, keys: tuple[bytes, ...], lifetime: timedelta) -> None:
        self._broker = broker
        self._lifetime = lifetime
        self._signer = Signer(keys) if keys else None

    async def make(
        self, method: str, path: str, *, limit: int = 0, until: datetime | None = None
    ) -> str:
        """Return a link that works for a while, and not after `until`."""
        now = datetime.now(UTC)
        lifetime = self._lifetime if until is None else min(self._lifetime, until - now)
        return (await self._shared()).link(method, path, now=now, lifetime=lifetime, limit=limit)

    async def check(self, method: str, scope: Scope) -> Permission:
        """Return what the link of a request permits; `Forbidden`, and no more, if it does not."""
        # As it stands in the link, in which nothing is escaped.
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return (await self._shared()).check(method, path, query, now=datetime.now(UTC))

    async def _shared(self) -> Signer:
        if self._signer is None:
            self._signer = Signer((await self._agreed(),))
        return self._signer

    async def _agreed(self) -> bytes:
        """Return the key that all gateways have: of those who make one, the first wins."""
        for _ in range(2):
            if (record := await self._broker.read(SIGNING, _KEY)) is not None:
                return record.value
            made = secrets.token_hex(_MIN_KEY).encode()
            try:
                await self._broker.write(SIGNING, _KEY, made, revision=0)
            except Conflict:
                continue
            return made
        raise Unavailable("the key that signs links cannot be read")
