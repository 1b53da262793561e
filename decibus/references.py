"""
The profiles and targets that a report is held against: those in `decibus/data`, and one's own.

A file of one's own replaces the built-in profile of the same name.
"""

from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import msgspec

from decibus.errors import BadRequest
from decibus.profiles import Profile
from decibus.settings import SettingsError
from decibus.targets import Catalogue, Target

_SUFFIX: Final = ".json"


class References(msgspec.Struct, frozen=True, kw_only=True):
    """Profiles by their names, and targets in the order in which reports list them."""

    profiles: dict[str, Profile]
    targets: tuple[Target, ...]

    def genre(self, text: str) -> Profile:
        """Return the profile that is meant by `Hip-Hop`; raises `BadRequest` with all there are."""
        for name, profile in self.profiles.items():
            if _letters(name) == _letters(text):
                return profile
        known = ", ".join(self.profiles)
        raise BadRequest(f"genre: there is no profile {text[:64]!r}; there are {known}")

    def target(self, text: str) -> Target:
        """Return the target that is meant by `apple music`; raises as `genre` does."""
        for target in self.targets:
            if _letters(target.name) == _letters(text):
                return target
        known = ", ".join(target.name for target in self.targets)
        raise BadRequest(f"target: there is no {text[:64]!r}; there are {known}")

    def asked(self, genre: str | None, target: str | None) -> tuple[Profile | None, Target | None]:
        """Return what a report names; None for what it does not, or what is no longer there."""
        found = next((each for each in self.targets if each.name == target), None)
        return self.profiles.get(genre or ""), found


def load_references(profiles_dir: str = "") -> References:
    """Read all of them, once, at start. Raises `SettingsError`, which names the bad file."""
    data = resources.files("decibus") / "data"
    catalogue = msgspec.json.decode((data / "targets.json").read_bytes(), type=Catalogue)
    profiles = _by_name((data / "profiles").iterdir())
    if profiles_dir:
        folder = Path(profiles_dir)
        if not folder.is_dir():
            raise SettingsError(f"PROFILES_DIR: {profiles_dir} is no directory")
        profiles |= _by_name(folder.iterdir())
    return References(profiles=dict(sorted(profiles.items())), targets=catalogue.targets)


def read_profile(file: Traversable) -> Profile:
    """Read one profile. Raises `SettingsError`, with the file and what is wrong where."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Profile)
    except (OSError, msgspec.DecodeError) as error:  # ValidationError is one
        raise SettingsError(f"{file}: {error}") from None


def _by_name(files: Iterable[Traversable]) -> dict[str, Profile]:
    profiles: dict[str, Profile] = {}
    for file in sorted(files, key=lambda file: file.name):
        if file.name.endswith(_SUFFIX):
            profile = read_profile(file)
            if profile.name in profiles:
                raise SettingsError(f"{file}: there is another profile {profile.name!r} beside it")
            profiles[profile.name] = profile
    return profiles


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
