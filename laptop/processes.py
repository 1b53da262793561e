"""
Commands side by side: their output shown, their end noticed, nothing left over.

honcho reads the Procfile and prints the prefixed lines. Its Manager (2.0.0) does not run them: it
kills what still drains 5 s after the first exit, waits for ever when none exits, fails on a Ctrl-C
that comes before all have started, and does not tell which one ended first.
"""

import asyncio
import os
import signal
import sys
from asyncio import subprocess, transports
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

from honcho.colour import get_colours
from honcho.printer import Message, Printer

DRAIN_S: Final = 8.0
"""How long a service is told to go on after SIGTERM with what it has in hand."""
KILL_S: Final = DRAIN_S + 2
"""How long after SIGTERM it is killed."""


class Process(asyncio.SubprocessProtocol):
    """A command in a session of its own, so that a Ctrl-C reaches it only through us."""

    def __init__(self, name: str, output: "Output") -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.ended: asyncio.Future[None] = loop.create_future()
        self._silent: asyncio.Future[None] = loop.create_future()
        self._output = output
        self._rest = b""

    def connection_made(self, transport: transports.BaseTransport) -> None:
        """See `asyncio.SubprocessProtocol`."""
        assert isinstance(transport, transports.SubprocessTransport)  # noqa: S101 - it always is
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Show the lines that are complete."""
        del fd  # stderr goes into stdout
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._output.show(self.name, line)

    def process_exited(self) -> None:
        """See `asyncio.SubprocessProtocol`; its output may still be on the way."""
        self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Show what came last: the process has ended, and nobody holds its pipe any more."""
        del exc
        if self._rest:
            self._output.show(self.name, self._rest)
        self._silent.set_result(None)

    def __str__(self) -> str:
        code = self._transport.get_returncode()
        if code is None:
            return f"{self.name} is running"
        reason = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        return f"{self.name} ended by itself ({reason})"

    @property
    def has_failed(self) -> bool:
        """Whether it has ended with another status than 0."""
        return bool(self._transport.get_returncode())

    async def stop(self) -> None:
        """Let it drain, then kill it with all that it started."""
        if not self.ended.done():
            # To the process alone, as Kubernetes does: its children are its own to stop.
            with suppress(ProcessLookupError):
                self._transport.send_signal(signal.SIGTERM)
            await asyncio.wait([self.ended], timeout=KILL_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)
        await asyncio.wait([self._silent], timeout=1)
        self._transport.close()


class Output:
    """Lines on stdout with time, name and colour of who wrote them; not those with `hide`."""

    def __init__(self, names: Sequence[str], *, hide: bytes) -> None:
        self._hide = hide
        self._printer = Printer(sys.stdout, width=max(map(len, names)))
        self._colours = dict(zip(names, get_colours(), strict=False))

    def show(self, name: str, line: bytes) -> None:
        """Print one line of a process."""
        if self._hide in line:
            return
        now = datetime.now(UTC).astimezone()
        with suppress(OSError):  # the terminal may be closed, and we still have to stop in order
            self._printer.write(Message("line", line, now, name, self._colours.get(name)))


@asynccontextmanager
async def running(
    commands: Mapping[str, Sequence[str]],
    *,
    env: Mapping[str, str],
    output: Output,
    own: Callable[[str], Mapping[str, str]] = lambda _: {},
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[list[Process]]:
    """Run the commands for as long as the block does; all are stopped at once. `own`: more env."""
    loop = asyncio.get_running_loop()
    processes: list[Process] = []
    try:
        for name, command in commands.items():
            _, process = await loop.subprocess_exec(
                partial(Process, name, output),
                *command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**env, **own(name)},
                pass_fds=pass_fds,
            )
            processes.append(process)
        yield processes
    finally:
        await asyncio.gather(*(process.stop() for process in processes))
