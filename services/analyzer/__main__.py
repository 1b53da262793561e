"""Run an analyzer: a sandbox with its kernels warm, then jobs until SIGTERM or SIGINT."""

import sys
from functools import partial

import uvloop

from decibus import process, worker
from decibus.messages import Measurement
from decibus.sandbox import Sandbox
from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from decibus.topology import ANALYZE
from services.analyzer.settings import Settings


def prepare(settings: Settings) -> worker.Prepared:
    """Have the kernels loaded before the first job waits for them."""
    # By name: PyAV and the kernels stay out of this process.
    step, warm = "services.analyzer.analyze:analyze", "services.analyzer.warm:warm"
    sandbox = Sandbox(step, warm=warm, returns=Measurement, limits=settings.limits)
    sandbox.start()
    return worker.Prepared(sandbox.run)


if __name__ == "__main__":
    given = from_environment(Settings)
    configure_logs("analyzer", given.log_level)
    start_sandbox = partial(prepare, given)
    work = partial(worker.run, settings=given, queue=ANALYZE, prepare=start_sandbox)
    sys.exit(uvloop.run(process.run(work)))
