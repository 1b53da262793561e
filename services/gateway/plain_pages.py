"""
The pages that need no script, as HTML: the form, the report, what went wrong. Pure.

Whatever a sender has chosen or a model has heard goes through `tag`, which escapes it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from decibus.jobs import State
from decibus.references import References
from decibus.targets import Delivery
from decibus.verdict import BAND_NAMES, Balance, Finding, Level, Reference
from services.gateway.markup import Child, Markup, joined, tag
from services.gateway.problem import Problem
from services.gateway.report import Report, ReportTranscript, SpokenSegment

RELOAD_S: Final = 3

STYLE: Final = """
:root { color-scheme: light dark; --line: #8888; --note: light-dark(#6b4d00, #e7c267);
  --warn: light-dark(#a3191b, #ff9c94); --ok: light-dark(#17602a, #7fd793) }
* { box-sizing: border-box }
html { background: Canvas; color: CanvasText }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem;
  overflow-wrap: anywhere }
form.upload { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem;
  border: 2px dashed var(--line); border-radius: .5rem;
  padding: 1.5rem }
label { display: block }
input, select, button { font: inherit; max-width: 100% }
button { padding: .5rem 1rem; justify-self: start }
.scroll { overflow-x: auto }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: .3rem; padding: .7rem }
table { border-collapse: collapse; width: 100% }
caption { text-align: start; font-weight: bold; padding: 1rem 0 .3rem }
th, td { text-align: start; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: normal }
td.number, thead th { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums }
thead th:first-child, thead th.text { text-align: start }
ul.plain { list-style: none; padding: 0 }
.ok { color: var(--ok) } .note { color: var(--note) } .warn { color: var(--warn) }
progress { width: 100% }
"""

ICON: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="#5a67d8">
<rect x="2" y="10" width="4.5" height="12" rx="1.5"/>
<rect x="9.75" y="2" width="4.5" height="20" rx="1.5"/>
<rect x="17.5" y="7" width="4.5" height="15" rx="1.5"/></svg>
"""

_NONE: Final = "–"
_MARKS: Final = {Level.OK: "✓ good", Level.NOTE: "· note", Level.WARN: "! look"}
_RETRY: Final = {
    "too_large": "Send a smaller file, or a compressed one.",
    "too_long": "Send a shorter one.",
    "not_audio": "Send a sound file: WAV, FLAC, MP3, M4A, Ogg, Opus and others.",
    "bad_audio": "The file may be cut short or damaged: does it play?",
    "unauthorized": "Go back, and enter your key.",
    "not_found": "Reports stay for a quarter of an hour, unless they were put into the library.",
    "rate_limited": "Try again in a minute.",
    "backlog_full": "Try again in a while.",
    "unavailable": "Try again in a moment.",
    "storage_full": "Try again in a while.",
}


def page(title: str, *content: Child, reload_s: int | None = None) -> str:
    """Return a whole page; with `reload_s` it asks for itself again after so many seconds."""
    again = tag("meta", http_equiv="refresh", content=reload_s) if reload_s else None
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        again,
        tag("title", title),
        tag("link", rel="icon", href="/plain.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href="/plain.css"),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", tag("main", content)), lang="en")


def form_page(references: References, url: str, *, asks_for_key: bool, limits: str) -> str:
    """Return the page that takes a file in."""
    targets = [target.name for target in references.targets]
    key = tag("input", type="password", name="key", autocomplete="current-password", required=True)
    fields = [
        # First, so that it is there when the file comes.
        tag("label", "Your API key", tag("br"), key) if asks_for_key else None,
        tag(
            "label",
            f"An audio file, {limits}",
            tag("br"),
            tag("input", type="file", name="file", accept="audio/*,video/*", required=True),
        ),
        _choice("Genre, whose tonal balance it is held against", "genre", references.profiles),
        _choice("Where it is to be delivered", "target", targets, none="all of them"),
        tag(
            "label",
            tag("input", type="checkbox", name="retention", value="library"),
            " Keep the report in the library; else it is gone after a quarter of an hour",
        ),
        tag("button", "Measure"),
    ]
    upload = tag(
        "form",
        fields,
        class_="upload",
        action="/plain",
        method="post",
        enctype="multipart/form-data",
    )
    return page(
        "decibus",
        tag("h1", "decibus"),
        tag("p", "Loudness, true peak, tonal balance and a transcript of your audio."),
        upload,
        tag("h2", "From a terminal"),
        tag("pre", f"curl -F file=@take.wav {url}analyze", tabindex=0),
        tag("p", "The API is described by ", tag("a", "its OpenAPI document", href="/schema"), "."),
    )


def problem_page(problem: Problem) -> str:
    """Return the page that says what went wrong, and what to do."""
    more = problem.detail if problem.detail != problem.title else None
    return page(
        f"{problem.title} · decibus",
        tag("h1", problem.title),
        tag("p", more) if more else None,
        tag("p", _RETRY[problem.code]) if problem.code in _RETRY else None,
        _back(),
    )


def report_page(report: Report) -> str:
    """Return a report as a person reads it; one that is not there yet loads itself again."""
    is_over = report.status in {State.DONE, State.FAILED}
    name = report.filename or "Your audio"
    return page(
        f"{name} · decibus",
        tag("h1", name),
        _stays(report),
        _waiting(report) if not is_over else None,
        [tag("p", _fault(error.code, error.detail), class_="warn") for error in report.errors],
        _verdict(report.verdict) if report.verdict else None,
        _measured(report),
        _bands(report) if report.spectrum else None,
        _targets(report.targets) if report.targets else None,
        _transcript(report.transcript) if report.transcript else None,
        _downloads(report) if report.status is State.DONE else None,
        _provenance(report) if is_over else None,
        _delete(report.token),
        _back(),
        reload_s=None if is_over else RELOAD_S,
    )


def _choice(label: str, name: str, options: Iterable[str], none: str = "none") -> Markup:
    each = [tag("option", option, value=option) for option in options]
    choice = tag("select", tag("option", none, value=""), each, name=name)
    return tag("label", label, tag("br"), choice)


def _back() -> Markup:
    return tag("p", tag("a", "Measure another file", href="/plain"))


def _stays(report: Report) -> Markup:
    if report.expires_at is None:
        return tag("p", "It stays in the library until you delete it.")
    until = tag("time", _instant(report.expires_at), datetime=report.expires_at.isoformat())
    return tag("p", "This page’s address is private, and works until ", until, ".")


def _waiting(report: Report) -> Markup:
    place = report.queue
    if place is not None:
        eta = f", done in some {place.eta_s:.0f} s" if place.eta_s is not None else ""
        said = f"It waits at place {place.position} of the queue{eta}."
    else:
        said = "It is being measured." if report.status is State.RUNNING else "It waits."
    bar = tag("progress", f"{report.progress:.0%}", value=report.progress, max=1, id="progress")
    label = tag("label", f"{said} This page loads itself again.", for_="progress")
    return tag("p", label, tag("br"), bar)


def _fault(code: str, detail: str) -> str:
    said = f"{detail[:1].upper()}{detail[1:]}".rstrip(".")
    return f"{said}. {_RETRY.get(code, '')}".strip()


def _verdict(findings: Sequence[Finding]) -> Markup:
    items = [
        tag("li", tag("strong", _MARKS[each.level]), " ", each.text, class_=each.level.value)
        for each in findings
    ]
    return joined(
        [
            tag("h2", "Verdict"),
            tag("ul", items, class_="plain"),
            tag("p", tag("small", "An orientation, not mastering advice.")),
        ]
    )


def _measured(report: Report) -> Markup | None:
    loudness, peak = report.loudness, report.peak
    stereo, speech = report.stereo, report.speech
    if loudness is None or peak is None:
        return None
    rows = [
        ("Integrated loudness", loudness.integrated_lufs, "LUFS"),
        ("Loudness range", loudness.range_lu, "LU"),
        ("Loudest moment (0.4 s)", loudness.momentary_max_lufs, "LUFS"),
        ("Loudest 3 s", loudness.short_term_max_lufs, "LUFS"),
        ("True peak", peak.true_peak_dbtp, "dBTP"),
        ("Sample peak", peak.sample_peak_dbfs, "dBFS"),
        ("True peak over loudness", peak.plr_lu, "LU"),
        ("Loudness of the speech", speech.speech_gated_lufs if speech else None, "LUFS"),
        ("Balance, right over left", stereo.balance_db if stereo else None, "dB"),
    ]
    shown = [_row(name, [_number(value, unit)]) for name, value, unit in rows if value is not None]
    length = f"{report.audio_length:.1f} s" if report.audio_length is not None else _NONE
    return _table("Measured", [], [_row("Length", [length]), *shown])


def _bands(report: Report) -> Markup:
    balance: Balance = report.spectrum or Balance(bands=())
    rows = []
    for band in balance.bands:
        cells = [f"{band.low_hz:g}–{band.high_hz:g}", _number(band.level_db, "dB")]
        if report.genre:
            cells += [_usual(band.reference), band.position or _NONE]
        rows.append(_row(BAND_NAMES.get(band.name, band.name), cells))
    genre = ["Usual, dB", "Place"] if report.genre else []
    caption = f"Tonal balance, held against {report.genre}" if report.genre else "Tonal balance"
    return _table(caption, ["Band", "Hz", "Level", *genre], rows)


def _usual(reference: Reference | None) -> str:
    if reference is None:
        return _NONE
    return f"{_number(reference.low_db)} to {_number(reference.high_db)}"


def _targets(deliveries: Sequence[Delivery]) -> Markup:
    rows = [
        _row(
            each.name,
            [
                _number(each.lufs, "LUFS"),
                _number(each.ceiling_dbtp, "dBTP"),
                _number(each.gain_db, "dB", sign=True),
                _NONE if each.passes is None else "passes" if each.passes else "does not pass",
            ],
        )
        for each in deliveries
    ]
    return _table(
        "Where it may be delivered", ["Target", "Level", "Ceiling", "Gain", "Verdict"], rows
    )


def _transcript(transcript: ReportTranscript) -> Markup:
    if not transcript.segments:
        return joined([tag("h2", "Transcript"), tag("p", "No speech was heard.")])
    rows = [_spoken(segment, transcript.language) for segment in transcript.segments]
    return _table("Transcript", ["Time", "Loudness", "Words"], rows, text="Words")


def _spoken(segment: SpokenSegment, language: str | None) -> Markup:
    minutes, seconds = divmod(segment.start, 60.0)
    return tag(
        "tr",
        tag("td", f"{minutes:.0f}:{seconds:04.1f}"),
        tag("td", _number(segment.loudness_lufs, "LUFS"), class_="number"),
        tag("td", segment.text.strip(), lang=segment.language or language, dir="auto"),
    )


def _downloads(report: Report) -> Markup:
    place = f"/result/{report.token}"
    links = [("JSON", place, "json")]
    if report.transcript is not None:
        links += [(each.upper(), f"{place}.{each}", each) for each in ("txt", "srt", "vtt")]
    if report.loudness is not None and report.loudness.timeline is not None:
        links.append(("CSV, loudness over time", f"{place}.csv", "csv"))
    stem = (report.filename or "report").rpartition(".")[0] or "report"
    items = [
        tag("li", tag("a", name, href=href, download=f"{stem}.{suffix}"))
        for name, href, suffix in links
    ]
    return joined([tag("h2", "Download"), tag("ul", items)])


def _provenance(report: Report) -> Markup:
    made = report.provenance
    parts = [f"decibus {made.decibus}", made.decoder, *made.standards]
    parts.append(f"speech model {made.model}" if made.model else None)
    parts.append(f"SHA-256 {report.sha256}")
    return tag("p", tag("small", "Made by ", ", ".join(filter(None, parts)), "."))


def _delete(token: str) -> Markup:
    button = tag("button", "Delete this report")
    return tag("form", button, action=f"/plain/{token}/delete", method="post")


def _table(
    caption: str, heads: Sequence[str], rows: Sequence[Markup], *, text: str | None = None
) -> Markup:
    """Make a table of numbers; the first column has none, and neither has the one named `text`."""
    named = [tag("th", each, scope="col", class_=each == text and "text") for each in heads]
    head = tag("thead", tag("tr", named))
    table = tag(
        "table", tag("caption", caption), head if any(heads) else None, tag("tbody", list(rows))
    )
    return tag("div", table, class_="scroll", tabindex=0, role="group", aria_label=caption)


def _row(name: str, cells: Sequence[str]) -> Markup:
    values = [tag("td", cell, class_="number") for cell in cells]
    return tag("tr", tag("th", name, scope="row"), values)


def _number(value: float | None, unit: str = "", *, sign: bool = False) -> str:
    """Write a level as people print it: one decimal, a minus that is one, no minus zero."""
    if value is None:
        return _NONE
    rounded = round(value, 1) + 0.0
    text = f"{rounded:+.1f}" if sign and rounded else f"{rounded:.1f}"
    return f"{text.replace('-', '−')} {unit}".strip()


def _instant(at: datetime) -> str:
    return f"{at:%H:%M} UTC"
