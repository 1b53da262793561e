"""
Every payload on the wire.

    Task         a queue's message: which record to work on
    Checkpoint   a part of the work that is done
    Measurement  what the analyzer found       ┐
    Transcript   what the transcriber heard    ├ the results of a record
    Conversion   what the transcoder made      ┘
    Report       what the user reads

New fields get a default, so that old and new services can meet in the middle of a rollout.
Levels that silence does not have are `None`, never -inf or NaN. Times on the wire are seconds.
"""

from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from decibus.errors import Unreadable

T = TypeVar("T")

UNTOLD: Final = msgspec.Raw(b"null")
"""No record."""


def read(payload: bytes, kind: type[T]) -> T:
    """
    Read a payload; raises `Unreadable` for what is none.

    That is another release's, in the middle of a rollout, or was written by somebody who means
    harm: whoever reads a record or a message has to be ready for it.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    # Of a text that is not UTF-8, and of what is nested too deep, msgspec has no error of its own.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"no {getattr(kind, '__name__', kind)}: {error}") from error


class TaskName(StrEnum):
    """What a worker can do with audio; each has its own queue and service."""

    ANALYZE = "analyze"
    TRANSCRIBE = "transcribe"
    TRANSCODE = "transcode"


class AnalyzeOptions(msgspec.Struct, frozen=True, kw_only=True, tag=TaskName.ANALYZE.value):
    """What changes a measurement. `timeline`: whether it has the loudness over time."""

    max_duration_s: float = 360.0
    timeline: bool = False


class TranscribeOptions(msgspec.Struct, frozen=True, kw_only=True, tag=TaskName.TRANSCRIBE.value):
    """
    What changes a transcript.

    `language`: ISO 639-1, None lets the model detect it; `multilingual`: for each window anew.
    `translate`: into English. `words`: whether each segment has its words with their times.
    `prompt`: what the model may take spellings from. `temperature`: 0 to 1 for the first try, None
    is 0 with the model's own fallbacks. `model`: None is the service's default.
    """

    max_duration_s: float = 360.0
    language: str | None = None
    multilingual: bool = False
    translate: bool = False
    words: bool = False
    prompt: str | None = None
    temperature: float | None = None
    model: str | None = None


class TranscodeOptions(msgspec.Struct, frozen=True, kw_only=True, tag=TaskName.TRANSCODE.value):
    """
    What a file is to be converted to; `formats` knows what goes together.

    `extension`: mp3, wav, flac, ogg, opus or m4a. `bit_rate` in kb/s, or a `quality` on the scale
    of the codec: LAME's V0 to V9, Vorbis's 0 to 10. None: as the source is, where that can be.
    """

    extension: str
    sample_rate: int | None = None
    bit_rate: int | None = None
    bit_depth: int | None = None
    channels: int | None = None
    quality: float | None = None
    max_duration_s: float = 360.0


Options = AnalyzeOptions | TranscribeOptions | TranscodeOptions


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """
    One step of an upload, as a worker receives it. What to do stands in the record `key`.

    `record` is that record as it was created at `revision`, so that it need not be read before it
    is claimed; 0: it is to be read.
    """

    key: str
    record: msgspec.Raw = UNTOLD
    revision: int = 0


class AudioFormat(msgspec.Struct, frozen=True, kw_only=True):
    """What the container and the codec say. `bit_rate` in bit/s, `duration` in s, decoded."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    layout: str
    bit_depth: int | None
    bit_rate: int | None
    duration: float


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """
    Loudness over time, in LUFS to two decimals.

    Entry k is the window that ends `(k + 1) * step_s` after the start. `step_s` is 0.1 up to an
    hour; of longer audio each entry is the loudest of several readings.
    """

    step_s: float
    momentary: tuple[float | None, ...]
    short_term: tuple[float | None, ...]


class Loudness(msgspec.Struct, frozen=True, kw_only=True):
    """
    ITU-R BS.1770-5, EBU Tech 3341 and 3342. `stable`: long enough (60 s) for `range_lu`.

    `timeline` is there on request.
    """

    integrated_lufs: float | None
    range_lu: float | None
    momentary_max_lufs: float | None
    short_term_max_lufs: float | None
    threshold_lufs: float | None
    stable: bool
    timeline: Timeline | None = None


class ChannelPeak(msgspec.Struct, frozen=True, kw_only=True):
    """The peaks of one channel, named as in the layout (`FL`, `FR`, `FC`, `LFE`, …)."""

    channel: str
    true_peak_dbtp: float | None
    sample_peak_dbfs: float | None


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """
    Peaks of the loudest channel.

    `true_peak_bs1770_dbtp` is the reading of the interpolating filter that BS.1770-5 annex 2
    prints, for comparison with other meters; `true_peak_dbtp` is the closer one. `plr_lu` is the
    true peak over the integrated loudness, `psr_min_lu` the sample peak of 3 s over their
    short-term loudness where that is least.
    """

    true_peak_dbtp: float | None
    true_peak_bs1770_dbtp: float | None
    sample_peak_dbfs: float | None
    per_channel: tuple[ChannelPeak, ...]
    plr_lu: float | None
    psr_min_lu: float | None = None
    clipped_samples: int


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """The level of one band, relative to the whole (20 Hz to 20 kHz)."""

    name: str
    low_hz: float
    high_hz: float
    level_db: float | None


class Spectrum(msgspec.Struct, frozen=True, kw_only=True):
    """The long-term tonal balance."""

    bands: tuple[Band, ...]


class Stereo(msgspec.Struct, frozen=True, kw_only=True):
    """How the two channels relate; `balance_db` is positive when the right one is stronger."""

    correlation: float | None
    balance_db: float | None


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Silence before the first and after the last sound."""

    lead_s: float
    tail_s: float


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """
    The loudness of each step, compactly: what a report measures where there is speech.

    `levels` has two bytes a step, the low one first: n is n / 100 - 150 LUFS, and 0 is silence.
    Step k begins at `k * step_s` seconds; what does not fill one, at the end, is left out.
    """

    step_s: float
    levels: bytes


class Measurement(msgspec.Struct, frozen=True, kw_only=True, tag=TaskName.ANALYZE.value):
    """What the analyzer found. `stereo` is there for two channels, `dc_offset` per channel."""

    audio: AudioFormat
    loudness: Loudness
    peak: Peak
    spectrum: Spectrum
    stereo: Stereo | None
    dc_offset: tuple[float, ...]
    silence: Silence
    decoder: str = ""
    scrubbed_samples: int = 0
    envelope: Envelope | None = None


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A word on the time line of the upload; `probability` as the model gives it, 0 to 1."""

    start: float
    end: float
    word: str
    probability: float


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """
    A stretch of speech on the time line of the upload.

    `tokens` are the model's, `temperature` is the one that it was heard at in the end. `language`
    is there when each window has its own, `words` on request.
    """

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    tokens: tuple[int, ...] = ()
    language: str | None = None
    words: tuple[Word, ...] | None = None


class Transcript(msgspec.Struct, frozen=True, kw_only=True, tag=TaskName.TRANSCRIBE.value):
    """
    What the transcriber heard. No speech: no segments, an empty text, no language.

    `speech` is where there was any, heard or not: starts and ends in seconds, in order.
    """

    text: str
    language: str | None
    language_probability: float | None
    model: str
    audio: AudioFormat
    segments: tuple[Segment, ...]
    speech: tuple[tuple[float, float], ...] = ()
    decoder: str = ""


class Conversion(msgspec.Struct, frozen=True, kw_only=True, tag=TaskName.TRANSCODE.value):
    """
    What the transcoder made.

    `audio` is the source, `converted` what became of it, `unchanged` when it was in the format
    already: byte for byte the upload. It is the object `output` of the store `outputs`, of `bytes`
    with this `sha256`. `machine_id`: which worker it was, in a cluster its pod.
    """

    audio: AudioFormat
    converted: AudioFormat
    unchanged: bool = False
    output: str = ""
    bytes: int = 0
    sha256: str = ""
    machine_id: str = ""
    decoder: str = ""
    encoder: str = ""


Result = Measurement | Transcript | Conversion


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """
    A part of a job's work that is done, so that another attempt goes on behind it.

    `number` counts the parts from 0; a later one of the same number takes its place, and that of
    all behind it. `segments` are what was heard in it, `state` is for the step alone.
    """

    number: int
    segments: tuple[Segment, ...] = ()
    state: msgspec.Raw = msgspec.Raw(b"null")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task failed. `code` as in problem details; `refused`: trying again will not help."""

    code: str
    detail: str
    refused: bool = False


ALL_TASKS: Final = (TaskName.ANALYZE, TaskName.TRANSCRIBE)
"""What an upload to be looked at gets unless it asks for less."""
