"""`decibus analyze`: measure files on this machine, without NATS."""

from pathlib import Path

import typer
from rich.console import Console

from cli.files import find_audio
from cli.options import AsJson, Genre, Jobs, Paths, Target
from cli.progress import bar
from cli.sheet import Sheet, failed_sheet, print_json, print_sheets, sheet_of
from decibus.profiles import Profile
from decibus.references import References, load_references, read_profile
from decibus.verdict import appraise


def analyze(
    paths: Paths,
    *,
    genre: Genre = None,
    target: Target = None,
    as_json: AsJson = False,
    jobs: Jobs = None,
) -> None:
    """Measure files on this machine; a directory stands for all the audio in it."""
    references = load_references()
    profile = profile_of(genre, references) if genre else None
    place = references.target(target) if target else None
    files = find_audio(paths)
    if not files:
        raise typer.BadParameter("there is no audio in these directories")

    from cli.measure import Failure, default_jobs, measure_all  # noqa: PLC0415 - half a second

    sheets: dict[Path, Sheet] = {}
    with bar("measuring", len(files)) as progress:
        processes = jobs or default_jobs(len(files))
        for path, outcome in measure_all(files, jobs=processes, progress=progress):
            if isinstance(outcome, Failure):
                sheets[path] = failed_sheet(str(path), code=outcome.code, detail=outcome.detail)
                continue
            appraisal = appraise(outcome, targets=references.targets, profile=profile, target=place)
            sheets[path] = sheet_of(
                str(path),
                outcome,
                appraisal,
                genre=profile.name if profile else None,
                target=place.name if place else None,
            )
    conclude([sheets[path] for path in files], as_json=as_json)


def profile_of(genre: str, references: References) -> Profile:
    """Return the profile of a genre, or the one in a file of that name."""
    path = Path(genre)
    return read_profile(path) if path.is_file() else references.genre(genre)


def conclude(sheets: list[Sheet], *, as_json: bool) -> None:
    """Print the sheets and end the process: with 1 when one of them has failed."""
    if as_json:
        print_json(sheets)
    else:
        print_sheets(sheets, Console())
    raise typer.Exit(1 if any(sheet.has_failed for sheet in sheets) else 0)
