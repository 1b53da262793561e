"""
One answer for one `Idempotency-Key`, however often the request is sent.

    (nothing) ──begin──▶ in flight ──finish──▶ done, for a day: sent again, the same report
        ▲                    │  └─ sent again: 409, before the body is read
        └──abandon, or lease─┘

The row is created by compare-and-set before the body is read, so that of two gateways one works. A
gateway that dies leaves it in flight, and after the lease it counts for nothing. The tokens are
encrypted with the key itself, which is not stored: the row alone opens no report.
"""

import asyncio
import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from decibus.blobs import Blob
from decibus.broker import Broker, Conflict
from decibus.errors import (
    BadRequest,
    DecibusError,
    IdempotencyMismatch,
    OutOfTurn,
    TooLarge,
    Unavailable,
)
from decibus.messages import read
from decibus.topology import IDEMPOTENCY
from services.gateway.intake import Received

log = structlog.get_logger()

LEASE: Final = timedelta(minutes=5)
"""How long an upload may take before its key is free again; the reports come after."""
MAX_KEY: Final = 255


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key. `tokens` are encrypted; without them the request is in flight."""

    leased_until: datetime
    nonce: bytes
    fingerprint: str = ""
    tokens: bytes = b""


def read_key(text: str) -> str:
    """Read the header; raises `BadRequest`."""
    if not (0 < len(text) <= MAX_KEY and text.isascii() and text.isprintable()):
        raise BadRequest(f"Idempotency-Key: 1 to {MAX_KEY} printable ASCII characters")
    return text


def open_row(*, now: datetime) -> Row:
    """Return the row of a request that begins."""
    return Row(leased_until=now + LEASE, nonce=secrets.token_bytes(12))


def finish(row: Row, secret: str, fingerprint: str, tokens: Sequence[str]) -> Row:
    """Return the row of a request that has led to reports."""
    encrypted = _cipher(secret).encrypt(row.nonce, msgspec.json.encode(list(tokens)), None)
    return msgspec.structs.replace(row, fingerprint=fingerprint, tokens=encrypted)


def is_free(row: Row, *, now: datetime) -> bool:
    """Return whether the key may be used anew; raises `OutOfTurn` while it is in use."""
    if row.tokens:
        return False
    if now < row.leased_until:
        raise OutOfTurn("a request with this Idempotency-Key is in flight; ask again in a while")
    return True


def tokens_of(row: Row, secret: str, fingerprint: str) -> list[str]:
    """Return the reports that the same request has led to; of another, `IdempotencyMismatch`."""
    if row.fingerprint != fingerprint:
        raise IdempotencyMismatch("this Idempotency-Key came with another request before")
    try:
        tokens = _cipher(secret).decrypt(row.nonce, row.tokens, None)
    except InvalidTag:
        raise IdempotencyMismatch("this Idempotency-Key was used with an older version") from None
    return msgspec.json.decode(tokens, type=list[str])


def fingerprint_of(path: str, fields: Mapping[str, str], files: Sequence[Received]) -> str:
    """Return what makes two requests the same: all but how long the sender is ready to wait."""
    wishes = sorted((name, value) for name, value in fields.items() if name != "wait")
    contents = [(each.filename, each.blob.sha256) for each in files]
    return hashlib.sha256(msgspec.json.encode([path.rstrip("/"), wishes, contents])).hexdigest()


class Begun:
    """A request that is the first with its key, and has to be finished."""

    def __init__(self, idempotency: "Idempotency", secret: str, row: Row, revision: int) -> None:
        self._idempotency = idempotency
        self._secret = secret
        self._row = row
        self._revision = revision

    async def finish(self, fingerprint: str, tokens: Sequence[str]) -> None:
        """Keep what the request has led to; when that cannot be kept, it stands all the same."""
        row = finish(self._row, self._secret, fingerprint, tokens)
        try:
            await self._idempotency.replace(self._secret, row, self._revision)
        except (Conflict, Unavailable) as error:  # the upload took longer than its lease
            log.warning("idempotency_unkept", reason=type(error).__name__)

    async def abandon(self) -> None:
        """Free the key: the request has led to nothing."""
        with suppress(DecibusError):  # then the lease does it
            await self._idempotency.free(self._secret, self._revision)


class Repeated:
    """A request that has been sent before, and led to reports."""

    def __init__(self, secret: str, row: Row) -> None:
        self._secret = secret
        self._row = row

    def tokens(self, fingerprint: str) -> list[str]:
        """Return the reports' tokens; raises `IdempotencyMismatch` when it is another request."""
        return tokens_of(self._row, self._secret, fingerprint)


class Idempotency:
    """The rows, by sender and key: from those two comes what a row's tokens are encrypted with."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @asynccontextmanager
    async def turn(self, sender: str, key: str) -> AsyncIterator[Begun | Repeated]:
        """
        Begin a request, or find the one that it repeats.

        Raises `OutOfTurn` while the first is in flight. A block that fails leaves the key free.
        """
        begun = await self._begin(f"{sender}\n{read_key(key)}", now=datetime.now(UTC))
        try:
            yield begun
        except BaseException:
            if isinstance(begun, Begun):
                # Shielded: the sender may have gone away, and will come again with this key.
                await asyncio.shield(begun.abandon())
            raise

    async def _begin(self, secret: str, *, now: datetime) -> Begun | Repeated:
        record = await self._broker.read(IDEMPOTENCY, _name(secret))
        revision = 0
        if record is not None:
            found = read(record.value, Row)
            if not is_free(found, now=now):
                return Repeated(secret, found)
            revision = record.revision
        row = open_row(now=now)
        try:
            return Begun(self, secret, row, await self.replace(secret, row, revision))
        except Conflict:
            raise OutOfTurn("a request with this Idempotency-Key has just come in") from None

    async def replace(self, secret: str, row: Row, revision: int) -> int:
        """Write a row that still has `revision`."""
        value = msgspec.json.encode(row)
        return await self._broker.write(IDEMPOTENCY, _name(secret), value, revision=revision)

    async def free(self, secret: str, revision: int) -> None:
        """Remove a row that still has `revision`."""
        await self._broker.erase(IDEMPOTENCY, _name(secret), revision=revision)


class Reader:
    """Looks at files without keeping them, to see whether a request is the same as before."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    async def receive(self, body: AsyncIterator[bytes], filename: str | None) -> Received:
        """Read a file to its end; raises `TooLarge`."""
        sha256, size = hashlib.sha256(), 0
        async for piece in body:
            size += len(piece)
            if size > self._max_bytes:
                raise TooLarge(f"more than {self._max_bytes} bytes")
            await asyncio.to_thread(sha256.update, piece)
        digest = f"SHA-256={urlsafe_b64encode(sha256.digest()).decode()}"
        return Received(Blob(name="", bucket="", nuid="", size=size, digest=digest), filename, 0.0)

    async def discard(self, received: Received) -> None:
        """Nothing was kept."""


def _name(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _cipher(secret: str) -> AESGCM:
    """Return what only the secret's holder can make: by another hash than the row's name."""
    return AESGCM(hashlib.sha256(b"tokens of " + secret.encode()).digest())
