"""Signals made in code, planar float32, and the files that hold them."""

import io
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

LAYOUTS: Final = ("", "mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")

FILES: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "wav16": ("wav", "pcm_s16le", {}),
    "wav24": ("wav", "pcm_s24le", {}),
    "wav32f": ("wav", "pcm_f32le", {}),
    "wav64f": ("wav", "pcm_f64le", {}),
    "wav8": ("wav", "pcm_u8", {}),
    "flac": ("flac", "flac", {}),
    "alac": ("ipod", "alac", {}),
    "aiff": ("aiff", "pcm_s16be", {}),
    "caf": ("caf", "pcm_s16le", {}),
    "mp3": ("mp3", "libmp3lame", {}),
    "m4a": ("ipod", "aac", {}),
    "aac": ("adts", "aac", {}),
    "ac3": ("ac3", "ac3", {}),
    "ogg": ("ogg", "vorbis", {"strict": "experimental"}),
    "opus": ("ogg", "libopus", {}),
    "webm": ("webm", "libopus", {}),
}
"""Kind of file: container, codec, and what the codec must be told."""


def encode(samples: Samples, rate: int, kind: str, **muxing: str) -> bytes:
    """Write samples as a file of the kind; `muxing`: options of the container."""
    container_name, codec, options = FILES[kind]
    layout = LAYOUTS[len(samples)]
    # A file and not a BytesIO: some containers go back to their head at the end.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio"
        with av.open(path, "w", format=container_name, options=muxing) as container:
            stream = container.add_stream(codec, rate=rate, layout=layout, options=options)
            assert isinstance(stream, av.AudioStream)
            # Interleaved, as PyAV 18.1 miscounts the planes of 8 channels.
            interleaved = np.ascontiguousarray(samples.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(interleaved, "flt", layout)
            frame.sample_rate = rate
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
        return path.read_bytes()


def as_file(samples: Samples, rate: int, kind: str = "wav32f") -> io.BytesIO:
    return io.BytesIO(encode(samples, rate, kind))


def tones(
    parts: Sequence[tuple[float, float | None]],
    rate: int = 48_000,
    *,
    hz: float = 1_000.0,
    channels: int = 2,
) -> Samples:
    """Write a sine in phase on all channels: (seconds, peak in dBFS or None) one after another."""
    lengths = [round(seconds * rate) for seconds, _ in parts]
    cycle = rate // math.gcd(rate, int(hz)) if hz == int(hz) else sum(lengths)
    wave = np.resize(np.sin(2.0 * np.pi * hz * np.arange(cycle) / rate), sum(lengths))
    at = 0
    for length, (_, dbfs) in zip(lengths, parts, strict=True):
        wave[at : at + length] *= 0.0 if dbfs is None else 10.0 ** (dbfs / 20.0)
        at += length
    return np.tile(wave.astype(np.float32), (channels, 1))


def sine(
    seconds: float, dbfs: float, rate: int = 48_000, *, hz: float = 1_000.0, channels: int = 2
) -> Samples:
    return tones([(seconds, dbfs)], rate, hz=hz, channels=channels)


def music(seconds: float, rate: int = 48_000, *, channels: int = 2, seed: int = 1770) -> Samples:
    """Chords, beats and noise, with loud and quiet passages; the peak is at -3 dBFS."""
    random = np.random.default_rng(seed)
    n = round(seconds * rate)
    t = np.arange(n) / rate
    beat = np.exp(-8.0 * (t % 0.5))
    common = 0.6 * beat * np.sin(2.0 * np.pi * 55.0 * t) + 0.1 * beat * random.standard_normal(n)
    rows = []
    for channel in range(channels):
        chord = np.zeros(n)
        for note, hz in enumerate((110.0, 138.6, 164.8, 220.0, 880.0, 3_520.0)):
            chord += np.sin(2.0 * np.pi * hz * t + channel * note) / (2.0 + note)
        rows.append(common + 0.3 * chord + 0.05 * random.standard_normal(n))
    passages = 0.15 + 0.85 * np.sin(np.pi * np.arange(n) / max(1, n) * 3.0) ** 2
    mix = np.array(rows) * passages
    return np.asarray(mix * (10.0 ** (-3.0 / 20.0) / np.abs(mix).max()), np.float32)


def faded_sine(
    rate: int, *, divisor: float, amplitude: float, degrees: float, seconds: float = 1.0
) -> Samples:
    """Write rate/divisor Hz at a phase, faded over 10 ms: Tech 3341 cases 15 to 19."""
    n = round(seconds * rate)
    wave = amplitude * np.sin(2.0 * np.pi * np.arange(n) / divisor + np.deg2rad(degrees))
    fade = np.minimum(1.0, np.arange(n) / (rate // 100))
    return np.tile((wave * fade * fade[::-1]).astype(np.float32), (2, 1))
