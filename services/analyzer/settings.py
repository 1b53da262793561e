"""What an analyzer can be told."""

from typing import Annotated

import msgspec

from decibus.confinement import MIN_MEMORY_BYTES, Limits
from decibus.settings import Positive, WorkerSettings

_DEFAULT = Limits()


class Settings(WorkerSettings, frozen=True, kw_only=True):
    """
    Read from the environment, one variable a field, in upper case.

    What one file may take in the sandbox, before it is refused: processor time, time on the clock,
    and address space, that of the code and the kernels included.
    """

    sandbox_cpu_s: Positive = _DEFAULT.cpu_s
    sandbox_wall_s: Annotated[float, msgspec.Meta(gt=0)] = _DEFAULT.wall_s
    sandbox_memory_bytes: Annotated[int, msgspec.Meta(ge=MIN_MEMORY_BYTES)] = _DEFAULT.memory_bytes
