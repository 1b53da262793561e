"""
A point: what is measured of one call, or of one task of it, as a line of InfluxDB's line protocol.

    call,model=none,service=gateway,source=http,status=done,task=analyze attempt=1i,latency=0.4 17…

The lines are made here and not by influxdb-client, whose `Point` takes 17 times as long. Tags are
few and bounded, and cleaned, so that nothing needs quoting. What identifies a point in InfluxDB is
its tags and its time: `stamped` makes the time unique, and the same whenever a message is delivered
again.
"""

import math
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from decibus.errors import BadRequest

NONE: Final = "none"
"""The value of a tag that a point does not have: InfluxDB knows no empty one."""
_MAX_TAG_CHARS: Final = 64
_CLEAN: Final = re.compile(rf"[\w.+/:@-]{{1,{_MAX_TAG_CHARS}}}", re.ASCII)
_UNCLEAN: Final = re.compile(r"[^\w.+/:@-]", re.ASCII)
_WHOLE_US: Final = re.compile(rb"000$", re.MULTILINE)


class Kind(StrEnum):
    """What is measured: a call, which is one upload, or one of its tasks."""

    CALL = "call"
    TASK = "task"


class Status(StrEnum):
    """
    How it ended, the best first.

    `withdrawn`: deleted before it was done; `refused`: by the sender's fault; `failed`: by ours.
    """

    DONE = "done"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    FAILED = "failed"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """
    Durations in seconds; None is what does not apply, as the work of an answer that was there.

    `service` has done it, `source` is the door that it came in by, `task` what was done; several
    tasks of a call are joined with `+`. `bytes` and `audio_length` are the upload's. `at_us`: when
    it ended, in µs since 1970.
    """

    kind: Kind
    service: str
    task: str
    status: Status
    source: str
    model: str = NONE
    latency: float | None = None
    queue_wait: float | None = None
    work: float | None = None
    audio_length: float | None = None
    bytes: int = 0
    attempt: int = 0
    at_us: int


def line_of(point: Point) -> str:
    """Return the point as a line, without a newline; its time ends in 000 for `stamped`."""
    tags = ",".join(f"{name}={clean(getattr(point, name))}" for name in _TAGS)
    fields = f"attempt={point.attempt}i,bytes={point.bytes}i"
    for name in _DURATIONS:
        value = getattr(point, name)
        if value is not None and math.isfinite(value):
            fields += f",{name}={value:.6f}"
    return f"{point.kind},{tags} {fields} {point.at_us}000"


def points_of(body: bytes) -> Iterator[Point]:
    """Read lines as `line_of` writes them, or a newer release; raises `BadRequest` for others."""
    for line in body.decode("utf-8", "replace").splitlines():
        yield _point_of(line)


def stamped(body: bytes, sequence: int) -> bytes:
    """
    Make the times of a message's lines unique, by its sequence in the stream.

    Two calls may end in the same microsecond, but not a thousand.
    """
    return _WHOLE_US.sub(b"%03d" % (sequence % 1000), body)


def clean(tag: str) -> str:
    """Return the value as a tag may have it: short, and of letters that need no quoting."""
    return _UNCLEAN.sub("_", tag[:_MAX_TAG_CHARS]) or NONE


_TAGS: Final = ("model", "service", "source", "status", "task")  # InfluxDB likes them sorted
_DURATIONS: Final = ("audio_length", "latency", "queue_wait", "work")
_KNOWN: Final = {*_TAGS, *_DURATIONS, "attempt", "bytes"}


def _point_of(line: str) -> Point:
    try:
        key, fields, at_ns = line.split(" ")
        kind, *tags = key.split(",")
        said = dict(pair.split("=", 1) for pair in (*tags, *fields.split(",")))
        found = {name: value.removesuffix("i") for name, value in said.items() if name in _DIGITS}
        known = {name: value for name, value in said.items() if name in _KNOWN} | found
        point = msgspec.convert(
            known | {"kind": kind, "at_us": int(at_ns) // 1000}, Point, strict=False
        )
    except ValueError as error:  # msgspec's is one, too
        raise BadRequest(f"{line[:200]!r} is no point: {error}") from error
    if not _is_likely(point):
        raise BadRequest(f"{line[:200]!r} is no point of ours")
    return point


def _is_likely(point: Point) -> bool:
    """Whether it can be counted: one that cannot would spoil all that it is counted with."""
    durations = (point.audio_length, point.latency, point.queue_wait, point.work)
    tags = (point.model, point.service, point.source, point.task)
    return all(value is None or 0 <= value < _LONGEST_S for value in durations) and all(
        map(_CLEAN.fullmatch, tags)
    )


_DIGITS: Final = {"attempt", "bytes"}
_LONGEST_S: Final = 1e9
