"""
A report while it comes about: `WS /ws/{token}` and `GET /events/{token}`, the same messages.

    Live ─▶ Watch ─▶ follow ─▶ one Update at a time, as fast as the client takes them

Nothing is queued for a client: a slow one gets the newest state when it is ready for one. NATS away
is a pause in which nothing is told.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Request, Response, WebSocket, get, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath
from litestar.response import Stream

from decibus.errors import DecibusError, NotFound, Unavailable
from decibus.messages import Segment
from decibus.references import References
from services.gateway.live import Live, Watch
from services.gateway.openapi import EVENTS_ANSWERS
from services.gateway.updates import Teller, Update
from services.gateway.uploads import Upload, Uploads
from services.gateway.waiting import Place

KEEP_ALIVE_S: Final = 15.0
# A place in the queue changes without an event of one's own: it is looked at this often.
_QUEUED_S: Final = 1.0
_FIRST_S: Final = 5.0
# Who reads nothing for so long is let go: uvicorn's pings alone cannot end a write that is stuck.
_SEND_S: Final = 30.0

_GONE: Final = 4404  # 4000 + the status of HTTP, as frameworks do it
_TRY_AGAIN: Final = 1013
_SERVICE_RESTART: Final = 1012
_MAX_REASON: Final = 120  # bytes, RFC 6455 section 5.5

SSE: Final = "text/event-stream"
SSE_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Streams(NamedTuple):
    """What the routes need."""

    live: Live
    uploads: Uploads
    references: References


@websocket("/ws/{token:str}")
async def by_websocket(
    socket: WebSocket[Any, Any, Any],
    token: FromPath[str],
    streams: NamedDependency[Streams],
) -> None:
    """Tell a report's state and every change of it, then close with 1000."""
    # Accepted first, whatever comes: a browser shows its script no status of a refused handshake.
    await socket.accept()
    # The client has gone while it was written to, or has not read (TimeoutError is an OSError).
    with suppress(WebSocketDisconnect, OSError):
        try:
            upload = await streams.uploads.find(token, now=datetime.now(UTC))
        except NotFound as error:
            await socket.close(_GONE, str(error))
        except DecibusError as error:
            await socket.close(_TRY_AGAIN, str(error)[:_MAX_REASON])
        else:
            await _tell(socket, streams.live, upload, streams.references)


async def _tell(
    socket: WebSocket[Any, Any, Any], live: Live, upload: Upload, references: References
) -> None:
    with live.streaming(upload.keys.values()) as watch:
        # Not a TaskGroup: that would hand the socket's own error on inside an ExceptionGroup.
        listening = asyncio.create_task(_end_with_client(socket, watch))  # noqa: TID251
        try:
            async for update in follow(live, watch, upload, references):
                if update is not None:
                    async with asyncio.timeout(_SEND_S):
                        await socket.send_data(msgspec.json.encode(update), mode="text")
                    if update.is_final:
                        break
        finally:
            listening.cancel()
    code = 1000 if watch.is_settled else _GONE if _is_expired(upload) else _SERVICE_RESTART
    await socket.close(code)


async def _end_with_client(socket: WebSocket[Any, Any, Any], watch: Watch) -> None:
    """End the watch with the connection; whatever the client says is not for us."""
    with suppress(WebSocketDisconnect):
        async for _ in socket.iter_data("text"):
            continue
    watch.end()


@get("/events/{token:str}", media_type=SSE, responses=EVENTS_ANSWERS)
async def by_events(
    request: Request[Any, Any, Any],
    token: FromPath[str],
    streams: NamedDependency[Streams],
) -> Response[Any]:
    """
    Tell a report's state and every change of it, as Server-Sent Events.

    `state` events, then one `done` or `failed`, which is the end. An `EventSource` asks again after
    it all the same, with the id of what it had: it is told to stop by a 204.
    """
    upload = await streams.uploads.find(token, now=datetime.now(UTC))
    had = request.headers.get("last-event-id")
    if had is not None and had == await _final_id(streams.live, upload):
        return Response(None, status_code=204)
    events = _events(streams.live, upload, streams.references)
    return Stream(events, media_type=SSE, headers=SSE_HEADERS)


async def _final_id(live: Live, upload: Upload) -> str | None:
    """Return the id of a settled report's last event."""
    with live.streaming(upload.keys.values()) as watch:
        await live.news(watch, within_s=_FIRST_S)
        return str(watch.revision) if watch.is_settled else None


async def _events(live: Live, upload: Upload, references: References) -> AsyncIterator[bytes]:
    with live.streaming(upload.keys.values()) as watch:
        async for update in follow(live, watch, upload, references):
            if update is None:
                yield b": still here\n\n"
                continue
            name = update.status.value if update.is_final else "state"
            body = msgspec.json.encode(update)
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (update.revision, name.encode(), body)
            if update.is_final:
                return


async def follow(
    live: Live, watch: Watch, upload: Upload, references: References
) -> AsyncIterator[Update | None]:
    """Yield what is new; None when nothing was for a while. Ends with the watch or the report."""
    loop = asyncio.get_running_loop()
    teller = Teller(upload, references)
    spoke_at = loop.time()
    wait_s = _FIRST_S
    while not (watch.is_over or _is_expired(upload)):
        await live.news(watch, within_s=wait_s)
        update = None
        if watch.is_known:
            place = await live.lines.place(watch.jobs)
            wait_s = KEEP_ALIVE_S if place is None else _QUEUED_S
            update = await _told(live, watch, teller, place)
        if update is not None or loop.time() - spoke_at >= KEEP_ALIVE_S:
            spoke_at = loop.time()
            yield update


async def _told(live: Live, watch: Watch, teller: Teller, place: Place | None) -> Update | None:
    """Return the next message, with what only the job's checkpoints have."""
    jobs, revision = dict(watch.jobs), watch.revision  # as they are now: they change while we read
    heard: tuple[Segment, ...] = ()
    job = teller.lacks(jobs)
    if job is not None:
        try:
            heard = await live.heard(job)
        except Unavailable:
            watch.doubt()  # NATS is away: a pause, in which nothing is told
            return None
    return teller.tell(jobs, revision, place, heard)


def _is_expired(upload: Upload) -> bool:
    return upload.expires_at is not None and datetime.now(UTC) >= upload.expires_at


ROUTES: Final = (by_websocket, by_events)
