"""
Subjects to be answered on, all of one subscription.

A subscription for each conversation costs a SUB, an UNSUB and a task of nats-py; a name costs none.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count

from nats.aio.client import NO_RESPONDERS_STATUS, Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import Header


class Inboxes:
    """The inboxes of one connection: opened, and closed again by whoever opened them."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._prefix = ""
        self._numbers = count()
        self._open: dict[str, Callable[[Msg], None]] = {}
        self._is_subscribed = False

    async def open(self, arrive: Callable[[Msg], None]) -> str:
        """Return a fresh subject; what comes there is handed to `arrive`."""
        if not self._is_subscribed:
            self._is_subscribed = True  # first: who comes meanwhile must not subscribe again
            # Not before: a connection has its own prefix for inboxes from its first moment on.
            self._prefix = self._connection.new_inbox()
            try:
                await self._connection.subscribe(f"{self._prefix}.*", cb=self._deliver)
            except BaseException:
                self._is_subscribed = False
                raise
        subject = f"{self._prefix}.{next(self._numbers)}"
        self._open[subject] = arrive
        return subject

    def close(self, subject: str) -> None:
        """Let what still comes there go by."""
        self._open.pop(subject, None)

    async def ask(
        self,
        subject: str,
        body: bytes,
        *,
        within_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """
        Return the answer to a request; raises `NoRespondersError`, or `TimeoutError`.

        nats-py's `request` draws two random names, and waits by a `wait_for` that Python 3.11 lets
        swallow a cancel.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Msg] = loop.create_future()

        def arrive(message: Msg) -> None:
            if not answered.done():
                answered.set_result(message)

        def give_up() -> None:
            if not answered.done():
                answered.set_exception(TimeoutError(f"no answer from {subject}"))

        inbox = await self.open(arrive)
        patience = loop.call_later(within_s, give_up)
        try:
            sent = None if headers is None else dict(headers)
            await self._connection.publish(subject, body, reply=inbox, headers=sent)
            message = await answered
        finally:
            patience.cancel()
            self.close(inbox)
        if message.headers and message.headers.get(Header.STATUS) == NO_RESPONDERS_STATUS:
            raise NoRespondersError
        return message

    async def _deliver(self, message: Msg) -> None:
        if (arrive := self._open.get(message.subject)) is not None:
            arrive(message)
