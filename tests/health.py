"""How soon a gateway says that it lives, and what it computes until then."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from typing import Final, NamedTuple

EVERY_S: Final = 0.01
_QUESTION: Final = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"


class Answer(NamedTuple):
    """
    One answer: how long it took, and how much of that the gateway's process was computing.

    The rest is not the gateway's: it, or whoever asked, has waited for a core.
    """

    took_s: float
    computed_s: float


async def answers(port: int, pid: int) -> AsyncGenerator[Answer, None]:
    """Ask the gateway at this port, which is that process, over and over by one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        while True:
            start, computed = time.monotonic(), _computed_s(pid)
            writer.write(_QUESTION)
            answer = await reader.readuntil(b"}")
            took_s = time.monotonic() - start
            assert answer.startswith(b"HTTP/1.1 200"), answer
            yield Answer(took_s, _computed_s(pid) - computed)
            await asyncio.sleep(EVERY_S)


def _computed_s(pid: int) -> float:
    # What clock_getcpuclockid(3) makes of a process's number on Linux.
    return time.clock_gettime(~pid << 3 | 2)
