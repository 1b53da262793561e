"""
A local nats-server: which version, configured how, when it is up.

Each minor version has a store of its own: an older nats-server cannot read what a newer one wrote.
"""

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from decibus import topology
from laptop import CannotRun, programs

PORT: Final = 4222
CHATTER: Final = b" [INF] "
"""Marks the lines of its log that say that all is well."""
ENV: Final = {"GOGC": "400", "GOMEMLIMIT": "800MiB"}
"""Less often collected, up to that limit: a third less of its processor time under many uploads."""
STORE_BYTES: Final = 2 * sum(asset.max_bytes for asset in (*topology.BUCKETS, *topology.STORES))
"""Room for what the topology reserves, and as much again for the queues."""


class Version(NamedTuple):
    """Compares as versions do."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


OLDEST: Final = Version(2, 9, 10)
SYNC_INTERVAL: Final = Version(2, 10, 0)
"""Older servers refuse to start with `sync_interval` in their configuration."""
SOUND: Final = Version(2, 10, 23)
"""2.10.20 to 2.10.22 can lose a stream when they are killed; older ones sync every 2 minutes."""


class Server(NamedTuple):
    """A program, and what it said that it is."""

    program: Path
    version: Version


def parse_version(text: str) -> Version | None:
    """Read what `nats-server --version` prints, None when it is something else."""
    match = re.search(r"nats-server: v?(\d+)\.(\d+)\.(\d+)", text)
    return Version(*map(int, match.groups())) if match else None


def obtain(asked: str | None) -> Server:
    """Return the nats-server to use: the one asked for, else one found or installed."""
    chosen = asked and programs.find(asked)
    if asked and not chosen:
        raise CannotRun(f"NATS_SERVER={asked} is no program")
    program = Path(chosen or programs.ensure("nats-server"))
    try:
        ran = subprocess.run(  # noqa: S603 - what the user chose, or what we found
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{program} does not run: {error}") from error
    version = parse_version(ran.stdout)
    if version is None:
        raise CannotRun(f"{program} is no nats-server: it tells no version")
    if version < OLDEST:
        raise CannotRun(f"{program} is nats-server {version}; decibus needs {OLDEST} or newer")
    return Server(program, version)


def store(var: Path, version: Version) -> Path:
    """Return where this version keeps its streams."""
    return var / "nats" / f"{version.major}.{version.minor}"


def config(version: Version, *, port: int, var: Path, more: str = "") -> str:
    """Return the configuration of a server that only this machine can reach."""
    sync = "\n  sync_interval: always" if version >= SYNC_INTERVAL else ""
    return f"""\
# Written by `make run` for nats-server {version}.
listen: 127.0.0.1:{port}
server_name: decibus-laptop
max_payload: 8MB
max_pending: 64MB
jetstream {{
  store_dir: {_quoted(store(var, version))}
  max_file: {STORE_BYTES}{sync}
}}
{more}"""


def write_config(version: Version, *, port: int, var: Path, more: str = "") -> Path:
    """Write the configuration, for our eyes only, and return where."""
    path = var / "nats" / "nats-server.conf"
    try:
        store(var, version).mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(config(version, port=port, var=var, more=more))
    except OSError as error:
        raise CannotRun(f"cannot write to {path.parent}: {error.strerror}") from error
    return path


def _quoted(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()


async def accepts(port: int) -> bool:
    """Say whether a NATS server greets on this port."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            greeting = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return greeting.startswith(b"INFO ")
