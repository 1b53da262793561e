"""Run a transcriber: the models and a sandbox for decoding, then jobs until SIGTERM or SIGINT."""

import sys
from functools import partial
from pathlib import Path
from typing import BinaryIO

import uvloop

from decibus import process, worker
from decibus.cpus import cpu_limit
from decibus.messages import AudioFormat, TranscribeOptions, Transcript
from decibus.progress import Progress
from decibus.sandbox import Sandbox
from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from decibus.topology import TRANSCRIBE
from services.transcriber.decode import Decode, decoded_in
from services.transcriber.model import Compute, ModelError, Models, load_all, resolve
from services.transcriber.settings import Settings, fitted
from services.transcriber.sources import Store
from services.transcriber.transcribe import transcribe


def prepare(settings: Settings) -> worker.Prepared:
    """Load the models before the first job waits for one."""
    compute = Compute(
        threads=settings.threads,
        batch=settings.batch_max,
        device=settings.device,
        compute_type=settings.compute_type,
        context=settings.encoder_context,
        patience_s=settings.patience_s,
    )
    store = Store(directory=Path(settings.model_cache), max_bytes=settings.model_max_bytes)
    try:
        models = load_all(settings.model, workers=settings.workers, compute=compute, store=store)
    except ModelError as error:
        sys.exit(f"model: {error}")
    if settings.idle_unload_s:
        models.unload_idle(settings.idle_unload_s)
    # By name: the nursery has what decodes, and neither a model nor a thread of its libraries.
    step, warm = "services.transcriber.decode:stream", "services.transcriber.decode:warm"
    sandbox = Sandbox(step, warm=warm, returns=AudioFormat, limits=settings.limits)
    sandbox.start()
    hearing = partial(hear, models=models, decode=partial(decoded_in, sandbox))
    return worker.Prepared(hearing, models.metadata())


def hear(
    file: BinaryIO,
    options: TranscribeOptions,
    progress: Progress,
    *,
    models: Models,
    decode: Decode,
) -> Transcript:
    """Transcribe with the model that was asked for."""
    return transcribe(file, options, progress, model=models.of(options.model), decode=decode)


if __name__ == "__main__":
    read = from_environment(Settings)
    configure_logs("transcriber", read.log_level)
    given = fitted(read, device=resolve(read.device), cpus=cpu_limit())
    load_models = partial(prepare, given)
    work = partial(worker.run, settings=given, queue=TRANSCRIBE, prepare=load_models)
    sys.exit(uvloop.run(process.run(work)))
