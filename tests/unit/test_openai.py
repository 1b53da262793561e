"""What OpenAI's form asks for, and what its answers look like: values in, values out."""

import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES

from decibus.errors import DecibusError
from decibus.messages import Segment, TaskName
from services.gateway.intake import Wishes
from services.gateway.languages import NAMES
from services.gateway.models import Served, read_served
from services.gateway.openai_answers import Deltas, usage
from services.gateway.openai_wishes import Asked, Format, Unfit, UnknownModel, read_asked
from services.gateway.uploads import Retention

SERVED = read_served({"models": "small,org/large", "languages.small": "de,en"})


def asked(fields: dict[str, str], *, served: Served = SERVED, may_repeat: bool = False) -> Asked:
    return read_asked(fields, served, translate=False, may_repeat=may_repeat)


def segments(*texts: str) -> list[Segment]:
    return [
        Segment(
            id=number,
            start=0.0,
            end=1.0,
            text=text,
            avg_logprob=0.0,
            no_speech_prob=0.0,
            compression_ratio=1.0,
        )
        for number, text in enumerate(texts)
    ]


def told(deltas: Deltas, heard: list[Segment]) -> str:
    return "".join(delta.delta for delta in deltas.new(heard))


def test_a_form_with_a_model_alone_asks_for_a_transcript_that_is_read_once() -> None:
    wanted = Wishes(tasks=(TaskName.TRANSCRIBE,), retention=Retention.ONCE)

    assert asked({"model": "whisper-1"}) == Asked(wishes=wanted, format=Format.JSON)
    assert asked({}, may_repeat=True).wishes.retention is Retention.TTL
    assert asked({"retention": "library"}).wishes.retention is Retention.LIBRARY


def test_every_field_is_followed() -> None:
    given = {
        "response_format": "verbose_json",
        "language": "DE",
        "prompt": "Maße und Gewichte:",
        "keywords[]": "LUFS,dBTP",
        "temperature": "0.4",
        "timestamp_granularities[]": "word,segment",
        "chunking_strategy": "auto",
        "include[]": "logprobs",
        "user": "somebody",
    }

    found = asked(given)

    wishes = found.wishes
    assert (wishes.language, wishes.temperature, wishes.words) == ("de", 0.4, True)
    assert wishes.prompt == "Maße und Gewichte: LUFS,dBTP"
    assert (found.format, found.segments, found.stream) == (Format.VERBOSE_JSON, True, False)


def test_a_language_is_let_through_where_it_is_not_known_what_is_heard() -> None:
    assert asked({"language": "fr", "model": "org/large"}).wishes.language == "fr"
    assert asked({"language": "fr"}, served=Served()).wishes.language == "fr"


def test_a_temperature_of_0_lets_the_model_go_higher_as_none_does() -> None:
    assert asked({"temperature": "0"}).wishes == asked({}).wishes


def test_of_languages_that_it_may_be_one_is_told_and_several_are_detected() -> None:
    assert asked({"languages[]": "de"}).wishes.language == "de"
    assert asked({"languages[]": "de,en"}).wishes.language is None


@pytest.mark.parametrize(
    ("name", "served", "wanted"),
    [
        ("whisper-1", SERVED, None),
        ("small", SERVED, None),  # by its name or without one, it is the same job
        ("org/large", SERVED, "org/large"),
        ("anything", Served(), "anything"),
    ],
)
def test_a_model_is_known_by_its_own_name_and_by_openais(
    name: str, served: Served, wanted: str | None
) -> None:
    assert asked({"model": name}, served=served).wishes.model == wanted


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "large-v9"}, "model"),
        ({"model": "x" * 129}, "model"),
        ({"language": "en-US"}, "language"),
        ({"language": "fr"}, "language"),
        ({"temperature": "1.1"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"response_format": "vtt", "stream": "true"}, "response_format"),
        ({"stream": "1"}, "stream"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        (
            {"timestamp_granularities[]": "letter", "response_format": "verbose_json"},
            "timestamp_granularities",
        ),
        ({"known_speaker_names[]": "a,b"}, "known_speaker_names"),
        ({"retention": "for ever"}, "retention"),
    ],
)
def test_what_cannot_be_followed_is_told_by_its_field(fields: dict[str, str], param: str) -> None:
    with pytest.raises(DecibusError, match=param) as refused:
        asked(fields)

    assert isinstance(refused.value, Unfit | UnknownModel)
    assert refused.value.param == param


def test_a_segment_is_told_once_whoever_hears_it_again() -> None:
    deltas, heard = Deltas(), segments("one", "two", "three")

    assert told(deltas, heard[:2]) == "one two"
    assert told(deltas, heard[:1]) == ""  # another worker begins anew
    assert told(deltas, heard) == " three"


def test_what_is_missing_in_the_middle_is_waited_for() -> None:
    deltas, heard = Deltas(), segments("one", "two", "three")

    assert told(deltas, heard[:1]) == "one"
    assert told(deltas, heard[2:]) == ""
    assert told(deltas, heard) == " two three"


@pytest.mark.parametrize(
    ("texts", "text"),
    [
        (("あい", "うえ"), "あいうえ"),
        (("你好", "世界"), "你好世界"),
        (("안녕", "하세요"), "안녕 하세요"),
        (("one", "", "2"), "one  2"),
    ],
)
def test_segments_are_parted_as_their_script_parts_words(texts: tuple[str, ...], text: str) -> None:
    assert told(Deltas(), segments(*texts)) == text


def test_usage_is_in_whole_seconds() -> None:
    assert [usage(seconds).seconds for seconds in (None, 0.0, 0.1, 8.47)] == [0, 0, 1, 9]


def test_every_language_that_whisper_hears_has_its_name() -> None:
    assert set(NAMES) == set(_LANGUAGE_CODES)
    assert (NAMES["en"], NAMES["ht"]) == ("english", "haitian creole")
