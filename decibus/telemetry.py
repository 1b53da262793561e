"""
Logs configured, and the trace context that rides with every message.

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
