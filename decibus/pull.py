"""
Deliveries of a queue, one for each free slot.

nats-py's own `fetch` sleeps out its timeout when the server is restarted under it (issue 504).
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from itertools import count
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
# How soon a partition is asked again that refused, or did not answer at once.
_AFTER_REFUSAL_S: Final = 1.0


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

    Of several partitions each is asked in turn, beginning behind the one that had a task the last
    time, so that none has to wait for another to be empty. Only when all of them are, requests wait
    at all at once; should two bring a task in the same moment, one goes back.
    """

    def __init__(
        self,
        connection: Client,
        on_reconnect: Callable[[Callable[[], None]], Callable[[], None]],
        partitions: Sequence[Queue],
    ) -> None:
        self._connection = connection
        self._on_reconnect = on_reconnect
        self._partitions = deque(partitions)
        # Not all slots begin with the same one.
        self._partitions.rotate(random.randrange(len(partitions)))  # noqa: S311 - not a secret
        self._found_empty = 0
        self._stopping = False
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._numbers = count()

    def stop(self) -> None:
        """End the iteration; a task that arrives in the same moment goes back to the queue."""
        self._stopping = True
        self._wake()

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield deliveries until `stop`."""
        forget = self._on_reconnect(self._wake)
        try:
            while not self._stopping:
                if self._found_empty < len(self._partitions) > 1:
                    self._partitions.rotate(-1)
                    message = await self._request([self._partitions[-1]], waits=False)
                    self._found_empty = 0 if message else self._found_empty + 1
                else:
                    message = await self._request(self._partitions, waits=True)
                    self._found_empty = 0
                if message is not None:
                    yield Delivery(message)
        finally:
            forget()
            await self._end_subscription(may_bring_more=False)

    def _wake(self) -> None:
        self._arrived.put_nowait(None)

    async def _request(self, partitions: Iterable[Queue], *, waits: bool) -> Msg | None:
        """Ask for one message; None when there was none, or when it is time to ask again."""
        connection = self._connection
        asked: dict[str, Queue] = {}  # by where the answer comes, as long as one may
        try:
            with translated():
                if self._subscription is None:
                    self._arrived = asyncio.Queue()
                    inbox = f"{connection.new_inbox()}.*"
                    self._subscription = await connection.subscribe(inbox, cb=self._arrived.put)
                for queue in partitions:
                    reply = f"{self._subscription.subject[:-1]}{next(self._numbers)}"
                    asked[reply] = queue
                    subject = f"$JS.API.CONSUMER.MSG.NEXT.{queue.stream}.{queue.consumer}"
                    await connection.publish(subject, _WAIT if waits else _NO_WAIT, reply=reply)
            return await self._first(asked, waits=waits)
        except Unavailable as error:
            log.warning("pull_failed", streams=len(asked), reason=str(error))
            await asyncio.sleep(0.5)
            return None
        finally:
            # A request brings one message; cut short, it may have one on its way. When none is out,
            # what answers the next ones comes the same way.
            if asked:
                await self._end_subscription(may_bring_more=connection.is_connected)

    async def _end_subscription(self, *, may_bring_more: bool) -> None:
        subscription, self._subscription = self._subscription, None
        await _give_back(subscription, self._arrived, may_bring_more=may_bring_more)

    async def _first(self, asked: dict[str, Queue], *, waits: bool) -> Msg | None:
        """
        Return the first message; None after `_wake`, or when two heartbeats of any are missing.

        Requests that are over are taken out of `asked`.
        """
        now = asyncio.get_running_loop().time
        patience_s = 2 * _HEARTBEAT_S if waits else _AFTER_REFUSAL_S
        until = dict.fromkeys(asked, now() + patience_s)
        while True:
            try:
                async with asyncio.timeout_at(min(until.values())):
                    message = await self._arrived.get()
            except TimeoutError:
                return None
            if message is None:
                return None
            status = status_of(message)
            if status is None:
                asked.popitem()  # whichever it was that brought it
                return message
            if status == api.StatusCode.CONTROL_MESSAGE:  # the server's idle heartbeat
                until[message.subject] = now() + patience_s
                continue
            if (queue := asked.pop(message.subject, None)) is None:
                continue
            if status in {api.StatusCode.NO_MESSAGES, api.StatusCode.REQUEST_TIMEOUT}:
                return None
            log.warning("pull_refused", stream=queue.stream, status=status)
            if not waits:
                return None
            until[message.subject] = now() + _AFTER_REFUSAL_S  # the others may still have one


_NO_WAIT: Final = msgspec.json.encode({"batch": 1, "no_wait": True})
_WAIT: Final = msgspec.json.encode(
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
