"""Run an analyzer: kernels compiled and warmed, then jobs until SIGTERM or SIGINT."""

import sys
from functools import partial

import uvloop

from decibus import process, worker
from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from decibus.topology import ANALYZE
from services.analyzer.analyze import analyze, warm
from services.analyzer.settings import Settings


def prepare() -> worker.Step:
    """Load the kernels before the first job waits for them."""
    warm()
    return analyze


if __name__ == "__main__":
    settings = from_environment(Settings)
    configure_logs("analyzer", settings.log_level)
    work = partial(worker.run, settings=settings, queue=ANALYZE, prepare=prepare)
    sys.exit(uvloop.run(process.run(work)))
