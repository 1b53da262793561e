"""
A report in OpenAI's shapes: transcripts, the events of a stream, models, errors. Pure.

The shapes are those of its API reference and its Python client, `openai.types.audio`.
"""

import math
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from decibus.errors import RateLimited, Unauthorized
from decibus.messages import Segment
from services.gateway.languages import NAMES
from services.gateway.models import Served
from services.gateway.openai_wishes import Asked, Format, names
from services.gateway.problem import Problem
from services.gateway.renditions import rendered
from services.gateway.report import Report

_ENGLISH: Final = "en"
_JSON: Final = "application/json"
_FRAMES_PER_S: Final = 100  # what Whisper counts `seek` in

# The scripts that part no words by spaces, as Whisper's own tokenizer has it.
_UNSPACED: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "MYANMAR"})

_CODES: Final = {Unauthorized.code: "invalid_api_key", RateLimited.code: "rate_limit_exceeded"}
_OF_THE_FILE: Final = frozenset({"not_audio", "bad_audio", "too_long"})
_AS_400: Final = frozenset({415, 422})  # OpenAI's clients look for what is wrong in a 400
_TOO_MANY: Final = 429
_OURS: Final = 500


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """How much was heard, in whole seconds, rounded up."""

    type: Literal["duration"] = "duration"
    seconds: int


class Transcription(msgspec.Struct, frozen=True):
    """The answer `json`."""

    text: str
    usage: Usage


class VerboseSegment(msgspec.Struct, frozen=True, kw_only=True):
    """As in a report, with the text's leading space. `seek`: its start, in frames of 10 ms."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseWord(msgspec.Struct, frozen=True):
    """A word with its times in seconds."""

    word: str
    start: float
    end: float


class VerboseTranscription(msgspec.Struct, frozen=True, kw_only=True):
    """The answer `verbose_json`. `language` is a name, and empty when nothing was said."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: float
    text: str
    segments: tuple[VerboseSegment, ...] | UnsetType = UNSET
    words: tuple[VerboseWord, ...] | UnsetType = UNSET
    usage: Usage


class Delta(msgspec.Struct, frozen=True, tag_field="type", tag="transcript.text.delta"):
    """The event that tells what comes next in the text."""

    delta: str


class Done(msgspec.Struct, frozen=True, tag_field="type", tag="transcript.text.done"):
    """The event that ends a stream; `text` is all of it."""

    text: str
    usage: Usage


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, and by which field."""

    message: str
    type: str
    param: str | None
    code: str | None


class Failure(msgspec.Struct, frozen=True):
    """An error as an answer, and as the event that ends a stream."""

    error: Error


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A name that a model can be asked for by. `root` is the model that it stands for."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0  # nobody has told when
    owned_by: str = "decibus"
    root: str | None


class ModelCards(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: tuple[ModelCard, ...]


class Deltas:
    """
    The text of a transcript while it grows.

    What was told cannot be taken back: each segment is told once, whichever worker hears it, and in
    order. Where one is missing, the rest waits until all are there. `next_id` is the one to come.
    """

    def __init__(self) -> None:
        self.next_id = 0

    def new(self, heard: Iterable[Segment]) -> list[Delta]:
        """Return what to tell of the segments that are known by now."""
        deltas: list[Delta] = []
        for segment in heard:
            if segment.id == self.next_id:
                text = _parted(segment.text)
                deltas.append(Delta(text if self.next_id else text.lstrip()))
                self.next_id += 1
        return deltas


def transcription(report: Report, asked: Asked) -> tuple[bytes, str]:
    """Write the transcript of a report that is done; return it with its media type."""
    match asked.format:
        case Format.TEXT:
            return f"{report.transcription}\n".encode(), "text/plain"
        case Format.SRT | Format.VTT:
            return rendered(report, asked.format)
        case Format.VERBOSE_JSON:
            return msgspec.json.encode(_verbose(report, asked)), _JSON
        case Format.JSON:
            return msgspec.json.encode(
                Transcription(report.transcription or "", usage(report.audio_length))
            ), _JSON


def usage(seconds: float | None) -> Usage:
    """Return what was used up for so many seconds of audio."""
    return Usage(seconds=math.ceil(seconds or 0.0))


def failure(problem: Problem, param: str | None = None) -> tuple[int, Failure]:
    """Return a problem as OpenAI would tell it, with its status."""
    status = 400 if problem.status in _AS_400 else problem.status
    kind = "server_error" if status >= _OURS else "invalid_request_error"
    error = Error(
        message=problem.detail,
        type="requests" if status == _TOO_MANY else kind,
        param="file" if param is None and problem.code in _OF_THE_FILE else param,
        code=_CODES.get(problem.code, problem.code),
    )
    return status, Failure(error)


def late(place: str) -> Failure:
    """Say that there is no transcript yet, and how it can be had."""
    return Failure(
        Error(
            message=f"The transcript takes longer. It will be at {place}; the same request, sent "
            "again, waits for it too",
            type="server_error",
            param=None,
            code="timeout",
        )
    )


def cards(served: Served) -> ModelCards:
    """List all names that a model can be asked for by."""
    return ModelCards(
        data=tuple(
            ModelCard(id=name, root=name if name in served.names else served.default)
            for name in names(served)
        )
    )


def _verbose(report: Report, asked: Asked) -> VerboseTranscription:
    segments = report.transcript.segments if report.transcript else ()
    language = report.transcript.language if report.transcript else None
    if asked.wishes.translate and language:
        language = _ENGLISH
    return VerboseTranscription(
        task="translate" if asked.wishes.translate else "transcribe",
        language=NAMES.get(language or "", language or ""),
        duration=report.audio_length or 0.0,
        text=report.transcription or "",
        segments=tuple(map(_segment, segments)) if asked.segments else UNSET,
        words=_words(segments) if asked.wishes.words else UNSET,
        usage=usage(report.audio_length),
    )


def _segment(segment: Segment) -> VerboseSegment:
    return VerboseSegment(
        id=segment.id,
        seek=int(segment.start * _FRAMES_PER_S),
        start=segment.start,
        end=segment.end,
        text=_parted(segment.text),
        tokens=segment.tokens,
        temperature=segment.temperature,
        avg_logprob=segment.avg_logprob,
        compression_ratio=segment.compression_ratio,
        no_speech_prob=segment.no_speech_prob,
    )


def _words(segments: Iterable[Segment]) -> tuple[VerboseWord, ...]:
    return tuple(
        VerboseWord(word.word, word.start, word.end)
        for segment in segments
        for word in segment.words or ()
    )


def _parted(text: str) -> str:
    """Put the space back that parts a segment from what was said before."""
    script = unicodedata.name(text[:1] or " ", "").partition(" ")[0]
    return text if script in _UNSPACED else f" {text}"
