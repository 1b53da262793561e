"""
The formats that audio is converted to: what each can hold, and what of it a conversion takes.

    TranscodeOptions ──check──▶ refused, or possible
                     ──settle, with what the file is──▶ Target

A door checks before an upload is queued; what depends on the file is settled by the worker.
"""

from itertools import pairwise
from typing import Final

import msgspec

from decibus.errors import BadRequest
from decibus.messages import AudioFormat, TranscodeOptions

_MPEG_1: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_KBPS: Final = {
    **dict.fromkeys((48_000, 44_100, 32_000), _MPEG_1),  # ISO/IEC 11172-3, table in 2.4.2.3
    **dict.fromkeys((24_000, 22_050, 16_000), _MPEG_2),  # ISO/IEC 13818-3
    **dict.fromkeys((12_000, 11_025, 8_000), _MPEG_2[:8]),  # MPEG-2.5, as far as LAME goes
}
_OPUS_RATES: Final = (48_000,)  # what every decoder gives, whatever was fed (RFC 7845, 5.1)
_AAC_RATES: Final = (  # ISO/IEC 14496-3, table 1.18
    *(
        96_000,
        88_200,
        64_000,
        48_000,
        44_100,
        32_000,
        24_000,
        22_050,
        16_000,
        12_000,
        11_025,
        8_000,
    ),
)
_AAC_BITS_A_SAMPLE: Final = 6  # ibid., 4.5.3.1: 6144 bits in a frame of 1024 samples, a channel
_OPUS_KBPS_A_CHANNEL: Final = (6, 256)  # what libopus takes
_ANY_RATE: Final = (8_000, 192_000)
_VORBIS_KBPS: Final = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)
"""Nominal, of the qualities 0 to 10 in stereo at 44.1 kHz: libvorbis's own table."""
_BIT_RATE_TOLERANCE: Final = 0.05
_NEARLY: Final = 0.9
_STEREO: Final = 2


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a format can hold.

    `container` and `codec`: FFmpeg's words, as in `AudioFormat`; a codec that ends in `_` stands
    for a family. `rates`: all there are, else any within `_ANY_RATE`. `qualities`: the scale of
    the codec's variable bit rate, where it has one. `kbps`: what a channel gets by default.
    """

    media_type: str
    container: str
    codec: str
    rates: tuple[int, ...] = ()
    channels: tuple[int, ...] = tuple(range(1, 9))
    depths: tuple[int, ...] = ()
    qualities: tuple[float, float] | None = None
    kbps: int | None = None


FORMATS: Final = {
    "mp3": Format(
        media_type="audio/mpeg",
        container="mp3",
        codec="mp3",
        rates=tuple(_MP3_KBPS),
        channels=(1, 2),
        qualities=(0.0, 9.0),
        kbps=96,
    ),
    "wav": Format(media_type="audio/wav", container="wav", codec="pcm_", depths=(16, 24, 32)),
    "flac": Format(media_type="audio/flac", container="flac", codec="flac", depths=(16, 24)),
    "ogg": Format(
        media_type="audio/ogg",
        container="ogg",
        codec="vorbis",
        qualities=(0.0, 10.0),
        kbps=96,
    ),
    "opus": Format(
        media_type="audio/ogg", container="ogg", codec="opus", rates=_OPUS_RATES, kbps=64
    ),
    "m4a": Format(
        media_type="audio/mp4",
        container="mp4",
        codec="aac",
        rates=_AAC_RATES,
        channels=(1, 2, 6),
        kbps=96,
    ),
}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is converted to. `bit_rate` in kb/s; `bit_depth` 32 is float."""

    extension: str
    sample_rate: int
    channels: int
    bit_rate: int | None = None
    bit_depth: int | None = None
    quality: float | None = None


def check(options: TranscodeOptions) -> None:
    """Raise `BadRequest` for what no file could be converted to; the message says what could."""
    name = options.extension
    if name not in FORMATS:
        raise BadRequest(f"extension {name!r}: it is one of {', '.join(FORMATS)}")
    form = FORMATS[name]
    rate, channels = options.sample_rate, options.channels
    if rate is not None and not _takes_rate(form, rate):
        raise BadRequest(f"{name} has no sample rate of {rate} Hz, but {_rates(form)}")
    if channels is not None and channels not in form.channels:
        raise BadRequest(f"{name} has no {channels} channels here, but {_list(form.channels)}")
    if options.bit_depth is not None and options.bit_depth not in form.depths:
        depths = f"but {_list(form.depths)}" if form.depths else "as it is no format of samples"
        raise BadRequest(f"{name} has no bit depth of {options.bit_depth}, {depths}")
    if options.quality is not None:
        _check_quality(options, form)
    if options.bit_rate is not None:
        _check_bit_rate(options, form, options.bit_rate)


def _check_quality(options: TranscodeOptions, form: Format) -> None:
    if options.bit_rate is not None:
        raise BadRequest("bit_rate and quality exclude each other")
    if form.qualities is None:
        raise BadRequest(f"{options.extension} has no quality to choose: mp3 and ogg have")
    low, high = form.qualities
    if not low <= (options.quality or 0.0) <= high:
        raise BadRequest(f"the quality of {options.extension} is {low:g} to {high:g}")


def _check_bit_rate(options: TranscodeOptions, form: Format, asked: int) -> None:
    if form.kbps is None:
        raise BadRequest(f"{options.extension} is lossless: it has no bit_rate to choose")
    rates = (options.sample_rate,) if options.sample_rate else form.rates or _ANY_RATE
    channels = (options.channels,) if options.channels else form.channels
    if any(
        bit_rate_of(options.extension, asked, rate, count) == asked
        for rate in rates
        for count in channels
    ):
        return
    at = f" at {options.sample_rate} Hz" if options.sample_rate else ""
    held = {
        bit_rate_of(options.extension, kbps, rate, count)
        for kbps in range(1, 4_000)
        for rate in rates
        for count in channels
    }
    some = _list(sorted(held)) if options.extension == "mp3" else f"{min(held)} to {max(held)}"
    raise BadRequest(f"{options.extension} has no bit rate of {asked} kb/s{at}, but {some}")


def settle(options: TranscodeOptions, source: AudioFormat) -> Target:
    """Choose what was not asked for: as the source is, where the format can hold that."""
    check(options)
    form = FORMATS[options.extension]
    channels = options.channels or _nearest_channels(form, source.channels)
    rate = options.sample_rate or _nearest_rate(options, form, source.sample_rate, channels)
    bit_rate = None
    if form.kbps is not None and options.quality is None:
        asked = options.bit_rate or form.kbps * channels
        bit_rate = bit_rate_of(options.extension, asked, rate, channels)
    return Target(
        extension=options.extension,
        sample_rate=rate,
        channels=channels,
        bit_rate=bit_rate,
        bit_depth=options.bit_depth or _nearest_depth(form, source.bit_depth),
        quality=options.quality,
    )


def may_be_unchanged(options: TranscodeOptions, source: AudioFormat) -> bool:
    """Whether a file is in the format already, as far as its head tells: not its bit rate."""
    form = FORMATS[options.extension]
    is_codec = source.codec.startswith(form.codec)
    return (
        source.container == form.container
        and (is_codec if form.codec.endswith("_") else source.codec == form.codec)
        and options.quality is None
        and options.sample_rate in {None, source.sample_rate}
        and options.channels in {None, source.channels}
        and options.bit_depth in {None, source.bit_depth}
    )


def is_unchanged(options: TranscodeOptions, source: AudioFormat) -> bool:
    """Whether a file that was decoded whole is in the format already."""
    if not may_be_unchanged(options, source):
        return False
    if options.bit_rate is None:
        return True
    asked = 1_000.0 * options.bit_rate
    return abs((source.bit_rate or 0) - asked) <= _BIT_RATE_TOLERANCE * asked


def bit_rate_of(extension: str, kbps: int, rate: int, channels: int) -> int:
    """Return the nearest bit rate, in kb/s, that a format has at this rate; of two, the lower."""
    match extension:
        case "mp3":
            return min(_MP3_KBPS[rate], key=lambda known: (abs(known - kbps), known))
        case "m4a":
            return max(8, min(kbps, _AAC_BITS_A_SAMPLE * rate * channels // 1_000))
        case "opus":
            low, high = _OPUS_KBPS_A_CHANNEL
            return max(low, min(kbps, high * channels))
        case _:
            pairs = max(channels / _STEREO, 0.5)
            return max(round(_VORBIS_KBPS[0] * pairs), min(kbps, round(_VORBIS_KBPS[-1] * pairs)))


def vorbis_quality(kbps: int, channels: int) -> float:
    """Return the quality of Vorbis whose nominal bit rate this is, 0 to 10."""
    nominal = kbps * _STEREO / channels
    for quality, (low, high) in enumerate(pairwise(_VORBIS_KBPS)):
        if nominal <= high:
            return quality + max(0.0, nominal - low) / (high - low)
    return len(_VORBIS_KBPS) - 1.0


def _takes_rate(form: Format, rate: int) -> bool:
    return rate in form.rates if form.rates else _ANY_RATE[0] <= rate <= _ANY_RATE[1]


def _nearest_channels(form: Format, channels: int) -> int:
    return max((count for count in form.channels if count <= channels), default=form.channels[0])


def _nearest_rate(options: TranscodeOptions, form: Format, rate: int, channels: int) -> int:
    """Return the source's rate, else the next above it, else a high one, best one that divides."""
    if not form.rates:
        return max(_ANY_RATE[0], min(rate, _ANY_RATE[1]))
    asked = options.bit_rate
    able = [
        known
        for known in form.rates
        if asked is None or bit_rate_of(options.extension, asked, known, channels) == asked
    ] or list(form.rates)
    above = [known for known in able if known >= rate]
    # 88.2 kHz becomes 44.1 kHz where there is 48, too.
    dividing = [known for known in able if rate % known == 0 and known > _NEARLY * max(able)]
    return min(above, default=max(dividing or able))


def _nearest_depth(form: Format, depth: int | None) -> int | None:
    """Return the least that loses nothing; lossy sources have no depth, and get 16 bits."""
    if not form.depths:
        return None
    return min((known for known in form.depths if known >= (depth or 16)), default=form.depths[-1])


def _rates(form: Format) -> str:
    return _list(sorted(form.rates)) if form.rates else f"{_ANY_RATE[0]} to {_ANY_RATE[1]}"


def _list(values: tuple[int, ...] | list[int]) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last
