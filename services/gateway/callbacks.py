"""Which reports are to be posted, and where to: rows in NATS, from submission to delivery."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from decibus.broker import Broker
from decibus.errors import BadRequest
from decibus.messages import read
from decibus.settings import SettingsError
from decibus.topology import HOOKS, WEBHOOKS
from services.gateway.callback import Rules, read_callback
from services.gateway.settings import Settings
from services.gateway.uploads import UNWRITTEN, Upload, shares_of


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """
    A report to be posted.

    `id` stays the same through all attempts, for the receiver to know them apart from another
    report. `attempt` counts those that have failed, the next one is `due`. The report itself is
    there from the first attempt on: the retries outlive the jobs and the row of the upload. The
    token stands in here, as it does in the report, until the row is erased after the delivery.
    """

    id: str
    url: str
    upload: Upload
    due: datetime
    attempt: int = 0
    report: msgspec.Raw = UNWRITTEN

    @property
    def is_final(self) -> bool:
        """Whether the report is there."""
        return self.report != UNWRITTEN


class Callbacks:
    """The rows, by the name of the upload's row."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._rules = rules_of(settings)
        self._is_offered = bool(settings.webhook_secret)

    def check(self, url: str | None) -> None:
        """Refuse a URL that will not be called."""
        if url is None:
            return
        if not self._is_offered:
            raise BadRequest("callback_url: this server has no webhook_secret to sign with")
        read_callback(url, self._rules)

    async def add(self, upload: Upload) -> None:
        """Have the final report of an upload posted."""
        callback = Callback(
            id=f"msg_{upload.row[:32]}",
            url=upload.callback_url or "",
            upload=upload,
            due=upload.created_at,
        )
        for share in shares_of(upload):
            await self._broker.write(HOOKS, share, b"", revision=0)
        await self._broker.write(HOOKS, upload.row, msgspec.json.encode(callback), revision=0)
        body = upload.row.encode()
        await self._broker.publish(WEBHOOKS, upload.row, body, dedup_id=upload.row, headers={})

    async def find(self, row: str) -> tuple[Callback, int] | None:
        """Return what is to be posted, and the revision to write over it with."""
        record = await self._broker.read(HOOKS, row)
        if record is None:
            return None
        return read(record.value, Callback), record.revision

    async def save(self, callback: Callback, revision: int) -> int:
        """Write what has become of it; a `Conflict` says that it was deleted, or is tried twice."""
        value = msgspec.json.encode(callback)
        return await self._broker.write(HOOKS, callback.upload.row, value, revision=revision)

    async def unshare(self, callback: Callback) -> None:
        """Need the jobs no longer: the report stands in the row."""
        for share in shares_of(callback.upload):
            await self._broker.erase(HOOKS, share)

    async def erase(self, callback: Callback) -> None:
        """Forget it: it was delivered, or never will be."""
        await self.unshare(callback)
        await self._broker.erase(HOOKS, callback.upload.row)

    async def cancel(self, row: str) -> Callback | None:
        """Forget what is still to be posted, and return it."""
        found = await self.find(row)
        if found is None:
            return None
        await self.erase(found[0])
        await self._broker.withdraw(WEBHOOKS, row)
        return found[0]


def rules_of(settings: Settings) -> Rules:
    """Return what the settings allow to be called."""
    return Rules(
        ports=frozenset(_ports(settings.callback_ports.split(","))),
        allow_http=settings.callback_allow_http,
        allow_loopback=settings.callback_allow_loopback,
    )


def _ports(texts: Iterable[str]) -> Iterable[int]:
    try:
        return [int(text) for text in texts if text.strip()]
    except ValueError as error:
        raise SettingsError(f"CALLBACK_PORTS: numbers separated by commas ({error})") from None
