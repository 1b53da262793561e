"""A report as people read it, without a gateway to get it from."""

import io

import pytest
from rich.console import Console

from cli.sheet import Sheet, print_sheets
from decibus.speech import FoundBy, Speech


@pytest.mark.parametrize(
    ("lufs", "line"),
    [
        (-23.04, "speech for 62% of the time, at -23.0 LUFS"),
        (None, "speech for 62% of the time"),
    ],
)
def test_how_loud_the_speech_is_stands_over_what_was_said(lufs: float | None, line: str) -> None:
    speech = Speech(
        speech_gated_lufs=lufs,
        speech_ratio=0.62,
        loudest_segment=0,
        quietest_segment=0,
        found_by=FoundBy.VAD,
    )
    printed = io.StringIO()
    sheet = Sheet(filename="a.wav", status="done", speech=speech, transcription="one two")

    print_sheets([sheet], Console(file=printed))

    assert [each.strip() for each in printed.getvalue().split("\n")[2:4]] == [line, "“one two”"]
