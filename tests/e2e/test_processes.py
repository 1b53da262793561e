"""Each service a process of its own: killed, restarted, told to stop, cut off."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from decibus.broker import connect
from tests.conftest import SERVERS, NatsServer
from tests.e2e.conftest import Gateway, Start, report
from tests.processes import family, free_port, wait_for
from tests.signals import encode, music

LIMIT = 100_000_000
UPLOAD = (
    "POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
)


@pytest.fixture(scope="session")
def long_take() -> bytes:
    """Five minutes, so that an analyzer can be caught at it."""
    return encode(music(300.0), 48_000, "flac")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)  # it takes ack_wait
def test_an_analyzer_killed_in_mid_job_and_restarted_still_answers_the_request(
    nats_server: NatsServer, gateway: Gateway, service: Start, long_take: bytes
) -> None:
    analyzer = service("analyzer", NATS_URL=nats_server.url).until_ready()
    ask = {"tasks": "loudness", "wait": "0"}
    files = {"file": ("take.flac", long_take)}
    token = report(httpx.post(f"{gateway.url}/analyze", files=files, data=ask, timeout=60))["token"]
    path = f"{gateway.url}/result/{token}"

    wait_for(lambda: report(httpx.get(path))["status"] == "running", within_s=10, what="running")
    analyzer.kill()
    assert report(httpx.get(path))["status"] == "running", "killed in the middle of it"
    service("analyzer", NATS_URL=nats_server.url).until_ready()
    done = report(httpx.get(path, params={"wait": "60"}, timeout=70))

    assert done["status"] == "done"
    assert done["audio_length"] == pytest.approx(300.0)


@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
def test_a_bomb_is_refused_and_leaves_nothing_behind_in_the_analyzer(
    nats_server: NatsServer, gateway: Gateway, service: Start
) -> None:
    analyzer = service("analyzer", NATS_URL=nats_server.url).until_ready()
    alone = family(analyzer.process.pid)
    bomb = encode(np.zeros((1, 48_000 * 370), np.float32), 48_000, "flac")
    assert len(bomb) < 100_000
    good = encode(music(2.0), 48_000, "wav16")

    first, second = (_loudness(gateway, data) for data in (bomb, good))

    assert len(alone) == 2, "the worker and its nursery"
    assert (first.status_code, report(first)["code"]) == (422, "too_long")
    assert (second.status_code, report(second)["status"]) == (200, "done")
    wait_for(lambda: family(analyzer.process.pid) == alone, within_s=5, what="no child is left")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
def test_a_file_over_which_its_child_dies_is_refused_at_once(
    nats_server: NatsServer, gateway: Gateway, service: Start, long_take: bytes
) -> None:
    analyzer = service("analyzer", NATS_URL=nats_server.url, SANDBOX_WALL_S="0.1").until_ready()

    refused = _loudness(gateway, long_take)

    assert (refused.status_code, report(refused)["code"]) == (422, "bad_audio")
    assert report(refused)["detail"] == "it takes more than 0.1 s to decode"
    assert analyzer.printed.count('"sandbox_killed"') == 1, "not tried again"
    assert "attempt_failed" not in analyzer.printed


@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
def test_a_job_that_is_deleted_ends_its_child(
    nats_server: NatsServer, gateway: Gateway, service: Start, long_take: bytes
) -> None:
    analyzer = service("analyzer", NATS_URL=nats_server.url).until_ready()
    alone = family(analyzer.process.pid)
    files = {"file": ("take.flac", long_take)}
    ask = {"tasks": "loudness", "wait": "0"}
    token = report(httpx.post(f"{gateway.url}/analyze", files=files, data=ask, timeout=60))["token"]
    wait_for(lambda: family(analyzer.process.pid) != alone, within_s=10, what="a child")
    (child,) = family(analyzer.process.pid) - alone
    os.kill(child, signal.SIGSTOP)  # a decoder that hangs

    httpx.delete(f"{gateway.url}/result/{token}")

    wait_for(
        lambda: family(analyzer.process.pid) == alone, within_s=5, what="the next heartbeat ends it"
    )


def _loudness(gateway: Gateway, data: bytes) -> httpx.Response:
    ask = {"tasks": "loudness", "wait": "60"}
    return httpx.post(f"{gateway.url}/analyze", files={"file": data}, data=ask, timeout=70)


def test_a_sender_that_hangs_up_leaves_nothing_in_the_store(
    nats_server: NatsServer, gateway: Gateway
) -> None:
    with gateway.connect() as sender:
        sender.sendall(UPLOAD.encode() + b"\0" * 3_000_000)
        wait_for(lambda: _stored(nats_server) > 0, within_s=5, what="the first chunks")

    wait_for(lambda: _stored(nats_server) == 0, within_s=5, what="nothing stored")


def test_of_a_gateway_killed_in_mid_upload_nothing_is_left(
    nats_server: NatsServer, gateway: Gateway, service: Start
) -> None:
    age = {"ORPHAN_AUDIO_S": "2", "REAPER_INTERVAL_S": "0.2", "REAPER_LEASE_S": "1"}
    service("gateway", NATS_URL=nats_server.url, HTTP_PORT=str(free_port()), **age).until_ready()
    with gateway.connect() as sender:
        sender.sendall(UPLOAD.encode() + b"\0" * 3_000_000)
        wait_for(lambda: _stored(nats_server) > 3, within_s=5, what="the first chunks")
        gateway.service.kill()

    assert _stored(nats_server) > 3
    # The killed one may have been the reaper: its lease of 15 s has to end first.
    wait_for(lambda: _stored(nats_server) == 0, within_s=25, what="nothing stored")


def test_who_uploaded_to_a_killed_gateway_gets_the_report_from_another(
    nats_server: NatsServer, gateway: Gateway, service: Start
) -> None:
    port = free_port()
    service("gateway", NATS_URL=nats_server.url, HTTP_PORT=str(port)).until_ready()
    ask = {"tasks": "loudness", "wait": "0"}
    files = {"file": ("take.flac", encode(music(2.0), 48_000, "flac"))}
    token = report(httpx.post(f"{gateway.url}/analyze", files=files, data=ask))["token"]

    gateway.service.kill()
    service("analyzer", NATS_URL=nats_server.url)
    url = f"http://127.0.0.1:{port}/result/{token}"
    done = report(httpx.get(url, params={"wait": "30"}, timeout=40))

    assert done["status"] == "done"


def _stored(server: NatsServer) -> int:
    async def count() -> int:
        async with connect(server.url, name="test") as broker:
            info = await broker.connection.jetstream().stream_info("OBJ_audio")
            return info.state.messages

    return asyncio.run(count())


@pytest.mark.parametrize("length", ["announced", "chunked"])
def test_more_than_the_limit_is_refused_while_it_is_sent(
    gateway: Gateway, tmp_path: Path, length: str
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2 * LIMIT)
    chunked = ["--header", "Transfer-Encoding: chunked"] if length == "chunked" else []

    curl = ["curl", "-s", *chunked, "-w", "\n%{http_code} %{size_upload}", "-F", "file=@large"]
    printed = subprocess.run(
        [*curl, f"{gateway.url}/analyze"], cwd=tmp_path, capture_output=True, text=True, check=False
    ).stdout

    problem, _, told = printed.rpartition("\n")
    status, sent = told.split()
    assert status == "413"
    assert msgspec.json.decode(problem)["code"] == "too_large"
    assert int(sent) < LIMIT + (12 << 20), "the kernel's buffers on top of what the gateway reads"


def test_a_sender_that_does_not_listen_is_cut_off(gateway: Gateway) -> None:
    with gateway.connect() as sender:
        sender.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        sent = _send_until_cut_off(sender, at_most=200_000_000)

    assert sent < 8 << 20


def _send_until_cut_off(sender: socket.socket, *, at_most: int) -> int:
    sent = 0
    with suppress(OSError):
        while sent < at_most:
            sent += sender.send(b"\0" * 65_536)
    return sent


@pytest.mark.parametrize("name", ["gateway", "analyzer", "transcriber"])
def test_sigterm_ends_a_service_cleanly(nats_server: NatsServer, service: Start, name: str) -> None:
    env = {"NATS_URL": nats_server.url, "HTTP_PORT": str(free_port()), "DECIBUS_MODEL": "demo"}
    running = service(name, **env).until_ready()

    start = time.monotonic()

    assert running.terminate() == 0
    assert time.monotonic() - start < 5


def test_a_gateway_told_to_stop_answers_whoever_waits_with_the_token(
    gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "take").write_text("no worker is there, so this waits")
    curl = ["curl", "-s", "-w", "\n%{http_code}", "-F", "file=@take", f"{gateway.url}/analyze"]
    with subprocess.Popen(curl, cwd=tmp_path, stdout=subprocess.PIPE) as upload:
        wait_for(lambda: "upload_accepted" in gateway.service.printed, within_s=5, what="accepted")
        start = time.monotonic()

        status = gateway.service.terminate()

        body, _, code = upload.communicate(timeout=5)[0].rpartition(b"\n")
    assert status == 0
    assert time.monotonic() - start < 5
    assert code == b"202"
    assert msgspec.json.decode(body)["token"]


async def test_a_gateway_told_to_stop_ends_though_requests_keep_coming(
    nats_server: NatsServer, gateway: Gateway
) -> None:
    async with connect(nats_server.url, name="flood") as flood:

        async def keep_asking() -> None:
            while True:
                await flood.connection.publish("audio.process", b"x" * 100, reply="_INBOX.x")
                await asyncio.sleep(0.05)

        asking = asyncio.create_task(keep_asking())
        await asyncio.sleep(0.5)

        assert await asyncio.to_thread(gateway.service.terminate) == 0
        asking.cancel()


@pytest.mark.parametrize("name", ["gateway", "analyzer", "transcriber"])
def test_sigterm_ends_a_service_that_still_waits_for_nats(service: Start, name: str) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    env = {"NATS_URL": nowhere, "HTTP_PORT": str(free_port()), "DECIBUS_MODEL": "demo"}
    waiting = service(name, LOG_LEVEL="debug", **env)
    wait_for(lambda: "nats_error" in waiting.printed, within_s=20, what="it looks for NATS")

    start = time.monotonic()

    assert waiting.terminate() == 0
    assert time.monotonic() - start < 2


def test_a_mistake_in_the_environment_is_one_clear_line(service: Start) -> None:
    broken = service("analyzer", SLOTS="many")

    assert broken.process.wait(timeout=20) == 1
    assert broken.printed == "configuration: SLOTS: Expected `int`, got `str`\n"


@pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)  # it moves 1.6 GB
def test_sixteen_uploads_of_100_mb_side_by_side_leave_the_gateway_small(
    gateway: Gateway, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LIMIT - 1000)
    curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-F", "file=@large"]
    uploads = [
        subprocess.Popen(
            [*curl, f"{gateway.url}/analyze?wait=0"], cwd=tmp_path, stdout=subprocess.PIPE
        )
        for _ in range(16)
    ]

    statuses = [upload.communicate(timeout=55)[0] for upload in uploads]

    assert statuses == [b"202"] * 16
    assert gateway.service.peak_rss_mb() < 256
