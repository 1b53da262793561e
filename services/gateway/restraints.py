"""What every answer forbids a browser: to guess its type, keep it, tell its address, frame it."""

from collections.abc import Iterable
from typing import Final

Header = tuple[bytes, bytes]

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    # A token is a part of the address.
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Strict-Transport-Security is for whoever has the certificate to say: it binds a whole host."""


def unsaid(headers: Iterable[Header]) -> list[Header]:
    """Return what an answer with these headers has not said otherwise."""
    said = {name.lower() for name, _ in headers}
    return [header for header in HEADERS if header[0] not in said]
