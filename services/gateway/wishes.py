"""What a sender asks for, read from form fields or NATS headers: every mistake is told."""

import math
from collections.abc import Mapping

from msgspec.structs import replace

from decibus import formats
from decibus.errors import BadRequest
from decibus.messages import ALL_TASKS, TaskName, TranscodeOptions
from decibus.references import References
from services.gateway.intake import Wishes
from services.gateway.uploads import Retention

_TASKS = {"loudness": TaskName.ANALYZE, **{str(task): task for task in ALL_TASKS}}
_NAMES = (
    "tasks",
    "genre",
    "target",
    "language",
    "multilingual",
    "translate",
    "words",
    "prompt",
    "temperature",
    "model",
    "timeline",
    "retention",
    "wait",
    "callback_url",
)
_MAX_MODEL = 128
_MAX_DIGITS = 9
_COMMON = ("retention", "wait", "callback_url")
_TARGET = ("extension", "sample_rate", "bit_rate", "bit_depth", "channels", "quality")
RESAMPLED = TranscodeOptions(extension="mp3", sample_rate=32_000, bit_rate=320)
"""What `POST /resample/` makes."""


def read_wishes(fields: Mapping[str, str], references: References) -> Wishes:
    """Read the options of an upload; a genre and a target are then called as the references do."""
    _refuse_unknown(fields, _NAMES)
    genre, target = fields.get("genre"), fields.get("target")
    return Wishes(
        tasks=read_tasks(fields.get("tasks")),
        genre=references.genre(genre).name if genre else None,
        target=references.target(target).name if target else None,
        language=read_language(fields.get("language")),
        multilingual=_flag(fields, "multilingual"),
        translate=_flag(fields, "translate"),
        words=_flag(fields, "words"),
        prompt=fields.get("prompt") or None,
        temperature=read_temperature(fields.get("temperature")),
        model=read_model(fields.get("model")),
        timeline=_flag(fields, "timeline"),
        retention=read_retention(fields.get("retention")),
        callback_url=fields.get("callback_url") or None,
    )


def read_conversion(fields: Mapping[str, str], *, max_duration_s: float) -> Wishes:
    """Read what a file is to be converted to."""
    _refuse_unknown(fields, (*_TARGET, *_COMMON))
    if not fields.get("extension"):
        raise BadRequest(f"extension: which format, one of {', '.join(formats.FORMATS)}")
    options = TranscodeOptions(
        extension=fields["extension"].lower().removeprefix("."),
        sample_rate=_number(fields, "sample_rate"),
        bit_rate=_number(fields, "bit_rate"),
        bit_depth=_number(fields, "bit_depth"),
        channels=_number(fields, "channels"),
        quality=_quality(fields.get("quality")),
    )
    return converting(options, fields, max_duration_s=max_duration_s)


def read_resampling(fields: Mapping[str, str], *, max_duration_s: float) -> Wishes:
    """Read what `POST /resample/` leaves to choose."""
    _refuse_unknown(fields, _COMMON)
    return converting(RESAMPLED, fields, max_duration_s=max_duration_s)


def converting(
    options: TranscodeOptions, fields: Mapping[str, str], *, max_duration_s: float
) -> Wishes:
    """Return the wishes for a conversion, of which a format that there is none of is refused."""
    formats.check(options)
    retention = read_retention(fields.get("retention"))
    if retention is Retention.LIBRARY:
        raise BadRequest("retention: ttl or once, as the library keeps reports and no files")
    return Wishes(
        tasks=(TaskName.TRANSCODE,),
        transcode=replace(options, max_duration_s=max_duration_s),
        retention=retention,
        callback_url=fields.get("callback_url") or None,
    )


def read_wait(text: str | None, *, default_s: float, max_s: float) -> float:
    """Read how many seconds the sender is ready to wait."""
    if not text:
        return default_s
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s <= max_s:
        raise BadRequest(f"wait: a number of seconds from 0 to {max_s:g}, not {text[:32]!r}")
    return wait_s


def read_tasks(text: str | None) -> tuple[TaskName, ...]:
    """Read which tasks to do, all by default; `loudness` and `analyze` name the same one."""
    if not text:
        return ALL_TASKS
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in _TASKS]
    if unknown:
        raise BadRequest(f"tasks: unknown task {unknown[0][:32]!r}; there are loudness, transcribe")
    return tuple(dict.fromkeys(_TASKS[name] for name in names))


def read_retention(text: str | None) -> Retention:
    """Read how long the report stays."""
    try:
        return Retention(text or Retention.TTL)
    except ValueError:
        known = ", ".join(Retention)
        raise BadRequest(f"retention: {known}, not {text!r:.32}") from None


def read_language(text: str | None) -> str | None:
    """Read the code of a language; None is to be detected."""
    if not text or text == "auto":
        return None
    if not (text.isascii() and text.isalpha() and len(text) in {2, 3}):
        raise BadRequest(f"language: a code such as en, not {text[:32]!r}")
    return text.lower()


def read_temperature(text: str | None) -> float | None:
    """Read how freely the model may choose; None leaves it to the model."""
    if not text:
        return None
    try:
        temperature = float(text)
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= 1:
        raise BadRequest(f"temperature: a number from 0 to 1, not {text[:32]!r}")
    return temperature


def read_model(text: str | None) -> str | None:
    """Read the name of a model; whether there is one is the transcribers' to say."""
    if text and not (len(text) <= _MAX_MODEL and text.isprintable()):
        raise BadRequest(f"model: at most {_MAX_MODEL} printable characters")
    return text or None


def _flag(fields: Mapping[str, str], name: str) -> bool:
    text = fields.get(name) or "false"
    if text.lower() not in {"true", "false"}:
        raise BadRequest(f"{name}: true or false, not {text[:32]!r}")
    return text.lower() == "true"


def _number(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise BadRequest(f"{name}: a whole number, not {text[:32]!r}")
    return int(text)


def _quality(text: str | None) -> float | None:
    if not text:
        return None
    try:
        quality = float(text)
    except ValueError:
        quality = math.nan
    if not math.isfinite(quality):
        raise BadRequest(f"quality: a number, not {text[:32]!r}")
    return quality


def _refuse_unknown(fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    unknown = sorted(set(fields) - set(names))
    if unknown:
        raise BadRequest(f"unknown option {unknown[0]!r}; there are {', '.join(names)}")
