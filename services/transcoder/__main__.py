"""
Run a transcoder: a sandbox with its codecs warm, then jobs until SIGTERM or SIGINT.

    python -m services.transcoder [--once]

`--once` does one job and ends, with 0 when it was done or nothing was waiting.
"""

import sys
from datetime import timedelta
from functools import partial

import uvloop

from decibus import process, worker
from decibus.cpus import cpu_limit
from decibus.messages import Conversion
from decibus.sandbox import Sandbox
from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from decibus.topology import TRANSCODE
from services.transcoder.settings import Settings, fitted
from services.transcoder.transcode import transcode


def prepare(settings: Settings) -> worker.Prepared:
    """Have the codecs loaded before the first job waits for them."""
    # By name: the codecs stay out of this process.
    step, warm = "services.transcoder.convert:convert", "services.transcoder.convert:warm"
    sandbox = Sandbox(step, warm=warm, returns=Conversion, limits=settings.limits)
    sandbox.start()
    convert = partial(transcode, sandbox=sandbox, max_bytes=settings.max_output_bytes)
    return worker.Prepared(convert)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--once"]):
        sys.exit("usage: python -m services.transcoder [--once]")
    given = fitted(from_environment(Settings), cpus=cpu_limit())
    configure_logs("transcoder", given.log_level)
    start_sandbox = partial(prepare, given)
    once = timedelta(seconds=given.once_wait_s) if sys.argv[1:] else None
    work = partial(worker.run, settings=given, queue=TRANSCODE, prepare=start_sandbox, once=once)
    sys.exit(uvloop.run(process.run(work)))
