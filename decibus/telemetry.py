"""
Logs configured, the trace context that rides with every message, and what Prometheus may count.

Events are constants in snake_case, what varies is a field. At `info` no line carries a token, a
key, a file name or a transcript.
"""

import logging
import re
import secrets
import sys
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram, Info
from structlog.tracebacks import ExceptionDictTransformer

TRACEPARENT: Final = "traceparent"
"""The header of W3C Trace Context, in HTTP and in NATS."""
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def configure_logs(service: str, level: str = "info") -> None:
    """Write JSON lines to stderr, or readable ones on a terminal."""
    # Tracebacks without local variables: those hold audio, tokens and file names.
    render: tuple[structlog.typing.Processor, ...] = (
        (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)
        if sys.stderr.isatty()
        else (
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        )
    )
    _format_foreign_records(render)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def _format_foreign_records(render: Sequence[structlog.typing.Processor]) -> None:
    """Write the warnings of libraries, which log by the standard library, like our own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def trace_id(traceparent: str | None) -> str:
    """Return the trace that a `traceparent` names, or a new one when there is none to read."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match.group(1) if match else secrets.token_hex(16)


def traceparent(trace: str) -> str:
    """Return the header that continues a trace with a span of our own."""
    return f"00-{trace}-{secrets.token_hex(8)}-01"


# What Prometheus scrapes. All of it is declared here, so that dashboards and alerts can be tested
# against one list; labels take few values, and never a token, a key, a name or an address.

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RATIOS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

BUILD: Final = Info("decibus_build", "What runs: service and version")
READY: Final = Gauge("decibus_ready", "1 while work is taken")
NATS_CONNECTED: Final = Gauge("decibus_nats_connected", "1 while the server is reachable")
NATS_RECONNECTS: Final = Counter("decibus_nats_reconnects", "Connections that were lost and found")
SLOW_CONSUMER: Final = Counter("decibus_nats_slow_consumer", "Times that we were too slow for NATS")

REQUEST_SECONDS: Final = Histogram(
    "http_server_request_duration_seconds",
    "From the first byte of a request to the last of its answer; no streams",
    ("http_route", "http_request_method"),
    buckets=_SECONDS,
)
REQUESTS: Final = Counter(
    "http_server_requests",
    "Answers by status; a NATS request counts as the method REQUEST on its subject",
    ("http_route", "http_request_method", "http_response_status_code"),
)
REQUESTS_ACTIVE: Final = Gauge("http_server_active_requests", "Requests that are not answered yet")
LIVE_CLIENTS: Final = Gauge("decibus_live_clients", "Clients that wait for a report or follow it")
UPLOAD_BYTES: Final = Counter("decibus_upload_bytes", "Bytes of uploads that were taken in")
JOBS_OPENED: Final = Counter(
    "decibus_jobs_opened",
    "Jobs that uploads asked for: new, attached to one in flight, or done before",
    ("task", "found"),
)

QUEUE_WAITING: Final = Gauge("decibus_queue_waiting", "Tasks that no worker has seen", ("task",))
QUEUE_IN_HAND: Final = Gauge(
    "decibus_queue_in_hand", "Tasks that were delivered and are not settled", ("task",)
)
QUEUE_REDELIVERED: Final = Gauge(
    "decibus_queue_redelivered", "Of those in hand, delivered more than once", ("task",)
)
QUEUE_OLDEST_SECONDS: Final = Gauge(
    "decibus_queue_oldest_seconds", "How long the next task has waited; 0 for none", ("task",)
)
QUEUE_CAP: Final = Gauge("decibus_queue_cap", "Tasks at which uploads are refused", ("task",))
STREAM_BYTES: Final = Gauge("decibus_stream_bytes", "What a stream holds", ("stream",))
STREAM_CAP_BYTES: Final = Gauge("decibus_stream_cap_bytes", "What it may hold", ("stream",))
DEAD_LETTERS: Final = Gauge("decibus_dead_letters", "Jobs that failed for good, kept for operators")
CONSUMER_LAG: Final = Gauge(
    "decibus_consumer_lag", "Messages that a consumer of a log has not settled", ("consumer",)
)

POINTS_DROPPED: Final = Counter(
    "decibus_points_dropped", "Calls that are counted nowhere: NATS was away, or had no room"
)
POINTS_WRITTEN: Final = Counter("decibus_points_written", "Calls that InfluxDB has taken")
POINTS_REFUSED: Final = Counter("decibus_points_refused", "Lines that InfluxDB does not take")

DELIVERIES: Final = Counter(
    "decibus_deliveries", "Tasks that were delivered to a worker", ("task", "redelivered")
)
JOBS_ENDED: Final = Counter("decibus_jobs_ended", "Jobs by how they ended", ("task", "state"))
ATTEMPTS_FAILED: Final = Counter(
    "decibus_attempts_failed", "Attempts that did not end with a result", ("task", "code")
)
WAIT_SECONDS: Final = Histogram(
    "decibus_job_wait_seconds",
    "From opening a job to its first attempt",
    ("task",),
    buckets=_SECONDS,
)
WORK_SECONDS: Final = Histogram(
    "decibus_job_work_seconds", "One attempt that led to a result", ("task",), buckets=_SECONDS
)
AUDIO_SECONDS: Final = Counter("decibus_audio_seconds", "Audio that was worked through", ("task",))
REAL_TIME_FACTOR: Final = Histogram(
    "decibus_real_time_factor", "Seconds of work per second of audio", ("task",), buckets=_RATIOS
)
SLOTS: Final = Gauge("decibus_slots", "Jobs that this worker does at once", ("task",))
SLOTS_BUSY: Final = Gauge("decibus_slots_busy", "Jobs that it has in hand", ("task",))
MODEL_LOADED: Final = Gauge("decibus_model_loaded", "1 while a model is in memory", ("model",))
"""The transcriber's."""
