"""
What a request in OpenAI's form asks for, as wishes and as a shape of the answer. Pure.

Fields that mean nothing here are passed over, as OpenAI does; what is asked for in vain is told.
"""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from decibus.errors import BadRequest, NotFound
from decibus.messages import TaskName
from services.gateway.intake import Wishes
from services.gateway.models import Served
from services.gateway.uploads import Retention
from services.gateway.wishes import read_language, read_model, read_retention, read_temperature

T = TypeVar("T")

ALIASES: Final = ("whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")
"""OpenAI's own names, so that a program that knows no other works: the default model's here."""

_SPEAKERS: Final = ("known_speaker_names", "known_speaker_references")


class Unfit(BadRequest):
    """A field that cannot be followed. `param` is its name."""

    code = "invalid_value"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class UnknownModel(NotFound):
    """No transcriber has the model."""

    code = "model_not_found"
    param = "model"


class Format(StrEnum):
    """What a transcript is answered as."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, and the shape of the answer; `segments` is about `verbose_json`."""

    wishes: Wishes
    format: Format = Format.JSON
    segments: bool = True
    stream: bool = False


def read_asked(
    fields: Mapping[str, str], served: Served, *, translate: bool, may_repeat: bool
) -> Asked:
    """
    Read a form. `may_repeat`: the request may be sent again, and wants its answer again then.

    Whoever asks by this form is told no token, so without that a report is kept `once`.
    """
    given = {name.removesuffix("[]"): value for name, value in fields.items() if value}
    for name in _SPEAKERS:
        if name in given:
            raise Unfit(name, f"{name}: speakers are not told apart here")
    shape = _format(given.get("response_format"))
    granularities = _granularities(given.get("timestamp_granularities"), shape)
    kept = Retention.TTL if may_repeat else Retention.ONCE
    model = find_model(_read("model", read_model, given.get("model")), served)
    wishes = Wishes(
        tasks=(TaskName.TRANSCRIBE,),
        language=_language(given, served.languages_of(model)),
        translate=translate,
        words="word" in granularities,
        prompt=" ".join(filter(None, (given.get("prompt"), given.get("keywords")))) or None,
        # OpenAI's 0 lets the model go higher where it has to, as no temperature does here.
        temperature=_read("temperature", read_temperature, given.get("temperature")) or None,
        model=model,
        retention=_read("retention", read_retention, given.get("retention", kept)),
    )
    return Asked(
        wishes=wishes,
        format=shape,
        segments="segment" in granularities,
        stream=_stream(given.get("stream"), shape),
    )


def find_model(name: str | None, served: Served) -> str | None:
    """
    Return by which name a transcriber knows a model; None is its default.

    While no transcriber is there to say what it has, any name is let through: the first to come
    will refuse what it does not know.
    """
    if name in {None, served.default, *ALIASES}:
        return None
    if served.names and name not in served.names:
        raise UnknownModel(
            f"The model `{name}` does not exist; there are {', '.join(names(served))}"
        )
    return name


def names(served: Served) -> tuple[str, ...]:
    """Return all names that a model can be asked for by."""
    return (*served.names, *(alias for alias in ALIASES if alias not in served.names))


def _read(param: str, read: Callable[[str | None], T], text: str | None) -> T:
    try:
        return read(text)
    except BadRequest as error:
        raise Unfit(param, str(error)) from error


def _format(text: str | None) -> Format:
    try:
        return Format(text or Format.JSON)
    except ValueError:
        known = ", ".join(Format)
        raise Unfit("response_format", f"response_format: {known}, not {text!r:.32}") from None


def _granularities(text: str | None, shape: Format) -> set[str]:
    param = "timestamp_granularities"
    if not text:
        return {"segment"}
    if shape is not Format.VERBOSE_JSON:
        raise Unfit(param, f"{param}: only with response_format={Format.VERBOSE_JSON}")
    asked = {each.strip() for each in text.split(",")}
    if unknown := asked - {"word", "segment"}:
        raise Unfit(param, f"{param}: word, segment, not {min(unknown)!r:.32}")
    return asked


def _language(given: Mapping[str, str], known: Collection[str]) -> str | None:
    """Of several languages that it may be, the model finds out which it is."""
    maybe = given.get("languages", "")
    named = given.get("language") or (None if "," in maybe else maybe)
    language = _read("language", read_language, named)
    if language and known and language not in known:
        told = ", ".join(sorted(known))
        raise Unfit("language", f"language: the model hears {told}, not {language!r}")
    return language


def _stream(text: str | None, shape: Format) -> bool:
    if (text or "false").lower() not in {"true", "false"}:
        raise Unfit("stream", f"stream: true or false, not {text!r:.32}")
    is_wanted = text is not None and text.lower() == "true"
    if is_wanted and shape not in {Format.JSON, Format.TEXT}:
        raise Unfit("response_format", f"response_format: a stream is of text, not {shape}")
    return is_wanted
