"""
What a measurement means, in words: for a genre, for a target, and for anybody. Pure.

    Measurement ─┬─ Profile ──▶ where each band is, next to the genre's
                 ├─ Targets ──▶ what becomes of it at each of them
                 └─ rules ────▶ findings, one sentence each, with the number and its unit

Who asks for a report may choose another genre than the one before: nothing is measured again.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from decibus.messages import Band, Measurement
from decibus.profiles import CLEARLY_Z, Kind, Position, Profile
from decibus.targets import Delivery, Playback, Target, deliver

CUSTOMARY_CEILING_DBTP: Final = -1.0
"""EBU R 128's, and most streaming services'."""

# Where a word is worth it; none of these stands in a standard.
_MANY_CLIPPED: Final = 10
_WIDE: Final = 0.2  # correlation
_ONE_SIDED_DB: Final = 3.0
_DC_OFFSET: Final = 0.005  # -46 dBFS
_LONG_LEAD_S: Final = 1.0
_LONG_TAIL_S: Final = 3.0

BAND_NAMES: Final = {
    "sub": "Sub bass",
    "bass": "Bass",
    "low_mid": "Low mids",
    "mid": "Mids",
    "high_mid": "High mids",
    "air": "Highs",
}


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says of a file. `rule` is stable, `text` is for people."""

    rule: str
    level: Level
    text: str


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Where the level of a band usually is in a genre, and who says so."""

    low_db: float
    high_db: float
    source: str


class JudgedBand(Band, frozen=True, kw_only=True):
    """A band next to the genre's; without a genre, or without a level, it has no position."""

    reference: Reference | None = None
    position: Position | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """The long-term tonal balance, as a report tells it."""

    bands: tuple[JudgedBand, ...]


class Appraisal(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says beyond the numbers."""

    spectrum: Balance
    targets: tuple[Delivery, ...]
    verdict: tuple[Finding, ...]


def appraise(
    measurement: Measurement,
    *,
    targets: Sequence[Target],
    profile: Profile | None = None,
    target: Target | None = None,
) -> Appraisal:
    """Hold a measurement against a genre, and against one target or all."""
    shown = (target,) if target else tuple(targets)
    return Appraisal(
        spectrum=Balance(bands=tuple(_judge(band, profile) for band in measurement.spectrum.bands)),
        targets=tuple(deliver(each, measurement.loudness, measurement.peak) for each in shown),
        verdict=tuple(_findings(measurement, targets, profile, target)),
    )


def _judge(band: Band, profile: Profile | None) -> JudgedBand:
    spread = profile.spread_of(band) if profile else None
    reference = position = None
    if profile and spread:
        reference = Reference(
            low_db=spread.low_db, high_db=spread.high_db, source=profile.provenance
        )
        position = None if band.level_db is None else spread.position(band.level_db)
    return JudgedBand(
        name=band.name,
        low_hz=band.low_hz,
        high_hz=band.high_hz,
        level_db=band.level_db,
        reference=reference,
        position=position,
    )


def _findings(
    measurement: Measurement,
    targets: Sequence[Target],
    profile: Profile | None,
    target: Target | None,
) -> Iterator[Finding]:
    if measurement.peak.true_peak_dbtp is None:
        yield _warn("silence", "The file is silent: there is nothing to measure.")
        return
    yield _loudness(measurement, targets, target)
    yield _true_peak(measurement, measurement.peak.true_peak_dbtp, target)
    yield _clipping(measurement)
    if profile:
        for band in measurement.spectrum.bands:
            yield from _balance(band, profile)
    for rule in _RULES:
        yield from rule(measurement)


def _loudness(
    measurement: Measurement, targets: Sequence[Target], target: Target | None
) -> Finding:
    integrated_lufs = measurement.loudness.integrated_lufs
    if integrated_lufs is None:
        return _note("loudness", "Too short or too quiet to have a loudness: it needs 0.4 s.")
    if target is None:
        return _loudness_anywhere(integrated_lufs, targets)
    true_peak_dbtp = measurement.peak.true_peak_dbtp or 0.0
    gain_db = target.gain_db(integrated_lufs, true_peak_dbtp)
    is_accepted = target.accepts_loudness(integrated_lufs, gain_db)
    if target.playback is Playback.NONE:
        return _loudness_to_specification(integrated_lufs, target, is_accepted=is_accepted)
    return _loudness_played(integrated_lufs, target, gain_db, is_accepted=is_accepted)


def _loudness_anywhere(integrated_lufs: float, targets: Sequence[Target]) -> Finding:
    played = sorted(each.lufs for each in targets if each.playback is not Playback.NONE)
    level = f"Loudness is {_number(integrated_lufs)} LUFS"
    if not played:
        return _ok("loudness", f"{level}.")
    quietest, loudest = played[0], played[-1]
    range_ = f"{_number(quietest, 0)} to {_number(loudest, 0)} LUFS"
    if round(integrated_lufs, 1) > loudest + 1.0:
        least, most = integrated_lufs - loudest, integrated_lufs - quietest
        return _note(
            "loudness",
            f"{level}, louder than any streaming service plays ({range_}): they turn it down "
            f"by {least:.1f} to {most:.1f} dB, so that it gains nothing.",
        )
    if round(integrated_lufs, 1) < quietest - 1.0:
        return _note(
            "loudness",
            f"{level}, quieter than streaming services play ({range_}), and most turn nothing up.",
        )
    return _ok("loudness", f"{level}, about what streaming services play ({range_}).")


def _loudness_to_specification(
    integrated_lufs: float, target: Target, *, is_accepted: bool
) -> Finding:
    level = f"Loudness is {_number(integrated_lufs)} LUFS"
    asked = f"{target.name} ({_number(target.lufs, 0)} ±{target.tolerance_lu:g} LUFS)"
    if is_accepted:
        return _ok("loudness", f"{level}, as {asked} wants it.")
    change_db = target.lufs - integrated_lufs
    act = "Raise" if change_db > 0.0 else "Lower"
    return _warn("loudness", f"{level}, outside {asked}. {act} it by {abs(change_db):.1f} dB.")


def _loudness_played(
    integrated_lufs: float, target: Target, gain_db: float, *, is_accepted: bool
) -> Finding:
    level = f"Loudness is {_number(integrated_lufs)} LUFS"
    plays = f"{target.name} plays ({_number(target.lufs, 0)} LUFS)"
    off_lu = integrated_lufs - target.lufs
    if round(abs(off_lu), 1) <= target.tolerance_lu:
        return _ok("loudness", f"{level}, about what {plays}.")
    if off_lu > 0.0:
        return _note(
            "loudness",
            f"{level}, {off_lu:.1f} LU louder than {plays}: it will be turned down by "
            f"{off_lu:.1f} dB, so that it gains nothing.",
        )
    quieter = f"{level}, {-off_lu:.1f} LU quieter than {plays}"
    if is_accepted:
        return _ok("loudness", f"{quieter}: it will be turned up by {gain_db:.1f} dB.")
    reason = (
        "nothing is turned up there"
        if target.playback is Playback.DOWN
        else f"its true peak leaves room to turn it up by {gain_db:.1f} dB only"
    )
    return _note("loudness", f"{quieter}: {reason}, so that it will sound quieter than others.")


def _true_peak(measurement: Measurement, true_peak_dbtp: float, target: Target | None) -> Finding:
    ceiling_dbtp, owner = CUSTOMARY_CEILING_DBTP, "the customary ceiling"
    if target:
        ceiling_dbtp = target.ceiling_for(measurement.loudness.integrated_lufs)
        owner = f"the ceiling for {target.name}"
    level = f"True peak is {_number(true_peak_dbtp)} dBTP"
    ceiling = f"{owner} of {_number(ceiling_dbtp, 0)} dBTP"
    if round(true_peak_dbtp, 1) <= ceiling_dbtp:
        return _ok("true_peak", f"{level}, under {ceiling}.")
    over = f"{true_peak_dbtp - ceiling_dbtp:.1f} dB"
    if round(true_peak_dbtp, 1) > 0.0:
        return _warn(
            "true_peak",
            f"{level}, over full scale: players and encoders clip it. Lower it by {over} to keep "
            f"{ceiling}.",
        )
    say = _warn if target else _note
    return say("true_peak", f"{level}, {over} over {ceiling}: lossy encoders may clip it.")


def _clipping(measurement: Measurement) -> Finding:
    clipped = measurement.peak.clipped_samples
    if not clipped:
        return _ok("clipping", "No sample is clipped.")
    say = _warn if clipped > _MANY_CLIPPED else _note
    samples = "sample is" if clipped == 1 else "samples are"
    return say("clipping", f"{clipped} {samples} at full scale, so probably clipped.")


def _balance(band: Band, profile: Profile) -> Iterator[Finding]:
    spread = profile.spread_of(band)
    if spread is None:
        return
    rule = f"balance.{band.name}"
    name = f"{BAND_NAMES[band.name]} ({_hertz(band.low_hz, band.high_hz)})"
    genre = profile.name.replace("_", " ")
    if profile.kind is Kind.ORIENTATION:
        genre += ", as an orientation"
    usual = f"usual is {_number(spread.low_db)} to {_number(spread.high_db)} dB for {genre}"
    if band.level_db is None:
        yield _note(rule, f"{name}: there is nothing at all; {usual}.")
        return
    z = spread.z(band.level_db)
    level = f"{_number(band.level_db)} dB of the whole; {usual}."
    if spread.position(band.level_db) is Position.IN:
        yield _ok(rule, f"{name}: in range at {level}")
        return
    strength = "strong" if z > 0.0 else "weak"
    if abs(z) <= CLEARLY_Z:
        yield _note(rule, f"{name}: slightly {strength} at {level}")
        return
    # What was never measured may suggest, and not warn.
    say = _warn if profile.kind is Kind.MEASURED else _note
    yield say(rule, f"{name}: clearly {strength} at {level}")


def _mono(measurement: Measurement) -> Iterator[Finding]:
    stereo = measurement.stereo
    if stereo is None:
        return
    if stereo.correlation is None:
        yield _warn("mono", "One of the two channels is silent.")
        return
    level = f"Correlation of left and right is {_number(stereo.correlation, 2)}"
    if round(stereo.correlation, 2) < 0.0:
        yield _warn("mono", f"{level}: in mono, as on a phone, much of it cancels out.")
    elif stereo.correlation < _WIDE:
        yield _note("mono", f"{level}: very wide, listen to it in mono once.")
    else:
        yield _ok("mono", f"{level}: it holds in mono.")


def _sides(measurement: Measurement) -> Iterator[Finding]:
    stereo = measurement.stereo
    if stereo is None or stereo.balance_db is None:
        return
    stronger_db = round(abs(stereo.balance_db), 1)
    side = "right" if stereo.balance_db > 0.0 else "left"
    say = _note if stronger_db > _ONE_SIDED_DB else _ok
    if stronger_db:
        yield say("sides", f"The {side} channel is {stronger_db:.1f} dB stronger.")
    else:
        yield say("sides", "Left and right are equally strong.")


def _dc_offset(measurement: Measurement) -> Iterator[Finding]:
    offset = max(map(abs, measurement.dc_offset), default=0.0)
    level = f"{100.0 * offset:.1f} % of full scale"
    if offset > _DC_OFFSET:
        yield _note("dc_offset", f"DC offset is {level}: a high-pass filter removes it.")
    else:
        yield _ok("dc_offset", f"DC offset is {level}.")


def _ends(measurement: Measurement) -> Iterator[Finding]:
    lead_s, tail_s = measurement.silence.lead_s, measurement.silence.tail_s
    text = f"{lead_s:.1f} s of silence at the start, {tail_s:.1f} s at the end"
    if lead_s > _LONG_LEAD_S or tail_s > _LONG_TAIL_S:
        yield _note("silence", f"{text}: trim it, unless it is meant.")
    else:
        yield _ok("silence", f"{text}.")


def _length(measurement: Measurement) -> Iterator[Finding]:
    if not measurement.loudness.stable:
        length = f"{measurement.audio.duration:.1f} s are short"
        yield _note("length", f"{length}: the loudness range can be relied on from 60 s on.")


_RULES: Final[tuple[Callable[[Measurement], Iterator[Finding]], ...]] = (
    _mono,
    _sides,
    _dc_offset,
    _ends,
    _length,
)


def _ok(rule: str, text: str) -> Finding:
    return Finding(rule=rule, level=Level.OK, text=text)


def _note(rule: str, text: str) -> Finding:
    return Finding(rule=rule, level=Level.NOTE, text=text)


def _warn(rule: str, text: str) -> Finding:
    return Finding(rule=rule, level=Level.WARN, text=text)


def _number(value: float, digits: int = 1) -> str:
    """Print a level with a minus sign that does not look like a dash, and no minus zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def _hertz(low_hz: float, high_hz: float) -> str:
    if high_hz < 1_000.0:  # noqa: PLR2004
        return f"{low_hz:g}–{high_hz:g} Hz"
    if low_hz < 1_000.0:  # noqa: PLR2004
        return f"{low_hz:g} Hz–{high_hz / 1_000.0:g} kHz"
    return f"{low_hz / 1_000.0:g}–{high_hz / 1_000.0:g} kHz"
