"""
Connections as strangers may use them: where uvicorn and its parsers set no bound, one is set here.

    head      20 s, 64 KiB, 100 fields, an address of 8 KiB
    body      as much around it (sizes of chunks, extensions, trailers) as in it; its pace: `pace`
    pipeline  8 requests that wait for the answer to the one before
    upgrade   to a WebSocket, and only when no other request is waiting
    answers   read at 500 bytes a second at least, by HTTP and on a WebSocket
    WebSocket 64 fragments in a message, and no answer to a ping while the last one is not read

What is refused here is told as everywhere, and ends the connection: what follows cannot be trusted
to begin where we think it does (request smuggling).
"""

import asyncio
from asyncio import BaseTransport
from http import HTTPStatus
from typing import Any, Final

import msgspec
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from decibus.errors import BadRequest, HeadTooLarge, Refused, TooSlow
from services.gateway import problem, restraints
from services.gateway.pace import PATIENCE_S, Reader

MAX_HEAD_BYTES: Final = 64 << 10
MAX_URL_BYTES: Final = 8 << 10
MAX_FIELDS: Final = 100
MAX_PIPELINED: Final = 8
MAX_FRAGMENTS: Final = 64


class Connection(HttpToolsProtocol):
    """One connection, by HTTP/1.1 or 1.0."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._refused: Refused | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._begun = 0
        self._is_in_body = False
        self._is_over = False
        self._body_bytes = 0
        self._sent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for long."""
        super().connection_made(transport)
        self._reader = Reader(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop()
        super().connection_lost(exc)

    # Reading.

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and count what it costs that is no body."""
        if self._is_over:
            return
        if not self._is_in_body:
            self._expect_head()
        begun = self._begun
        self._sent_bytes += len(data)
        super().data_received(data)
        if self._is_over or self.transport.is_closing():
            return
        if self._is_in_body and self._sent_bytes > 2 * self._body_bytes + MAX_HEAD_BYTES:
            self._refuse(BadRequest("there is more around the body than in it"))
        if not self._is_in_body and begun == self._begun and self._sent_bytes > MAX_HEAD_BYTES:
            # The parser hands a field on when it is complete, and keeps it until then.
            self._refuse(HeadTooLarge(f"over {MAX_HEAD_BYTES} bytes"))

    def on_message_begin(self) -> None:
        """Count anew."""
        super().on_message_begin()
        self._begun += 1
        self._head_bytes = self._body_bytes = self._sent_bytes = 0
        self._is_in_body = False
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._fail(HeadTooLarge(f"the address has over {MAX_URL_BYTES} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; those that come after the body are for nobody."""
        if self._is_in_body:
            return
        self._head_bytes += len(name) + len(value)
        if len(self.headers) >= MAX_FIELDS or self._head_bytes > MAX_HEAD_BYTES:
            self._fail(HeadTooLarge(f"over {MAX_FIELDS} fields, or {MAX_HEAD_BYTES} bytes of them"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer, where not too many wait for that."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._fail(BadRequest("too many requests were sent ahead of their answers"))
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            self._fail(BadRequest("HTTP/1.1, or 1.0"))
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and version == "1.1"):
            self._fail(BadRequest("a request has one Host"))  # RFC 9112, 3.2
        self._end_head()
        self._is_in_body = True
        self._sent_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What comes now is another request."""
        self._is_in_body = False
        self._sent_bytes = 0
        super().on_message_complete()

    # Changing to another protocol.

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on, unless an answer would then go out on it as frames."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._abort()
            return
        self._stop()
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """
        Answer what was asked for, and nothing that follows.

        Whether that is its body or another request the parser cannot tell after an upgrade.
        """
        self._is_over = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    # Writing.

    def pause_writing(self) -> None:
        """Watch whether the peer reads."""
        super().pause_writing()
        self._reader.is_behind()

    def resume_writing(self) -> None:
        """Go on."""
        self._reader.has_caught_up()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose last answer was never read."""
        if self.transport.get_write_buffer_size():
            self._abort()
        super().timeout_keep_alive_handler()

    # Refusing.

    def send_400_response(self, msg: str) -> None:
        """Tell what was wrong: `msg`, where nothing better is known."""
        self._refuse(self._refused or BadRequest(msg))

    def _fail(self, refused: Refused) -> None:
        """Stop the parser, from within one of its callbacks."""
        self._refused = refused
        raise refused

    def _refuse(self, refused: Refused) -> None:
        self._is_over = True
        if self._is_answering:
            self._abort()  # nothing may be written into another answer
        elif not self.transport.is_closing():
            self.transport.write(_answer(refused))
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        if self.pipeline:
            return True
        return self.cycle is not None and (
            self.cycle.response_started and not self.cycle.response_complete
        )

    def _abort(self) -> None:
        self._is_over = True
        self.transport.abort()

    # Time.

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(PATIENCE_S, self._give_up_head)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up_head(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_head()  # the next request is in no hurry before this one's answer
        elif self._begun:
            self._refuse(TooSlow(f"its head was not complete within {PATIENCE_S:g} s"))
        else:
            self.transport.close()

    def _stop(self) -> None:
        self._is_over = True
        self._end_head()
        self._reader.has_caught_up()


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._reader = Reader(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._reader.has_caught_up()
        super().connection_lost(exc)

    def handle_connect(self, event: Request) -> None:
        """Read no frames before there is a socket that they could be for."""
        super().handle_connect(event)
        if not self.handshake_complete:
            self.transport.pause_reading()

    async def send(self, message: ASGISendEvent) -> None:
        """Send, and from the handshake on read."""
        await super().send(message)
        if message["type"] == "websocket.accept" and not self.transport.is_closing():
            self.transport.resume_reading()

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment of a message, of which there may be so many."""
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self._fail(CloseCode.POLICY_VIOLATION, "too many fragments")

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; a text that is none ends the connection, and is not worth a log."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self._fail(CloseCode.INVALID_DATA, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, unless the answers are not read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def pause_writing(self) -> None:
        """Watch whether the peer reads."""
        super().pause_writing()
        self._reader.is_behind()

    def resume_writing(self) -> None:
        """Go on."""
        self._reader.has_caught_up()
        super().resume_writing()

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _answer(refused: Refused) -> bytes:
    body = msgspec.json.encode(problem.of_error(refused))
    fields = (
        (b"content-type", problem.MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *restraints.HEADERS,
    )
    head = b"".join(b"%s: %s\r\n" % field for field in fields)
    phrase = HTTPStatus(refused.status).phrase.encode()
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (refused.status, phrase, head, body)
