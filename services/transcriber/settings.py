"""What the transcriber can be told by its environment."""

from typing import Annotated

import msgspec

from decibus.settings import SandboxSettings


class Settings(SandboxSettings, frozen=True, kw_only=True):
    """
    What only the transcriber can be told.

    `model`: a directory, a name that faster-whisper knows (`small`, `large-v3`), a model of the hub
    (`owner/name`), or `demo`.
    `device`: `cpu`, `cuda`, or `auto` for a GPU where there is one.
    `compute_type`: what CTranslate2 computes in. `int8` is fast on a CPU, `float16` on a GPU.
    `threads`: for each of the `slots` jobs. More slots make better use of cores than more threads.
    """

    model: str = msgspec.field(default="small", name="DECIBUS_MODEL")
    device: str = "auto"
    compute_type: str = "int8"
    threads: Annotated[int, msgspec.Meta(ge=1)] = 1
