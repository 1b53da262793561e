"""
The conversion of one file, as pieces of another.

    decode ─▶ mix ─▶ soxr ─▶ dither ─▶ encode ─▶ pieces
"""

import io
import wave
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import BinaryIO, Final

import numpy as np
import soundfile
import soxr
from msgspec.structs import replace

from decibus import formats
from decibus.audio import DECODER, Audio, open_audio
from decibus.formats import Target
from decibus.messages import AudioFormat, Conversion, TranscodeOptions
from services.transcoder import channels
from services.transcoder.encode import Labels, Samples, encoder
from services.transcoder.output import Pieces

BLOCK_SAMPLES: Final = 1 << 17
"""Of all channels: 1.5 s of 44.1 kHz stereo, 512 KiB."""

ENCODER: Final = f"{DECODER}, lameenc, libsndfile {soundfile.__libsndfile_version__}"
_EXACT_IN_FLOAT: Final = 24  # bits
_LOOKING: Final = 0.1  # how much of the work it is to see that a file is not as asked for already


def convert(
    file: BinaryIO, options: TranscodeOptions, progress: Callable[[float], None]
) -> Generator[bytes, None, Conversion]:
    """
    Yield the pieces of the converted file (see `output`), none where the source is to be kept.

    Raises what `open_audio` raises, and `BadRequest` for options that no file can meet.
    """
    formats.check(options)
    with open_audio(file, max_duration_s=options.max_duration_s) as audio:
        if not (audio.is_alone and formats.may_be_unchanged(options, audio.format())):
            return (yield from _made(audio, options, progress))
        for _ in _told(audio, partial(_between, progress, 0.0, _LOOKING)):
            pass
        found = audio.format()
        if formats.is_unchanged(options, found):
            return Conversion(audio=found, converted=found, unchanged=True, decoder=DECODER)
    with open_audio(file, max_duration_s=options.max_duration_s) as audio:
        return (yield from _made(audio, options, partial(_between, progress, _LOOKING, 1.0)))


def _made(
    audio: Audio, options: TranscodeOptions, progress: Callable[[float], None]
) -> Generator[bytes, None, Conversion]:
    target = formats.settle(options, audio.format())
    made = yield from _encoded(audio, target, progress)
    return Conversion(audio=audio.format(), converted=made, decoder=DECODER, encoder=ENCODER)


def _between(progress: Callable[[float], None], low: float, high: float, fraction: float) -> None:
    progress(low + (high - low) * fraction)


def _encoded(
    audio: Audio, target: Target, progress: Callable[[float], None]
) -> Generator[bytes, None, AudioFormat]:
    source = audio.format()
    pieces = Pieces()
    keeps_layout = target.bit_depth is not None and target.channels == audio.channels
    layout = source.layout if keeps_layout else channels.LAYOUTS[target.channels]
    mix = None if keeps_layout else channels.matrix(audio.channel_names, target.channels)
    depth = target.bit_depth or _EXACT_IN_FLOAT
    is_exact = mix is None and target.sample_rate == audio.sample_rate
    made = encoder(
        target,
        pieces,
        layout,
        Labels(audio.tags, audio.cover).for_another(),
        dither=not (is_exact and source.bit_depth is not None and source.bit_depth <= depth),
    )
    frames = 0
    blocks = _told(audio, progress)
    mixed = (block if mix is None else block @ mix.T for block in blocks)
    for samples in resampled(mixed, audio.sample_rate, target):
        made.feed(samples)
        frames += len(samples)
        yield from pieces.take()
    made.finish()
    yield from pieces.take()
    duration_s = frames / target.sample_rate
    form = formats.FORMATS[target.extension]
    return replace(
        source,
        container=form.container,
        codec=_codec(target),
        sample_rate=target.sample_rate,
        channels=target.channels,
        layout=layout,
        bit_depth=target.bit_depth,
        bit_rate=_bit_rate(target, pieces.size, duration_s),
        duration=duration_s,
    )


def resampled(blocks: Iterable[Samples], rate: int, target: Target) -> Iterator[Samples]:
    """Bring samples to the target's rate; what would alias is 130 dB down."""
    if rate == target.sample_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(
        rate, target.sample_rate, target.channels, dtype="float32", quality="HQ"
    )
    for block in blocks:
        if (samples := resampler.resample_chunk(block)).size:
            yield samples
    rest = resampler.resample_chunk(np.empty((0, target.channels), np.float32), last=True)
    if rest.size:
        yield rest


def _told(audio: Audio, progress: Callable[[float], None]) -> Iterator[Samples]:
    """Decode, all blocks in the same memory, and tell how far that is."""
    expected = (audio.expected_duration_s or 0.0) * audio.sample_rate
    frames = BLOCK_SAMPLES // audio.channels
    for block in audio.blocks(frames, reuse=True, interleaved=True):
        if expected > 0.0:
            progress(min(1.0, audio.decoded_frames / expected))
        yield block.T


def _bit_rate(target: Target, size: int, duration_s: float) -> int | None:
    """Return the real one, in bit/s: of what has no constant one, tags and all."""
    if target.extension == "wav":
        return target.sample_rate * target.channels * (target.bit_depth or 0)
    if target.extension == "mp3" and target.bit_rate is not None:
        return 1_000 * target.bit_rate
    return round(8 * size / duration_s) if duration_s else None


def _codec(target: Target) -> str:
    codec = formats.FORMATS[target.extension].codec
    return (
        {16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_f32le"}[target.bit_depth or 16]
        if codec.endswith("_")
        else codec
    )


def warm() -> None:
    """Convert some noise into each format: a confined child can load and import nothing."""
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, (22_050, 2), np.int16)
    source = io.BytesIO()
    with wave.open(source, "wb") as wav:
        wav.setparams((2, noise.itemsize, 44_100, 0, "NONE", ""))
        wav.writeframes(noise.tobytes())
    for extension in formats.FORMATS:
        options = TranscodeOptions(extension=extension, sample_rate=48_000, channels=1)
        for _ in convert(source, options, lambda _: None):
            pass
