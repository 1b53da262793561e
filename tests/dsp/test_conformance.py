"""docs/conformance.md is what `make conformance` writes, and what it says is checked."""

import re

import pytest

from tests.dsp import conformance
from tests.dsp.cases import exact_at
from tests.dsp.conformance import GROUPS, PAGE, Group, Shown, page, violations

MEASURED = re.compile(r"-?\d+\.\d{3} \([-+]\d+\.\d{3}\)")


def test_the_page_has_the_cases_that_there_are() -> None:
    """And no other; what it says of them is compared by the tests that measure them."""

    def nothing(group: Group, rate: int) -> list[tuple[Shown, ...]]:
        files = [
            [Shown(reading, exact_at(case, reading, rate), 0.0) for reading in case.readings]
            for case in group.cases
        ]
        return list(zip(*files, strict=True))

    assert MEASURED.sub("…", PAGE.read_text()) == MEASURED.sub("…", page(nothing))


def test_a_page_that_is_out_of_date_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (group,) = (group for group in GROUPS if group.number == "0 dBFS")
    stale = tmp_path_factory.mktemp("docs") / "conformance.md"
    stale.write_text(PAGE.read_text().replace("-3.010 (+0.000)", "-3.012 (-0.002)"))
    assert violations(group, 48_000) == []

    monkeypatch.setattr(conformance, "PAGE", stale)

    assert "make conformance" in violations(group, 48_000)[0]
