"""A TCP proxy before a gateway, which cuts WebSockets in the middle when it is told to."""

import selectors
import socket
import threading
from contextlib import suppress
from typing import Final

_PIECE: Final = 65_536


class Proxy:
    """Forwards connections; `cut` ends the WebSockets, and refuses new ones until `mend`."""

    def __init__(self, port: int) -> None:
        self.sockets_seen = 0
        self._upstream = ("127.0.0.1", port)
        self._is_cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._live: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where a browser connects."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End every WebSocket with a reset, as a network that fails does."""
        self._is_cut.set()
        for each in tuple(self._live):
            _reset(each)

    def close(self) -> None:
        """Take nothing more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = client.recv(_PIECE)
            is_socket = head.startswith(b"GET /ws/")
            if is_socket:
                self.sockets_seen += 1
                if self._is_cut.is_set():
                    _reset(client)
                    return
                self._live.add(client)
            with socket.create_connection(self._upstream) as server:
                server.sendall(head)
                _forward(client, server)


def _forward(client: socket.socket, server: socket.socket) -> None:
    other = {client: server, server: client}
    with selectors.DefaultSelector() as ready:
        for each in other:
            ready.register(each, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                source = client if key.fileobj is client else server
                piece = source.recv(_PIECE)
                if not piece:
                    return
                other[source].sendall(piece)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
