"""Files on their way through a gateway's process: broken off, taken up again, and large."""

import asyncio
import hashlib
import socket
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from decibus.broker import connect
from decibus.topology import OUTPUTS
from tests.conftest import SERVERS, NatsServer
from tests.disk import count_on_disk
from tests.e2e.conftest import Gateway, Start, report
from tests.processes import wait_for
from tests.signals import encode, music

pytestmark = pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)

PATCHED = {"Content-Type": "application/offset+octet-stream"}
PROMISE_S = 5.0


@pytest.fixture
def http(gateway: Gateway, nats_server: NatsServer, service: Start) -> Iterator[httpx.Client]:
    """Return a client of a gateway that has a transcoder."""
    service("transcoder", NATS_URL=nats_server.url).until_ready()
    with httpx.Client(base_url=gateway.url, timeout=60) as client:
        yield client


def create(http: httpx.Client, **wanted: Any) -> Any:
    return report(http.post("/jobs/", json={"transcode": {"format": wanted}}))


def run(http: httpx.Client, job: Any) -> Any:
    """Start a job, and return it when it is completed."""
    assert http.post(f"/jobs/{job['_id']}/status/started/").status_code == 200

    def ended() -> Any:
        now = report(http.get(f"/jobs/{job['_id']}/"))
        return now if now["status"] in {"completed", "failed"} else None

    done = wait_for(ended, within_s=40, what="the end of the job")
    assert done["status"] == "completed", done
    return done


def test_a_cut_upload_goes_on_from_there_and_a_cut_download_too(
    gateway: Gateway, http: httpx.Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    source = encode(music(20.0), 48_000, "wav16")
    job = create(http, extension="flac")
    link = job["source"]["upload_url"]
    with gateway.connect() as sender:
        head = f"PUT {link} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(source)}\r\n\r\n"
        sender.sendall(head.encode() + source[:1_500_000])

    def offset() -> int:
        return int(http.head(link).headers["upload-offset"])

    came = wait_for(offset, within_s=10, what="what had come before the cut")
    assert 0 < came <= 1_500_000
    assert http.head(link).headers["upload-length"] == str(len(source))
    assert http.post(f"/jobs/{job['_id']}/status/started/").status_code == 409
    told = PATCHED | {"Upload-Offset": str(came)}
    assert http.patch(link, content=source[came:], headers=told).status_code == 204
    done = run(http, job)
    whole = http.get(done["transcode"]["download_url"]).content
    http.delete(f"/jobs/{job['_id']}/")

    files, data = {"file": ("take.wav", source)}, {"extension": "flac", "wait": "0"}
    taken = report(http.post("/transcode", files=files, data=data | {"retention": "once"}))
    place = f"/outputs/{taken['token']}"
    assert http.head(place, params={"wait": "40"}).headers["content-length"] == str(len(whole))
    got = _cut_download(gateway, place, at_least=300_000)

    assert whole.startswith(got)
    keys = asyncio.run(_keys(nats_server.url))
    assert len(keys) == 1
    # Not at once: nats-server 2.9 writes a moment later.
    wait_for(lambda: _on_disk(tmp_path, whole, *keys), within_s=PROMISE_S, what="kept until then")
    rest = http.get(place, headers={"Range": f"bytes={len(got)}-"})
    assert (rest.status_code, got + rest.content == whole) == (206, True)
    wait_for(lambda: not _on_disk(tmp_path, whole, *keys), within_s=PROMISE_S, what="gone")
    assert http.get(place).status_code == 404


def _cut_download(gateway: Gateway, place: str, *, at_least: int) -> bytes:
    with gateway.connect() as reader:
        # So that most of the file has to wait for a reader who never comes for it.
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader.sendall(f"GET {place} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = b""
        while len(got) < at_least:
            got += reader.recv(65_536)
    return got.partition(b"\r\n\r\n")[2]


def _on_disk(tmp_path: Path, file: bytes, *keys: bytes) -> int:
    return count_on_disk(tmp_path / "nats" / "store", [file[len(file) // 2 :][:100], *keys])


async def _keys(url: str) -> list[bytes]:
    """Return what the files of the store `outputs` are encrypted with."""
    async with connect(url, name="test") as broker:
        walk = broker.walk(OUTPUTS.seals, OUTPUTS.seal_subjects)
        return [msgspec.json.decode(seal.body)["key"].encode() async for seal in walk]


def test_no_bit_of_a_links_signature_may_be_flipped(http: httpx.Client) -> None:
    link = create(http, extension="flac")["source"]["upload_url"]
    unsigned, _, signature = link.partition("&signature=")

    flipped = [f"{unsigned}&signature={int(signature, 16) ^ (1 << bit):064x}" for bit in range(256)]
    answers = [http.put(each, content=b"x") for each in flipped]

    assert {answer.status_code for answer in answers} == {403}
    assert len({report(answer)["detail"] for answer in answers}) == 1
    assert http.head(link).headers["upload-offset"] == "0", "and nothing was taken in"
    assert http.get(urlsplit(link).path).status_code == 403


@pytest.mark.timeout(120)
def test_large_files_pass_in_little_memory(
    gateway: Gateway, http: httpx.Client, tmp_path: Path
) -> None:
    large = tmp_path / "large.wav"
    with wave.open(str(large), "wb") as audio:
        audio.setparams((2, 2, 48_000, 0, "NONE", ""))
        for _ in range(100):
            audio.writeframesraw(bytes(1_000_000))
    before = gateway.service.peak_rss_mb()
    job = create(http, extension="wav")
    url = f"{gateway.url}{job['source']['upload_url']}"
    put = ["curl", "-sS", "-f", "-T", str(large), url]
    subprocess.run(put, check=True, timeout=60)
    done = run(http, job)

    get = ["curl", "-sS", "-f", "--retry", "9", f"{gateway.url}{done['transcode']['download_url']}"]
    readers = [subprocess.Popen(get, stdout=subprocess.PIPE) for _ in range(2)]
    digests = {_digest(reader) for reader in readers}

    assert digests == {hashlib.sha256(large.read_bytes()).hexdigest()}
    assert gateway.service.peak_rss_mb() - before < 64


def _digest(reader: "subprocess.Popen[bytes]") -> str:
    sha256 = hashlib.sha256()
    with reader:
        assert reader.stdout is not None
        while piece := reader.stdout.read(1 << 20):
            sha256.update(piece)
    assert reader.returncode == 0
    return sha256.hexdigest()
