"""The end of tasks that run beside a block: told to end until they do."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

_AGAIN_S: Final = 1.0


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """
    Cancel tasks, and return when all of them have ended.

    Once is not enough: Python 3.11's `wait_for`, under every request to NATS, can swallow a cancel
    that comes as its answer does, and a loop around it then goes on for ever.
    """
    late = set(tasks)
    while late:
        for task in late:
            task.cancel()
        _, late = await asyncio.wait(late, timeout=_AGAIN_S)
