"""`decibus convert`: bring files into another format on this machine, without NATS."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.files import find_audio
from cli.options import Paths
from cli.progress import bar, tell
from decibus import formats
from decibus.errors import DecibusError
from decibus.messages import Conversion, TranscodeOptions

To = Annotated[str, typer.Option(help=f"The format: {', '.join(formats.FORMATS)}.")]
SampleRate = Annotated[int | None, typer.Option(help="In Hz; by default the source's.")]
BitRate = Annotated[int | None, typer.Option(help="In kb/s; of mp3, m4a, opus and ogg.")]
BitDepth = Annotated[int | None, typer.Option(help="16, 24, or 32 for float; of wav and flac.")]
Channels = Annotated[int | None, typer.Option(help="1 is mono; mixed as ITU-R BS.775 says.")]
Quality = Annotated[
    float | None,
    typer.Option(help="In place of a bit rate: 0 (best) to 9 for mp3, 10 to 0 for ogg."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="A directory for what is made; by default beside the source."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there already.")]

_PART: Final = ".part"


def convert(  # noqa: PLR0913 - one for each option
    paths: Paths,
    *,
    to: To,
    sample_rate: SampleRate = None,
    bit_rate: BitRate = None,
    bit_depth: BitDepth = None,
    channels: Channels = None,
    quality: Quality = None,
    out: Out = None,
    force: Force = False,
) -> None:
    """Bring files into another format; a directory stands for all the audio in it."""
    options = TranscodeOptions(
        extension=to,
        sample_rate=sample_rate,
        bit_rate=bit_rate,
        bit_depth=bit_depth,
        channels=channels,
        quality=quality,
        max_duration_s=math.inf,
    )
    formats.check(options)
    files = find_audio(paths)
    if not files:
        raise typer.BadParameter("there is no audio in these directories")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with bar("converting", len(files)) as progress:
        for done, file in enumerate(files):

            def told(fraction: float, before: int = done) -> None:
                progress(before + fraction)

            target = (out or file.parent) / f"{file.stem}.{to}"
            try:
                typer.echo(f"{file} → {_converted(file, target, options, told, force=force)}")
            except (DecibusError, OSError) as error:
                failed += 1
                tell(f"{file}: {error}")
            progress(done + 1.0)
    raise typer.Exit(1 if failed else 0)


def _converted(
    source: Path,
    target: Path,
    options: TranscodeOptions,
    progress: Callable[[float], None],
    *,
    force: bool,
) -> str:
    """Convert a file, under another name until it is whole; returns what there is to say."""
    if target.exists() and not force and not target.samefile(source):
        raise FileExistsError(f"{target} is there already: --force replaces it")
    part = target.with_name(target.name + _PART)
    try:
        result = _write(source, part, options, progress)
        if result.unchanged and target.exists() and target.samefile(source):
            return "unchanged, it is in the format already"
        if target.exists() and not force:
            raise FileExistsError("it would take its own place: --out DIR, or --force")
        if result.unchanged:
            shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    made = result.converted
    unchanged = ", unchanged" if result.unchanged else ""
    return f"{target} ({made.sample_rate} Hz, {made.layout}, {made.duration:.1f} s{unchanged})"


def _write(
    source: Path, target: Path, options: TranscodeOptions, progress: Callable[[float], None]
) -> Conversion:
    from services.transcoder.convert import convert as pieces_of  # noqa: PLC0415 - half a second
    from services.transcoder.output import put  # noqa: PLC0415 - ditto

    with source.open("rb") as file, target.open("wb") as made:
        pieces = pieces_of(file, options, progress)
        while True:
            try:
                put(next(pieces), made, limit=1 << 62)
            except StopIteration as end:
                result: Conversion = end.value
                return result
