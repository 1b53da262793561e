"""What a format can hold, what it is refused for, and what is chosen where nothing was asked."""

from itertools import product
from typing import Any

import pytest

from decibus.errors import BadRequest
from decibus.formats import FORMATS, check, settle
from decibus.messages import AudioFormat, TranscodeOptions


def asked(**options: Any) -> TranscodeOptions:
    return TranscodeOptions(**{"extension": "mp3"} | options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"extension": "exe"}, "extension 'exe': it is one of mp3, wav, flac, ogg, opus, m4a"),
        ({"sample_rate": 96_000}, r"mp3 has no sample rate of 96000 Hz, but 8000, .* or 48000"),
        ({"extension": "opus", "sample_rate": 44_100}, "of 44100 Hz, but 48000"),
        ({"extension": "wav", "sample_rate": 1}, "wav has no sample rate of 1 Hz, but 8000 to"),
        ({"channels": 6}, "mp3 has no 6 channels here, but 1 or 2"),
        ({"extension": "m4a", "channels": 7}, "m4a has no 7 channels here, but 1, 2 or 6"),
        ({"extension": "wav", "channels": 0}, "wav has no 0 channels"),
        ({"bit_depth": 16}, "mp3 has no bit depth of 16, as it is no format of samples"),
        ({"extension": "flac", "bit_depth": 32}, "flac has no bit depth of 32, but 16 or 24"),
        ({"bit_rate": 319}, r"mp3 has no bit rate of 319 kb/s, but 8, .* or 320"),
        ({"bit_rate": 320, "sample_rate": 24_000}, r"320 kb/s at 24000 Hz, but 8, .* or 160"),
        ({"extension": "m4a", "bit_rate": 400, "sample_rate": 16_000, "channels": 2}, "to 192"),
        ({"extension": "opus", "bit_rate": 3_000}, "opus has no bit rate of 3000 kb/s, but 6 to"),
        ({"extension": "flac", "bit_rate": 320}, "flac is lossless: it has no bit_rate"),
        ({"extension": "opus", "quality": 5}, "opus has no quality to choose: mp3 and ogg have"),
        ({"quality": 10}, "the quality of mp3 is 0 to 9"),
        ({"quality": 2, "bit_rate": 320}, "exclude each other"),
    ],
)
def test_what_no_file_can_become_is_refused_with_what_it_could(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadRequest, match=words):
        check(asked(**options))


def source(rate: int, channels: int, depth: int | None = None) -> AudioFormat:
    return AudioFormat(
        container="wav",
        codec="pcm_s16le",
        sample_rate=rate,
        channels=channels,
        layout="",
        bit_depth=depth,
        bit_rate=None,
        duration=1.0,
    )


@pytest.mark.parametrize(
    ("options", "of", "chosen"),
    [
        ({}, source(44_100, 2), (44_100, 2, 192, None)),
        ({}, source(96_000, 8), (48_000, 2, 192, None)),
        ({}, source(88_200, 1), (44_100, 1, 96, None)),
        ({}, source(37_800, 2), (44_100, 2, 192, None)),
        ({}, source(16_000, 2), (16_000, 2, 160, None)),
        ({"bit_rate": 320}, source(22_050, 1), (32_000, 1, 320, None)),
        ({"extension": "opus"}, source(44_100, 6), (48_000, 6, 384, None)),
        ({"extension": "m4a"}, source(192_000, 8), (96_000, 6, 576, None)),
        ({"extension": "m4a", "bit_rate": 512}, source(8_000, 1), (88_200, 1, 512, None)),
        ({"extension": "wav"}, source(384_000, 8, 24), (192_000, 8, None, 24)),
        ({"extension": "wav"}, source(48_000, 2, 8), (48_000, 2, None, 16)),
        ({"extension": "flac"}, source(48_000, 2, 64), (48_000, 2, None, 24)),
        ({"extension": "flac"}, source(48_000, 2), (48_000, 2, None, 16)),
    ],
)
def test_what_was_not_asked_for_is_as_the_source_where_that_can_be(
    options: dict[str, Any], of: AudioFormat, chosen: tuple[int | None, ...]
) -> None:
    found = settle(asked(**options), of)

    assert (found.sample_rate, found.channels, found.bit_rate, found.bit_depth) == chosen


@pytest.mark.parametrize("extension", FORMATS)
def test_every_file_can_become_anything(extension: str) -> None:
    for rate, channels in product((8_000, 11_025, 44_100, 50_000, 384_000), range(1, 9)):
        target = settle(asked(extension=extension), source(rate, channels))

        check(
            asked(
                extension=extension,
                sample_rate=target.sample_rate,
                channels=target.channels,
                bit_rate=target.bit_rate,
                bit_depth=target.bit_depth,
            )
        )
