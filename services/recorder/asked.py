"""What InfluxDB says, for a gateway that is asked for it: `/stats?source=influx`."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec

from decibus.broker import Call
from decibus.calls import Stats, TaskStats, window_of
from decibus.errors import DecibusError, Refused, Unavailable
from decibus.sketches import RELATIVE_ERROR
from services.recorder import flux
from services.recorder.influx import Influx


class Asked:
    """Answers one question after the other."""

    def __init__(self, influx: Influx | None, bucket: str) -> None:
        self._influx = influx
        self._bucket = bucket

    async def answer(self, call: Call) -> None:
        """Answer with the stats of the window that the body names."""
        try:
            stats = await self._stats(call.take_body().decode("ascii", "replace"))
            await call.reply(msgspec.json.encode(stats))
        except (Refused, Unavailable) as error:
            await call.refuse(error.status, str(error), b"")

    async def _stats(self, text: str) -> Stats:
        if self._influx is None:
            raise Unavailable("the recorder has no INFLUXDB_URL")
        window = window_of(text)
        since = window.since(datetime.now(UTC))
        try:
            rows = await asyncio.to_thread(self._influx.ask, flux.stats(self._bucket, since=since))
        except Unavailable:
            raise
        except DecibusError as error:
            raise Unavailable(str(error)) from error
        return stats_of(rows, window.text, since)


def stats_of(rows: list[dict[str, Any]], window: str, since: datetime) -> Stats:
    """Put together what the rows of `flux.stats` say."""
    by_task: dict[str, dict[str, float]] = {}
    for row in rows:
        by_task.setdefault(str(row["task"]), {})[str(row["result"])] = row["_value"]
    calls = by_task.pop(flux.ALL, {})
    length_s = calls.get("length", 0.0)
    return Stats(
        total_calls=int(calls.get("number", 0)),
        median_latency=calls.get("median_latency", 0.0),
        average_audio_length=f"{length_s:.3f}s",
        average_audio_length_seconds=length_s,
        p95_latency=calls.get("p95_latency"),
        p99_latency=calls.get("p99_latency"),
        error_rate=_error_rate(calls),
        tasks={task: _task(said) for task, said in sorted(by_task.items())},
        window=window,
        since=since,
        quantile_error=RELATIVE_ERROR,
        source="influx",
    )


def _task(said: dict[str, float]) -> TaskStats:
    return TaskStats(
        total=int(said.get("number", 0)),
        error_rate=_error_rate(said),
        median_latency=said.get("median_latency"),
        p95_latency=said.get("p95_latency"),
        p99_latency=said.get("p99_latency"),
        median_queue_wait=said.get("median_queue_wait"),
        p95_queue_wait=said.get("p95_queue_wait"),
        median_work=said.get("median_work"),
        p95_work=said.get("p95_work"),
    )


def _error_rate(said: dict[str, float]) -> float | None:
    number = said.get("number", 0)
    return said.get("failed", 0) / number if number else None
