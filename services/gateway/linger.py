"""
Answering before the whole body has been read, so that the sender sees the answer.

Left alone, uvicorn would read and drop the rest of a refused upload for ever. Closing at once is no
better: the kernel then answers the bytes in flight with a reset, and a sender that is still writing
loses the answer. So the answer goes out complete; for a moment nothing is read, so that TCP holds
the sender back until it looks; then a little more is dropped, for those who only look after a
write, and the connection ends (the "lingering close" of other HTTP servers).
"""

import asyncio
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

LINGER_BYTES: Final = 1 << 20
LINGER_S: Final = 2.0
_PAUSE_S: Final = 0.25


def lingering(app: ASGIApp) -> ASGIApp:
    """Wrap an app: an answer that comes before the end of the request ends the connection."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not _has_body(scope):
            await app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        await app(scope, exchange.receive, exchange.send)

    return wrapped


class _Exchange:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_read = False

    async def receive(self) -> Any:
        message = await self._receive()
        self._is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self._is_read:
            await self._send(message)
        elif message["type"] == "http.response.start":
            headers = [*message["headers"], (b"connection", b"close")]
            await self._send({**message, "headers": headers})
        elif message["type"] == "http.response.body" and not message["more_body"]:
            await self._send({**message, "more_body": True})
            await self._drop_the_rest()
            await self._send({**message, "body": b""})
        else:
            await self._send(message)

    async def _drop_the_rest(self) -> None:
        dropped = 0
        await asyncio.sleep(_PAUSE_S)
        try:
            async with asyncio.timeout(LINGER_S):
                while not self._is_read and dropped < LINGER_BYTES:
                    message: Any = await self.receive()
                    dropped += len(message.get("body", b""))
        except TimeoutError:
            return


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
