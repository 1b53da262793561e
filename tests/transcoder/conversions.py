"""Conversions in this very process, and what becomes of the audio in them."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import av
import numpy as np
from av.packet import Packet
from av.stream import Disposition

from decibus.audio import Audio, open_audio
from decibus.messages import AudioFormat, Conversion, TranscodeOptions
from services.transcoder.convert import convert
from services.transcoder.output import put
from tests.signals import Samples

LIMIT: Final = 1 << 30


def converted(
    data: bytes, progress: Callable[[float], None] = lambda _: None, **options: Any
) -> tuple[Conversion, bytes]:
    """Convert a file; returns the result and the file, empty where it is unchanged."""
    made = io.BytesIO()
    steps = convert(io.BytesIO(data), TranscodeOptions(**options), progress)
    while True:
        try:
            put(next(steps), made, limit=LIMIT)
        except StopIteration as end:
            return end.value, made.getvalue()


def read(data: bytes) -> tuple[Samples, AudioFormat]:
    """Decode a file whole."""
    with open_audio(io.BytesIO(data), max_duration_s=3600.0) as audio:
        blocks = list(audio.blocks(1 << 16))
        return np.concatenate(blocks, axis=1), audio.format()


def labels(data: bytes) -> Audio:
    """Open a file for its tags and its cover, which stay readable."""
    with open_audio(io.BytesIO(data), max_duration_s=3600.0) as audio:
        for _ in audio.blocks(1 << 16):
            pass
        return audio


def level_db(samples: Samples, hz: float, rate: int) -> float:
    """Measure the level of a tone, peak in dBFS, in the middle of the first channel."""
    middle = samples[0, rate // 2 : -rate // 2].astype(np.float64)
    window = np.hanning(middle.size)
    turning = np.exp(-2j * np.pi * hz * np.arange(middle.size) / rate)
    return float(20.0 * np.log10(2.0 * abs(np.sum(middle * window * turning)) / window.sum()))


def png() -> bytes:
    """Draw a red dot."""

    def chunk(name: bytes, body: bytes) -> bytes:
        checked = name + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    )


def labelled(samples: Samples, rate: int, tags: dict[str, str], cover: bytes) -> bytes:
    """Write a FLAC with tags and a cover."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout="stereo")
        picture = container.add_mux_stream(
            "png", width=1, height=1, disposition=Disposition.attached_pic
        )
        container.metadata.update(tags)
        packet = Packet(cover)
        packet.stream = picture
        packet.pts = packet.dts = 0
        container.mux(packet)
        interleaved = np.ascontiguousarray(samples.T * 2.0**15).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, "s16", "stereo")
        frame.sample_rate = rate
        assert isinstance(stream, av.AudioStream)
        for coded in (*stream.encode(frame), *stream.encode(None)):
            container.mux(coded)
    return file.getvalue()
