"""Run a transcriber: the model loaded and warmed, then jobs until SIGTERM or SIGINT."""

import sys
from functools import partial

import uvloop

from decibus import process, worker
from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from decibus.topology import TRANSCRIBE
from services.transcriber.model import ModelError, load
from services.transcriber.settings import Settings
from services.transcriber.transcribe import transcribe


def prepare(settings: Settings) -> worker.Step:
    """Load the model before the first job waits for it."""
    try:
        model = load(
            settings.model,
            workers=settings.slots,
            threads=settings.threads,
            device=settings.device,
            compute_type=settings.compute_type,
        )
    except ModelError as error:
        sys.exit(f"model: {error}")
    return partial(transcribe, model=model)


if __name__ == "__main__":
    given = from_environment(Settings)
    configure_logs("transcriber", given.log_level)
    load_model = partial(prepare, given)
    work = partial(worker.run, settings=given, queue=TRANSCRIBE, prepare=load_model)
    sys.exit(uvloop.run(process.run(work)))
