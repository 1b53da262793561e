"""`decibus submit`: send files to a gateway, wait for their reports, and print them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.analyze import conclude
from cli.client import Client, Wanted
from cli.files import find_audio
from cli.options import AsJson, Paths, Target
from cli.progress import bar
from cli.sheet import print_json

_AT_ONCE: Final = 4


def submit(  # noqa: PLR0913 - an argument an option
    paths: Paths,
    *,
    url: Annotated[str, typer.Option(envvar="DECIBUS_URL", help="Where the gateway is.")] = (
        "http://127.0.0.1:8000"
    ),
    key: Annotated[
        str | None, typer.Option(envvar="DECIBUS_KEY", help="An API key, where it asks for one.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="loudness, transcribe, or both.")] = None,
    genre: Annotated[str | None, typer.Option(help="A genre that the gateway knows.")] = None,
    target: Target = None,
    language: Annotated[str | None, typer.Option(help="Spoken language, such as en.")] = None,
    as_json: AsJson = False,
    patience_s: Annotated[
        float, typer.Option("--patience", min=0, help="Seconds to wait for each report.")
    ] = 3600.0,
) -> None:
    """Send files to a gateway, and wait for the reports; a directory stands for its audio."""
    files = find_audio(paths)
    if not files:
        raise typer.BadParameter("there is no audio in these directories")
    wanted = Wanted(tasks=tasks, genre=genre, target=target, language=language)
    with (
        Client(url, key, patience_s=patience_s) as client,
        bar("sending and waiting", len(files)) as progress,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        parts = dict.fromkeys(files, 0.0)

        def tell(path: Path) -> Callable[[float], None]:
            def told(part: float) -> None:
                parts[path] = part
                progress(sum(parts.values()))

            return told

        try:
            reports = list(pool.map(lambda path: client.report(path, wanted, tell(path)), files))
        except BaseException:  # such as Ctrl-C
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if as_json:
        print_json([report.raw for report in reports])
        raise typer.Exit(1 if any(report.sheet.has_failed for report in reports) else 0)
    conclude([report.sheet for report in reports], as_json=False)
