"""
How long a gateway takes to say that it lives, when nothing happens and under uploads.

    python -m bench.flood [--rounds 3] [--uploads 64] [--megabytes 10]

In turns: nothing else for some seconds; then so many uploads side by side, each with a content of
its own, until all were answered. `/healthz` is asked all the time, by a process of its own on one
connection, a hundred times a second. The gateway and its nats-server are processes as well, started
for this; there are no workers.
"""

import argparse
import http.client
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, Self

import msgspec

from tests.conftest import SERVERS, NatsServer
from tests.processes import ROOT, Service, free_port, wait_for

RESULTS: Final = Path(__file__).parent / "results" / "flood.json"
PAUSE_S: Final = 0.01
IDLE_S: Final = 8.0
BOUNDARY: Final = "x"
NUMBERS: Final = itertools.count()


class Latency(msgspec.Struct, frozen=True):
    """Of all answers, in ms."""

    answers: int
    p50_ms: float
    p99_ms: float
    most_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/flood.json."""

    cpus: int
    rounds: int
    uploads: int
    megabytes: float
    idle: Latency
    loaded: Latency
    megabytes_per_s: float


def probe(port: int) -> None:
    """Ask until the standard input ends; print how long each answer took, in seconds."""
    is_over = threading.Event()

    def read() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=read, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    taken = []
    while not is_over.wait(PAUSE_S):
        start = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        taken.append(time.perf_counter() - start)
    sys.stdout.buffer.write(msgspec.json.encode(taken))


class Probe:
    """The process that asks while the block runs."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.taken: list[float] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.flood", "--probe", str(self._port)]
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        told = self._process.communicate()[0]
        self.taken = msgspec.json.decode(told, type=list[float])


def upload(port: int, audio: bytes) -> None:
    """Send one file that nobody has sent before, and delete its report."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    start = (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
        f'name="file"; filename="take.wav"\r\n\r\n{next(NUMBERS):016}'
    ).encode()
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    connection.putrequest("POST", "/analyze?wait=0&tasks=loudness")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(start) + len(audio) + len(end)))
    connection.endheaders()
    for piece in (start, audio, end):
        connection.send(piece)
    answer = connection.getresponse()
    told = answer.read()
    if answer.status != http.client.ACCEPTED:
        raise RuntimeError(told.decode())
    connection.request("DELETE", answer.headers["Location"])
    connection.getresponse().read()


def load(port: int, uploads: int, audio: bytes) -> float:
    """Send them side by side; returns how long all of them took."""
    start = time.perf_counter()
    threads = [threading.Thread(target=upload, args=(port, audio)) for _ in range(uploads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def latency(taken_s: list[float]) -> Latency:
    """Sum up."""
    shares = statistics.quantiles(taken_s, n=100)
    in_ms = [round(1e3 * each, 2) for each in (shares[49], shares[98], max(taken_s))]
    return Latency(len(taken_s), *in_ms)


def measure(port: int, rounds: int, uploads: int, megabytes: float) -> Report:
    """Take turns, so that both meet the same weather."""
    audio = os.urandom(int(megabytes * 1e6))
    load(port, 4, audio)  # warm
    idle: list[float] = []
    loaded: list[float] = []
    took_s = 0.0
    for _ in range(rounds):
        with Probe(port) as quiet:
            time.sleep(IDLE_S)
        with Probe(port) as busy:
            took_s += load(port, uploads, audio)
        idle += quiet.taken
        loaded += busy.taken
    return Report(
        cpus=os.cpu_count() or 1,
        rounds=rounds,
        uploads=uploads,
        megabytes=megabytes,
        idle=latency(idle),
        loaded=latency(loaded),
        megabytes_per_s=round(rounds * uploads * megabytes / took_s, 1),
    )


def main(rounds: int, uploads: int, megabytes: float) -> None:
    """Measure, print, and write the results."""
    version = list(SERVERS)[-1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = NatsServer(SERVERS[version], version, folder)
        server.start()
        port = free_port()
        env = {"NATS_URL": server.url, "HTTP_PORT": str(port), "RATE_LIMIT": "0"}
        gateway = Service("gateway", env | {"METRICS_PORT": "0"}, folder / "log").until_ready()
        try:
            wait_for(lambda: _answers(port), within_s=10, what="the gateway's port")
            report = measure(port, rounds, uploads, megabytes)
        finally:
            gateway.terminate()
            server.terminate()
    for what, told in (("idle", report.idle), (f"{uploads} uploads", report.loaded)):
        print(
            f"{what:12} p50 {told.p50_ms:6.2f} ms   p99 {told.p99_ms:6.2f} ms   "
            f"most {told.most_ms:6.2f} ms   of {told.answers}"
        )
    print(f"{report.megabytes_per_s:g} MB/s of uploads")
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _answers(port: int) -> bool:
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uploads", type=int, default=64)
    parser.add_argument("--megabytes", type=float, default=10.0)
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        probe(arguments.probe)
    else:
        main(arguments.rounds, arguments.uploads, arguments.megabytes)
