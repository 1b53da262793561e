"""
Encoders: interleaved float32 in, a file's pieces out, with the tags and the cover of the source.

    FFmpeg      wav, flac, opus, m4a; it writes the containers of all but Vorbis
    LAME        mp3: the one of FFmpeg in PyAV's wheels takes three times as long
    libsndfile  Vorbis: PyAV has only an encoder that FFmpeg calls experimental
"""

import base64
import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final, NamedTuple, Protocol

import av
import lameenc
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet, PacketSideData
from av.stream import Disposition
from numpy.typing import NDArray

from decibus.audio import Picture, mp3_frame_bytes
from decibus.formats import Target, vorbis_quality
from services.transcoder.ogg import Relabelled
from services.transcoder.output import Pieces
from services.transcoder.quantize import Quantizer

Samples = NDArray[np.float32]
"""(samples, channels), full scale = 1.0."""

_BUFFER_BYTES: Final = 256 * 1024
_COVERS: Final = {"mjpeg": "image/jpeg", "png": "image/png"}
_FRONT_COVER: Final = 3  # of ID3v2.4's APIC, and of FLAC's picture block
_PICTURE: Final = "METADATA_BLOCK_PICTURE"
_FLOAT_BITS: Final = 32
_FLAC_BYTES_A_SECOND: Final = 2_500_000  # above, FFmpeg 8.1 cannot read what it writes
_SAMPLE_FORMATS: Final = {16: "s16", 24: "s32", _FLOAT_BITS: "flt"}

# What the source's own encoder and container say of themselves: of the new file it is not true.
_NOT_TAGS: Final = frozenset(
    {
        *("encoder", "encoded_by", "encoding", "creation_time", "handler_name", "vendor_id"),
        *("major_brand", "minor_version", "compatible_brands", "language", "duration"),
        *("itunsmpb", "itunnorm", "waveformatextensible_channel_mask", "metadata_block_picture"),
    }
)


class Encoder(Protocol):
    """Writes a file into `Pieces`."""

    def feed(self, samples: Samples) -> None:
        """Take the next samples."""
        ...

    def finish(self) -> None:
        """Write the rest."""
        ...


class Labels(NamedTuple):
    """What a file says of what is in it."""

    tags: dict[str, str]
    cover: Picture | None

    def for_another(self) -> "Labels":
        """Leave out what is not true of another file, and what is no cover that we write."""
        cover = self.cover
        if cover is not None and cover.codec not in _COVERS:
            cover = None
        tags = {name: text for name, text in self.tags.items() if name.lower() not in _NOT_TAGS}
        return Labels(tags, cover)


def encoder(target: Target, into: Pieces, layout: str, labels: Labels, *, dither: bool) -> Encoder:
    """Return what writes the target's format; `layout` as FFmpeg names it."""
    if target.extension == "ogg":
        return _Vorbis(target, into, labels)
    muxer = _Muxer(target, into, layout, labels)
    if target.extension == "mp3" and _lame_gain(target) == 1.0:
        return _Lame(target, muxer)
    return _Ffmpeg(target, muxer, dither)


class _Recipe:
    """How FFmpeg is told to make a format."""

    def __init__(
        self,
        container: str,
        codec: str,
        muxing: dict[str, str] | None = None,
        *,
        coding: dict[str, str] | None = None,
        holds_cover: bool = True,
    ) -> None:
        self.container = container
        self.codec = codec
        # Unless it is told otherwise, FFmpeg hands on each packet for itself.
        self.muxing = {"fflags": "+bitexact", "flush_packets": "0"} | (muxing or {})
        self.coding = {"flags": "+bitexact"} | (coding or {})
        self.holds_cover = holds_cover


_RECIPES: Final = {
    ("mp3", None): _Recipe("mp3", "libmp3lame", {"id3v2_version": "3"}),
    ("wav", 16): _Recipe("wav", "pcm_s16le", {"rf64": "auto"}, holds_cover=False),
    ("wav", 24): _Recipe("wav", "pcm_s24le", {"rf64": "auto"}, holds_cover=False),
    ("wav", 32): _Recipe("wav", "pcm_f32le", {"rf64": "auto"}, holds_cover=False),
    ("flac", 16): _Recipe("flac", "flac"),
    ("flac", 24): _Recipe("flac", "flac"),
    ("opus", None): _Recipe("ogg", "libopus", holds_cover=False),
    # "fast" takes a third of the time, and leaves more of what is high and soft.
    ("m4a", None): _Recipe("mp4", "aac", {"brand": "M4A "}, coding={"aac_coder": "fast"}),
}


class _Muxer:
    """A container that is being written: one stream of audio, and perhaps a cover."""

    def __init__(
        self,
        target: Target,
        into: Pieces,
        layout: str,
        labels: Labels,
    ) -> None:
        recipe = _RECIPES[target.extension, target.bit_depth]
        self._container = av.open(
            into,
            "w",
            format=recipe.container,
            options=recipe.muxing,
            buffer_size=_BUFFER_BYTES,
        )
        coding = dict(recipe.coding)
        if target.extension == "flac" and _bytes_a_second(target) > _FLAC_BYTES_A_SECOND:
            coding["compression_level"] = "2"  # blocks of 27 ms, not of 105
        stream = self._container.add_stream(
            recipe.codec, rate=target.sample_rate, layout=layout, options=coding
        )
        assert isinstance(stream, AudioStream)  # noqa: S101 - by its codec
        self.audio = stream
        if target.bit_rate is not None:
            self.audio.bit_rate = 1_000 * target.bit_rate
        if target.bit_depth is not None:
            self.audio.codec_context.format = _SAMPLE_FORMATS[target.bit_depth]
        self._container.metadata.update(labels.tags)
        if labels.cover is not None and recipe.container == "ogg":
            self.audio.metadata[_PICTURE] = _picture_block(labels.cover)
        elif labels.cover is not None and recipe.holds_cover:
            self._add_cover(labels.cover)

    def _add_cover(self, cover: Picture) -> None:
        stream = self._container.add_mux_stream(
            cover.codec,
            width=cover.width,
            height=cover.height,
            disposition=Disposition.attached_pic,
        )
        stream.metadata["comment"] = "Cover (front)"
        packet = Packet(cover.data)
        packet.stream = stream
        packet.pts = packet.dts = 0
        packet.is_keyframe = True
        self._container.mux(packet)

    def mux(self, packets: "Iterable[Packet[Any]]") -> None:
        for packet in packets:
            packet.stream = self.audio
            self._container.mux(packet)

    def close(self) -> None:
        self._container.close()


def _bytes_a_second(target: Target) -> int:
    return target.sample_rate * target.channels * (target.bit_depth or 0) // 8


class _Ffmpeg:
    def __init__(self, target: Target, muxer: _Muxer, dither: bool) -> None:  # noqa: FBT001
        self._muxer = muxer
        self._gain = np.float32(1.0 / _lame_gain(target))
        self._rate = target.sample_rate
        self._layout = muxer.audio.layout.name
        self._written = 0
        depth = target.bit_depth
        self._quantize = (
            None if depth in {None, _FLOAT_BITS} else Quantizer(depth or 0, dither=dither)
        )

    def feed(self, samples: Samples) -> None:
        if self._gain != 1.0:
            samples = samples * self._gain
        numbers = samples if self._quantize is None else self._quantize(samples)
        packed = {"float32": "flt", "int16": "s16", "int32": "s32"}[numbers.dtype.name]
        # Interleaved, as PyAV 18.1 miscounts the planes of 8 channels.
        frame = AudioFrame.from_ndarray(numbers.reshape(1, -1), packed, self._layout)
        frame.sample_rate = self._rate
        frame.pts = self._written
        self._written += len(samples)
        self._muxer.mux(self._muxer.audio.encode(frame))

    def finish(self) -> None:
        self._muxer.mux(self._muxer.audio.encode(None))
        self._muxer.close()


def _lame_gain(target: Target) -> float:
    """
    Return what LAME scales the samples by, of its own accord, at this constant bit rate.

    It makes room for what coding adds (LAME 3.100, presets.c). We take that back, so that all
    formats are equally loud; the whole numbers that lameenc takes leave no place for it.
    """
    if target.extension != "mp3" or target.bit_rate is None:
        return 1.0
    return next(gain for most, gain in _LAME_GAINS if target.bit_rate <= most)


_LAME_GAINS: Final = ((160, 0.95), (192, 0.97), (224, 0.98), (320, 1.0))
"""Up to how many kb/s, and the factor."""


class _Lame:
    """MPEG-1, -2 and -2.5 layer III, at a constant bit rate or by quality (LAME's `-V`)."""

    _DELAY: Final = 576 + 528 + 1  # LAME's and any decoder's, in samples, as LAME's tag counts
    _VBR_MTRH: Final = 4
    _QUALITY: Final = 3  # LAME's default
    _SKIP_SAMPLES: Final = 11  # AV_PKT_DATA_SKIP_SAMPLES
    _MPEG_1_HZ: Final = 32_000

    def __init__(self, target: Target, muxer: _Muxer) -> None:
        self._muxer = muxer
        self._tick = Fraction(1, target.sample_rate)
        self._frame_samples = 1_152 if target.sample_rate >= self._MPEG_1_HZ else 576
        self._quantize = Quantizer(16, dither=False)
        self._read = self._made = 0
        self._unread = b""
        self._last: Packet[Any] | None = None
        self._lame = lameenc.Encoder()
        self._lame.silence()
        self._lame.set_channels(target.channels)
        self._lame.set_in_sample_rate(target.sample_rate)
        self._lame.set_out_sample_rate(target.sample_rate)
        self._lame.set_quality(self._QUALITY)
        if target.quality is None:
            self._lame.set_bit_rate(target.bit_rate)
        else:
            self._lame.set_vbr(self._VBR_MTRH)
            self._lame.set_vbr_quality(target.quality)

    def feed(self, samples: Samples) -> None:
        self._read += len(samples)
        self._take(bytes(self._lame.encode(self._quantize(samples).tobytes())))

    def finish(self) -> None:
        self._take(bytes(self._lame.flush()))
        if self._last is not None:
            # How much at both ends is no sound: a player then plays as long as the source does.
            surplus = self._made * self._frame_samples - self._read - self._DELAY
            skip = PacketSideData(self._SKIP_SAMPLES, 10)  # type: ignore[call-arg]  # by its stub none
            skip.update(struct.pack("<IIBB", self._DELAY, max(0, surplus), 0, 0))
            self._last.set_sidedata(skip)
            self._muxer.mux([self._last])
        self._muxer.close()

    def _take(self, coded: bytes) -> None:
        """Cut what LAME has coded into its frames."""
        self._unread += coded
        at = 0
        while size := mp3_frame_bytes(self._unread[at : at + 4]):
            if at + size > len(self._unread):
                break
            packet = Packet(self._unread[at : at + size])
            packet.time_base = self._tick
            packet.pts = packet.dts = self._made * self._frame_samples
            packet.duration = self._frame_samples
            packet.is_keyframe = True
            if self._last is not None:
                self._muxer.mux([self._last])
            self._last = packet
            self._made += 1
            at += size
        self._unread = self._unread[at:]


class _Vorbis:
    """Ogg Vorbis, always by quality: a bit rate is the nominal one of some quality."""

    def __init__(self, target: Target, into: Pieces, labels: Labels) -> None:
        quality = target.quality
        if quality is None:
            quality = vorbis_quality(target.bit_rate or 0, target.channels)
        picture = {} if labels.cover is None else {_PICTURE: _picture_block(labels.cover)}
        self._file = soundfile.SoundFile(
            Relabelled(into, labels.tags | picture),
            "w",
            samplerate=target.sample_rate,
            channels=target.channels,
            format="OGG",
            subtype="VORBIS",
            compression_level=1.0 - max(0.0, quality) / 10.0,
        )

    def feed(self, samples: Samples) -> None:
        self._file.write(samples)

    def finish(self) -> None:
        self._file.close()


def _picture_block(cover: Picture) -> str:
    """Write a cover as Ogg has it: RFC 9639, section 8.8, in base64."""
    media_type = _COVERS[cover.codec].encode()
    block = struct.pack(
        f">II{len(media_type)}sIIIIII",
        _FRONT_COVER,
        len(media_type),
        media_type,
        0,
        cover.width,
        cover.height,
        24,
        0,
        len(cover.data),
    )
    return base64.b64encode(block + cover.data).decode()
