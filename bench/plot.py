"""Bars as SVG: small, the same for the same numbers, legible on a light and on a dark page."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH: Final = 720
_LABEL: Final = 150
_VALUE: Final = 70
_BAR: Final = 16
_GAP: Final = 14
_TOP: Final = 46
_COLOURS: Final = ("#2f81f7", "#d29922", "#3fb950", "#a371f7")
_TEXT: Final = "#7d8590"


def bars(
    title: str, groups: Mapping[str, Sequence[float]], series: Sequence[str], *, digits: int = 0
) -> str:
    """Draw a group of bars for each label, one for each of the series."""
    longest = max(max(values) for values in groups.values())
    scale = (_WIDTH - _LABEL - _VALUE) / longest if longest else 0.0
    height = _TOP + len(groups) * (_BAR * len(series) + _GAP)
    drawn = [_text(0, 16, title, bold=True)]
    x = _LABEL
    for name, colour in zip(series, _COLOURS, strict=False):
        drawn += [_box(x, 25, 10, 10, colour), _text(x + 15, 34, name)]
        x += 30 + 7 * len(name)
    y = _TOP
    for label, values in groups.items():
        drawn.append(_text(_LABEL - 8, y + _BAR * len(series) / 2 + 4, label, end=True))
        for value, colour in zip(values, _COLOURS, strict=False):
            drawn.append(_box(_LABEL, y + 1, max(1.0, value * scale), _BAR - 2, colour))
            drawn.append(_text(_LABEL + value * scale + 6, y + 12, f"{value:,.{digits}f}"))
            y += _BAR
        y += _GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
    style = 'font-family="system-ui, sans-serif" font-size="12" role="img"'
    return "\n".join([f"{head}{style}>", f"<title>{escape(title)}</title>", *drawn, "</svg>\n"])


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, bold: bool = False, end: bool = False) -> str:
    more = ' font-weight="600"' * bold + ' text-anchor="end"' * end
    return f'<text x="{x:.1f}" y="{y:g}" fill="{_TEXT}"{more}>{escape(text)}</text>'
