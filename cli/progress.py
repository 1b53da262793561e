"""What goes to stderr: a progress bar, on a terminal only, and what is told beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

STDERR: Final = Console(stderr=True)


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[float], None]]:
    """Show how many of the files are done while the block runs; yields what tells it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=not STDERR.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def tell(text: str) -> None:
    """Print a line beside the bar, as it is: no markup, and not broken to the terminal's width."""
    STDERR.print(text, markup=False, highlight=False, soft_wrap=True)
