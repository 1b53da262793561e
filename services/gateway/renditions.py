"""
A report in other forms: the transcript as text and as subtitles, the loudness as a table. Pure.

    /result/{token}         the report           /result/{token}.csv    its loudness timeline
    /result/{token}.txt     a line a segment     /result/{token}.srt    SubRip, for video editors
    /result/{token}.json    the transcript       /result/{token}.vtt    WebVTT, for <track>
"""

import csv
import io
from collections.abc import Callable
from html import escape
from typing import Final

import msgspec

from decibus.errors import NotFound
from decibus.jobs import State
from decibus.messages import Segment, TaskName, Timeline
from services.gateway.report import Report, ReportTranscript

COLUMNS: Final = ("time_s", "momentary_lufs", "short_term_lufs")


def rendered(report: Report, form: str) -> tuple[bytes, str]:
    """
    Write a report in the form that this suffix names; return it with its media type.

    Raises `NotFound` for a form that there is none of, and when the report has not, or not yet,
    what the form shows, with the reason.
    """
    if not form:
        return msgspec.json.encode(report), "application/json"
    if form == "csv":
        return _csv(_timeline(report)), "text/csv; header=present"
    if form in _OF_TRANSCRIPTS:
        write, media_type = _OF_TRANSCRIPTS[form]
        return write(_transcript(report)), media_type
    known = ", ".join(f".{each}" for each in ("csv", *_OF_TRANSCRIPTS))
    raise NotFound(f"a report is JSON, or ends in one of {known}; there is no .{form[:16]}")


def _csv(timeline: Timeline) -> bytes:
    """Write a row for each step (RFC 4180), timed by the end of its windows; silence is empty."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    readings = zip(timeline.momentary, timeline.short_term, strict=True)
    for number, (momentary, short_term) in enumerate(readings, start=1):
        writer.writerow((round(number * timeline.step_s, 3), momentary, short_term))
    return table.getvalue().encode()


def _txt(transcript: ReportTranscript) -> bytes:
    return "".join(f"{_line(segment)}\n" for segment in transcript.segments).encode()


def _srt(transcript: ReportTranscript) -> bytes:
    """SubRip, as its first program wrote it: a number, a comma before the milliseconds."""
    cues = (
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{_line(segment)}\n"
        for number, segment in enumerate(transcript.segments, start=1)
    )
    return "\n".join(cues).encode()


def _vtt(transcript: ReportTranscript) -> bytes:
    """WebVTT (W3C, sections 4.1 and 6.4): in a cue's text <, > and & would mean something."""
    cues = (
        f"\n{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n"
        f"{escape(_line(segment), quote=False)}\n"
        for segment in transcript.segments
    )
    return f"WEBVTT\n{''.join(cues)}".encode()


_OF_TRANSCRIPTS: Final[dict[str, tuple[Callable[[ReportTranscript], bytes], str]]] = {
    "json": (msgspec.json.encode, "application/json"),
    "srt": (_srt, "application/x-subrip"),
    "txt": (_txt, "text/plain"),
    "vtt": (_vtt, "text/vtt"),
}


def _line(segment: Segment) -> str:
    """Give its text on one line: an empty one would end a cue."""
    return " ".join(segment.text.split())


def _clock(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000.0), 1000)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{milliseconds:03}"


def _timeline(report: Report) -> Timeline:
    if report.loudness is None:
        raise _missing(report, TaskName.ANALYZE, "loudness timeline", asked_for="loudness")
    if report.loudness.timeline is None:
        raise NotFound("the upload did not ask for a loudness timeline: send it with timeline=true")
    return report.loudness.timeline


def _transcript(report: Report) -> ReportTranscript:
    if report.transcript is None:
        raise _missing(report, TaskName.TRANSCRIBE, "transcript", asked_for="transcribe")
    return report.transcript


def _missing(report: Report, task: TaskName, what: str, *, asked_for: str) -> NotFound:
    if any(error.task is task for error in report.errors):
        return NotFound(f"there is no {what}: {asked_for} has failed")
    if report.status in {State.QUEUED, State.RUNNING}:
        return NotFound(f"there is no {what} yet")
    return NotFound(f"there is no {what}: the upload did not ask for {asked_for}")
