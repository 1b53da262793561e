"""Somebody's web server, which webhooks are posted to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec

OK: Final = "204 No Content"
UNAVAILABLE: Final = "503 Service Unavailable"


class Post(msgspec.Struct, frozen=True):
    """One request, and when it came (loop time, s)."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


class Receiver:
    """Answers each request with the next of its answers, the last one for ever."""

    def __init__(self, *answers: str) -> None:
        self.posts: list[Post] = []
        self.connections = 0
        self.port = 0
        self._answers = list(answers or (OK,))
        self._came = asyncio.Event()

    async def wait(self, count: int, *, within_s: float = 15.0) -> list[Post]:
        """Return the posts, when there are so many."""
        async with asyncio.timeout(within_s):
            while len(self.posts) < count:
                self._came.clear()
                await self._came.wait()
        return self.posts

    @asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Receiver"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(_fields(head[1:]))
            body = await reader.readexactly(int(headers["content-length"]))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            await self._answer(writer, answer)
            now = asyncio.get_running_loop().time()
            self.posts.append(Post(head[0].split(" ")[1], headers, body, now))
            self._came.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, answer: str) -> None:
        status, _, more = answer.partition("\n")
        writer.write(f"HTTP/1.1 {status}\r\n{more}connection: close\r\n\r\n".encode())
        await writer.drain()


def _fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()
