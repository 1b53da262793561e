"""RFC 7240: preferences are read as it says, and what was followed is told."""

import pytest

from services.gateway.prefer import Preferences, read_patience, read_prefer


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Preferences()),
        (["respond-async"], Preferences(respond_async=True)),
        (["Respond-Async, WAIT=10"], Preferences(respond_async=True, wait_s=10)),
        (["wait=10", "respond-async"], Preferences(respond_async=True, wait_s=10)),
        (['wait="10"; x=y'], Preferences(wait_s=10)),
        (["wait = 10"], Preferences(wait_s=10)),
        (["wait=10, wait=20"], Preferences(wait_s=10)),  # the first one counts
        (["wait=soon, handling=lenient"], Preferences()),
        (["wait=-1"], Preferences()),
        (["wait=٣"], Preferences()),
    ],
)
def test_preferences_are_read_and_never_refused(lines: list[str], expected: Preferences) -> None:
    assert read_prefer(lines) == expected


@pytest.mark.parametrize(
    ("preferences", "asked_s", "expected"),
    [
        (Preferences(), None, (60.0, None)),
        (Preferences(), 5.0, (5.0, None)),
        (Preferences(respond_async=True), None, (0.0, "respond-async")),
        (Preferences(respond_async=True), 5.0, (0.0, "respond-async")),
        (Preferences(wait_s=10), None, (10.0, "wait=10")),
        (Preferences(wait_s=10), 5.0, (5.0, None)),
        (Preferences(wait_s=1000), None, (300.0, "wait=300")),
        (Preferences(respond_async=True, wait_s=10), None, (10.0, "respond-async, wait=10")),
    ],
)
def test_only_what_was_followed_is_told(
    preferences: Preferences, asked_s: float | None, expected: tuple[float, str | None]
) -> None:
    assert read_patience(preferences, asked_s=asked_s, default_s=60.0, max_s=300.0) == expected
