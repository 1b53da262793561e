"""
What the meters show of every case, as a page: `make conformance` writes docs/conformance.md.

The tests of the standards measure the same groups, and compare what they find with the page.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.dsp.cases import CASES, RATES, Case, Reading, exact_at
from tests.dsp.metering import Meter

PAGE: Final = Path(__file__).parents[2] / "docs" / "conformance.md"

# How near a meter has to come to the exact reading, in LU or dB.
_CLOSE: Final = 0.02
_ROUNDING: Final = 0.0011  # of what the page prints: another machine may round the other way

_NUMBER: Final = re.compile(r"[-+]?\d+\.\d{3}")
_COLUMNS: Final = ("case", "signal", "reading", "expected", "exact")

_NAMES: Final = {
    "integrated": "integrated, LUFS",
    "momentary": "highest momentary, LUFS",
    "momentary_least": "lowest momentary, LUFS",
    "short_term": "highest short-term, LUFS",
    "short_term_least": "lowest short-term, LUFS",
    "range_lu": "range, LU",
    "true_peak": "true peak, dBTP",
}

_HEAD: Final = """\
# Conformance

What the meters of [`services/analyzer/dsp`](../services/analyzer/dsp) show of the cases that the
standards print, with signals made in code ([`cases`](../tests/dsp/cases.py)). `make conformance`
writes this page, and the tests of each standard compare it with what they find. Tones are of 1 kHz,
in phase on two channels, their levels peaks in dBFS, unless it says otherwise.

* **expected**: what the standard prints, and how far from it a meter may be.
* **exact**: what the standard, word by word and in float64, shows of the signal at 48 kHz
  ([`reference`](../tests/dsp/reference.py)); a tone of -23 dBFS, say, reads -22.993 LUFS. At other
  rates it differs by up to 0.03 LU: BS.1770 prints its high-pass with a numerator of 1, -2, 1,
  which has another gain at each rate, and is kept as other meters keep it.
* A column for each sample rate: what is **measured**, and in brackets its distance from what is
  expected; of a case of 20 files, of the one that is farthest off. All are within 0.02 of what is
  exact at their rate.

Tech 3341 cases 7 and 8, and Tech 3342 cases 5 and 6, are recorded programmes that may not be
redistributed. Tech 3341 cases 20 to 23 hold energy up to half of the rate, where interpolators
differ: one of 20 taps a phase reads -0.101, -0.048, -0.120 and -0.048; ours, of 48, is nearer to
the -0.078 that the signal has before each fourth sample is taken.
"""


class Group(NamedTuple):
    """The files of one case; most have one."""

    standard: str
    number: str
    cases: tuple[Case, ...]


def _groups() -> Iterator[Group]:
    files: dict[tuple[str, str], list[Case]] = {}
    for case in CASES:
        files.setdefault((case.standard, case.number), []).append(case)
    for (standard, number), cases in files.items():
        yield Group(standard, number, tuple(cases))


GROUPS: Final = tuple(_groups())


class Shown(NamedTuple):
    """What a meter shows, next to what it should."""

    reading: Reading
    exact: float
    measured: float

    @property
    def error(self) -> float:
        """How far it is from what is expected."""
        return self.measured - self.reading.expected


def measure(group: Group, rate: int) -> list[tuple[Shown, ...]]:
    """Return, for each reading of the group, what the meter shows of every file."""
    files = [_shown(case, rate) for case in group.cases]
    return list(zip(*files, strict=True))


def _shown(case: Case, rate: int) -> list[Shown]:
    meter = Meter(case.make(rate), rate, case.names)
    return [
        Shown(reading, exact_at(case, reading, rate), getattr(meter, reading.name))
        for reading in case.readings
    ]


def cell(files: tuple[Shown, ...]) -> str:
    """Write what the page says of a reading at a rate."""
    worst = max(files, key=lambda shown: abs(shown.error))
    return f"{_plain(worst.measured)} ({round(worst.error, 3) + 0.0:+.3f})"


def violations(group: Group, rate: int) -> list[str]:
    """Tell what is not as the standard, its exact reading or the page has it."""
    told = _told(group, rate)
    found = []
    for files, on_page in zip(measure(group, rate), told, strict=True):
        for reading, exact, shown in files:
            if not -reading.below <= shown - reading.expected <= reading.above:
                found.append(f"{reading.name} is {shown:.4f}, the standard has {reading.expected}")
            if abs(shown - exact) > _CLOSE:
                found.append(f"{reading.name} is {shown:.4f}, exact is {exact:.4f}")
        now = cell(files)
        if any(
            abs(float(a) - float(b)) > _ROUNDING
            for a, b in zip(_NUMBER.findall(on_page), _NUMBER.findall(now), strict=True)
        ):
            found.append(f"the page has {on_page}, measured is {now}: make conformance")
    return found


def _told(group: Group, rate: int) -> list[str]:
    """Return the page's cells of the group's readings."""
    _, _, section = PAGE.read_text().partition(f"## {group.standard}\n")
    rows = [line.strip("| ").split(" | ") for line in section.partition("\n## ")[0].splitlines()]
    return [row[len(_COLUMNS) + RATES.index(rate)] for row in rows if row[0] == group.number]


def page(measure: Callable[[Group, int], list[tuple[Shown, ...]]] = measure) -> str:
    """Write the page, of what this way to measure finds."""
    lines: list[str] = [_HEAD]
    for standard, groups in itertools.groupby(GROUPS, key=lambda group: group.standard):
        columns = (*_COLUMNS, *(f"{rate / 1000:g} kHz" for rate in RATES))
        lines += [f"## {standard}\n", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for group in groups:
            by_rate = [measure(group, rate) for rate in RATES]
            lines += [_row(group, files) for files in zip(*by_rate, strict=True)]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _row(group: Group, by_rate: tuple[tuple[Shown, ...], ...]) -> str:
    first, last = (by_rate[0][number].reading for number in (0, -1))
    is_one = first.expected == last.expected
    margin = (
        f"±{first.above:g}" if first.above == first.below else f"+{first.above:g}/-{first.below:g}"
    )
    cells = [
        group.number,
        group.cases[0].signal,
        _NAMES[first.name],
        f"{first.expected:g} {margin}" if is_one else f"-38 + i {margin}",
        _plain(first.exact) if is_one else f"{first.exact - first.expected:+.3f}",
        *(cell(files) for files in by_rate),
    ]
    return f"| {' | '.join(cells)} |"


def _plain(number: float) -> str:
    return f"{number + 0.0:.3f}".replace("-0.000", "0.000")


if __name__ == "__main__":
    PAGE.write_text(page())
