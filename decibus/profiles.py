"""
What a genre's tonal balance usually is: six bands, each with its median and the middle 80 %.

    "bass": {"median_db": -4.4, "p10_db": -7.4, "p90_db": -1.4}     of the whole, 20 Hz to 20 kHz

A profile says where its numbers come from. `measured` ones were made from recordings, `n` of them;
`orientation` ones from published facts about spectra, and no recording stands behind them.
"""

import datetime as dt
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from decibus.messages import Band

P90_Z: Final = 1.28
"""The 90th percentile of a normal distribution, in standard deviations from its median."""

CLEARLY_Z: Final = 2.33
"""The 99th."""

MIN_DEVIATION_DB: Final = 0.5
"""Recordings that are closer to each other than one hears still make no finer rule than this."""


class Kind(StrEnum):
    """What stands behind a profile's numbers."""

    ORIENTATION = "orientation"
    MEASURED = "measured"


class Position(StrEnum):
    """Where a level is, next to the middle 80 % of a genre."""

    BELOW = "below"
    IN = "in"
    ABOVE = "above"


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the levels of a band are spread, in dB of the whole."""

    median_db: float
    p10_db: float
    p90_db: float

    def __post_init__(self) -> None:
        """Refuse what is no distribution."""
        if not self.p10_db <= self.median_db <= self.p90_db:
            raise ValueError("median_db is between p10_db and p90_db")

    @property
    def deviation_db(self) -> float:
        """The standard deviation that a normal distribution with these percentiles has."""
        return max(MIN_DEVIATION_DB, (self.p90_db - self.p10_db) / (2.0 * P90_Z))

    @property
    def low_db(self) -> float:
        """Where `below` ends."""
        return self.median_db - P90_Z * self.deviation_db

    @property
    def high_db(self) -> float:
        """Where `above` begins."""
        return self.median_db + P90_Z * self.deviation_db

    def z(self, level_db: float) -> float:
        """Return how many standard deviations a level is from the median."""
        return (level_db - self.median_db) / self.deviation_db

    def position(self, level_db: float) -> Position:
        """Place a level; the ends of the range belong to it."""
        if level_db < self.low_db:
            return Position.BELOW
        return Position.ABOVE if level_db > self.high_db else Position.IN


class Bands(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bands that the analyzer measures, by their names."""

    sub: Spread
    bass: Spread
    low_mid: Spread
    mid: Spread
    high_mid: Spread
    air: Spread


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A genre's tonal balance, as it stands in a file.

    `n`: how many recordings were measured, 0 for an orientation. `source`: what was measured, or
    from what the numbers were derived. `date`: when.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
    kind: Kind
    n: Annotated[int, msgspec.Meta(ge=0)]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    date: dt.date
    bands: Bands

    def __post_init__(self) -> None:
        """Refuse a profile that claims what cannot be."""
        if (self.n == 0) is (self.kind is Kind.MEASURED):
            raise ValueError("n is how many recordings were measured, and 0 for an orientation")

    @property
    def provenance(self) -> str:
        """Say in short what stands behind the numbers."""
        recordings = f" from {self.n} recordings" if self.n else ", not measured"
        return f"{self.name}: {self.kind}{recordings}, {self.date}"

    def spread_of(self, band: Band) -> Spread | None:
        """Return what is usual in a band; None for one that only a newer analyzer knows."""
        found: Spread | None = getattr(self.bands, band.name, None)
        return found
