"""
How fast the blob store hands out an object, next to nats-py's own get.

    python -m bench.blobs [--megabytes 20 100] [--rounds 5] [--server PATH]

Both read the same object from the same server in the same run, turn by turn, into /dev/null; the
table shows medians and their ratio. nats-py's get to a file is the faster of its two ways.
"""

import argparse
import asyncio
import hashlib
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import nats
from nats.aio.client import Client
from nats.js.object_store import ObjectStore

from decibus.blobs import Blobs

MB: Final = 1_000_000
RESULTS: Final = Path(__file__).parent / "results" / "blobs.json"
BUILT: Final = Path(__file__).parent.parent / ".tools" / "bin" / "nats-server"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Medians for one size, in MB/s."""

    megabytes: int
    put: float
    get: float
    nats_py_put: float
    nats_py_get: float
    get_ratio: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/blobs.json."""

    server: str
    rounds: int
    rows: list[Row]


@contextmanager
def server(binary: str) -> Iterator[str]:
    """Run a nats-server on a free port, and give its URL."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "server.conf")
        config.write_text(
            f'host: 127.0.0.1\nport: -1\nports_file_dir: "{folder}"\nmax_payload: 8MB\n'
            f'jetstream {{ store_dir: "{folder}/store" }}\n'
        )
        with subprocess.Popen(  # noqa: S603 - the binary is ours to choose
            [binary, "--config", config], stderr=subprocess.DEVNULL
        ) as process:
            while not (ports := list(Path(folder).glob("*.ports"))):
                time.sleep(0.01)
            time.sleep(0.1)
            url = msgspec.json.decode(ports[0].read_bytes(), type=dict[str, list[str]])["nats"][0]
            yield f"nats://127.0.0.1:{urlsplit(url).port}"
            process.kill()


async def parts(data: bytes) -> AsyncIterator[bytes]:
    """Hand data out as an HTTP body comes."""
    view = memoryview(data)
    for start in range(0, len(data), 1 << 16):
        yield bytes(view[start : start + (1 << 16)])


async def seconds(call: Callable[[], Awaitable[object]]) -> float:
    """Time one call."""
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start


def version(connection: Client) -> str:
    """Return the server's version."""
    found = connection.connected_server_version
    return f"{found.major}.{found.minor}.{found.patch}"


async def compare(blobs: Blobs, bucket: ObjectStore, megabytes: int, rounds: int) -> Row:
    """Take turns, so that both meet the same weather."""
    size = megabytes * MB
    data = hashlib.shake_256(b"decibus").digest(size)
    times: dict[str, list[float]] = {"put": [], "nats_py_put": [], "get": [], "nats_py_get": []}
    with Path("/dev/null").open("wb") as nowhere:  # noqa: ASYNC230 - opens at once
        for number in range(rounds):
            # Fresh names, as uploads have.
            ours, theirs = f"ours-{number}", f"theirs-{number}"
            calls = _calls(blobs, bucket, data, nowhere, ours=ours, theirs=theirs)
            for what, call in calls.items():
                times[what].append(await seconds(call))
            await blobs.delete(ours)
            await bucket.delete(theirs)
    speed = {what: size / MB / statistics.median(taken) for what, taken in times.items()}
    return Row(megabytes=megabytes, get_ratio=speed["get"] / speed["nats_py_get"], **speed)


def _calls(  # noqa: PLR0913 - each by its name
    blobs: Blobs,
    bucket: ObjectStore,
    data: bytes,
    nowhere: BufferedWriter,
    *,
    ours: str,
    theirs: str,
) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "put": lambda: blobs.put(ours, parts(data), limit=len(data)),
        "nats_py_put": lambda: bucket.put(theirs, data),
        "get": lambda: blobs.fetch(ours, nowhere),
        "nats_py_get": lambda: bucket.get(theirs, writeinto=nowhere),
    }


async def main(binary: str, sizes: list[int], rounds: int) -> None:
    """Measure, print the table, and write the results."""
    with server(binary) as url:
        connection = await nats.connect(url)
        bucket = await connection.jetstream().create_object_store("audio")
        await connection.jetstream().add_stream(name="SEALS_audio", subjects=["seals.audio.*"])
        blobs = Blobs(connection, "audio")
        rows = [await compare(blobs, bucket, size, rounds) for size in sizes]
        report = Report(server=version(connection), rounds=rounds, rows=rows)
        await connection.close()
    print(f"nats-server {report.server}, median of {rounds}, MB/s")
    print("   MB     put   nats-py     get   nats-py   get ratio")
    for row in rows:
        print(
            f"{row.megabytes:5} {row.put:7.0f} {row.nats_py_put:9.0f}"
            f" {row.get:7.0f} {row.nats_py_get:9.1f} {row.get_ratio:10.1f}x"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[20])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--server", default=str(BUILT) if BUILT.exists() else shutil.which("nats-server")
    )
    arguments = parser.parse_args()
    asyncio.run(main(arguments.server, arguments.megabytes, arguments.rounds))
