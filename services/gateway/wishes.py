"""What a sender asks for, read from form fields or NATS headers: every mistake is told."""

import math
from collections.abc import Mapping

from decibus.errors import BadRequest
from decibus.messages import ALL_TASKS, TaskName
from decibus.references import References
from services.gateway.intake import Wishes
from services.gateway.uploads import Retention

_TASKS = {"loudness": TaskName.ANALYZE, **{str(task): task for task in TaskName}}
_NAMES = ("tasks", "genre", "target", "language", "timeline", "retention", "wait", "callback_url")


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
        language=_language(fields.get("language")),
        timeline=_flag(fields, "timeline"),
        retention=_retention(fields.get("retention")),
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


def _flag(fields: Mapping[str, str], name: str) -> bool:
    text = fields.get(name) or "false"
    if text.lower() not in {"true", "false"}:
        raise BadRequest(f"{name}: true or false, not {text[:32]!r}")
    return text.lower() == "true"


def _retention(text: str | None) -> Retention:
    try:
        return Retention(text or Retention.TTL)
    except ValueError:
        known = ", ".join(Retention)
        raise BadRequest(f"retention: {known}, not {text!r:.32}") from None


def _language(text: str | None) -> str | None:
    if not text or text == "auto":
        return None
    if not (text.isascii() and text.isalpha() and len(text) in {2, 3}):
        raise BadRequest(f"language: a code such as en, not {text[:32]!r}")
    return text.lower()
