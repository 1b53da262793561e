"""What the transcriber can be told by its environment."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from decibus.settings import Positive, SandboxSettings

NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Settings(SandboxSettings, frozen=True, kw_only=True):
    """
    What only the transcriber can be told.

    `model`: a directory, a name that faster-whisper knows (`small`, `large-v3`), a model of the hub
    (`owner/name`), an archive (`https://…/model.tar.gz#sha256=…`), or `demo`. Several with commas
    between them, as `fast=small,best=large-v3`; the first is the default.
    `model_cache`: where archives are unpacked; `model_max_bytes`: the most that one may have.
    `idle_unload_s`: after so long without work a model leaves memory; 0 is never.
    `device`: `cpu`, `cuda`, or `auto` for a GPU where there is one.
    `compute_type`: what CTranslate2 computes in; `auto` is `int8` on a CPU, `float16` on a GPU.
    `slots`: jobs in hand; 0 is one more than there are workers, so that one can be fetched, decoded
    and recorded while others are heard; on a GPU as many as a batch has windows.
    `workers`: windows, or on a GPU batches, computed at once; 0 is one for each CPU that there is
    to use, though not more than slots, and on a GPU one.
    `threads`: for each of them, on a CPU. More workers make better use of cores than more threads.
    `batch_max`: windows of several jobs in one call; 0 is 1 on a CPU, 8 on a GPU.
    `encoder_context`: how much of 30 s is computed of a short clip: `full`, all; `auto`, what it
    needs; not set, what the model was trained for.
    `patience_s`: how long one inference may take at least before the process counts as broken.
    """

    model: str = msgspec.field(default="small", name="DECIBUS_MODEL")
    model_cache: str = str(Path("~/.cache/decibus/models"))
    model_max_bytes: Positive = 16 << 30
    idle_unload_s: NotNegative = 0.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: str = "auto"
    slots: Annotated[int, msgspec.Meta(ge=0)] = 0
    workers: Annotated[int, msgspec.Meta(ge=0)] = 0
    threads: Positive = 1
    batch_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    encoder_context: Literal["auto", "full"] | None = None
    patience_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0


def fitted(settings: Settings, *, device: str, cpus: int) -> Settings:
    """Replace each 0 that stands for what fits the machine; `device` is `cpu` or `cuda`."""
    has_gpu = device == "cuda"
    batch = settings.batch_max or (8 if has_gpu else 1)
    workers = settings.workers or (1 if has_gpu else min(cpus, settings.slots or cpus))
    return msgspec.structs.replace(
        settings,
        device=device,
        batch_max=batch,
        slots=settings.slots or (batch if has_gpu else workers + 1),
        workers=workers,
    )
