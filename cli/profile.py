"""`decibus profile`: make a genre profile from one's own references, and list what there is."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cli.files import find_audio
from cli.options import Jobs, Paths
from cli.progress import bar, tell
from decibus.messages import Spectrum
from decibus.profiles import Bands, Kind, Profile, Spread
from decibus.references import load_references

FEW: Final = 10
"""Fewer recordings than this do not show where the middle 80 % end."""

profiles = typer.Typer(help="What a genre's tonal balance usually is.", no_args_is_help=True)


@profiles.command()
def build(
    paths: Paths,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")],
    name: Annotated[str, typer.Option(help="What the genre is called: a-z, 0-9 and _.")],
    source: Annotated[str | None, typer.Option(help="What the recordings are.")] = None,
    jobs: Jobs = None,
) -> None:
    """Measure recordings, and write the median and the middle 80 % of each band."""
    files = find_audio(paths)
    spectra = _measure(files, jobs)
    now = datetime.now(UTC).date()
    told = source or f"{len(spectra)} recordings, measured by decibus {version('decibus')}"
    try:
        bands = bands_of(spectra)
        profile = Profile(
            name=name, kind=Kind.MEASURED, n=len(spectra), source=told, date=now, bands=bands
        )
        body = msgspec.json.encode(profile)
        msgspec.json.decode(body, type=Profile)  # what cannot be read is not written
    except (ValueError, msgspec.ValidationError) as error:
        tell(f"decibus: no profile can be made of it: {error}")
        raise typer.Exit(1) from None
    output.write_bytes(msgspec.json.format(body) + b"\n")
    if len(spectra) < FEW:
        tell(f"only {len(spectra)} recordings: from {FEW} on a range means something")
    tell(f"{output}: {name}, from {len(spectra)} of {len(files)} files")
    raise typer.Exit(0 if len(spectra) == len(files) else 1)


@profiles.command("list")
def list_all() -> None:
    """List the built-in profiles and the delivery targets, with their sources."""
    references = load_references()
    genres, targets = Table(box=None, pad_edge=False), Table(box=None, pad_edge=False)
    for table in (genres, targets):
        table.add_column("genre" if table is genres else "target", no_wrap=True)
        table.add_column("source", overflow="fold")
    for profile in references.profiles.values():
        genres.add_row(profile.name, f"{profile.kind}, {profile.date}: {profile.source}")
    for target in references.targets:
        targets.add_row(target.name, f"{target.date}: {target.source}")
    console = Console()
    console.print(genres)
    console.print()
    console.print(targets)


def bands_of(spectra: Sequence[Spectrum]) -> Bands:
    """
    Return how each band is spread over recordings, in linear interpolation between them.

    Raises `ValueError` for fewer than two.
    """
    if len(spectra) < 2:  # noqa: PLR2004
        raise ValueError("two recordings are the least")
    spreads: dict[str, Spread] = {}
    for bands in zip(*(spectrum.bands for spectrum in spectra), strict=True):
        levels = [band.level_db for band in bands if band.level_db is not None]
        deciles = statistics.quantiles(levels, n=10, method="inclusive")
        spreads[bands[0].name] = Spread(
            median_db=round(statistics.median(levels), 2),
            p10_db=round(deciles[0], 2),
            p90_db=round(deciles[-1], 2),
        )
    return Bands(**spreads)


def _measure(files: Sequence[Path], jobs: int | None) -> list[Spectrum]:
    """Measure what can be; what cannot, and what lacks a band, is told and left out."""
    if not files:
        raise typer.BadParameter("there is no audio in these directories")

    from cli.measure import Failure, default_jobs, measure_all  # noqa: PLC0415 - half a second

    spectra: list[Spectrum] = []
    with bar("measuring", len(files)) as progress:
        processes = jobs or default_jobs(len(files))
        for path, outcome in measure_all(files, jobs=processes, progress=progress):
            if isinstance(outcome, Failure):
                tell(f"{path}: {outcome.code}: {outcome.detail}")
            elif any(band.level_db is None for band in outcome.spectrum.bands):
                tell(f"{path}: a band is empty, left out")
            else:
                spectra.append(outcome.spectrum)
    return spectra
