"""What every answer forbids a browser: to guess its type, keep it, tell its address, frame it."""

from typing import Final

from litestar.types import Message, Scope

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    # A token is a part of the address.
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Strict-Transport-Security is for whoever has the certificate to say: it binds a whole host."""


async def restrain(message: Message, _: Scope) -> None:
    """Add to an answer what its route has not said otherwise."""
    if message["type"] != "http.response.start":
        return
    said = {name.lower() for name, _ in message["headers"]}
    message["headers"] = [
        *message["headers"],
        *(header for header in HEADERS if header[0] not in said),
    ]
