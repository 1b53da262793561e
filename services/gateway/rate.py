"""
How often a sender may ask: a sliding window that all gateways share.

The counting is the server's (`topology.Quota`), so that two replicas cannot both give away the last
request. What is told in headers (draft-ietf-httpapi-ratelimit-headers) is read after the request
was counted, and may be a moment old; what is refused never is.
"""

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec
import structlog

from decibus.broker import Broker
from decibus.errors import RateLimited, StorageFull
from decibus.topology import Quota

log = structlog.get_logger()

_MAX_REMEMBERED: Final = 4096


class Standing(msgspec.Struct, frozen=True):
    """How many requests a sender has left, and when it gets more."""

    remaining: int
    more_at: datetime


def standing(quota: Quota, counted: int, oldest: datetime | None, *, now: datetime) -> Standing:
    """Return where a sender stands after `counted` requests, the oldest of them at `oldest`."""
    more_at = (oldest or now) + quota.window
    # The server's clock may differ from ours: more never comes later than in a window.
    return Standing(max(0, quota.limit - counted), min(more_at, now + quota.window))


def seconds_until(moment: datetime, *, now: datetime) -> int:
    """Return how long to wait, in whole seconds and at least one."""
    return max(1, math.ceil((moment - now).total_seconds()))


def headers(quota: Quota, known: Standing | None, *, now: datetime) -> dict[str, str]:
    """Return the fields that every answer carries; who has not asked yet has all of its share."""
    window_s = math.ceil(quota.window.total_seconds())
    remaining, reset_s = quota.limit, window_s
    if known is not None and known.more_at > now:
        remaining, reset_s = known.remaining, seconds_until(known.more_at, now=now)
    return {
        "RateLimit-Policy": f'"default";q={quota.limit};w={window_s}',
        "RateLimit": f'"default";r={remaining};t={reset_s}',
    }


@lru_cache(maxsize=_MAX_REMEMBERED)
def network_of(host: str) -> str:
    """Return the address of one sender: of IPv6 the /64, which is what one sender is given."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


class Rate:
    """Counts requests, and remembers where each sender stood when it was counted last."""

    def __init__(self, broker: Broker, quota: Quota | None) -> None:
        self._broker = broker
        self._quota = quota
        self._known: dict[str, Standing] = {}

    async def count(self, sender: str) -> None:
        """
        Count a request, or raise `RateLimited`.

        While NATS is away it raises `Unavailable`: closed, because the request could not be served
        either. When the memory for counting is full, it is open: a flood from very many addresses
        must not lock out the rest, and the cap on the backlog still holds.
        """
        if self._quota is None:
            return
        try:
            is_counted = await self._broker.count_request(self._quota, sender)
        except StorageFull as error:
            log.warning("rate_uncounted", reason=str(error))
            return
        counted, oldest = await self._broker.counted(self._quota, sender)
        now = datetime.now(UTC)
        known = standing(self._quota, counted, oldest, now=now)
        if not is_counted:
            known = Standing(0, known.more_at)
        self._remember(sender, known)
        if not is_counted:
            wait_s = seconds_until(known.more_at, now=now)
            window_s = self._quota.window.total_seconds()
            raise RateLimited(
                f"{self._quota.limit} requests in {window_s:g} s; there is another in {wait_s} s",
                retry_after=timedelta(seconds=wait_s),
            )

    def headers(self, sender: str) -> dict[str, str]:
        """Return what to tell a sender; on answers that were not counted, as last seen here."""
        if self._quota is None:
            return {}
        return headers(self._quota, self._known.get(sender), now=datetime.now(UTC))

    def _remember(self, sender: str, known: Standing) -> None:
        self._known.pop(sender, None)
        while len(self._known) >= _MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[sender] = known
