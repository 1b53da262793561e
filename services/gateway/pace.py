"""
How slowly a sender may send, and a reader may read.

Whoever dawdles holds a connection, a buffer and a request at no cost of its own ("slow loris"). So
a sender has some time, and more for each byte that comes; a reader is let go when it does not take
what it is sent at the same rate. Time in which we ourselves do not read, or write, counts for
nobody: who sends faster than we read waits for a place in the `lanes`.
"""

import asyncio
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from decibus.errors import TooSlow
from services.gateway.lanes import Lanes, Place

PATIENCE_S: Final = 20.0
"""How long a request's head may take, and how long nothing at all of a body may come."""
STUCK_S: Final = 60.0
"""How long a reader may take next to nothing: one that reads slowly does it in large steps."""
MIN_BYTES_PER_S: Final = 500
"""A tenth of what a telephone's modem did: what takes longer than this does not end."""


def paced(app: ASGIApp) -> ASGIApp:
    """Wrap an app: `TooSlow` is raised where it reads a body that comes too slowly."""
    lanes = Lanes()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        place = Place(lanes)
        body = _Body(receive, send, place)
        try:
            await app(scope, body.receive, body.send)
        finally:
            place.leave()

    return wrapped


class _Body:
    def __init__(self, receive: Receive, send: Send, place: Place) -> None:
        self._receive = receive
        self._send = send
        self._place = place
        self._is_over = False
        self._bytes = 0
        self._waited_s = 0.0

    async def receive(self) -> Any:
        """Hand on what has come; without an end of the wait once the answer has begun."""
        if self._is_over:
            return await self._receive()
        now = asyncio.get_running_loop().time
        start = now()
        earned_s = PATIENCE_S + self._bytes / MIN_BYTES_PER_S
        try:
            with self._place.waiting():
                async with asyncio.timeout(min(earned_s - self._waited_s, PATIENCE_S)):
                    message: Any = await self._receive()
        except TimeoutError:
            raise TooSlow(
                f"{self._bytes} bytes of the body came in {self._waited_s + now() - start:.0f} s "
                f"of waiting; send {MIN_BYTES_PER_S} a second, and pause {PATIENCE_S:g} s at most"
            ) from None
        self._waited_s += now() - start
        size = len(message.get("body", b""))
        self._bytes += size
        self._is_over = not message.get("more_body", False)
        if self._is_over:
            self._place.leave()
        else:
            await self._place.take(size)
        return message

    async def send(self, message: Message) -> None:
        self._is_over = True
        self._place.leave()
        await self._send(message)


class Reader:
    """Watches a peer while the buffer of what it is sent is full, and lets go one that is stuck."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    def is_behind(self) -> None:
        """Begin to watch: the buffer has filled up."""
        self.has_caught_up()
        self._left = self._transport.get_write_buffer_size()
        self._timer = asyncio.get_running_loop().call_later(STUCK_S, self._look)

    def has_caught_up(self) -> None:
        """Watch no longer: there is room again, or the peer has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        left = self._transport.get_write_buffer_size()
        if self._left - left < MIN_BYTES_PER_S * STUCK_S:
            self._transport.abort()  # a close would wait for the buffer to empty
        else:
            self.is_behind()
