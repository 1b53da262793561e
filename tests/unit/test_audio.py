import io
import struct
import tempfile
import wave
import zlib
from base64 import b85decode
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext

from decibus.audio import Audio, open_audio
from decibus.errors import BadAudio, NotAudio, TooLong
from decibus.messages import AudioFormat
from tests.signals import FILES, LAYOUTS, Samples, as_file, encode, music, sine

RATE = 44_100
TONE = sine(2.0, -12.0, RATE)
MUSIC = music(2.0, RATE)

DTS_FRAME = zlib.decompress(
    b85decode(
        "c-pJ~*TDG4M%-W_1EU24^ZWV-Y$q8X@NT=EzyJhH3{W8XzVv$B_swZ(X|IAC7?^F}?RtIhTh5s?cfAT2kb#0j0|PFA"
        "Q!X@glBWs~bszzV2oQw=!74Zy@>>7@2ND2$3~iV"
    )
)
"""A hundredth of a second of silence, as `ffmpeg -c:a dca` writes it."""


def decode(
    data: bytes, *, max_duration_s: float = 60.0, frames: int = 10_000
) -> tuple[Samples, AudioFormat, Audio]:
    with open_audio(io.BytesIO(data), max_duration_s=max_duration_s) as audio:
        blocks = list(audio.blocks(frames))
        return np.concatenate(blocks, axis=1), audio.format(), audio


def pcm(data: bytes, *, rate: int = 48_000, channels: int = 1, width: int = 2) -> bytes:
    """Write a WAV without a channel mask."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "container", "codec", "bit_depth"),
    [
        ("wav8", "wav", "pcm_u8", 8),
        ("wav16", "wav", "pcm_s16le", 16),
        ("wav24", "wav", "pcm_s24le", 24),
        ("wav32f", "wav", "pcm_f32le", 32),
        ("wav64f", "wav", "pcm_f64le", 64),
        ("flac", "flac", "flac", 16),
        ("alac", "mp4", "alac", 24),
        ("aiff", "aiff", "pcm_s16be", 16),
        ("caf", "caf", "pcm_s16le", 16),
    ],
)
def test_lossless_files_come_out_as_they_went_in(
    kind: str, container: str, codec: str, bit_depth: int
) -> None:
    samples, described, audio = decode(encode(TONE, RATE, kind))

    assert (described.container, described.codec) == (container, codec)
    assert described.bit_depth == bit_depth
    assert (audio.sample_rate, audio.channel_names, described.layout) == (
        RATE,
        ("FL", "FR"),
        "stereo",
    )
    assert described.duration == 2.0
    assert samples.dtype == np.float32
    assert samples == pytest.approx(TONE, abs=2.0 ** (1 - min(bit_depth, 24)))


@pytest.mark.parametrize(
    ("kind", "container", "codec"),
    [
        ("mp3", "mp3", "mp3"),
        ("m4a", "mp4", "aac"),
        ("aac", "aac", "aac"),
        ("ac3", "ac3", "ac3"),
        ("ogg", "ogg", "vorbis"),
    ],
)
def test_lossy_files_come_out_alike(kind: str, container: str, codec: str) -> None:
    data = encode(TONE, RATE, kind)

    samples, described, audio = decode(data)

    assert (described.container, described.codec, described.bit_depth) == (container, codec, None)
    assert audio.sample_rate == RATE
    assert described.duration == pytest.approx(2.0, abs=0.06)
    assert described.bit_rate is not None
    assert 0.6 * len(data) < described.bit_rate / 8 * 2.0 <= len(data)
    middle = samples[:, RATE // 2 : -RATE // 2]
    gain = np.sqrt(2.0 * (middle**2).mean()) / 10.0 ** (-12.0 / 20.0)
    assert gain == pytest.approx(0.95 if kind == "mp3" else 1.0, abs=0.02)  # LAME leaves headroom


@pytest.mark.parametrize("kind", ["opus", "webm"])
def test_opus_is_always_48_khz(kind: str) -> None:
    _, described, audio = decode(encode(sine(2.0, -12.0), 48_000, kind))

    assert (audio.sample_rate, described.codec) == (48_000, "opus")
    assert described.duration == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_16_bits_are_exact(channels: int) -> None:
    values = np.random.default_rng(16).permutation(np.arange(-(2**15), 2**15, dtype=np.int16))
    values = values[: values.size // channels * channels]

    samples, _, _ = decode(pcm(values.astype("<i2").tobytes(), channels=channels))

    assert np.array_equal(samples.T.ravel() * 2**15, values)


def test_24_bits_are_exact() -> None:
    values = np.random.default_rng(24).integers(-(2**23), 2**23, 30_000, dtype=np.int32)
    data = values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()

    samples, _, _ = decode(pcm(data, width=3))

    assert np.array_equal(samples[0].astype(np.float64) * 2**23, values)


@pytest.mark.parametrize("frames", [1, 1_000, 65_536, 10**6])
def test_blocks_are_full_but_the_last(frames: int) -> None:
    with open_audio(
        io.BytesIO(encode(MUSIC[:, :5_000], RATE, "wav32f")), max_duration_s=9
    ) as audio:
        blocks = list(audio.blocks(frames))

    assert all(block.shape == (2, frames) for block in blocks[:-1])
    assert np.array_equal(np.concatenate(blocks, axis=1), MUSIC[:, :5_000])


def test_blocks_may_share_their_memory() -> None:
    kept, copied = [], []
    with open_audio(as_file(MUSIC[:, :5_000], RATE), max_duration_s=9) as audio:
        for block in audio.blocks(1_200, reuse=True):
            kept.append(block)
            copied.append(block.copy())

    assert np.array_equal(np.concatenate(copied, axis=1), MUSIC[:, :5_000])
    assert all(np.shares_memory(block, kept[0]) for block in kept)


@pytest.mark.parametrize("kind", ["wav8", "wav16", "wav24", "wav32f", "mp3"])
def test_blocks_may_lie_interleaved_and_are_the_same(kind: str) -> None:
    data = encode(MUSIC, RATE, kind)
    expected, *_ = decode(data)

    with open_audio(io.BytesIO(data), max_duration_s=9) as audio:
        blocks = [block.copy("K") for block in audio.blocks(1_200, reuse=True, interleaved=True)]

    assert np.array_equal(np.concatenate(blocks, axis=1), expected)
    assert all(block.T.flags.c_contiguous for block in blocks)


def test_the_sample_format_may_change_where_rate_and_channels_stay() -> None:
    file, parts = io.BytesIO(), ("s16p", "s32p", "s16p")
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("wavpack", rate=RATE, layout="stereo")
        for n, name in enumerate(parts):
            codec = AudioCodecContext.create("wavpack", "w")
            codec.sample_rate, codec.layout, codec.format = RATE, "stereo", name
            justified = (MUSIC[:, :22_050] * 2.0**31).astype(np.int32)
            values = justified if name == "s32p" else (justified >> 16).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(values, name, "stereo")
            frame.sample_rate = RATE
            for packet in codec.encode(frame):
                packet.stream, packet.pts, packet.dts = stream, 22_050 * n, 22_050 * n
                container.mux(packet)

    samples, _, _ = decode(file.getvalue())

    assert samples == pytest.approx(np.tile(MUSIC[:, :22_050], 3), abs=2.0**-15)


@pytest.mark.parametrize("before", [0, 40_000])
def test_a_wav_may_hold_dts(before: int) -> None:
    _, described, _ = decode(pcm(bytes(before) + 300 * DTS_FRAME, channels=2))

    assert (described.container, described.codec) == ("wav", "dts")


@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_have_names_even_where_the_file_gives_none(channels: int) -> None:
    samples, described, audio = decode(pcm(bytes(2 * channels * 480), channels=channels))

    assert samples.shape == (channels, 480)
    assert described.layout == LAYOUTS[channels]
    assert len(set(audio.channel_names)) == channels
    assert ("LFE" in audio.channel_names) == (channels >= 6)


@pytest.mark.parametrize("kind", ["flac", "m4a", "wav24"])
def test_eight_channels_stay_in_their_places(kind: str) -> None:
    silence = np.zeros((8, RATE), np.float32)
    for channel in range(8):
        samples = silence.copy()
        samples[channel] = sine(1.0, -6.0, RATE, hz=80.0, channels=1)

        decoded, _, audio = decode(encode(samples, RATE, kind))

        powers = (decoded.astype(np.float64) ** 2).mean(axis=1)
        assert audio.channel_names == ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
        assert powers.argmax() == channel
        assert powers.max() > 100.0 * np.sort(powers)[-2]


def test_one_sample_is_audio() -> None:
    samples, described, _ = decode(pcm(struct.pack("<h", 16_384)))

    assert samples.tolist() == [[0.5]]
    assert described.duration == 1 / 48_000


def test_what_is_no_number_becomes_silence_and_is_counted() -> None:
    dirty = TONE.copy()
    dirty[0, 100:103] = (np.nan, np.inf, -np.inf)
    dirty[1, 20_000] = 1e30

    samples, _, audio = decode(encode(dirty, RATE, "wav32f"))

    assert audio.scrubbed_samples == 4
    assert samples[0, 100:103].tolist() == [0.0, 0.0, 0.0]
    assert samples[1, 20_000] == 0.0


def test_doubles_beyond_a_float_are_scrubbed() -> None:
    head = encode(TONE[:1, :8], RATE, "wav64f")
    data = head[:-64] + np.array([1e300, -1e300, np.nan, 0.5, 0, 0, 0, 0]).tobytes()

    samples, _, audio = decode(data)

    assert audio.scrubbed_samples == 3
    assert samples[0, 3] == 0.5


# Files that end too early, and files that only look so.


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "wav64f"])
@pytest.mark.parametrize("share", [0.02, 0.55, 0.9])
def test_a_part_of_a_file_is_bad_audio(kind: str, share: float) -> None:
    rate = 48_000 if kind in {"opus", "webm"} else RATE
    whole = encode(music(2.0, rate), rate, kind)

    with pytest.raises(BadAudio):
        decode(whole[: int(share * len(whole)) | 1])


@pytest.mark.parametrize("xing", ["0", "1"])
@pytest.mark.parametrize("missing", [50, 100, 10_001])
def test_an_mp3_that_ends_inside_a_frame_is_truncated(missing: int, xing: str) -> None:
    whole = encode(MUSIC, RATE, "mp3", write_xing=xing)

    with pytest.raises(BadAudio, match="truncated"):
        decode(whole[:-missing])


def test_an_mp3_that_holds_fewer_frames_than_its_header_counts_is_truncated() -> None:
    whole = encode(MUSIC, RATE, "mp3")
    end = whole.rfind(b"\xff\xfb", 0, len(whole) // 2)  # between two frames

    with pytest.raises(BadAudio, match=r"truncated: \d+ of \d+ frames"):
        decode(whole[:end])


@pytest.mark.parametrize("kind", ["aac", "m4a"])
def test_a_fast_start_or_a_bare_stream_is_truncated_too(kind: str) -> None:
    muxing = {"movflags": "faststart"} if kind == "m4a" else {}
    whole = encode(MUSIC, RATE, kind, **muxing)

    with pytest.raises(BadAudio, match="truncated"):
        decode(whole[: len(whole) * 2 // 3])


APE_TAG = b"APETAGEX" + struct.pack("<IIII", 2000, 200, 1, 0) + bytes(208)
TAGS = {
    "ID3v1": b"TAG" + b"a" * 125,
    "APE": APE_TAG + b"APETAGEX" + bytes(24),
    "APE, ID3v1": APE_TAG + b"TAG" + b"b" * 125,
    "padding": bytes(3_000),
    "a picture": b"APETAGEX" + np.random.default_rng(9).bytes(100_000),
}


@pytest.mark.parametrize("xing", ["0", "1"])
@pytest.mark.parametrize("tag", TAGS)
def test_tags_after_an_mp3_do_no_harm(tag: str, xing: str) -> None:
    whole = encode(MUSIC, RATE, "mp3", write_xing=xing)

    _, described, _ = decode(whole + TAGS[tag])

    assert described.duration == pytest.approx(2.0, abs=0.07)


def test_an_mp3_may_begin_in_the_middle_of_a_stream() -> None:
    whole = encode(MUSIC, RATE, "mp3", write_xing="0")

    _, described, _ = decode(whole[1_000:])

    assert described.duration == pytest.approx(2.0, abs=0.1)


def test_an_mp3_that_is_damaged_in_the_middle_is_bad_audio() -> None:
    whole = encode(MUSIC, RATE, "mp3")
    noise = np.random.default_rng(7).bytes(5_000)

    with pytest.raises(BadAudio, match="damaged at"):
        decode(whole[:12_000] + noise + whole[17_000:])


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_wav_from_a_pipe_knows_no_length_and_is_good(size: int) -> None:
    whole = bytearray(pcm(bytes(2 * 48_000)))
    whole[4:8] = whole[40:44] = struct.pack("<I", size)

    _, described, _ = decode(bytes(whole))

    assert described.duration == 1.0


def test_chunks_after_the_samples_do_no_harm() -> None:
    whole = pcm(bytes(2 * 48_000)) + b"LIST" + struct.pack("<I", 16) + bytes(16) + b"junk"

    _, described, _ = decode(whole)

    assert described.duration == 1.0


@pytest.mark.parametrize(
    ("kind", "muxing"),
    [
        ("m4a", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}),
        ("webm", {"live": "1"}),
    ],
)
def test_files_written_live_are_good(kind: str, muxing: dict[str, str]) -> None:
    _, described, _ = decode(encode(sine(2.0, -12.0), 48_000, kind, **muxing))

    assert described.duration == pytest.approx(2.0, abs=0.05)


# What nobody should send.


def png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    size = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(8 * 9))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


NOT_AUDIO = {
    "empty": b"",
    "one byte": b"R",
    "text": b"Listen, there is no audio here.\n" * 100,
    "UTF-16": ("Listen, there is no audio here.\n" * 100).encode("utf-16"),
    "noise": np.random.default_rng(5).bytes(50_000),
    "picture": png(),
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n",
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_what_is_no_audio_is_refused(name: str) -> None:
    with pytest.raises(NotAudio):
        decode(NOT_AUDIO[name])


@pytest.mark.parametrize("named", ["upload.ffconcat", "upload.m3u8", "secret.wav"])
@pytest.mark.parametrize(
    "data",
    [
        b"ffconcat version 1.0\nfile 'secret.wav'\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n",
    ],
)
def test_no_file_that_an_upload_names_is_opened(
    data: bytes, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.wav").write_bytes(encode(TONE, RATE, "wav16"))
    monkeypatch.chdir(tmp_path)
    upload: Any = io.BytesIO(data)
    upload.name = named  # FFmpeg would choose a demuxer by it

    with pytest.raises(NotAudio), open_audio(upload, max_duration_s=60.0):
        pass


def test_a_video_without_sound_is_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        for packet in (*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)):
            container.mux(packet)

    with pytest.raises(NotAudio, match="no audio stream"):
        decode(file.getvalue())


@pytest.mark.parametrize("rate", [1, 7_999, 384_001])
def test_a_rate_out_of_range_is_bad_audio(rate: int) -> None:
    with pytest.raises(BadAudio, match="sample rate"):
        decode(pcm(bytes(2_000), rate=rate))


def test_too_many_channels_are_bad_audio() -> None:
    with pytest.raises(BadAudio, match="9 channels"):
        decode(pcm(bytes(2 * 9 * 100), channels=9))


@pytest.mark.parametrize("kind", ["wav16", "flac", "mp3", "aiff"])
def test_a_header_alone_is_bad_audio(kind: str) -> None:
    with pytest.raises(BadAudio):
        decode(encode(TONE[:, :5_000], RATE, kind)[:46])


def test_a_bomb_is_noticed_while_it_is_decoded() -> None:
    bomb = encode(np.zeros((8, 48_000 * 61), np.float32), 48_000, "flac")
    assert len(bomb) < 50_000

    with open_audio(io.BytesIO(bomb), max_duration_s=10.0) as audio:
        with pytest.raises(TooLong, match="longer than 10 s"):
            for _ in audio.blocks(48_000):
                pass

        assert audio.decoded_frames < 48_000 * 11


def test_channels_count_towards_the_limit_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decibus.audio.MAX_DECODED_SAMPLES", 4 * RATE)

    _, described, _ = decode(encode(TONE, RATE, "wav16"))
    with pytest.raises(TooLong, match="more than 176400 samples"):
        decode(encode(np.tile(TONE, (2, 1)), RATE, "wav16"))

    assert described.duration == 2.0


def test_the_limit_itself_is_not_too_long() -> None:
    _, described, _ = decode(encode(TONE, RATE, "wav16"), max_duration_s=2.0)

    assert described.duration == 2.0


def test_a_change_of_format_is_bad_audio() -> None:
    first, second = encode(MUSIC, RATE, "aac"), encode(music(2.0), 48_000, "aac")

    with pytest.raises(BadAudio, match="the format changes"):
        decode(first + second)


@pytest.mark.parametrize("size", [2**63 - 200, -(2**40)])
def test_a_header_that_leads_to_no_place_at_all_is_no_fault_of_our_disk(size: int) -> None:
    whole = encode(MUSIC, RATE, "caf")
    at = whole.index(b"data")
    whole = whole[:at] + b"free" + struct.pack(">q", size) + whole[at:]

    with tempfile.TemporaryFile() as file:  # whose system says no; a BytesIO goes anywhere
        file.write(whole)
        with suppress(BadAudio), open_audio(file, max_duration_s=60.0) as audio:
            list(audio.blocks(10_000))


def test_a_matroska_header_may_be_longer_than_what_is_read_of_it() -> None:
    whole = encode(sine(2.0, -12.0), 48_000, "webm")
    size = whole[4] - 0x80  # in one byte, as it is small
    void = b"\xec\x01" + (70_000).to_bytes(7, "big") + bytes(70_000)
    head = whole[:4] + b"\x01" + (size + len(void)).to_bytes(7, "big")

    _, described, _ = decode(head + whole[5 : 5 + size] + void + whole[5 + size :])

    assert described.duration == pytest.approx(2.0, abs=0.01)


def test_an_error_of_our_own_disk_is_not_the_senders_fault() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100_000:
                raise OSError("the disk is gone")
            return super().read(size)

    with (
        pytest.raises(OSError, match="the disk is gone"),
        open_audio(Broken(encode(music(9.0), 48_000, "wav32f")), max_duration_s=60.0) as audio,
    ):
        list(audio.blocks(10_000))
