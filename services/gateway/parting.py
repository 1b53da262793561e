"""
Ending connections without losing a request that is on its way.

Told to exit, uvicorn closes whatever connection is idle at that moment, and the next request of a
client that keeps its connections may be in the cable already: it is lost, and a POST is not sent
again by itself. So before that, for a moment, each answer says that it is the last one here.
"""

from collections.abc import Callable
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

PARTING_S: Final = 0.5
"""Who sends one request after the other has had an answer by then. Who has been idle for so long is
hardly sending just now."""


def parting(app: ASGIApp, *, is_stopping: Callable[[], bool]) -> ASGIApp:
    """Wrap an app: once it is stopping, each answer ends its connection."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if message["type"] == "http.response.start" and is_stopping():
                headers = [*message["headers"], (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, last if scope["type"] == ScopeType.HTTP else send)

    return wrapped
