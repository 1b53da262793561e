"""
Dead letters: one message in JOBS_DEAD for each job that failed for good, with why in its headers.

The body is the job's task, so that whoever mends the cause can queue it again as it is.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Final

import msgspec

from decibus import jobs
from decibus.broker import Broker, Stored
from decibus.errors import BadRequest
from decibus.jobs import Job
from decibus.messages import Task
from decibus.telemetry import TRACEPARENT
from decibus.topology import DEAD, DEAD_PREFIX, QUEUES

_CODE: Final = "Decibus-Code"
_DETAIL: Final = "Decibus-Detail"
_ATTEMPT: Final = "Decibus-Attempt"
_EPOCH: Final = "Decibus-Epoch"
_OWNER: Final = "Decibus-Owner"
_MAX_HEADER_CHARS: Final = 500
_KEY: Final = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known of a job that failed for good.

    `owner` is the worker that had it last, `sequence` where the letter lies in JOBS_DEAD.
    """

    sequence: int
    at: datetime
    task: str
    key: str
    code: str
    detail: str
    attempt: str
    epoch: str
    owner: str
    traceparent: str


class DeadLetters:
    """The letters in JOBS_DEAD."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def add(self, job: Job, traceparent: str | None) -> None:
        """Tell that a job failed for good; told again, of the same life, it stays one letter."""
        queue = QUEUES[jobs.task_of(job.options)]
        await self._broker.append(
            queue.dead_subject(job.key),
            msgspec.json.encode(Task(key=job.key)),
            dedup_id=f"{job.dedup_id}.dead",
            headers=headers_of(job, traceparent),
        )

    async def all(self) -> AsyncGenerator[Letter, None]:
        """Yield every letter, the oldest first."""
        async with aclosing(self._broker.walk(DEAD.stream, f"{DEAD_PREFIX}>")) as messages:
            async for message in messages:
                yield letter_of(message)

    async def of(self, key: str) -> list[Letter]:
        """Return the letters of one job, the oldest first: one for each of its lives."""
        if not _KEY.fullmatch(key):
            raise BadRequest(f"{key[:100]!r} is no key of a job")
        async with aclosing(self._broker.walk(DEAD.stream, f"{DEAD_PREFIX}*.{key}")) as messages:
            return [letter_of(message) async for message in messages]

    async def drop(self, letter: Letter) -> None:
        """Delete a letter."""
        await self._broker.remove(DEAD.stream, letter.sequence)


def headers_of(job: Job, traceparent: str | None) -> dict[str, str]:
    """Return what a letter says of a failed job, in headers that every client can read."""
    headers = {
        _CODE: job.fault.code if job.fault else "",
        _DETAIL: job.fault.detail if job.fault else "",
        _ATTEMPT: str(job.attempt),
        _EPOCH: str(job.epoch),
        _OWNER: job.owner or "",
        TRACEPARENT: traceparent or "",
    }
    return {name: safe for name, value in headers.items() if (safe := _printable(value))}


def letter_of(message: Stored) -> Letter:
    """Read a letter; what it does not say is empty."""
    task, _, key = message.subject.removeprefix(DEAD_PREFIX).partition(".")
    headers = message.headers
    return Letter(
        sequence=message.sequence,
        at=message.at,
        task=task,
        key=key,
        code=headers.get(_CODE, ""),
        detail=headers.get(_DETAIL, ""),
        attempt=headers.get(_ATTEMPT, ""),
        epoch=headers.get(_EPOCH, ""),
        owner=headers.get(_OWNER, ""),
        traceparent=headers.get(TRACEPARENT, ""),
    )


def _printable(text: str) -> str:
    """Return one line of printable ASCII: an error's words may quote what a sender has sent."""
    line = " ".join(text[:_MAX_HEADER_CHARS].split())
    plain = "".join(char if char.isprintable() else "?" for char in line)
    return plain.encode("ascii", "backslashreplace").decode()[:_MAX_HEADER_CHARS]
