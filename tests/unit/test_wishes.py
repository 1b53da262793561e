"""What a sender asks for: read as it was meant, or refused with what would be right."""

from collections.abc import Mapping

import pytest

from decibus.errors import BadRequest
from decibus.messages import TaskName
from decibus.references import load_references
from services.gateway import wishes
from services.gateway.intake import Wishes
from services.gateway.wishes import read_wait

REFERENCES = load_references()


def read_wishes(fields: Mapping[str, str]) -> Wishes:
    return wishes.read_wishes(fields, REFERENCES)


def test_without_a_wish_both_tasks_are_done() -> None:
    assert read_wishes({}).tasks == (TaskName.ANALYZE, TaskName.TRANSCRIBE)


def test_loudness_is_the_users_word_for_analyze() -> None:
    assert read_wishes({"tasks": "loudness"}).tasks == (TaskName.ANALYZE,)
    assert read_wishes({"tasks": "analyze, loudness"}).tasks == (TaskName.ANALYZE,)


def test_names_are_understood_however_they_are_written() -> None:
    asked = read_wishes({"genre": "Hip-Hop", "target": "apple_music", "language": "DE"})

    assert (asked.genre, asked.target, asked.language) == ("hip_hop", "Apple Music", "de")


def test_an_empty_field_asks_for_nothing() -> None:
    asked = read_wishes({"genre": "", "target": "", "language": ""})

    assert (asked.genre, asked.target, asked.language) == (None, None, None)


def test_a_transcript_is_asked_for_as_the_transcriber_knows_it() -> None:
    asked = read_wishes(
        {"multilingual": "true", "translate": "true", "words": "true"}
        | {"prompt": "LUFS", "temperature": "0", "model": "org/large"}
    )

    assert (asked.multilingual, asked.translate, asked.words) == (True, True, True)
    assert (asked.prompt, asked.temperature, asked.model) == ("LUFS", 0.0, "org/large")
    assert (read_wishes({}).prompt, read_wishes({}).temperature) == (None, None)


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
        ({"genre": "polka"}, "no profile 'polka'; there are acoustic, .* rock"),
        ({"genre": "x" * 1000}, "genre"),
        ({"target": "Napster"}, "no 'Napster'; there are Spotify, .* EBU R 128"),
        ({"language": "englisch"}, "language"),
        ({"translate": "en"}, "translate: true or false, not 'en'"),
        ({"temperature": "2"}, "temperature: a number from 0 to 1, not '2'"),
        ({"model": "a\nb"}, "model"),
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
