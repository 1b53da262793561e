"""
Post final reports to whoever asked for it, signed as Standard Webhooks says.

    errand ─▶ jobs settled? ─▶ keep the report ─▶ POST ─▶ 2xx: forget it
                  └ no: later                       ├──▶ 410, or not to be called: forget it
                                                    └──▶ else: again after 5 s, 5 min, … 10 h

Delivered at least once, with the same `webhook-id`. https://www.standardwebhooks.com
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from decibus.errors import Unavailable
from decibus.references import References
from decibus.settings import SettingsError
from services.gateway.callback import Blocked, Caller
from services.gateway.callbacks import Callback, Callbacks
from services.gateway.intake import Intake
from services.gateway.live import Live
from services.gateway.report import VERSION, compose
from services.gateway.uploads import Retention

log = structlog.get_logger()

MAX_RETRYING: Final = timedelta(days=1)
_LOOK_S: Final = 0.5
_LOOK_AGAIN: Final = timedelta(seconds=1)
_PREFIX: Final = "whsec_"
_GONE: Final = 410  # "the sender should disable the endpoint"


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Read `whsec_<base64>` secrets, separated by spaces: the newest signs first."""
    try:
        return tuple(
            base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
            for secret in text.split()
            if _has_prefix(secret)
        )
    except (binascii.Error, ValueError):
        raise SettingsError("WEBHOOK_SECRET: whsec_ and base64, separated by spaces") from None


def read_schedule(text: str) -> tuple[timedelta, ...]:
    """Read the waits between attempts, in seconds and separated by commas: a day at most."""
    try:
        waits = tuple(timedelta(seconds=float(wait)) for wait in text.split(",") if wait.strip())
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"WEBHOOK_RETRIES: seconds separated by commas ({error})") from None
    if sum(waits, timedelta()) > MAX_RETRYING or any(wait < timedelta() for wait in waits):
        raise SettingsError("WEBHOOK_RETRIES: waits of a day in all at most")
    return waits


def signed(message_id: str, body: bytes, *, keys: Sequence[bytes], now: datetime) -> dict[str, str]:
    """Return the headers that prove who has sent this body, and when."""
    timestamp = str(int(now.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    macs = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs),
    }


def next_try(status: int | None, attempt: int, schedule: Sequence[timedelta]) -> timedelta | None:
    """
    Return how long to wait for the next attempt; None when this was the last.

    `status` None is no answer at all, `attempt` 0 the first. As the specification has it, 2xx is
    success, 410 the end, and everything else, redirects and other 4xx included, is tried again.
    """
    is_done = status is not None and (200 <= status < 300 or status == _GONE)  # noqa: PLR2004
    return None if is_done or attempt >= len(schedule) else schedule[attempt]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets to sign with, and how long to wait after each failed attempt."""

    keys: tuple[bytes, ...]
    schedule: tuple[timedelta, ...]


class Postman:
    """The errand that posts a report."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        callbacks: Callbacks,
        intake: Intake,
        live: Live,
        references: References,
        caller: Caller,
        terms: Terms,
    ) -> None:
        self._callbacks = callbacks
        self._intake = intake
        self._live = live
        self._references = references
        self._caller = caller
        self._terms = terms

    async def deliver(self, row: str) -> timedelta | None:
        """Post the report, if it is final and due; return when to try again."""
        found = await self._callbacks.find(row)
        if found is None:
            return None  # delivered, or deleted
        callback, revision = found
        if (early := callback.due - datetime.now(UTC)) > timedelta():
            return early
        if not callback.is_final:
            written = await self._written(callback)
            if written is None:
                return _LOOK_AGAIN
            callback, revision = written, await self._callbacks.save(written, revision)
            await self._callbacks.unshare(callback)
            await self._intake.release(callback.upload)
        return await self._attempt(callback, revision)

    async def _written(self, callback: Callback) -> Callback | None:
        """Put the report in, once it is final: every attempt posts the same."""
        upload = callback.upload
        jobs = await self._live.settled(upload.keys.values(), within_s=_LOOK_S)
        if any(job is not None and not job.is_settled for job in jobs.values()):
            return None
        report = compose(upload, jobs, self._references)
        return replace(callback, report=msgspec.Raw(msgspec.json.encode(report)))

    async def _attempt(self, callback: Callback, revision: int) -> timedelta | None:
        with structlog.contextvars.bound_contextvars(webhook=callback.id):
            try:
                status = await self._post(callback)
            except Blocked as error:
                log.warning("webhook_blocked", reason=str(error))
                await self._callbacks.erase(callback)
                return None
            log.info("webhook_posted", status=status, attempt=callback.attempt + 1)
            delay = next_try(status, callback.attempt, self._terms.schedule)
            if delay is None:
                await self._finish(callback, status)
                return None
            due = datetime.now(UTC) + delay
            failed = replace(callback, attempt=callback.attempt + 1, due=due)
            await self._callbacks.save(failed, revision)
            return delay

    async def _post(self, callback: Callback) -> int | None:
        body = bytes(callback.report)
        headers = {
            "content-type": "application/json",
            "user-agent": f"decibus/{VERSION}",
            **signed(callback.id, body, keys=self._terms.keys, now=datetime.now(UTC)),
        }
        try:
            return await self._caller.post(callback.url, headers, body)
        except Unavailable as error:
            log.warning("webhook_failed", reason=str(error))
            return None

    async def _finish(self, callback: Callback, status: int | None) -> None:
        upload = callback.upload
        is_once = upload.retention is Retention.ONCE and not upload.is_spent_by_download
        if is_once and status != _GONE and status is not None:
            await self._intake.withdraw(upload)
        await self._callbacks.erase(callback)


def _has_prefix(secret: str) -> bool:
    if not secret.startswith(_PREFIX):
        raise ValueError(secret)
    return True
