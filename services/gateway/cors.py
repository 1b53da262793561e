"""
Which other sites' scripts may ask this gateway: those that are named, and none by default.

Narrow: whole origins, no pattern, and no credentials of the browser's; a key is a header. A
WebSocket knows no CORS, and needs a token.
"""

import re
from typing import Final

from litestar.config.cors import CORSConfig

from decibus.settings import SettingsError

_ORIGIN: Final = re.compile(
    r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?"
)
_SENT: Final = [
    *("Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "Prefer"),
    *("If-None-Match", "Last-Event-ID", "Range", "Upload-Offset", "traceparent"),
]
_READ: Final = [
    *("Location", "ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "Preference-Applied"),
    *("Content-Disposition", "Content-Range", "Decibus-Unchanged", "Upload-Offset"),
]
_REMEMBERED_S: Final = 3600


def read_origins(text: str) -> tuple[str, ...]:
    """Read them, separated by commas, as a browser writes them; raises `SettingsError`."""
    origins = tuple(filter(None, (origin.strip() for origin in text.split(","))))
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"CORS_ORIGINS: https://page.example.com is an origin, {origin!r} is none"
            )
    return origins


def allowed(text: str) -> CORSConfig | None:
    """Return what Litestar is told; None is nothing."""
    origins = read_origins(text)
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=_SENT,
        expose_headers=_READ,
        max_age=_REMEMBERED_S,
    )
