"""
What is known of a file, printed: a table and sentences for people, JSON for programs.

    Sheet    as much of a report as can be measured here; a gateway's report is read as one, too
"""

import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from decibus.messages import AudioFormat, Loudness, Measurement, Peak, Silence, Stereo
from decibus.profiles import Position
from decibus.speech import Speech
from decibus.targets import Delivery
from decibus.verdict import Appraisal, Balance, Finding, Level

_MARKS: Final = {Level.OK: "[green]✓[/]", Level.NOTE: "[yellow]·[/]", Level.WARN: "[red]![/]"}
_POSITIONS: Final = {Position.BELOW: "below", Position.IN: "in range", Position.ABOVE: "above"}
_NONE: Final = "–"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file, or one task of it, has failed."""

    task: str
    code: str
    detail: str


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A file, with the field names of a report."""

    filename: str | None
    status: str
    genre: str | None = None
    target: str | None = None
    audio: AudioFormat | None = None
    loudness: Loudness | None = None
    peak: Peak | None = None
    spectrum: Balance | None = None
    stereo: Stereo | None = None
    dc_offset: tuple[float, ...] | None = None
    silence: Silence | None = None
    targets: tuple[Delivery, ...] | None = None
    verdict: tuple[Finding, ...] | None = None
    speech: Speech | None = None
    transcription: str | None = None
    errors: tuple[Fault, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether anything is missing that was asked for."""
        return self.status != "done" or bool(self.errors)


def sheet_of(
    filename: str,
    measurement: Measurement,
    appraisal: Appraisal,
    *,
    genre: str | None,
    target: str | None,
) -> Sheet:
    """Write down what was measured, and what it means."""
    return Sheet(
        filename=filename,
        status="done",
        genre=genre,
        target=target,
        audio=measurement.audio,
        loudness=measurement.loudness,
        peak=measurement.peak,
        spectrum=appraisal.spectrum,
        stereo=measurement.stereo,
        dc_offset=measurement.dc_offset,
        silence=measurement.silence,
        targets=appraisal.targets,
        verdict=appraisal.verdict,
    )


def failed_sheet(filename: str, *, code: str, detail: str, task: str = "analyze") -> Sheet:
    """Write down why there are no numbers."""
    fault = Fault(task=task, code=code, detail=detail)
    return Sheet(filename=filename, status="failed", errors=(fault,))


def print_json(reports: Sequence[Sheet | msgspec.Raw]) -> None:
    """Print `{"reports": [...]}`, the shape in which a gateway answers several files."""
    sys.stdout.buffer.write(msgspec.json.encode({"reports": reports}) + b"\n")
    sys.stdout.flush()


def print_sheets(sheets: Sequence[Sheet], console: Console) -> None:
    """Print a row a file; all of a single file, and of several what is worth a word."""
    done = [sheet for sheet in sheets if sheet.loudness and sheet.peak and sheet.audio]
    if done:
        console.print(_overview(done))
    for sheet in sheets:
        console.print()
        console.print(f"[bold]{escape(sheet.filename or 'audio')}[/]", highlight=False)
        if len(sheets) == 1:
            _print_details(sheet, console)
        lines = [
            f"{_MARKS[finding.level]} {escape(finding.text)}"
            for finding in sheet.verdict or ()
            if len(sheets) == 1 or finding.level is not Level.OK
        ]
        if sheet.speech:
            lines.append(_spoken(sheet.speech))
        if sheet.transcription:
            lines.append(f"“{escape(sheet.transcription)}”")
        lines += [
            f"[red]{fault.task}: {fault.code}[/]: {escape(fault.detail)}" for fault in sheet.errors
        ]
        for line in lines:  # a pipe gets a line each
            console.print(f"  {line}", highlight=False, soft_wrap=not console.is_terminal)


def _overview(sheets: Sequence[Sheet]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    for heading in ("length", "LUFS", "LRA", "dBTP", "PLR"):
        table.add_column(heading, justify="right", no_wrap=True)
    for sheet in sheets:
        audio, loudness, peak = sheet.audio, sheet.loudness, sheet.peak
        table.add_row(
            escape(sheet.filename or "audio"),
            _length(audio.duration) if audio else _NONE,
            _number(loudness.integrated_lufs if loudness else None),
            _number(loudness.range_lu if loudness else None),
            _number(peak.true_peak_dbtp if peak else None),
            _number(peak.plr_lu if peak else None),
        )
    return table


def _print_details(sheet: Sheet, console: Console) -> None:
    if sheet.spectrum:
        console.print(_balance(sheet.spectrum))
        console.print()
    if sheet.targets:
        console.print(_deliveries(sheet.targets))
        console.print()


def _balance(spectrum: Balance) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("band")
    for heading in ("Hz", "dB", "usual dB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for band in spectrum.bands:
        reference = band.reference
        usual = f"{reference.low_db:.1f} to {reference.high_db:.1f}" if reference else _NONE
        place = _POSITIONS[band.position] if band.position else ""
        hertz = f"{band.low_hz:g}–{band.high_hz:g}"
        table.add_row(band.name, hertz, _number(band.level_db), usual, place)
    return table


def _deliveries(deliveries: Sequence[Delivery]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("target")
    for heading in ("LUFS", "max dBTP", "gain dB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for each in deliveries:
        passed = "" if each.passes is None else "pass" if each.passes else "[yellow]no[/]"
        gain = _NONE if each.gain_db is None else f"{round(each.gain_db, 1) + 0.0:+.1f}"
        table.add_row(each.name, f"{each.lufs:g}", f"{each.ceiling_dbtp:g}", gain, passed)
    return table


def _spoken(speech: Speech) -> str:
    if speech.speech_gated_lufs is None:
        return f"speech for {speech.speech_ratio:.0%} of the time"
    lufs = _number(speech.speech_gated_lufs)
    return f"speech for {speech.speech_ratio:.0%} of the time, at {lufs} LUFS"


def _number(value: float | None) -> str:
    # Rounded first, so that a zero has no minus.
    return _NONE if value is None else f"{round(value, 1) + 0.0:.1f}"


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60.0)
    return f"{minutes:.0f}:{rest:04.1f}"
