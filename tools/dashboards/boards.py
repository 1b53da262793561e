"""What the dashboards show. Gateways all show the queues: their maximum is taken."""

from typing import Final

from tools.dashboards.grafana import Board, Panel, Query, Row

_RATE: Final = "[$__rate_interval]"


def _quantiles(metric: str, by: str, *, where: str = "") -> tuple[Query, ...]:
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{where}}}{_RATE})))",
            f"{{{{{by}}}}} p{round(q * 100)}",
        )
        for q in (0.5, 0.95, 0.99)
    )


def _ratio(part: str, whole: str) -> str:
    return f"{part} / clamp_min({whole}, 1e-9)"


_ANSWERS: Final = f"sum(rate(http_server_requests_total{_RATE}))"
_FAULTS: Final = 'http_server_requests_total{http_response_status_code=~"5.."}'
_ERRORS: Final = f"(sum(rate({_FAULTS}{_RATE})) or vector(0))"

OVERVIEW: Final = Board(
    uid="decibus-overview",
    title="decibus / overview",
    says="Is it well, and do its users notice if not?",
    rows=(
        Row(
            "Requests",
            (
                Panel(
                    "Requests by route",
                    (
                        Query(
                            f"sum by (http_route) (rate(http_server_requests_total{_RATE}))",
                            "{{http_route}}",
                        ),
                    ),
                    "How much is asked for. `other` is what does not exist.",
                    unit="reqps",
                ),
                Panel(
                    "Errors",
                    (Query(_ratio(_ERRORS, _ANSWERS), "5xx"),),
                    "The share of answers that are our fault. 503 at a full backlog counts.",
                    unit="percentunit",
                ),
                Panel(
                    "Time to answer",
                    _quantiles("http_server_request_duration_seconds", "http_route"),
                    "POST /analyze waits for the report; the others should be quick.",
                    unit="s",
                ),
                Panel(
                    "Refused",
                    (
                        Query(
                            "sum by (http_response_status_code) (rate(http_server_requests_total"
                            f'{{http_response_status_code=~"4..|503"}}{_RATE}))',
                            "{{http_response_status_code}}",
                        ),
                    ),
                    "401 a wrong key, 413 too large, 415 and 422 no audio, 429 too often.",
                    unit="reqps",
                ),
                Panel(
                    "Uploaded",
                    (Query(f"sum(rate(decibus_upload_bytes_total{_RATE}))", "bytes"),),
                    "What comes in by all doors.",
                    unit="Bps",
                ),
                Panel(
                    "Waiting clients",
                    (
                        Query("sum(decibus_live_clients)", "follow a report"),
                        Query("sum(http_server_active_requests)", "wait for an answer"),
                    ),
                    "Open sockets and long polls are cheap; active requests should go up and down.",
                ),
            ),
        ),
        Row(
            "Health",
            (
                Panel(
                    "Ready",
                    (Query("sum by (job) (decibus_ready)", "{{job}}"),),
                    "Processes that take work.",
                ),
                Panel(
                    "NATS connections lost",
                    (
                        Query(
                            f"sum by (job) (rate(decibus_nats_reconnects_total{_RATE}))", "{{job}}"
                        ),
                        Query(
                            f"sum by (job) (rate(decibus_nats_slow_consumer_total{_RATE}))",
                            "{{job}} too slow",
                        ),
                    ),
                    "Should be flat at zero.",
                ),
                Panel(
                    "Dead letters",
                    (Query("max(decibus_dead_letters)", "kept"),),
                    "Jobs that failed for good, of the last seven days. `make dead` lists them.",
                    kind="stat",
                ),
                Panel(
                    "Memory",
                    (Query("sum by (job) (process_resident_memory_bytes)", "{{job}}"),),
                    "Without the children of a sandbox.",
                    unit="bytes",
                ),
                Panel(
                    "Processor",
                    (Query(f"sum by (job) (rate(process_cpu_seconds_total{_RATE}))", "{{job}}"),),
                    "Cores in use, without the children of a sandbox.",
                ),
                Panel(
                    "Versions",
                    (
                        Query(
                            "count by (service, version) (decibus_build_info)",
                            "{{service}} {{version}}",
                        ),
                    ),
                    "Two of one service mean a rollout.",
                ),
            ),
        ),
    ),
)

QUEUES: Final = Board(
    uid="decibus-queues",
    title="decibus / queues",
    says="How long do jobs wait, and will anything overflow?",
    rows=(
        Row(
            "Queues",
            (
                Panel(
                    "Oldest waiting task",
                    (Query("max by (task) (decibus_queue_oldest_seconds)", "{{task}}"),),
                    "What a job would wait that comes now, if nothing changes.",
                    unit="s",
                ),
                Panel(
                    "Waiting and in hand",
                    (
                        Query("max by (task) (decibus_queue_waiting)", "{{task}} waiting"),
                        Query("max by (task) (decibus_queue_in_hand)", "{{task}} in hand"),
                    ),
                    "In hand at the number of slots and waiting above zero: more workers.",
                ),
                Panel(
                    "Filled",
                    (
                        Query(
                            "max by (task) ((decibus_queue_waiting + decibus_queue_in_hand)"
                            " / decibus_queue_cap)",
                            "{{task}}",
                        ),
                    ),
                    "At 1 uploads are refused with 503.",
                    unit="percentunit",
                ),
                Panel(
                    "Wait",
                    _quantiles("decibus_job_wait_seconds", "task"),
                    "From opening a job to its first attempt.",
                    unit="s",
                ),
                Panel(
                    "Redelivered",
                    (
                        Query(
                            _ratio(
                                f'sum(rate(decibus_deliveries_total{{redelivered="true"}}{_RATE}))',
                                f"sum(rate(decibus_deliveries_total{_RATE}))",
                            ),
                            "share",
                        ),
                        Query("max by (task) (decibus_queue_redelivered)", "{{task}} in hand"),
                    ),
                    "Workers that die or are stopped with work in hand.",
                ),
                Panel(
                    "Answered by an earlier job",
                    (
                        Query(
                            f"sum by (task, found) (rate(decibus_jobs_opened_total{_RATE}))",
                            "{{task}} {{found}}",
                        ),
                    ),
                    "`done` and `in_flight` cost nothing: the same content with the same options.",
                ),
            ),
        ),
        Row(
            "Streams",
            (
                Panel(
                    "Filled",
                    (
                        Query(
                            "max by (stream) (decibus_stream_bytes"
                            " / (decibus_stream_cap_bytes > 0))",
                            "{{stream}}",
                        ),
                    ),
                    "At 1 the stream takes nothing more, or drops its oldest.",
                    unit="percentunit",
                    width=12,
                ),
                Panel(
                    "Lag of a log's consumer",
                    (Query("max by (consumer) (decibus_consumer_lag)", "{{consumer}}"),),
                    "`influx`: points that are not in InfluxDB yet.",
                    width=12,
                ),
            ),
        ),
    ),
)

WORK: Final = Board(
    uid="decibus-work",
    title="decibus / work",
    says="How fast is the work, and who does it?",
    rows=(
        Row(
            "Speed",
            (
                Panel(
                    "Audio worked through",
                    (
                        Query(
                            f"sum by (task) (rate(decibus_audio_seconds_total{_RATE}))", "{{task}}"
                        ),
                    ),
                    "Seconds of audio a second.",
                    width=12,
                ),
                Panel(
                    "Real-time factor",
                    _quantiles("decibus_real_time_factor", "task"),
                    "Seconds of work per second of audio: below 1 is faster than it plays.",
                    width=12,
                ),
                Panel(
                    "Work",
                    _quantiles("decibus_job_work_seconds", "task"),
                    "One attempt that led to a result.",
                    unit="s",
                    width=12,
                ),
                Panel(
                    "Busy slots",
                    (
                        Query("sum by (task) (decibus_slots_busy)", "{{task}} busy"),
                        Query("sum by (task) (decibus_slots)", "{{task}} slots"),
                    ),
                    "All busy all the time: more workers.",
                    width=12,
                ),
            ),
        ),
        Row(
            "Outcome",
            (
                Panel(
                    "Jobs ended",
                    (
                        Query(
                            f"sum by (task, state) (rate(decibus_jobs_ended_total{_RATE}))",
                            "{{task}} {{state}}",
                        ),
                    ),
                    "`failed` has refused input in it, too.",
                ),
                Panel(
                    "Attempts that failed",
                    (
                        Query(
                            f"sum by (task, code) (rate(decibus_attempts_failed_total{_RATE}))",
                            "{{task}} {{code}}",
                        ),
                    ),
                    "`internal_error` is our bug, `unavailable` the world's, the rest the file's.",
                ),
                Panel(
                    "Models in memory",
                    (Query("max by (model) (decibus_model_loaded)", "{{model}}"),),
                    "A model that is idle may be unloaded.",
                ),
            ),
        ),
    ),
)

_POINTS: Final = """from(bucket: "calls")
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "{measurement}")
  |> filter(fn: (r) => {fields})
"""
_WINDOWED: Final = "aggregateWindow(every: v.windowPeriod, fn: {fn}, createEmpty: false)"


def _counted(measurement: str, by: str) -> Query:
    points = _POINTS.format(measurement=measurement, fields='r._field == "attempt"')
    counted = _WINDOWED.format(fn="count")
    return Query(f'{points}  |> group(columns: ["{by}"])\n  |> {counted}')


def _quantile(field: str, q: float) -> Query:
    points = _POINTS.format(measurement="task", fields=f'r._field == "{field}"')
    fn = f"(tables=<-, column) => tables |> quantile(q: {q}, column: column)"
    return Query(f'{points}  |> group(columns: ["task"])\n  |> {_WINDOWED.format(fn=fn)}')


_SCATTER: Final = Query(
    _POINTS.format(measurement="call", fields='r._field == "audio_length" or r._field == "latency"')
    + """  |> group(columns: ["status"])
  |> pivot(rowKey: ["_time", "status"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.audio_length and exists r.latency)
  |> keep(columns: ["audio_length", "latency", "status"])
  |> limit(n: 5000)"""
)

CALLS: Final = Board(
    uid="decibus-calls",
    title="decibus / calls",
    says="Every call, as InfluxDB has it.",
    rows=(
        Row(
            "Calls",
            (
                Panel(
                    "Calls by how they ended",
                    (_counted("call", "status"),),
                    "`failed` is our fault, `refused` the sender's, `withdrawn` was deleted first.",
                    source="influxdb",
                ),
                Panel(
                    "Calls by door",
                    (_counted("call", "source"),),
                    "HTTP, NATS, OpenAI's API or /jobs/.",
                    source="influxdb",
                ),
                Panel(
                    "Latency over length",
                    (_SCATTER,),
                    "A dot a call: how long the audio was, how long its report took, in seconds.",
                    kind="xychart",
                    source="influxdb",
                ),
                Panel(
                    "Wait of a task, 95 %",
                    (_quantile("queue_wait", 0.95),),
                    "In the queue, before any work.",
                    unit="s",
                    source="influxdb",
                    width=12,
                ),
                Panel(
                    "Work of a task, 95 %",
                    (_quantile("work", 0.95),),
                    "What a worker took for it.",
                    unit="s",
                    source="influxdb",
                    width=12,
                ),
            ),
        ),
        Row(
            "The way there",
            (
                Panel(
                    "Written",
                    (
                        Query(f"sum(rate(decibus_points_written_total{_RATE}))", "taken"),
                        Query(f"sum(rate(decibus_points_refused_total{_RATE}))", "refused"),
                        Query(f"sum(rate(decibus_points_dropped_total{_RATE}))", "dropped"),
                    ),
                    "Refused lines are in JOBS_DEAD; dropped ones are counted nowhere.",
                    width=12,
                ),
                Panel(
                    "Not written yet",
                    (Query('max(decibus_consumer_lag{consumer="influx"})', "points"),),
                    "They wait in the stream METRICS, for seven days at most.",
                    width=12,
                ),
            ),
        ),
    ),
)

BOARDS: Final = (OVERVIEW, QUEUES, WORK, CALLS)
