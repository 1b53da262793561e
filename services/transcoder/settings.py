"""What a transcoder can be told."""

from typing import Annotated

import msgspec

from decibus.settings import Positive, SandboxSettings


class Settings(SandboxSettings, frozen=True, kw_only=True):
    """
    Read from the environment, one variable a field, in upper case.

    `slots`: jobs in hand; 0 is one more than there are CPUs to use, so that one can be fetched,
    stored and recorded while others are converted.
    `TRANSCODE_CPU_S` takes the place of `SANDBOX_CPU_S`: encoding takes longer than measuring.
    `max_output_bytes`: of one converted file. `once_wait_s`: how long `--once` waits for a job.
    """

    slots: Annotated[int, msgspec.Meta(ge=0)] = 0
    sandbox_cpu_s: Positive = msgspec.field(default=600, name="TRANSCODE_CPU_S")
    max_output_bytes: Positive = 500_000_000
    once_wait_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0


def fitted(settings: Settings, *, cpus: int) -> Settings:
    """Replace the 0 that stands for what fits the machine."""
    return msgspec.structs.replace(settings, slots=settings.slots or cpus + 1)
