"""
The operator's command for jobs that failed for good: `python -m services.gateway.dead`.

    list               one line a dead letter, the newest first
    show KEY           all that is known of one job
    requeue KEY...     give the jobs another life, as long as their audio is there
    drop KEY...        forget the letters
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Final, TextIO

import msgspec

from decibus import jobs
from decibus.blobs import Blobs
from decibus.broker import Broker, connect
from decibus.dead import DeadLetters, Letter
from decibus.errors import DecibusError, NotFound
from decibus.jobs import Job
from decibus.ledger import Ledger
from decibus.messages import Task
from decibus.settings import NatsLogin, Partitions, from_environment
from decibus.telemetry import TRACEPARENT, configure_logs, trace_id, traceparent
from decibus.topology import AUDIO, QUEUES

_PATIENCE_S: Final = 10.0


class DeadSettings(NatsLogin, frozen=True, kw_only=True):
    """Which pipeline to look at, and how many streams its queues are."""

    nats_url: str = "nats://127.0.0.1:4222"
    partitions: Partitions = 1


class Mortuary:
    """What an operator can do with dead letters; each act returns the line that tells of it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._dead = DeadLetters(broker)
        self._ledger = Ledger(broker)
        self._blobs = Blobs(broker.connection, AUDIO.name)

    async def list_all(self) -> str:
        """Tell of all letters, the newest first."""
        async with aclosing(self._dead.all()) as letters:
            lines = [line_of(letter) async for letter in letters]
        return "\n".join(reversed(lines)) or "there are no dead letters"

    async def show(self, key: str) -> str:
        """Tell everything about one job."""
        letters = await self._letters(key)
        job = await self._ledger.find(key)
        facts = {
            "now": job.state if job else "its record has expired or was deleted",
            "audio": "there" if job and await self._blobs.is_whole(job.blob) else "gone",
        }
        told = [msgspec.structs.asdict(letter) for letter in reversed(letters)]
        blocks = [*told, facts]
        return "\n\n".join(
            "\n".join(f"{name:<12} {value}" for name, value in block.items()) for block in blocks
        )

    async def requeue(self, key: str) -> str:
        """Give a failed job another life, and drop its letters."""
        letters = await self._letters(key)
        job = await self._ledger.find(key)
        if job is None:
            raise NotFound("its record has expired or was deleted: upload the file again")
        if not await self._blobs.is_whole(job.blob):
            raise NotFound("its audio is gone: upload the file again")
        now = datetime.now(UTC)

        def reopen(job: Job) -> Job:
            return jobs.reopen(job, blob=job.blob, siblings=job.siblings, now=now)

        await self._publish(await self._ledger.move(key, reopen), job, letters[-1])
        await self._drop(letters)
        return f"{key} requeued"

    async def drop(self, key: str) -> str:
        """Forget a job's letters; its record and its audio end with their own age."""
        await self._drop(await self._letters(key))
        return f"{key} dropped"

    async def _publish(self, opened: Job, failed: Job, letter: Letter) -> None:
        """Queue the reopened job; when that cannot be done it is failed again, as it was."""
        queue = QUEUES[jobs.task_of(opened.options)]
        body = msgspec.json.encode(Task(key=opened.key))
        headers = {TRACEPARENT: letter.traceparent or traceparent(trace_id(None))}
        try:
            await self._broker.publish(
                queue, opened.key, body, dedup_id=opened.dedup_id, headers=headers
            )
        except DecibusError:
            fault = failed.fault
            if fault is not None:
                now = datetime.now(UTC)
                cancel = partial(jobs.cancel, blob=opened.blob, fault=fault, now=now)
                await self._ledger.move(opened.key, cancel)
            raise

    async def _letters(self, key: str) -> list[Letter]:
        letters = await self._dead.of(key)
        if not letters:
            raise NotFound("there is no dead letter with this key")
        return letters

    async def _drop(self, letters: list[Letter]) -> None:
        for letter in letters:
            await self._dead.drop(letter)


def line_of(letter: Letter) -> str:
    """Return a letter as one line."""
    at = letter.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    attempt = f"attempt {letter.attempt or '?'}"
    return f"{at}  {letter.task:<10}  {letter.key}  {letter.code}  {attempt}  {letter.detail}"


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; a mistake ends the process with the usage."""
    parser = argparse.ArgumentParser(
        prog="python -m services.gateway.dead",
        description="Jobs that failed for good. NATS_URL says where.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="one line a dead letter, the newest first")
    commands.add_parser("show", help="all that is known of one job").add_argument("keys", nargs=1)
    for name, text in (("requeue", "give jobs another life"), ("drop", "forget their letters")):
        commands.add_parser(name, help=text).add_argument("keys", nargs="+", metavar="KEY")
    return parser.parse_args(arguments)


async def main(settings: DeadSettings, arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code: 1 when any of the keys could not be served."""
    try:
        async with (
            asyncio.timeout(_PATIENCE_S) as patience,
            connect(
                settings.nats_url, name="dead", login=settings, partitions=settings.partitions
            ) as broker,
        ):
            await broker.agree()
            patience.reschedule(None)
            return await _serve(Mortuary(broker), arguments)
    except DecibusError as error:
        _tell(f"{settings.nats_url}: {error}", sys.stderr)
    except TimeoutError:
        _tell(f"{settings.nats_url}: no answer within {_PATIENCE_S:g} s", sys.stderr)
    return 1


async def _serve(mortuary: Mortuary, arguments: argparse.Namespace) -> int:
    if arguments.command == "list":
        _tell(await mortuary.list_all())
        return 0
    acts: dict[str, Callable[[str], Awaitable[str]]] = {
        "show": mortuary.show,
        "requeue": mortuary.requeue,
        "drop": mortuary.drop,
    }
    failed = 0
    for key in arguments.keys:
        try:
            _tell(await acts[arguments.command](key))
        except DecibusError as error:
            failed = 1
            _tell(f"{key}: {error}", sys.stderr)
    return failed


def _tell(text: str, stream: TextIO = sys.stdout) -> None:
    print(text, file=stream)


if __name__ == "__main__":
    asked = read_arguments(sys.argv[1:])
    configure_logs("dead", "error")
    sys.exit(asyncio.run(main(from_environment(DeadSettings), asked)))
