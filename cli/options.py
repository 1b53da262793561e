"""Options that several commands share, each described once."""

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[
    list[Path],
    typer.Argument(
        exists=True,
        metavar="FILE|DIR...",
        help="Audio files, or directories to look for them in.",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, as a gateway answers several files.")
]
Genre = Annotated[
    str | None,
    typer.Option(help="Hold the bands against this genre, or against the profile in this file."),
]
Target = Annotated[str | None, typer.Option(help="Judge the loudness for this place, not for all.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes at once; by default as many as pay off, one a core at most."
    ),
]
