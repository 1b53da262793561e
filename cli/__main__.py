"""
The command `decibus`, and what each of its words means.

    decibus analyze FILE|DIR...          measure on this machine, without NATS
    decibus submit FILE|DIR...           send to a gateway, wait, print the same
    decibus convert FILE|DIR... --to F   bring into another format on this machine, without NATS
    decibus profile build DIR... -o F    make a genre profile from one's own references
    decibus profile list                 the profiles and targets that there are

Exit codes: 0 all is well, 1 a file has failed, 2 the command line makes no sense.
"""

from typing import NoReturn

import typer

from cli.analyze import analyze
from cli.convert import convert
from cli.profile import profiles
from cli.submit import submit
from decibus.errors import BadRequest
from decibus.settings import SettingsError

app = typer.Typer(
    name="decibus",
    help="Loudness, true peak and tonal balance of audio files, in numbers and in words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(analyze)
app.command()(submit)
app.command()(convert)
app.add_typer(profiles, name="profile")


def main() -> NoReturn:
    """Run the command; a mistake in its arguments ends it with one line."""
    try:
        app()
    except (BadRequest, SettingsError) as error:
        typer.echo(f"decibus: {error}", err=True)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
