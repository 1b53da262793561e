"""What tells where converted files are, in answers that are not the file itself."""

import msgspec

from decibus.jobs import State
from decibus.messages import AudioFormat
from services.gateway.report import TaskError


class OutputOf(msgspec.Struct, frozen=True, kw_only=True):
    """One of several files. Until `status` is done there is nothing to download."""

    token: str
    status: State
    filename: str | None
    download_url: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    format: AudioFormat | None = None
    unchanged: bool | None = None
    errors: tuple[TaskError, ...] = ()


class OutputsOf(msgspec.Struct, frozen=True):
    """What several files in one request are answered with."""

    outputs: tuple[OutputOf, ...]


class Resampled(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where a resampled file is, for one download; rates in kHz.

    `resampled_server_file_path` is a token, or N/A when the file was in that format already.
    """

    original_file: str | None
    resampled_server_file_path: str
    original_audio_sample_rate: float
    resampled_audio_sample_rate: float
    original_audio_format: str
    resampled_audio_format: str
