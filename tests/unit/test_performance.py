"""The page of figures: it says what stands in bench/results."""

from bench.report import written


def test_the_page_and_its_plots_are_of_the_results() -> None:
    for path, text in written().items():
        assert path.read_text() == text, f"{path.name}: make bench-report"
