"""
Links that are their own permission: signed, expiring, for one method on one path.

    /jobs/6f…/source?expires=1790000000&limit=100000000&signature=9c…

The signature is HMAC-SHA256 over all of it. Whoever has the link may do what it says until it
expires, and nothing else; what is wrong with a bad one is not told.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from decibus.errors import Forbidden

_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = {"expires", "limit", "signature"}


class Permission(msgspec.Struct, frozen=True):
    """What a link is for; `limit` in bytes, for those by which something is sent."""

    method: str
    path: str
    expires: int
    limit: int


class Signer:
    """
    Signs with the first of its keys, and accepts all of them, so that one can replace another.

    A key has 32 bytes or more.
    """

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._keys = keys

    def link(
        self, method: str, path: str, *, now: datetime, lifetime: timedelta, limit: int = 0
    ) -> str:
        """Return path and query of a link that works for `lifetime`."""
        expires = int((now + lifetime).timestamp())
        permission = Permission(method, path, expires, limit)
        signature = _signature(self._keys[0], permission)
        return f"{path}?expires={expires}&limit={limit}&signature={signature}"

    def check(
        self, method: str, path: str, query: Mapping[str, list[str]], *, now: datetime
    ) -> Permission:
        """Return what a link permits, or raise `Forbidden` without telling why not."""
        permission, signature = _read(method, path, query)
        # All keys are tried, so that no answer is faster than another.
        good = [hmac.compare_digest(signature, _signature(key, permission)) for key in self._keys]
        if not any(good) or now.timestamp() >= permission.expires:
            raise _forbidden()
        return permission


def _forbidden() -> Forbidden:
    return Forbidden("this link has expired, or was not signed for this request")


def _read(method: str, path: str, query: Mapping[str, list[str]]) -> tuple[Permission, str]:
    if query.keys() != _FIELDS or any(len(values) != 1 for values in query.values()):
        raise _forbidden()
    expires, limit, signature = (query[name][0] for name in ("expires", "limit", "signature"))
    if not (
        _NUMBER.fullmatch(expires) and _NUMBER.fullmatch(limit) and _SIGNATURE.fullmatch(signature)
    ):
        raise _forbidden()
    return Permission(method, path, int(expires), int(limit)), signature


def _signature(key: bytes, permission: Permission) -> str:
    return hmac.new(key, msgspec.json.encode(permission), hashlib.sha256).hexdigest()
