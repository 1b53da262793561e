"""
Subjects to be answered on, all of one subscription.

A subscription for each conversation costs a SUB, an UNSUB and a task of nats-py; a name costs none.
"""

from collections.abc import Callable
from itertools import count
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg


class Inboxes:
    """The inboxes of one connection: opened, and closed again by whoever opened them."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._prefix: Final = connection.new_inbox()
        self._numbers = count()
        self._open: dict[str, Callable[[Msg], None]] = {}
        self._is_subscribed = False

    async def open(self, arrive: Callable[[Msg], None]) -> str:
        """Return a fresh subject; what comes there is handed to `arrive`."""
        if not self._is_subscribed:
            self._is_subscribed = True  # first: who comes meanwhile must not subscribe again
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

    async def _deliver(self, message: Msg) -> None:
        if (arrive := self._open.get(message.subject)) is not None:
            arrive(message)
