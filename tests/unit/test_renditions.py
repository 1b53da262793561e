"""A transcript as text and as subtitles."""

from typing import Any

import msgspec
import pytest

from decibus.errors import NotFound
from services.gateway.renditions import rendered
from services.gateway.report import Report

SPOKEN = [
    (0.28, 1.76, " seven three nine "),
    (59.9996, 61.5, "Q & A: <b>is 1 > 0?\n\nyes"),
    (3599.5, 36_000.0, "ten hours"),
]


def a_report(spoken: list[tuple[float, float, str]] | None, **changed: Any) -> Report:
    segments = [
        {"id": number, "start": start, "end": end, "text": text}
        | {"avg_logprob": -0.1, "no_speech_prob": 0.0, "compression_ratio": 1.0}
        for number, (start, end, text) in enumerate(spoken or [])
    ]
    words = {"language": "en", "language_probability": 1.0, "model": "m", "segments": segments}
    fields = {
        "token": "t",
        "status": "done",
        "progress": 1.0,
        "queue": None,
        "filename": None,
        "sha256": "",
        "bytes": 1,
        "genre": None,
        "target": None,
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": None,
        "transcript": None if spoken is None else words,
        "timings": {"received": 0.0},
        "provenance": {},
    }
    return msgspec.convert(fields | changed, Report)


def test_subrip_numbers_its_cues_and_knows_hours() -> None:
    text, media_type = rendered(a_report(SPOKEN), "srt")

    assert media_type == "application/x-subrip"
    assert text.decode() == (
        "1\n00:00:00,280 --> 00:00:01,760\nseven three nine\n"
        "\n2\n00:01:00,000 --> 00:01:01,500\nQ & A: <b>is 1 > 0? yes\n"
        "\n3\n00:59:59,500 --> 10:00:00,000\nten hours\n"
    )


def test_webvtt_means_nothing_but_the_words() -> None:
    text, media_type = rendered(a_report(SPOKEN), "vtt")

    assert media_type == "text/vtt"
    assert text.decode() == (
        "WEBVTT\n"
        "\n00:00:00.280 --> 00:00:01.760\nseven three nine\n"
        "\n00:01:00.000 --> 00:01:01.500\nQ &amp; A: &lt;b&gt;is 1 &gt; 0? yes\n"
        "\n00:59:59.500 --> 10:00:00.000\nten hours\n"
    )


def test_text_has_a_line_for_each_segment() -> None:
    text, media_type = rendered(a_report(SPOKEN), "txt")

    assert media_type == "text/plain"
    assert text.decode().splitlines()[1:] == ["Q & A: <b>is 1 > 0? yes", "ten hours"]


def test_the_transcript_alone_is_json() -> None:
    text, _ = rendered(a_report(SPOKEN), "json")

    assert [each["start"] for each in msgspec.json.decode(text)["segments"]] == [
        0.28,
        59.9996,
        3599.5,
    ]


@pytest.mark.parametrize(("form", "empty"), [("txt", ""), ("srt", ""), ("vtt", "WEBVTT\n")])
def test_silence_has_no_cue(form: str, empty: str) -> None:
    assert rendered(a_report([]), form)[0].decode() == empty


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"status": "running"}, "no transcript yet"),
        ({}, "did not ask for transcribe"),
        (
            {"errors": [{"task": "transcribe", "code": "bad_audio", "detail": ""}]},
            "transcribe has failed",
        ),
    ],
)
def test_why_there_is_none_is_told(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(NotFound, match=why):
        rendered(a_report(None, **changed), "srt")
