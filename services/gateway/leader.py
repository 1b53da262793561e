"""One replica at a time does a duty: whoever keeps a record in the bucket `leaders` fresh."""

import asyncio
import secrets
from contextlib import suppress
from datetime import timedelta

from decibus.broker import Broker, Conflict
from decibus.errors import DecibusError
from decibus.topology import LEADERS


class Leadership:
    """
    A claim to a duty, to be renewed well within the lease.

    A leader is silent when its record has kept its revision for a whole lease, by the clock of the
    replica that watches: no two machines' clocks are compared. For a moment there may be two
    leaders, when one was frozen and wakes up, so what they do must bear being done twice.
    """

    def __init__(self, broker: Broker, duty: str, *, lease: timedelta) -> None:
        self._broker = broker
        self._duty = duty
        self._lease_s = lease.total_seconds()
        self._name = secrets.token_hex(8).encode()
        self._seen = 0
        self._seen_at = 0.0

    async def claim(self) -> bool:
        """Renew, or take what nobody has; returns whether the duty is ours."""
        record = await self._broker.read(LEADERS, self._duty)
        revision = record.revision if record else 0
        is_free = record is None or record.value == self._name or self._is_silent(revision)
        if not is_free:
            return False
        try:
            await self._broker.write(LEADERS, self._duty, self._name, revision=revision)
        except Conflict:
            return False
        return True

    async def resign(self) -> None:
        """Leave the duty to whoever asks next, instead of after a lease."""
        with suppress(DecibusError):
            record = await self._broker.read(LEADERS, self._duty)
            if record is not None and record.value == self._name:
                await self._broker.erase(LEADERS, self._duty)

    def _is_silent(self, revision: int) -> bool:
        """Whether another's record has not changed for a lease."""
        now = asyncio.get_running_loop().time()
        if revision != self._seen:
            self._seen, self._seen_at = revision, now
        return now - self._seen_at >= self._lease_s
