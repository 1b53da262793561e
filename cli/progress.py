"""A progress bar, on a terminal; into a file or a pipe nothing is printed but the result."""

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
