"""What a real gateway refuses on a real socket, while a sender is still sending."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from services.gateway.keys import digest
from tests.conftest import NatsServer
from tests.processes import Service, free_port, wait_for

ALICE = "a" * 40


@pytest.fixture
def port(nats_server: NatsServer, service: Callable[..., Service], tmp_path: Path) -> int:
    """Start a gateway that asks for a key and lets one request a minute in."""
    port = free_port()
    (tmp_path / "keys").write_text(f"alice:{digest(ALICE).hex()}\n")
    service(
        "gateway",
        NATS_URL=nats_server.url,
        HTTP_PORT=str(port),
        API_KEYS_FILE=str(tmp_path / "keys"),
        RATE_LIMIT="1",
    ).until_ready()
    wait_for(lambda: _answers(port), within_s=10, what="the gateway's port")
    return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_refused_sender_is_told_at_once_and_sends_little(port: int) -> None:
    url = f"http://127.0.0.1:{port}/analyze"
    httpx.post(url, headers={"X-API-Key": ALICE})

    assert _answer_to_a_large_upload(port, "") == 401
    assert _answer_to_a_large_upload(port, f"X-API-Key: {ALICE}\r\n") == 429


def _answer_to_a_large_upload(port: int, header: str) -> int:
    """Announce 100 MB, send nothing of it, and return the status that comes all the same."""
    head = (
        f"POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n{header}"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sender:
        start = time.monotonic()
        sender.sendall(head.encode())
        status = sender.recv(4096).split()[1]
        assert time.monotonic() - start < 1
        return int(status)
