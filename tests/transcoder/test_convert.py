"""A converted file is the same audio, in the format that was asked for."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import soundfile

from decibus.errors import BadAudio, NotAudio, TooLong
from decibus.formats import FORMATS
from decibus.messages import AnalyzeOptions, TranscodeOptions
from services.analyzer.analyze import analyze
from services.transcoder.channels import matrix
from services.transcoder.convert import convert
from services.transcoder.quantize import Quantizer
from tests.processes import ROOT
from tests.signals import Samples, encode, music, sine
from tests.transcoder.conversions import converted, labelled, labels, level_db, png, read

RATE: Final = 44_100

ASKED: Final[dict[str, dict[str, Any]]] = {
    "mp3 320": {"extension": "mp3", "sample_rate": 32_000, "bit_rate": 320},
    "mp3 V2": {"extension": "mp3", "quality": 2},
    "mp3 mono": {"extension": "mp3", "sample_rate": 22_050, "bit_rate": 64, "channels": 1},
    "mp3 8 kHz": {"extension": "mp3", "sample_rate": 8_000, "bit_rate": 32},
    "wav 16": {"extension": "wav", "sample_rate": 48_000, "bit_depth": 16},
    "wav 24": {"extension": "wav", "bit_depth": 24},
    "wav 32": {"extension": "wav", "sample_rate": 96_000, "bit_depth": 32},
    "flac 16": {"extension": "flac", "sample_rate": 32_000, "bit_depth": 16},
    "flac 24": {"extension": "flac", "bit_depth": 24},
    "ogg": {"extension": "ogg", "bit_rate": 192},
    "ogg q9": {"extension": "ogg", "quality": 9, "sample_rate": 48_000},
    "opus": {"extension": "opus", "bit_rate": 128},
    "m4a": {"extension": "m4a", "bit_rate": 192, "sample_rate": 48_000},
}
CODEC_FRAME: Final = {"mp3": 1_152, "m4a": 1_024}


@pytest.mark.parametrize("name", ASKED)
def test_a_tone_comes_out_as_it_went_in_and_as_long(name: str) -> None:
    asked = ASKED[name]
    seconds = 3.0

    result, file = converted(encode(sine(seconds, -20.0, RATE), RATE, "wav32f"), **asked)
    samples, found = read(file)

    made = result.converted
    # Vorbis makes up for the noise that it leaves out, with the tone where there is no other.
    tolerance = 0.1 if asked["extension"] == "ogg" else 0.05
    assert level_db(samples, 1_000.0, found.sample_rate) == pytest.approx(-20.0, abs=tolerance)
    frame_s = CODEC_FRAME.get(asked["extension"], 1) / found.sample_rate
    assert found.duration == pytest.approx(seconds, abs=frame_s)
    assert made.duration == pytest.approx(seconds, abs=1 / made.sample_rate)
    assert found.sample_rate == asked.get("sample_rate", 48_000 if name == "opus" else RATE)
    assert found.channels == asked.get("channels", 2)
    assert found.bit_depth == asked.get("bit_depth")
    same = ("container", "codec", "sample_rate", "channels", "layout", "bit_depth")
    assert [getattr(made, field) for field in same] == [getattr(found, field) for field in same]
    if asked["extension"] == "mp3" and "bit_rate" in asked:
        assert made.bit_rate == 1_000 * asked["bit_rate"]
        assert found.bit_rate == pytest.approx(made.bit_rate, rel=0.07)


def soft(samples: Samples, rate: int) -> Samples:
    """Take away what no lossy codec keeps, and no lower rate."""
    spectrum = np.fft.rfft(samples, axis=1)
    hz = np.fft.rfftfreq(samples.shape[1], 1.0 / rate)
    less = np.fft.irfft(spectrum / (1.0 + (hz / 9_000.0) ** 16), samples.shape[1], axis=1)
    return np.asarray(less, np.float32)


def loudness(data: bytes) -> float | None:
    found = analyze(io.BytesIO(data), AnalyzeOptions(), lambda _: None)
    return found.loudness.integrated_lufs


@pytest.mark.parametrize("name", [name for name in ASKED if name not in ("mp3 mono", "mp3 8 kHz")])
def test_loudness_does_not_change(name: str) -> None:
    source = encode(soft(music(6.0, RATE), RATE), RATE, "wav32f")

    _, file = converted(source, **ASKED[name])

    assert loudness(file) == pytest.approx(loudness(source), abs=0.05)


@pytest.mark.parametrize("hz", [16_500.0, 19_000.0, 23_000.0])
def test_what_the_new_rate_cannot_hold_is_gone(hz: float) -> None:
    high = encode(sine(2.0, -1.0, 48_000, hz=hz), 48_000, "wav32f")

    _, file = converted(high, extension="wav", sample_rate=32_000, bit_depth=32)

    samples, _ = read(file)
    middle = samples[:, 8_000:-8_000].astype(np.float64)
    assert 10.0 * np.log10(np.mean(middle**2)) < -120.0


@pytest.mark.parametrize("kind", ["wav16", "wav24"])
def test_what_is_lossless_loses_nothing(kind: str) -> None:
    source = encode(music(2.0, RATE), RATE, kind)

    _, flac = converted(source, extension="flac")
    _, wav = converted(flac, extension="wav")

    assert np.array_equal(read(wav)[0], read(source)[0])
    assert read(wav)[1] == read(source)[1]


def test_dither_keeps_what_is_less_than_a_step() -> None:
    quiet = sine(4.0, -98.0, 48_000)  # 0.4 of a step of 16 bits

    _, file = converted(encode(quiet, 48_000, "wav32f"), extension="wav", bit_depth=16)

    assert level_db(read(file)[0], 1_000.0, 48_000) == pytest.approx(-98.0, abs=0.5)
    assert not Quantizer(16, dither=False)(quiet).any()


def test_full_scale_is_clipped_and_does_not_wrap() -> None:
    numbers = Quantizer(16, dither=True)(np.array([[1.5], [-1.5], [1.0]], np.float32))
    wide = Quantizer(24, dither=False)(np.array([[2.0], [-2.0]], np.float32))

    assert numbers.ravel().tolist() == [32_767, -32_768, 32_767]
    assert wide.ravel().tolist() == [(2**23 - 1) << 8, -(2**31)]


# Channels.

FIVE_ONE: Final = ("FL", "FR", "FC", "LFE", "BL", "BR")
ROOT_HALF: Final = 0.5**0.5


@pytest.mark.parametrize(
    ("source", "channels", "rows"),
    [
        (("FL", "FR"), 1, [[ROOT_HALF, ROOT_HALF]]),
        (("FC",), 2, [[ROOT_HALF], [ROOT_HALF]]),
        (FIVE_ONE, 2, [[1, 0, ROOT_HALF, 0, ROOT_HALF, 0], [0, 1, ROOT_HALF, 0, 0, ROOT_HALF]]),
        (FIVE_ONE, 1, [[ROOT_HALF, ROOT_HALF, 1, 0, 0.5, 0.5]]),
    ],
)
def test_channels_are_mixed_as_bs_775_says(
    source: tuple[str, ...], channels: int, rows: list[list[float]]
) -> None:
    expected = np.array(rows)

    found = matrix(source, channels)

    assert found is not None
    assert found == pytest.approx(expected / max(1.0, expected.sum(axis=1).max()))


@pytest.mark.parametrize("source", [FIVE_ONE, ("FL", "FR", "FC", "LFE", "SL", "SR")])
def test_as_many_channels_are_not_mixed(source: tuple[str, ...]) -> None:
    assert matrix(source, 6) is None


def test_mono_is_as_loud_in_stereo() -> None:
    source = encode(music(6.0, RATE, channels=1), RATE, "wav32f")

    _, file = converted(source, extension="wav", channels=2, bit_depth=32)

    assert loudness(file) == pytest.approx(loudness(source), abs=0.01)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(11_025, 1), (192_000, 6), (96_000, 8)])
def test_whatever_comes_in_something_can_be_made_of_it(
    extension: str, rate: int, channels: int
) -> None:
    source = encode(music(0.3, rate, channels=channels), rate, "wav32f")

    result, file = converted(source, extension=extension, bit_depth=None)

    found = result.converted if result.unchanged else read(file)[1]
    assert (found.sample_rate, found.channels) == (
        result.converted.sample_rate,
        result.converted.channels,
    )
    assert found.duration == pytest.approx(0.3, abs=2_048 / found.sample_rate)


# What a file says of itself.

TAGS: Final = {
    "title": "Größe & Maß",
    "artist": "A; B",
    "album": "Nine",
    "date": "1999",
    "genre": "Jazz",
    "track": "3",
}


@pytest.mark.parametrize("extension", ["mp3", "wav", "flac", "ogg", "opus", "m4a"])
def test_tags_and_cover_are_kept(extension: str) -> None:
    source = labelled(sine(1.0, -20.0, 48_000), 48_000, TAGS, png())

    rate = 48_000 if extension == "opus" else 24_000
    _, file = converted(source, extension=extension, sample_rate=rate)

    found = labels(file)
    tags = {name.lower(): text for name, text in found.tags.items()}
    assert {name: tags.get(name) for name in TAGS} == TAGS
    cover = found.cover and found.cover.data
    assert cover == (None if extension == "wav" else png())


@pytest.mark.parametrize("size", [70_000, 400_000])
def test_an_ogg_with_a_large_cover_is_one_that_others_read(size: int) -> None:
    source = labelled(music(6.0, 48_000), 48_000, TAGS, png() + bytes(size))

    _, file = converted(source, extension="ogg")

    samples, rate = soundfile.read(io.BytesIO(file))  # it refuses pages with a wrong checksum
    assert (len(samples), rate) == (6 * 48_000, 48_000)
    found = labels(file)
    assert found.cover is not None
    assert len(found.cover.data) == len(png()) + size


def test_what_the_old_encoder_said_of_itself_is_not_kept() -> None:
    source = encode(sine(1.0, -20.0), 48_000, "m4a")

    _, file = converted(source, extension="mp3")

    assert not {"major_brand", "handler_name"} & labels(file).tags.keys()


# What is in the format already.


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("wav16", {"extension": "wav"}),
        ("wav24", {"extension": "wav", "bit_depth": 24, "sample_rate": 48_000, "channels": 2}),
        ("flac", {"extension": "flac"}),
        ("opus", {"extension": "opus"}),
        ("m4a", {"extension": "m4a", "sample_rate": 48_000}),
    ],
)
def test_what_is_in_the_format_already_is_not_touched(kind: str, asked: dict[str, Any]) -> None:
    result, file = converted(encode(music(1.0), 48_000, kind), **asked)

    assert result.unchanged
    assert result.audio == result.converted
    assert file == b""


def test_of_an_mp3_the_bit_rate_decides() -> None:
    _, mp3 = converted(encode(music(4.0), 48_000, "wav16"), extension="mp3", bit_rate=320)

    again, _ = converted(mp3, extension="mp3", bit_rate=320, sample_rate=48_000)
    less, smaller = converted(mp3, extension="mp3", bit_rate=128)

    assert again.unchanged
    assert not less.unchanged
    assert len(smaller) < len(mp3) / 2


def test_damage_is_found_in_what_is_in_the_format_already() -> None:
    whole = encode(music(2.0), 48_000, "mp3")

    with pytest.raises(BadAudio):
        converted(whole[: len(whole) // 2], extension="mp3")


@pytest.mark.parametrize("extension", FORMATS)
def test_a_file_is_handed_on_in_few_pieces(extension: str) -> None:
    seconds = 6
    source = io.BytesIO(encode(music(seconds, RATE), RATE, "wav16"))
    options = TranscodeOptions(extension=extension, sample_rate=48_000)

    pieces = list(convert(source, options, lambda _: None))

    assert 1 <= len(pieces) <= 2 * seconds  # FFmpeg's packets are fifty a second


# What goes wrong, and how far it is.


def test_what_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(NotAudio):
        converted(b"no audio at all", extension="mp3")
    with pytest.raises(TooLong):
        converted(encode(sine(2.0, -20.0), 48_000, "wav16"), extension="mp3", max_duration_s=1.0)


def test_progress_grows_to_the_end() -> None:
    told: list[float] = []

    converted(encode(sine(20.0, -20.0), 48_000, "wav16"), told.append, extension="flac")

    assert told == sorted(told)
    assert len(set(told)) > 5
    assert told[-1] == pytest.approx(1.0)


PROGRAM: Final = """
import io, sys
from pathlib import Path
from decibus.messages import TranscodeOptions
from services.transcoder.convert import convert, warm

warm()
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        options = TranscodeOptions(extension="mp3", bit_rate=320, max_duration_s=3600.0)
        size = sum(len(piece) for piece in convert(file, options, lambda _: None))
    # Not ru_maxrss: a child starts with its parent's.
    print(size, Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a peak")
def test_three_minutes_need_no_more_memory_than_one(tmp_path: Path) -> None:
    half_a_minute = encode(music(30.0, channels=1), 48_000, "aac")  # which may be repeated
    (tmp_path / "short").write_bytes(half_a_minute * 2)
    (tmp_path / "long").write_bytes(half_a_minute * 6)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "short", tmp_path / "long"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (short, short_kib), (long, long_kib) = (
        map(int, line.split()) for line in done.stdout.splitlines()
    )
    assert long > 2.5 * short
    assert long_kib - short_kib < 8 * 1024
