"""What a sender asks for, read from form fields or NATS headers: every mistake is told."""

import math
from collections.abc import Mapping

from decibus.errors import BadRequest
from decibus.messages import ALL_TASKS, TaskName
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


def read_wishes(fields: Mapping[str, str], references: References) -> Wishes:
    """Read the options of an upload; a genre and a target are then called as the references do."""
    unknown = sorted(set(fields) - set(_NAMES))
    if unknown:
        known = ", ".join(_NAMES)
        raise BadRequest(f"unknown option {unknown[0]!r}; there are {known}")
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
