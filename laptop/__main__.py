"""Checks first, then nats-server, then the services of the Procfile; stops them in reverse."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from honcho.environ import parse_procfile

from decibus.settings import from_environment
from laptop import CannotRun, nats_server, preflight, programs, readiness
from laptop.processes import DRAIN_S, Output, Process, running
from laptop.secured import Secured

POLL_S: Final = 0.1
_BOOTSTRAP: Final = {"bootstrap": [sys.executable, "-m", "decibus.bootstrap"]}
"""What makes the streams where the services may not."""
PATIENCE_S: Final = 5.0
"""After this long we tell what we are still waiting for."""

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `make run` reads itself; the services get the whole environment."""

    http_host: str = "127.0.0.1"
    http_port: Port = 8000
    nats_port: Port | None = None
    nats_server: str | None = None
    nats_secure: bool = False
    var_dir: str = str(programs.ROOT / "var")
    procfile: str = str(programs.ROOT / "Procfile")
    transcoder_mode: Literal["deployment", "job"] = "deployment"


class Stopped(Exception):
    """A signal asked us to end."""


def main() -> int:
    """Run the pipeline in the foreground; Ctrl-C or SIGTERM ends it with status 0."""
    settings = from_environment(Settings)
    var = Path(settings.var_dir).resolve()
    try:
        preflight.check_port(settings.http_host, settings.http_port, "HTTP_PORT")
        with preflight.claimed(var) as lock:
            port = preflight.nats_port(settings.nats_port, usual=nats_server.PORT)
            server = nats_server.obtain(settings.nats_server)
            secured = Secured(var / "nats" / "users", port=port) if settings.nats_secure else None
            more = secured.config if secured else ""
            config = nats_server.write_config(server.version, port=port, var=var, more=more)
            if server.version < nats_server.SOUND:
                _say(
                    f"nats-server {server.version} may lose messages when the machine crashes: "
                    f"{nats_server.SOUND} or newer is safer"
                )
            command = [str(server.program), "--config", str(config)]
            asyncio.run(pipeline(settings, command, port, lock, secured))
    except CannotRun as error:
        _say(str(error))
        return 1
    except (Stopped, KeyboardInterrupt):
        return 0
    return 0


async def pipeline(
    settings: Settings, nats: Sequence[str], nats_port: int, lock: int, secured: Secured | None
) -> None:
    """Start everything, tell when it is ready, and wait until it ends one way or another."""
    stop = _signalled()
    host, port = settings.http_host, settings.http_port
    nats_url = f"nats://127.0.0.1:{nats_port}"
    given = os.environ  # noqa: TID251 - all inherit it, as from a shell
    env = {**nats_server.ENV, **given} | {
        "NATS_URL": nats_url,
        "HTTP_HOST": host,
        "HTTP_PORT": str(port),
        "GRACE_S": str(DRAIN_S),
        "PYTHONUNBUFFERED": "1",
    }
    services = _services(Path(settings.procfile))
    if settings.transcoder_mode == "job":
        services["transcoder"] = [sys.executable, "-m", "laptop.on_demand"]
    output = Output(["nats-server", *services], hide=nats_server.CHATTER)
    own = secured.login if secured else _nobody

    async with running({"nats-server": nats}, env=env, output=output, pass_fds=[lock]) as broker:
        while not await nats_server.accepts(nats_port):
            await _watch(stop, broker, POLL_S)
        if secured:
            async with running(_BOOTSTRAP, env=env, own=own, output=output) as (bootstrap,):
                while not bootstrap.ended.done():
                    await _watch(stop, broker, POLL_S)
                if bootstrap.has_failed:
                    raise CannotRun(f"{bootstrap}: its lines tell why")

        async with running(services, env=env, own=own, output=output) as workers:
            everything = [*broker, *workers]
            await _ready(stop, everything, host, port)
            print(_banner(f"http://{host}:{port}", nats_url, secured), flush=True)  # noqa: T201
            await _watch(stop, everything, None)


async def _ready(
    stop: asyncio.Future[None], processes: Sequence[Process], host: str, port: int
) -> None:
    loop = asyncio.get_running_loop()
    patient_until = loop.time() + PATIENCE_S
    told = ""
    while not (now := await asyncio.to_thread(readiness.ask, host, port)).is_complete:
        if loop.time() > patient_until and now.missing != told:
            told = now.missing
            _say(f"waiting for {told}")
        await _watch(stop, processes, POLL_S)


async def _watch(
    stop: asyncio.Future[None], processes: Sequence[Process], for_s: float | None
) -> None:
    """Wait; a signal, or a process that ends, ends everything."""
    ends = [stop, *(process.ended for process in processes)]
    await asyncio.wait(ends, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        raise Stopped
    for process in processes:
        if process.ended.done():
            raise CannotRun(f"{process}, so everything was stopped; its last lines tell why")


def _nobody(_: str) -> Mapping[str, str]:
    """Log in as nobody: without users, whoever is on this machine may do anything."""
    return {}


def _signalled() -> asyncio.Future[None]:
    """Return what a signal completes; asked again and again, we are ending already."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    return stop


def _services(procfile: Path) -> dict[str, list[str]]:
    try:
        processes = parse_procfile(procfile.read_text()).processes
    except OSError as error:
        raise CannotRun(f"cannot read {procfile}: {error.strerror}") from error
    # `python` is the one that runs us, whatever the PATH says.
    return {
        name: [sys.executable if word == "python" else word for word in shlex.split(command)]
        for name, command in processes.items()
    }


# Without --force-stdin the tool ignores its input whenever its output is no terminal.
_REQUEST: Final = (
    "request audio.process --timeout 120s --raw --no-templates --force-stdin < take.wav"
)


def _banner(page: str, nats_url: str, secured: Secured | None) -> str:
    nats = f". {secured.file('client')}; nats" if secured else f"nats -s {nats_url}"
    return f"""
decibus is ready
  page   {page}/
  try    curl -F file=@take.wav {page}/analyze
  nats   {nats} {_REQUEST}
  stop   Ctrl-C
"""


def _say(line: str) -> None:
    print(f"decibus: {line}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
