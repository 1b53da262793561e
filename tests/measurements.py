"""Measurements that nobody made: plausible ones, with what a test changes about them."""

from typing import Any, Final

import msgspec

from decibus.messages import (
    AudioFormat,
    Band,
    ChannelPeak,
    Loudness,
    Measurement,
    Peak,
    Silence,
    Spectrum,
    Stereo,
)

BANDS: Final = {
    "sub": (20.0, 60.0, -10.0),
    "bass": (60.0, 250.0, -3.0),
    "low_mid": (250.0, 500.0, -8.0),
    "mid": (500.0, 2_000.0, -8.0),
    "high_mid": (2_000.0, 6_000.0, -12.0),
    "air": (6_000.0, 20_000.0, -19.0),
}
"""Edges, and a level that suits pop."""


def a_measurement(  # noqa: PLR0913 - one for everything that a rule looks at
    *,
    integrated_lufs: float | None = -14.0,
    true_peak_dbtp: float | None = -1.5,
    clipped_samples: int = 0,
    levels_db: dict[str, float | None] | None = None,
    stereo: Stereo | None = None,
    dc_offset: tuple[float, ...] = (0.0,),
    silence: Silence | None = None,
    duration_s: float = 180.0,
) -> Measurement:
    levels: dict[str, float | None] = {name: level for name, (_, _, level) in BANDS.items()}
    levels |= levels_db or {}
    return Measurement(
        audio=AudioFormat(
            container="wav",
            codec="pcm_s16le",
            sample_rate=48_000,
            channels=1,
            layout="mono",
            bit_depth=16,
            bit_rate=768_000,
            duration=duration_s,
        ),
        loudness=Loudness(
            integrated_lufs=integrated_lufs,
            range_lu=None,
            momentary_max_lufs=None,
            short_term_max_lufs=None,
            threshold_lufs=None,
            stable=duration_s >= 60.0,
        ),
        peak=Peak(
            true_peak_dbtp=true_peak_dbtp,
            true_peak_bs1770_dbtp=true_peak_dbtp,
            sample_peak_dbfs=true_peak_dbtp,
            per_channel=(
                ChannelPeak(
                    channel="FC", true_peak_dbtp=true_peak_dbtp, sample_peak_dbfs=true_peak_dbtp
                ),
            ),
            plr_lu=None,
            clipped_samples=clipped_samples,
        ),
        spectrum=Spectrum(
            bands=tuple(
                Band(name=name, low_hz=low_hz, high_hz=high_hz, level_db=levels[name])
                for name, (low_hz, high_hz, _) in BANDS.items()
            )
        ),
        stereo=stereo,
        dc_offset=dc_offset,
        silence=silence or Silence(lead_s=0.1, tail_s=0.5),
    )


SILENT: Final = a_measurement(
    integrated_lufs=None, true_peak_dbtp=None, levels_db=dict.fromkeys(BANDS)
)


def numbers_of(found: Measurement) -> list[float]:
    """Flatten all numbers of a measurement."""

    def walk(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [n for inner in value.values() for n in walk(inner)]
        if isinstance(value, list | tuple):
            return [n for inner in value for n in walk(inner)]
        return [float(value)] if isinstance(value, int | float) else []

    return walk(msgspec.to_builtins(found))
