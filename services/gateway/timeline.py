"""The loudness timeline of a report as CSV (RFC 4180), for spreadsheets and plots. Pure."""

import csv
import io
from typing import Final

from decibus.errors import NotFound
from decibus.jobs import State
from decibus.messages import TaskName
from services.gateway.report import Report

MEDIA_TYPE: Final = "text/csv; header=present"
COLUMNS: Final = ("time_s", "momentary_lufs", "short_term_lufs")


def as_csv(report: Report) -> bytes:
    """
    Write a row for each step, timed by the end of its windows; silence is an empty cell.

    Raises `NotFound` when the report has no timeline, or has none yet, with the reason.
    """
    timeline = report.loudness.timeline if report.loudness else None
    if timeline is None:
        raise NotFound(_why_not(report))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    readings = zip(timeline.momentary, timeline.short_term, strict=True)
    for number, (momentary, short_term) in enumerate(readings, start=1):
        writer.writerow((round(number * timeline.step_s, 3), momentary, short_term))
    return table.getvalue().encode()


def _why_not(report: Report) -> str:
    if report.loudness is not None:
        return "the upload did not ask for a loudness timeline: send it with timeline=true"
    if any(error.task is TaskName.ANALYZE for error in report.errors):
        return "there is no loudness timeline: the loudness could not be measured"
    if report.status in {State.QUEUED, State.RUNNING}:
        return "there is no loudness timeline yet: the loudness is still to be measured"
    return "there is no loudness timeline: the upload did not ask for loudness"
