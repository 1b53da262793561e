"""
Deliveries of a queue, one for each free slot.

nats-py's own `fetch` sleeps out its timeout when the server is restarted under it (issue 504).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, timedelta
from typing import Final

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api

from decibus.errors import Unavailable
from decibus.refusals import REQUEST_TIMEOUT_S, translated
from decibus.topology import Queue

log = structlog.get_logger()

_EXPIRES_S: Final = 30.0
_HEARTBEAT_S: Final = 5.0


class Delivery:
    """One delivery of one task. Whoever took it settles it once, or leaves it to the next owner."""

    def __init__(self, message: Msg) -> None:
        self._message = message
        self.body = message.data
        self.headers: Mapping[str, str] = message.headers or {}
        self.number = message.metadata.num_delivered
        self.sequence = message.metadata.sequence.stream
        self.stored_at = message.metadata.timestamp.astimezone(UTC)

    async def ack_soon(self) -> None:
        """Done; should the server not hear it, it is delivered again."""
        with translated():
            await self._message.ack()

    async def ack(self) -> None:
        """Done: remove the task, and know that the server has heard it."""
        with translated():
            await self._message.ack_sync(timeout=REQUEST_TIMEOUT_S)

    async def nak(self, delay: timedelta = timedelta()) -> None:
        """Deliver it again, after a delay."""
        with translated():
            await self._message.nak(delay=delay.total_seconds() or None)

    async def term(self) -> None:
        """Give up: never deliver it again."""
        with translated():
            await self._message.term()

    async def in_progress(self) -> None:
        """Ask for another `ack_wait`: the work goes on."""
        with translated():
            await self._message.in_progress()


class Pull:
    """
    Deliveries for one slot, as an async iterator.

    A request is only out while the slot is free, so that no replica hoards what another could do.
    It is repeated at once after a reconnect, and when the server has missed its heartbeats.
    """

    def __init__(
        self,
        connection: Client,
        on_reconnect: Callable[[Callable[[], None]], Callable[[], None]],
        queue: Queue,
    ) -> None:
        self._connection = connection
        self._on_reconnect = on_reconnect
        self._queue = queue
        self._stopping = False
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._subscription: Subscription | None = None

    def stop(self) -> None:
        """End the iteration; a task that arrives in the same moment goes back to the queue."""
        self._stopping = True
        self._wake()

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield deliveries until `stop`."""
        forget = self._on_reconnect(self._wake)
        try:
            while not self._stopping:
                message = await self._request_one()
                if message is not None:
                    yield Delivery(message)
        finally:
            forget()
            await self._end_subscription(may_bring_more=False)

    def _wake(self) -> None:
        self._arrived.put_nowait(None)

    async def _request_one(self) -> Msg | None:
        """Ask for one message; None when there was none, or when it is time to ask again."""
        connection = self._connection
        message: Msg | None = None
        try:
            with translated():
                if self._subscription is None:
                    self._arrived = asyncio.Queue()
                    inbox = connection.new_inbox()
                    self._subscription = await connection.subscribe(inbox, cb=self._arrived.put)
                subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._queue.stream}.{self._queue.consumer}"
                reply = self._subscription.subject
                await connection.publish(subject, _pull_request(), reply=reply)
            while True:
                message = await self._next()
                status = status_of(message)
                if status == api.StatusCode.CONTROL_MESSAGE:  # the server's idle heartbeat
                    message = None
                    continue
                if status not in {None, api.StatusCode.NO_MESSAGES, api.StatusCode.REQUEST_TIMEOUT}:
                    log.warning("pull_refused", stream=self._queue.stream, status=status)
                    await asyncio.sleep(1)
                return message if status is None else None
        except Unavailable as error:
            log.warning("pull_failed", stream=self._queue.stream, reason=str(error))
            await asyncio.sleep(0.5)
            return None
        finally:
            # A request brings one message; cut short, it may have one on its way. Else what answers
            # the next one comes the same way.
            if message is None:
                await self._end_subscription(may_bring_more=connection.is_connected)

    async def _end_subscription(self, *, may_bring_more: bool) -> None:
        subscription, self._subscription = self._subscription, None
        await _give_back(subscription, self._arrived, may_bring_more=may_bring_more)

    async def _next(self) -> Msg | None:
        """Wait for a message; None after `_wake`, or when two heartbeats are missing."""
        try:
            async with asyncio.timeout(2 * _HEARTBEAT_S):
                return await self._arrived.get()
        except TimeoutError:
            return None


def _pull_request() -> bytes:
    return msgspec.json.encode(
        {
            "batch": 1,
            "expires": int(_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
    )


def status_of(message: Msg | None) -> str | None:
    """Return the status that the server sends in place of a message."""
    return (message.headers or {}).get("Status") if message else None


async def _give_back(
    subscription: Subscription | None,
    arrived: asyncio.Queue[Msg | None],
    *,
    may_bring_more: bool,
) -> None:
    """
    End a pull request; a task that came after all goes back to the queue at once.

    What the server sent before it knew is waited for, where nats-py sees it; the rare one that it
    does not see comes back after ack_wait.
    """
    if subscription is None:
        return
    try:
        if may_bring_more:
            await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py 2.16 has no types for it
        else:
            await subscription.unsubscribe()
        while not arrived.empty():
            message = arrived.get_nowait()
            if message is not None and status_of(message) is None:
                await message.nak()
    except nats.errors.Error:
        return  # the connection is gone, and JetStream delivers again after ack_wait
