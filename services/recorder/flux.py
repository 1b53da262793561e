"""
All the Flux there is: what InfluxDB does by itself every quarter of an hour, and what it is asked.

InfluxDB 3 knows no Flux: there, points are written and nothing else here applies.
"""

from datetime import datetime
from string import Template
from typing import Final

TASK_NAME: Final = "decibus hourly"

_HOURLY: Final = Template("""\
import "date"

option task = {name: "$task", every: 15m, offset: 2m}

// This hour and the one before, whole: a point that comes late is still counted.
calls = from(bucket: "$bucket")
    |> range(start: date.truncate(t: -1h, unit: 1h))
    |> filter(fn: (r) => r._measurement == "call" or r._measurement == "task")

hourly = (field, name, fn) => calls
    |> filter(fn: (r) => r._field == field)
    |> toFloat()
    |> aggregateWindow(every: 1h, fn: fn, createEmpty: false, timeSrc: "_start")
    |> toFloat()
    |> set(key: "_field", value: name)
    |> to(bucket: "$hourly_bucket")

hourly(field: "attempt", name: "count", fn: count)
hourly(field: "latency", name: "latency_sum", fn: sum)
hourly(field: "latency", name: "latency_max", fn: max)
hourly(field: "queue_wait", name: "queue_wait_sum", fn: sum)
hourly(field: "queue_wait", name: "queue_wait_max", fn: max)
hourly(field: "work", name: "work_sum", fn: sum)
hourly(field: "work", name: "work_max", fn: max)
hourly(field: "audio_length", name: "audio_length_sum", fn: sum)
hourly(field: "bytes", name: "bytes_sum", fn: sum)
""")

# What /stats asks. No quantile is computed where the data is: each of them reads every point.
_STATS: Final = Template("""\
points = from(bucket: "$bucket") |> range(start: $since)

// A call is one of all calls; a task is apart.
calls = points |> filter(fn: (r) => r._measurement == "call") |> set(key: "task", value: "$all")
tasks = points |> filter(fn: (r) => r._measurement == "task")
each = union(tables: [calls, tasks])

number = each |> filter(fn: (r) => r._field == "attempt")
    |> group(columns: ["task"]) |> count()
failed = each |> filter(fn: (r) => r._field == "attempt" and r.status == "failed")
    |> group(columns: ["task"]) |> count()
length = each |> filter(fn: (r) => r._field == "audio_length")
    |> group(columns: ["task"]) |> mean()

below = (field, q) => each
    |> filter(fn: (r) => r._field == field and r.status == "done")
    |> group(columns: ["task"])
    |> quantile(q: q, method: "estimate_tdigest", compression: 1000.0)

number |> yield(name: "number")
failed |> yield(name: "failed")
length |> yield(name: "length")
below(field: "latency", q: 0.5) |> yield(name: "median_latency")
below(field: "latency", q: 0.95) |> yield(name: "p95_latency")
below(field: "latency", q: 0.99) |> yield(name: "p99_latency")
below(field: "queue_wait", q: 0.5) |> yield(name: "median_queue_wait")
below(field: "queue_wait", q: 0.95) |> yield(name: "p95_queue_wait")
below(field: "work", q: 0.5) |> yield(name: "median_work")
below(field: "work", q: 0.95) |> yield(name: "p95_work")
""")

ALL: Final = "*"
"""The task under which `stats` answers for calls as a whole."""


def hourly(bucket: str, hourly_bucket: str) -> str:
    """Return the task that sums up the hours."""
    return _HOURLY.substitute(task=TASK_NAME, bucket=bucket, hourly_bucket=hourly_bucket)


def stats(bucket: str, *, since: datetime) -> str:
    """Return the question whose answer is what /stats tells; each row has a `task`."""
    return _STATS.substitute(bucket=bucket, since=f"{since:%Y-%m-%dT%H:%M:%SZ}", all=ALL)
