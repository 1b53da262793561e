"""The `Prefer` header of RFC 7240: what a client would like, and what it was given of that."""

from collections.abc import Iterable

import msgspec


class Preferences(msgspec.Struct, frozen=True):
    """What decibus knows of it. Nothing here is ever refused: a preference is only a wish."""

    respond_async: bool = False
    wait_s: int | None = None


def read_prefer(lines: Iterable[str]) -> Preferences:
    """Read every `Prefer` line of a request; of two that name the same, the first one counts."""
    named: dict[str, str] = {}
    for preference in ",".join(lines).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        named.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = named.get("wait", "")
    return Preferences(
        respond_async="respond-async" in named,
        wait_s=int(wait) if wait.isascii() and wait.isdigit() else None,
    )


def read_patience(
    preferences: Preferences, *, asked_s: float | None, default_s: float, max_s: float
) -> tuple[float, str | None]:
    """
    Return how long to wait, and what `Preference-Applied` says: only what was followed.

    `asked_s`, the request's own option, goes before the header's. `respond-async` by itself waits
    for nothing; with `wait` it means to wait so long first.
    """
    applied = ["respond-async"] if preferences.respond_async else []
    if preferences.wait_s is not None and asked_s is None:
        wait_s = min(preferences.wait_s, max_s)
        return wait_s, ", ".join([*applied, f"wait={wait_s:g}"])
    if applied:
        return 0.0, applied[0]
    return default_s if asked_s is None else asked_s, None
