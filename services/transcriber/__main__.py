"""Run a transcriber: the model and a sandbox for decoding, then jobs until SIGTERM or SIGINT."""

import sys
from functools import partial

import uvloop

from decibus import process, worker
from decibus.messages import AudioFormat
from decibus.sandbox import Sandbox
from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from decibus.topology import TRANSCRIBE
from services.transcriber.decode import decoded_in
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
    # By name: the nursery has what decodes, and neither the model nor a thread of its libraries.
    step, warm = "services.transcriber.decode:stream", "services.transcriber.decode:warm"
    sandbox = Sandbox(step, warm=warm, returns=AudioFormat, limits=settings.limits)
    sandbox.start()
    return partial(transcribe, model=model, decode=partial(decoded_in, sandbox))


if __name__ == "__main__":
    given = from_environment(Settings)
    configure_logs("transcriber", given.log_level)
    load_model = partial(prepare, given)
    work = partial(worker.run, settings=given, queue=TRANSCRIBE, prepare=load_model)
    sys.exit(uvloop.run(process.run(work)))
