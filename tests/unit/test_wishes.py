"""What a sender asks for: read as it was meant, or refused with what would be right."""

import pytest

from decibus.errors import BadRequest
from decibus.messages import TaskName
from services.gateway.wishes import read_wait, read_wishes


def test_without_a_wish_both_tasks_are_done() -> None:
    assert read_wishes({}).tasks == (TaskName.ANALYZE, TaskName.TRANSCRIBE)


def test_loudness_is_the_users_word_for_analyze() -> None:
    assert read_wishes({"tasks": "loudness"}).tasks == (TaskName.ANALYZE,)
    assert read_wishes({"tasks": "analyze, loudness"}).tasks == (TaskName.ANALYZE,)


def test_labels_are_kept() -> None:
    wishes = read_wishes({"genre": "pop", "target": "Spotify", "language": "DE"})

    assert (wishes.genre, wishes.target, wishes.language) == ("pop", "Spotify", "de")


@pytest.mark.parametrize(
    ("text", "wanted"), [("true", True), ("True", True), ("false", False), ("", False)]
)
def test_a_timeline_is_for_those_who_ask(text: str, *, wanted: bool) -> None:
    assert read_wishes({"timeline": text}).timeline is wanted
    assert not read_wishes({}).timeline


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"timeline": "yes please"}, "timeline: true or false, not 'yes please'"),
        ({"colour": "red"}, "unknown option 'colour'"),
        ({"tasks": "louder"}, "unknown task 'louder'"),
        ({"genre": "x" * 65}, "genre"),
        ({"genre": "a\nb"}, "genre"),
        ({"language": "englisch"}, "language"),
        ({"retention": "for ever"}, "retention"),
    ],
)
def test_a_mistake_is_refused_and_told(fields: dict[str, str], told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        read_wishes(fields)


def test_a_wait_is_a_number_of_seconds() -> None:
    assert read_wait(None, default_s=60, max_s=300) == 60
    assert read_wait("2.5", default_s=60, max_s=300) == 2.5


@pytest.mark.parametrize("text", ["-1", "301", "nan", "inf", "soon"])
def test_any_other_wait_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="wait"):
        read_wait(text, default_s=60, max_s=300)
