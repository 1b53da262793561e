"""
Users and TLS for the nats-server of `make run`, made anew at each start: `NATS_SECURE=true`.

    ca.crt             has signed the server's certificate, and no other
    tls.crt, tls.key   the server's
    <user>.env         how a user logs in: for a shell, the `nats` command, or a service by itself

The users and their rights are those of the chart.
"""

import secrets
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from laptop import CannotRun, authority, programs

RIGHTS: Final = programs.ROOT / "charts" / "decibus" / "files" / "nats-permissions.yaml"
ACCOUNT: Final = "DECIBUS"


class Secured:
    """What nats-server is told, and what each of its users."""

    def __init__(self, folder: Path, *, port: int) -> None:
        """Write all of it into the folder, where only we may read."""
        self._folder = folder
        self._url = f"tls://127.0.0.1:{port}"
        rights = msgspec.yaml.decode(RIGHTS.read_bytes(), type=dict[str, dict[str, object]])
        self._passwords = {user: secrets.token_hex(24) for user in rights}
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)
            authority.sign(folder, ["127.0.0.1", "localhost"])
            for user in rights:
                told = self.login(user).items()
                lines = (f"export {name}={shlex.quote(value)}\n" for name, value in told)
                self.file(user).write_text("".join(lines))
        except OSError as error:
            raise CannotRun(f"cannot write to {folder}: {error.strerror}") from error
        self.config = _config(folder, rights, self._passwords)

    def file(self, user: str) -> Path:
        """Return where it is written how a user logs in."""
        return self._folder / f"{user}.env"

    def login(self, user: str) -> Mapping[str, str]:
        """Return the variables of a process that is this user."""
        return {
            "NATS_URL": self._url,
            "NATS_USER": user,
            "NATS_PASSWORD": self._passwords[user],
            "NATS_CA": str(self._folder / "ca.crt"),
        }


def _config(
    folder: Path, rights: Mapping[str, Mapping[str, object]], passwords: Mapping[str, str]
) -> str:
    """Return what nats-server's configuration says of it; the server reads JSON too."""
    users = [
        {"user": user, "password": passwords[user], "permissions": may}
        for user, may in rights.items()
    ]
    told = {
        "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
        "accounts": {ACCOUNT: {"jetstream": "enabled", "users": users}},
    }
    return "".join(f"{name}: {msgspec.json.encode(part).decode()}\n" for name, part in told.items())
