"""
Decoding: any container in, planar float32 blocks out, at the file's own rate, in constant memory.

The bytes are a stranger's. FFmpeg would follow a playlist to another file or host, so that here
it knows only containers that hold their own audio, may use no protocol, and never sees a file
name. Lengths are counted while decoding: what a header claims is evidence of truncation only.
"""

import errno
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any, BinaryIO, Final, Literal, NamedTuple, cast

import av
import av.error

# PyAV 18.1 imports these with the first file, when a confined child can import nothing any more.
import av.subtitles.codeccontext
import av.subtitles.stream
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from numpy.typing import NDArray

from decibus import messages
from decibus.errors import BadAudio, NotAudio, Refused, TooLong

DECODER: Final = f"FFmpeg {av.ffmpeg_version_info}, PyAV {av.__version__}"
"""What decodes, for a report's provenance."""

MIN_RATE_HZ: Final = 8_000
MAX_RATE_HZ: Final = 384_000
MAX_CHANNELS: Final = 8

MAX_DECODED_SAMPLES: Final = 360 * MAX_RATE_HZ * MAX_CHANNELS
"""
Of all channels together: what six minutes come to at most. A longer limit of duration is for files
of fewer channels, or lower rates: 3.2 h at 48 kHz in stereo.
"""

MAX_SAMPLE: Final = 1e6
"""+120 dBFS. Beyond it a float file holds no audio but garbage, and squares that overflow."""

_OPTIONS: Final = {
    "format_whitelist": "aac,ac3,aiff,ape,asf,au,caf,eac3,flac,matroska,mov,mp3,ogg,tta,w64,wav,wv",
    "protocol_whitelist": "none",
    # Of WAV: packets of 64 KiB, and one that is searched for DTS, where FFmpeg takes 5 MB: each
    # of its formats looks at all of that, which takes longer than to decode a short clip.
    "max_size": "65536",
    "max_probe_packets": "1",
}

MAX_COVER_BYTES: Final = 16 << 20
"""A larger one is left out."""

_TIMEOUT_S: Final = (3.0, 3.0)  # to open, to read on
_BUFFER_BYTES: Final = 256 * 1024
_HEAD_BYTES: Final = 64 * 1024

_GATHERED_FRAMES: Final = 1 << 14
"""What is converted at once: many frames of a codec, as Python's costs are by the frame."""

# How a file starts that we claim to decode; what fails without one of these is no audio at all.
_MAGIC: Final = re.compile(
    rb"RIFF....WAVE|RF64|riff\x2e\x91|FORM....AIF[FC]|caff|\.snd"
    rb"|fLaC|OggS|ID3|wvpk|TTA1|MAC |\x0b\x77|....ftyp|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75"
    rb"|\xff[\xe2\xe3\xf2\xf3\xfa\xfb\xf0\xf1\xf8\xf9]",
    re.DOTALL,
)

_STEREO: Final = 2

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")  # FFmpeg takes it for MPEG audio, layer I

# What PyAV 18.1 raises over damaged files; a plain OSError is our own disk's, and passes.
_DECODER_ERRORS: Final = (
    av.error.FFmpegError,
    AttributeError,
    IndexError,
    NotImplementedError,
    UnicodeDecodeError,
)

_SAMPLES: Final[dict[str, tuple[Any, float, float]]] = {
    "u8": (np.uint8, 128.0, 2.0**-7),
    "s16": (np.int16, 0.0, 2.0**-15),
    "s32": (np.int32, 0.0, 2.0**-31),  # 24-bit audio too: left-justified, so exact in float32
    "s64": (np.int64, 0.0, 2.0**-63),
    "flt": (np.float32, 0.0, 1.0),
    "dbl": (np.float64, 0.0, 1.0),
}
"""Sample format: dtype, what silence is, what brings full scale to 1.0."""

_CUSTOMARY: Final = ("", "mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""The layout of so many channels, where a file does not say."""

_CONTAINERS: Final = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "matroska"}

# Their headers state a length. The others' lengths are guesses of FFmpeg's, or need `_Ending`.
_DECLARING: Final = frozenset({"aiff", "ape", "asf", "au", "caf", "flac", "mp4", "tta", "w64"})

_SELF_SYNCED: Final = frozenset({"aac", "mp3"})
"""Containers that are a row of frames and nothing else, in which players skip what is none."""


class Picture(NamedTuple):
    """A cover, as it is coded; `codec` as FFmpeg names it (`mjpeg`, `png`)."""

    codec: str
    data: bytes
    width: int
    height: int


@contextmanager
def open_audio(file: BinaryIO, *, max_duration_s: float) -> "Iterator[Audio]":
    """
    Open a seekable file for decoding; the caller closes it.

    Raises `NotAudio` for what no decoder recognises, `BadAudio` for what is damaged, empty or out
    of range, and `TooLong`. The last two may come while decoding, too.
    """
    head = _read(file, 0, _HEAD_BYTES)
    if not head:
        raise NotAudio("the file is empty")
    if head.startswith(_UTF16):
        raise NotAudio("this is text")
    file.seek(0)
    try:
        container = av.open(
            _Nameless(file),
            "r",
            options=dict(_OPTIONS),
            buffer_size=_BUFFER_BYTES,
            metadata_errors="replace",
            timeout=_TIMEOUT_S,
        )
    except _DECODER_ERRORS as error:
        raise _unreadable(head, _words(error)) from error
    with container:
        if not container.streams.audio:
            raise NotAudio(f"there is no audio stream in this {_container_name(container)}")
        yield Audio(container, file, head, max_duration_s)


class Audio:
    """
    Audio while it is being decoded.

    `sample_rate`, `channels` and `channel_names` (as in FFmpeg's layouts: `FL`, `FR`, `FC`, `LFE`,
    `SL`, …) are those of the first decoded frame; a file in which they change is refused.
    """

    def __init__(
        self, container: InputContainer, file: BinaryIO, head: bytes, max_duration_s: float
    ) -> None:
        self._container = container
        self._file = file
        self._head = head
        self._stream: AudioStream = container.streams.audio[0]
        self._picture = next(filter(_is_picture, container.streams.video), None)
        self._max_duration_s = max_duration_s
        self._coded_bytes = 0
        self.decoded_frames = 0
        self.scrubbed_samples = 0
        self.cover: Picture | None = None

        self._decoding = self._decoded()
        frame = next(self._decoding, None)
        if frame is None:
            raise _unreadable(head, "it decodes to 0 samples")
        self._first = frame
        self.sample_rate: int = frame.sample_rate
        self.channels: int = frame.layout.nb_channels
        if not MIN_RATE_HZ <= self.sample_rate <= MAX_RATE_HZ:
            raise BadAudio(f"sample rate {self.sample_rate} Hz, not {MIN_RATE_HZ}..{MAX_RATE_HZ}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise BadAudio(f"{self.channels} channels, not 1..{MAX_CHANNELS}")
        layout = _layout(frame)
        self.channel_names: tuple[str, ...] = tuple(channel.name for channel in layout.channels)
        self._layout_name = layout.name
        self._format = frame.format.name

    @property
    def expected_duration_s(self) -> float | None:
        """What the header says or FFmpeg estimates: good enough for a progress bar, not more."""
        stream, container = self._stream, self._container
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / 1e6

    @property
    def tags(self) -> dict[str, str]:
        """What the file says about itself, in FFmpeg's words where it has one."""
        return self._stream.metadata | self._container.metadata

    @property
    def is_alone(self) -> bool:
        """Whether there is nothing beside the audio but a cover."""
        others = [stream for stream in self._container.streams if stream is not self._stream]
        return all(stream.type == "video" and _is_picture(stream) for stream in others)

    def blocks(
        self, frames: int, *, reuse: bool = False, interleaved: bool = False
    ) -> Iterator[NDArray[np.float32]]:
        """
        Decode once into blocks of (channels, `frames`), of which only the last may be shorter.

        Full scale is 1.0. NaN, Inf and what is over `MAX_SAMPLE` becomes 0, and is counted. With
        `reuse` all blocks lie in the same memory: each is gone when the next is asked for.
        `interleaved` is how they lie in it: the transpose of a block is contiguous then.
        """
        order: Literal["F", "C"] = "F" if interleaved else "C"
        block = np.empty((self.channels, frames), np.float32, order)
        filled = 0
        for frame in self._gathered():
            samples, silence, scale = _samples(frame, interleaved=interleaved)
            done = 0
            while done < frame.samples:
                n = min(frame.samples - done, frames - filled)
                into = block[:, filled : filled + n]
                _convert(samples[:, done : done + n], silence, scale, into)
                if samples.dtype.kind == "f":
                    self._scrub(into)
                done += n
                filled += n
                if filled == frames:
                    yield block
                    block = block if reuse else np.empty_like(block)
                    filled = 0
        if filled:
            yield block[:, :filled]

    def format(self) -> messages.AudioFormat:
        """Describe the audio, once all blocks are decoded. The bit rate is that of the packets."""
        duration_s = self.decoded_frames / self.sample_rate
        codec = self._stream.codec_context
        return messages.AudioFormat(
            container=_container_name(self._container),
            codec=codec.codec.canonical_name,
            sample_rate=self.sample_rate,
            channels=self.channels,
            layout=self._layout_name,
            bit_depth=_bit_depth(codec, self._format),
            bit_rate=round(8 * self._coded_bytes / duration_s) if duration_s else None,
            duration=duration_s,
        )

    def _gathered(self) -> Iterator[AudioFrame]:
        """Make few large frames of many small ones."""
        fifo, sample_format = AudioFifo(), self._format
        for frame in self._frames():
            if frame.format.name != sample_format:
                if rest := fifo.read():
                    yield rest
                fifo, sample_format = AudioFifo(), frame.format.name
            if frame.samples >= _GATHERED_FRAMES and not fifo.samples:
                yield frame
                continue
            frame.pts = None  # a fifo would refuse gaps
            fifo.write(frame)
            if fifo.samples >= _GATHERED_FRAMES and (gathered := fifo.read()):
                yield gathered
        if rest := fifo.read():
            yield rest

    def _frames(self) -> Iterator[AudioFrame]:
        """Frames of one rate and layout, up to the limits of duration and samples."""
        rate, channels = self.sample_rate, self.channels
        max_frames = min(self._max_duration_s * rate, MAX_DECODED_SAMPLES // channels)
        for frame in chain((self._first,), self._decoding):
            now = (frame.sample_rate, frame.layout.nb_channels)
            if now != (rate, channels):
                raise BadAudio(
                    f"the format changes at {self._position()} from {rate} Hz, "
                    f"{channels} channels to {now[0]} Hz, {now[1]} channels"
                )
            self.decoded_frames += frame.samples
            if self.decoded_frames > max_frames:
                raise self._too_long()
            yield frame

    def _too_long(self) -> TooLong:
        if self.decoded_frames > self._max_duration_s * self.sample_rate:
            return TooLong(f"it is longer than {self._max_duration_s:g} s")
        return TooLong(f"it has more than {MAX_DECODED_SAMPLES} samples")

    def _decoded(self) -> Iterator[AudioFrame]:
        """Decode packet by packet; damage in the middle or an early end is `BadAudio`."""
        ending = _Ending(_container_name(self._container), self._head, self._file)
        try:
            self._stream.codec_context.thread_count = 1
            for packet in self._packets():
                self._coded_bytes += packet.size
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    # What precedes the first good packet is a stream that was joined late.
                    ending.saw(packet, damaged=ending.decoded)
                    continue
                damaged = packet.is_corrupt
                for frame in frames:
                    damaged |= frame.is_corrupt
                if frames and ending.damage and not ending.complete:
                    raise BadAudio(f"the audio is damaged at {self._position()}")
                if packet.size:
                    ending.saw(packet, damaged=damaged)
                for frame in frames:
                    if frame.samples:
                        ending.decoded = True
                        yield frame
        except Refused:
            raise
        except _DECODER_ERRORS as error:
            raise _unreadable(self._head, _words(error)) from error
        self._refuse_truncated(ending)

    def _packets(self) -> "Iterator[Packet[AudioStream]]":
        """Read the packets of the audio; a cover, which comes before them, is kept aside."""
        if self._picture is None:
            yield from self._container.demux(self._stream)
            return
        for packet in self._container.demux(self._stream, self._picture):
            if packet.stream is self._stream:
                yield cast("Packet[AudioStream]", packet)
            elif self.cover is None and 0 < packet.size <= MAX_COVER_BYTES:
                codec = self._picture.codec_context
                if codec is not None:
                    name = codec.codec.canonical_name
                    self.cover = Picture(name, bytes(packet), codec.width, codec.height)

    def _refuse_truncated(self, ending: "_Ending") -> None:
        if not self.decoded_frames:
            return  # nothing was decoded: `__init__` has the better words for it
        if why := next(ending.evidence(), None):
            raise BadAudio(f"the file is truncated: {why}, at {self._position()}")
        expected_s = self.expected_duration_s
        if _container_name(self._container) not in _DECLARING or expected_s is None:
            return
        decoded_s = self.decoded_frames / self.sample_rate
        # Encoder delay, edit lists and rounding make small differences in good files.
        if decoded_s < 0.99 * expected_s - 0.1:
            raise BadAudio(f"the file is truncated: {decoded_s:.2f} s of {expected_s:.2f} s")

    def _scrub(self, block: NDArray[np.float32]) -> None:
        # min and max hand a NaN on, so that two fast passes find all that is wrong.
        if block.min() >= -MAX_SAMPLE and block.max() <= MAX_SAMPLE:
            return
        wrong = ~(np.abs(block) <= MAX_SAMPLE)
        self.scrubbed_samples += int(np.count_nonzero(wrong))
        block[wrong] = 0.0

    def _position(self) -> str:
        return f"{self.decoded_frames / (self._stream.sample_rate or 1):.2f} s"


class _Ending:
    """What the packets tell about whether the file ends where its audio does."""

    def __init__(self, container: str, head: bytes, file: BinaryIO) -> None:
        self._container = container
        self._self_synced = container in _SELF_SYNCED
        self._head = head
        self._file = file
        self._declared = _mp3_frame_count(head, file) if container == "mp3" else None
        self._whole = 0
        self._last_size = 0
        self._last_start = b""
        self.decoded = False
        self.damage = False

    def saw(self, packet: Any, *, damaged: bool) -> None:
        """Take note of a packet."""
        if self._self_synced:
            self._last_size, self._last_start = packet.size, bytes(memoryview(packet)[:4])
        self.damage = damaged
        self._whole += not (damaged or self._partial())

    @property
    def complete(self) -> bool:
        """All frames that the header counts are there: the rest are tags, art or other junk."""
        # Some encoders count the frame that holds the header as well.
        return self._declared is not None and self._whole >= self._declared - 1

    def evidence(self) -> Iterator[str]:
        """Say what shows that the file was cut off; nothing, when it seems whole."""
        if self._declared is not None and not self.complete:
            yield f"{self._whole} of {self._declared} frames"
        if self._partial() and (self._declared is None or self._whole < self._declared):
            yield "the last frame is incomplete"
        if self._container == "ogg" and _ogg_page_is_cut(self._file):
            yield "the last page is incomplete"
        if self._container == "matroska" and _matroska_is_cut(self._head, self._file):
            yield "the segment is incomplete"
        if self.damage and not self.complete and not self._excused():
            yield "the last packet is incomplete"

    def _excused(self) -> bool:
        """Tell whether damage at the end is customary: tags after MP3, a WAV from a pipe."""
        if self._self_synced:
            return self._last_start[:1] != b"\xff"
        return self._container == "wav" and _wav_of_unknown_length(self._head)

    def _partial(self) -> bool:
        return self._container == "mp3" and self._last_size < mp3_frame_bytes(self._last_start)


class _Nameless:
    """A file without its name and its `close`: FFmpeg would guess a format from the name."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.tell = file.tell
        self._seek = file.seek

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Answer FFmpeg in its own way when a header leads to no place at all."""
        try:
            return self._seek(offset, whence)
        except (OSError, OverflowError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            return -errno.EINVAL


def _is_picture(stream: Any) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _unreadable(head: bytes, why: str) -> Refused:
    if _MAGIC.match(head):
        return BadAudio(f"the file is damaged or empty: {why}")
    return NotAudio("no decoder recognises this file")


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    """Read aside: the decoder goes on where it was."""
    position = file.tell()
    file.seek(at)
    data = file.read(size)
    file.seek(position)
    return data


def _container_name(container: InputContainer) -> str:
    name = container.format.name
    return _CONTAINERS.get(name, name)


def _layout(frame: AudioFrame) -> AudioLayout:
    """Name the layout; where the file does not, it is WAVE's and MPEG's custom that decides."""
    named = all(channel.name != "NONE" for channel in frame.layout.channels)
    return frame.layout if named else AudioLayout(_CUSTOMARY[frame.layout.nb_channels])


def _samples(frame: AudioFrame, *, interleaved: bool) -> tuple[NDArray[Any], float, float]:
    """
    View a frame's samples as (channels, samples), with its silence and its scale.

    What is interleaved stays so where it is wanted `interleaved`.
    """
    name = frame.format.name
    dtype, silence, scale = _SAMPLES[name.removesuffix("p")]
    channels, n = frame.layout.nb_channels, frame.samples
    if frame.format.is_planar:
        # PyAV 18.1 counts 9 planes where there are 8: it reads on until a null pointer.
        planes = frame.planes[:channels]
        rows = [np.frombuffer(plane, dtype, n) for plane in planes]  # type: ignore[call-overload]
        return np.stack(rows), silence, scale
    flat = np.frombuffer(frame.planes[0], dtype, n * channels)  # type: ignore[call-overload]
    if name == "s16" and channels == _STEREO and not interleaved and sys.byteorder == "little":
        return _apart(flat), 0.0, 2.0**-31
    return flat.reshape(n, channels).T, silence, scale


def _apart(pairs: NDArray[np.int16]) -> NDArray[np.int32]:
    """Part left from right, left-justified: shifted words, as NumPy has no SIMD for strides."""
    words = pairs.view(np.int32)
    planes = np.empty((_STEREO, len(words)), np.int32)
    np.left_shift(words, 16, out=planes[0])
    np.bitwise_and(words, ~0xFFFF, out=planes[1])
    return planes


def _convert(
    samples: NDArray[Any], silence: float, scale: float, into: NDArray[np.float32]
) -> None:
    if samples.dtype == np.float64:
        with np.errstate(over="ignore", invalid="ignore"):  # the scrubbing finds what overflows
            into[...] = samples
    elif scale == 1.0:
        into[...] = samples
    else:
        np.multiply(samples, np.float32(scale), out=into, dtype=np.float32, casting="unsafe")
        if silence:
            into -= np.float32(silence * scale)


def _bit_depth(codec: AudioCodecContext, sample_format: str) -> int | None:
    """Give the bits of a sample as they were coded; None for lossy codecs, and when unknown."""
    name, extra = codec.codec.canonical_name, codec.extradata or b""
    if pcm := re.fullmatch(r"pcm_[suf](\d+).*", name):
        return int(pcm[1])
    if name == "flac" and len(extra) >= 34:  # noqa: PLR2004 - STREAMINFO, RFC 9639 section 8.2
        return (((extra[12] & 1) << 4) | (extra[13] >> 4)) + 1
    if name == "alac" and len(extra) >= 36:  # noqa: PLR2004 - the atom, ALACMagicCookieDescription
        return extra[17]
    if name in {"ape", "tta", "wavpack"}:
        return {"u8": 8, "s16": 16}.get(sample_format.removesuffix("p"))
    return None


# MPEG audio frames (ISO/IEC 11172-3, 2.4.2.3), of layer III alone.

_MPEG1_KBPS: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MPEG2_KBPS: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_MPEG_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}

_XING: Final = re.compile(
    rb"\xff[\xe2-\xfb]..(?:(?:.{9}|.{17}|.{32})(?:Xing|Info)...(?P<flags>.)|.{32}VBRI.{10})"
    rb"(?P<frames>....)",
    re.DOTALL,
)


@lru_cache(256)  # few differ, in one file
def mp3_frame_bytes(header: bytes) -> int:
    """Compute how long a frame with this header is; 0 for what is none, or of free format."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # noqa: PLR2004
        return 0
    version, rate_index = header[1] >> 3 & 3, header[2] >> 2 & 3
    if version not in _MPEG_RATES or rate_index == 3:  # noqa: PLR2004
        return 0
    mpeg1 = version == 3  # noqa: PLR2004
    kbps = (_MPEG1_KBPS if mpeg1 else _MPEG2_KBPS)[header[2] >> 4]
    samples = 1152 if mpeg1 else 576
    rate = _MPEG_RATES[version][rate_index]
    return samples // 8 * 1000 * kbps // rate + (header[2] >> 1 & 1) if kbps else 0


def _mp3_frame_count(head: bytes, file: BinaryIO) -> int | None:
    """Read how many frames the encoder wrote (its Xing, Info or VBRI header), if it says so."""
    at = 0
    while head[:3] == b"ID3" and len(head) >= 10:  # noqa: PLR2004
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at += 10 + size
        head = _read(file, at, 4096)
    header = _XING.search(head[:4096])
    if header is None or not (header["flags"] is None or header["flags"][0] & 1):
        return None
    return int.from_bytes(header["frames"], "big") or None


def _ogg_page_is_cut(file: BinaryIO) -> bool:
    """Tell whether the file ends inside an Ogg page (RFC 3533, section 6)."""
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - 2 * 65_307)  # a page is at most 65,307 bytes
    tail = _read(file, start, size - start)
    page = tail[tail.rfind(b"OggS\0") :]
    if not page.startswith(b"OggS") or len(page) < 27:  # noqa: PLR2004
        return True
    segments = page[27 : 27 + page[26]]
    return len(segments) < page[26] or len(page) < 27 + len(segments) + sum(segments)


def _matroska_is_cut(head: bytes, file: BinaryIO) -> bool:
    """Tell whether the file ends before its Segment does (RFC 8794, section 4; RFC 9559)."""

    def data_size(at: int) -> tuple[int, int]:
        """Read the size of an element's data, and where these begin; -1 where it is not told."""
        if not 0 <= at < len(head):
            return -1, at
        length = 9 - head[at].bit_length()
        mask = (1 << 7 * length) - 1
        size = int.from_bytes(head[at : at + length], "big") & mask
        return (-1 if size == mask else size), at + length

    header_size, header = data_size(4)
    segment_size, segment = data_size(header + header_size + 4)
    return segment + segment_size > file.seek(0, io.SEEK_END)


def _wav_of_unknown_length(head: bytes) -> bool:
    """Tell whether a WAV was written to a pipe: its data chunk then holds a placeholder."""
    at = 12
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"data":
            return size == 0 or size >= 0x7FFF_0000  # noqa: PLR2004
        at += 8 + size + size % 2
    return False
