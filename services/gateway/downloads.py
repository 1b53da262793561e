"""
A file on its way out of the object store: whole, or the range that is asked for (RFC 9110).

It goes out piece by piece, at the pace of its reader, and is never whole in memory.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar import Response
from litestar.background_tasks import BackgroundTask
from litestar.response import Stream

from decibus.errors import WrongRange
from services.gateway.fresh import is_known
from services.gateway.reception import AnyRequest

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]|[%]")  # in a quoted-string that old clients read, too


class File(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent. `filename` is what a client may call it; a sender has chosen it."""

    size: int
    sha256: str
    media_type: str
    filename: str
    pieces: Callable[[], AsyncGenerator[bytes, None]]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes from `start` to before `stop`. `is_rest`: all that there are from `start` on."""

    start: int
    stop: int
    is_rest: bool


def read_range(text: str | None, size: int) -> Span | None:
    """
    Read a `Range`; None is to be answered with the whole file: there is none, or several.

    What makes no sense counts as none, too (RFC 9110, 14.2). Raises `WrongRange` for one that lies
    behind the end.
    """
    found = _RANGE.fullmatch(text or "")
    first, last = found.groups() if found else ("", "")
    if not (first or last) or (first and last and int(first) > int(last)):
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    if start >= size:
        raise WrongRange(f"the file has {size} bytes", size=size)
    return Span(start=start, stop=stop, is_rest=bool(first) and not last)


def disposition(filename: str) -> str:
    """Return the header that offers to save a file by this name (RFC 6266, RFC 8187)."""
    plain = _UNSAFE.sub("_", filename)
    header = f'attachment; filename="{plain}"'
    return header if plain == filename else f"{header}; filename*=UTF-8''{quote(filename, safe='')}"


def send(
    request: AnyRequest,
    file: File,
    *,
    headers: Mapping[str, str] | None = None,
    then: Callable[[], Awaitable[None]],
) -> Response[Any]:
    """
    Answer with a file, as the request's headers have it.

    `then` is called when it was downloaded: its last byte was handed to the connection, in a full
    answer or in one to a range without an end, by which a broken-off one is taken up again.
    """
    etag = f'"{file.sha256}"'
    told = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(file.filename),
        **(headers or {}),
    }
    if request.method != "POST" and is_known(request, etag):
        return Response(b"", status_code=304, headers=told)
    span = _asked(request, file.size, etag)
    if span is not None:
        told["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{file.size}"
    whole = Span(start=0, stop=file.size, is_rest=True)
    sending = _Sending(file, span or whole, then)
    told["Content-Length"] = str(sending.length)
    status = 200 if span is None else 206
    if request.method == "HEAD":
        told["Content-Type"] = file.media_type
        return Response(b"", status_code=status, headers=told)
    return Stream(
        sending.body(),
        status_code=status,
        media_type=file.media_type,
        headers=told,
        background=BackgroundTask(sending.end),
    )


class _Sending:
    """One answer, and whether all of it has gone out."""

    def __init__(self, file: File, span: Span, then: Callable[[], Awaitable[None]]) -> None:
        self.length = span.stop - span.start
        self._file = file
        self._span = span
        self._then = then
        self._is_over = False

    async def body(self) -> AsyncGenerator[bytes, None]:
        at = 0
        async with aclosing(self._file.pieces()) as pieces:
            async for piece in pieces:
                part = piece[max(0, self._span.start - at) : max(0, self._span.stop - at)]
                at += len(piece)
                if part:
                    yield part
                if at >= self._span.stop:
                    break
        # Whoever asks for another piece has handed the last one on.
        self._is_over = at >= self._span.stop

    async def end(self) -> None:
        if self._is_over and self._span.is_rest:
            await self._then()


def _asked(request: AnyRequest, size: int, etag: str) -> Span | None:
    if request.method == "POST" or request.headers.get("if-range", etag) != etag:
        return None
    return read_range(request.headers.get("range"), size)
