"""
How loud a file may be where it is delivered to, and what becomes of it there.

A streaming service plays everything at one loudness: it turns down what is louder, and few turn up
what is quieter. A broadcaster takes a file within its tolerance, or sends it back.
"""

import datetime as dt
from enum import StrEnum
from typing import Annotated

import msgspec

from decibus.messages import Loudness, Peak


class Playback(StrEnum):
    """What is done to a file that has another loudness."""

    DOWN = "down"
    """Turned down when it is louder, else left alone."""

    BOTH = "both"
    """Also turned up when it is quieter, as far as its true peak leaves room under the ceiling."""

    NONE = "none"
    """Nothing: it must be delivered as the specification has it."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A place to deliver to.

    `ceiling_when_louder_dbtp` is for files over `lufs`, where it differs. `tolerance_lu` is the
    specification's; where there is none it says from where on a difference is worth a word.
    `source` is who says so, `date` the day on which it was looked up.
    """

    name: Annotated[str, msgspec.Meta(min_length=1)]
    playback: Playback
    lufs: float
    tolerance_lu: Annotated[float, msgspec.Meta(gt=0)]
    ceiling_dbtp: float
    ceiling_when_louder_dbtp: float | None = None
    source: Annotated[str, msgspec.Meta(min_length=1)]
    date: dt.date

    def ceiling_for(self, integrated_lufs: float | None) -> float:
        """Return the highest true peak that a file of this loudness may have, in dBTP."""
        if self.ceiling_when_louder_dbtp is None or integrated_lufs is None:
            return self.ceiling_dbtp
        is_louder = round(integrated_lufs, 1) > self.lufs
        return self.ceiling_when_louder_dbtp if is_louder else self.ceiling_dbtp

    def gain_db(self, integrated_lufs: float, true_peak_dbtp: float) -> float:
        """Return what the service will do to a file; for a specification, what the sender must."""
        wanted = self.lufs - integrated_lufs
        if self.playback is Playback.NONE or wanted <= 0.0:
            return wanted
        if self.playback is Playback.DOWN:
            return 0.0
        return min(wanted, max(0.0, self.ceiling_dbtp - true_peak_dbtp))

    def accepts_loudness(self, integrated_lufs: float, gain_db: float) -> bool:
        """Return whether a file is played, or taken, within the tolerance."""
        applied = 0.0 if self.playback is Playback.NONE else gain_db
        return abs(round(integrated_lufs + applied - self.lufs, 1)) <= self.tolerance_lu


class Catalogue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of targets. `version`: the day of its last change."""

    version: dt.date
    targets: tuple[Target, ...]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """
    One file at one target, as a report tells it.

    `pass`: the true peak keeps the ceiling, and the loudness is within the tolerance once the
    service has applied `gain_db`; of a specification, as it is. Levels are compared as they are
    printed, to 0.1 dB. What has no loudness has neither.
    """

    name: str
    lufs: float
    ceiling_dbtp: float
    gain_db: float | None
    passes: bool | None = msgspec.field(name="pass")
    source: str


def deliver(target: Target, loudness: Loudness, peak: Peak) -> Delivery:
    """Tell what becomes of a file at a target."""
    integrated_lufs, true_peak_dbtp = loudness.integrated_lufs, peak.true_peak_dbtp
    ceiling_dbtp = target.ceiling_for(integrated_lufs)
    gain_db = passes = None
    if integrated_lufs is not None and true_peak_dbtp is not None:
        gain_db = target.gain_db(integrated_lufs, true_peak_dbtp)
        keeps_ceiling = round(true_peak_dbtp, 1) <= ceiling_dbtp
        passes = keeps_ceiling and target.accepts_loudness(integrated_lufs, gain_db)
    return Delivery(
        name=target.name,
        lufs=target.lufs,
        ceiling_dbtp=ceiling_dbtp,
        gain_db=gain_db,
        passes=passes,
        source=f"{target.source} ({target.date})",
    )
