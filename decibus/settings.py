"""Settings: environment variables into one frozen Struct, read once, at start."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

from decibus.confinement import MIN_MEMORY_BYTES, Limits

S = TypeVar("S", bound=msgspec.Struct)
Positive = Annotated[int, msgspec.Meta(ge=1)]
LogLevel = Literal["debug", "info", "warning", "error"]
Partitions = Literal[1, 2, 4, 8, 16, 32, 64]
"""Into how many streams the queues of jobs are split: the same for all services."""

_LIMITS = Limits()


class SettingsError(Exception):
    """The environment is no valid configuration; the message names every bad variable."""


class NatsLogin(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who we are to NATS, and whom we trust; the variables are those of the `nats` command.

    By name and password, or by a file of credentials. `nats_ca` is a file of the authorities that
    may have signed the server's certificate; `nats_cert` and `nats_key` are our own. What is not
    set is not shown.
    """

    nats_user: str = ""
    nats_password: str = ""
    nats_creds: str = ""
    nats_ca: str = ""
    nats_cert: str = ""
    nats_key: str = ""


class ManagementSettings(NatsLogin, frozen=True, kw_only=True):
    """
    What every service can be told.

    `metrics_host` and `metrics_port` are where it serves `/metrics`, `/healthz` and `/readyz` for
    those who keep it running; port 0 is nowhere.
    """

    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class WorkerSettings(ManagementSettings, frozen=True, kw_only=True):
    """
    What every worker can be told.

    `slots` jobs are worked on at once; `grace_s` is how long a stopping worker goes on with what it
    has in hand; `nats_replicas` how many servers keep each stream, `partitions` how many streams
    each queue is.
    """

    nats_url: str = "nats://127.0.0.1:4222"
    nats_replicas: Positive = 1
    partitions: Partitions = 1
    slots: Positive = 1
    grace_s: Annotated[float, msgspec.Meta(ge=0)] = 25.0
    log_level: LogLevel = "info"


class SandboxSettings(WorkerSettings, frozen=True, kw_only=True):
    """
    What a worker with a sandbox can be told.

    What one file may take in it, before it is refused: processor time, time on the clock, and
    address space, that of the code and the kernels included.
    """

    sandbox_cpu_s: Positive = _LIMITS.cpu_s
    sandbox_wall_s: Annotated[float, msgspec.Meta(gt=0)] = _LIMITS.wall_s
    sandbox_memory_bytes: Annotated[int, msgspec.Meta(ge=MIN_MEMORY_BYTES)] = _LIMITS.memory_bytes

    @property
    def limits(self) -> Limits:
        """The same, as the sandbox takes them."""
        return Limits(
            cpu_s=self.sandbox_cpu_s,
            wall_s=self.sandbox_wall_s,
            memory_bytes=self.sandbox_memory_bytes,
        )


def load(into: type[S], variables: Mapping[str, str]) -> S:
    """
    Read each field from the variable of its upper-case name; a default makes it optional.

    A field that was declared with `msgspec.field(name="OTHER")` is read from that variable. An
    empty variable counts as not set, so that a chart may leave values blank.
    """
    values: dict[str, object] = {}
    wrong: list[str] = []
    for field in msgspec.structs.fields(into):
        name = field.encode_name if field.encode_name != field.name else field.name.upper()
        text = variables.get(name, "")
        if not text:
            if field.required:
                wrong.append(f"{name} is not set")
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise SettingsError("; ".join(wrong))
    return into(**values)


def from_environment(into: type[S]) -> S:
    """Read the process's own environment; a mistake ends the process with one line that tells."""
    try:
        return load(into, os.environ)  # noqa: TID251 - this is the place
    except SettingsError as error:
        sys.exit(f"configuration: {error}")
