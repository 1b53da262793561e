"""
A worker of the analyzer's queue that measures nothing: `bench.work` on what the product brings it.

    NATS_URL=… SLOTS=2 python -m bench.worker

Everything but the step is the analyzer's: queue, record, lease, audio, acknowledgement.
"""

import sys
from functools import partial
from typing import BinaryIO, Final

import msgspec
import uvloop

from bench.work import RESULT, work_on
from decibus import process, worker
from decibus.messages import AnalyzeOptions, Measurement
from decibus.progress import Progress
from decibus.settings import WorkerSettings, from_environment
from decibus.telemetry import configure_logs
from decibus.topology import ANALYZE

_FOUND: Final = msgspec.json.decode(RESULT, type=Measurement)


def step(audio: BinaryIO, _: AnalyzeOptions, __: Progress) -> Measurement:
    """Do the work of a file."""
    work_on(audio)
    return _FOUND


if __name__ == "__main__":
    settings = from_environment(WorkerSettings)
    configure_logs("analyzer", settings.log_level)
    run = partial(
        worker.run, settings=settings, queue=ANALYZE, prepare=lambda: worker.Prepared(step)
    )
    sys.exit(uvloop.run(process.run(run)))
