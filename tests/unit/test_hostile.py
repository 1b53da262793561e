"""
Files that nobody should send, through the sandboxes of the services that open files.

The corpus of damaged files is made from a seed; `FUZZ_SEED` gives another one, `FUZZ_FILES` more of
each kind. The decoder is the same in all services, so that a quarter is enough for the others.
"""

import ctypes
import io
import os
import random
import socket
import struct
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pytest

from decibus.audio import open_audio
from decibus.confinement import Limits
from decibus.errors import BadAudio, NotAudio, Refused, TooLong
from decibus.messages import (
    AnalyzeOptions,
    AudioFormat,
    Conversion,
    Measurement,
    TranscodeOptions,
    TranscribeOptions,
)
from decibus.sandbox import Sandbox
from services.transcriber.decode import decoded_in
from tests.processes import ROOT
from tests.signals import FILES, encode, music, sine

SEED: Final = int(os.getenv("FUZZ_SEED", "1770"))
FILES_OF_A_KIND: Final = int(os.getenv("FUZZ_FILES", "64"))

LIMITS: Final = Limits(cpu_s=20, wall_s=40.0)

Opening = Callable[[BinaryIO, float], AudioFormat]
"""How a service opens a file, whose audio may have so many seconds."""


@contextmanager
def analyzer() -> Iterator[Opening]:
    step, warm = "services.analyzer.analyze:analyze", "services.analyzer.analyze:warm"
    with closing(Sandbox(step, warm=warm, returns=Measurement, limits=LIMITS)) as sandbox:

        def opened(file: BinaryIO, max_duration_s: float) -> AudioFormat:
            options = AnalyzeOptions(max_duration_s=max_duration_s)
            return sandbox.run(file, options, lambda _: None).audio

        yield opened


@contextmanager
def transcriber() -> Iterator[Opening]:
    step, warm = "services.transcriber.decode:stream", "services.transcriber.decode:warm"
    with closing(Sandbox(step, warm=warm, returns=AudioFormat, limits=LIMITS)) as sandbox:

        def opened(file: BinaryIO, max_duration_s: float) -> AudioFormat:
            options = TranscribeOptions(max_duration_s=max_duration_s)
            with decoded_in(sandbox, file, options, lambda _: None) as audio:
                deque(audio.blocks(), maxlen=0)
                return audio.format()

        yield opened


@contextmanager
def transcoder() -> Iterator[Opening]:
    step, warm = "services.transcoder.convert:convert", "services.transcoder.convert:warm"
    with closing(Sandbox(step, warm=warm, returns=Conversion, limits=LIMITS)) as sandbox:

        def opened(file: BinaryIO, max_duration_s: float) -> AudioFormat:
            options = TranscodeOptions(extension="flac", max_duration_s=max_duration_s)
            with sandbox.stream(file, options, lambda _: None, max_bytes=1 << 30) as pieces:
                deque(pieces, maxlen=0)
                return pieces.result.audio

        yield opened


SERVICES: Final = {"analyzer": analyzer, "transcriber": transcriber, "transcoder": transcoder}


class Opener:
    """A service's way to open what a test has as bytes."""

    def __init__(self, service: str, opening: Opening) -> None:
        self.service = service
        self._opening = opening

    def __call__(self, data: bytes, *, max_duration_s: float = 60.0) -> AudioFormat:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            return self._opening(file, max_duration_s)


@pytest.fixture(scope="module", params=SERVICES)
def opened(request: pytest.FixtureRequest) -> Iterator[Opener]:
    with SERVICES[request.param]() as opening:
        yield Opener(request.param, opening)


# Files that name others.


class Canary:
    """A file that nobody is to open, a port that nobody is to call, and a service beside them."""

    def __init__(self, folder: Path, listener: socket.socket, opened: Opener) -> None:
        self.opened = opened
        self.port = listener.getsockname()[1]
        self.path = folder / "secret.wav"
        self.path.write_bytes(encode(sine(0.5, -20.0), 48_000, "wav16"))
        self._listener = listener
        self._listener.settimeout(0.0)
        libc = ctypes.CDLL(None, use_errno=True)
        in_open = 0x20
        self._opened = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(self._opened, bytes(self.path), in_open)

    @property
    def is_disturbed(self) -> bool:
        """Whether the file was opened, or the port called, since this was last asked."""
        disturbed = False
        with suppress(BlockingIOError):
            disturbed = bool(os.read(self._opened, 4096))
        with suppress(BlockingIOError):
            self._listener.accept()[0].close()
            disturbed = True
        return disturbed


@pytest.fixture(scope="module", params=SERVICES)
def canary(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Canary]:
    if sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    folder = tmp_path_factory.mktemp("canary")
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as listener:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.chdir(folder)  # where relative names lead
        with SERVICES[request.param]() as opening:
            yield Canary(folder, listener, Opener(request.param, opening))


def test_the_canary_sings(canary: Canary) -> None:
    assert not canary.is_disturbed

    canary.path.read_bytes()
    assert canary.is_disturbed

    socket.create_connection(("127.0.0.1", canary.port)).close()
    assert canary.is_disturbed
    assert not canary.is_disturbed


POINTERS: Final = {
    "ffconcat": "ffconcat version 1.0\nfile secret.wav\n",
    "ffconcat, absolute": "ffconcat version 1.0\nfile '{path}'\n",
    "ffconcat, http": "ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.wav\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n",
    "m3u8, absolute": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{path}\n",
    "m3u8, http": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n",
    "m3u8, key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{port}/"\n#EXTINF:9,\na\n',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "sdp, tcp": "v=0\nc=IN IP4 127.0.0.1\ns=x\nt=0 0\nm=audio {port} TCP/RTP/AVP 0\n",
    "concat": "concat:{path}|{path}",
    "subfile": "subfile,,start,0,end,0,,:{path}",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    "<BaseURL>http://127.0.0.1:{port}/</BaseURL></Period></MPD>",
    "redirector": "[Reference]\nRef1=http://127.0.0.1:{port}/a\n",
}


@pytest.mark.parametrize("name", POINTERS)
def test_nothing_that_a_file_names_is_opened_or_called(canary: Canary, name: str) -> None:
    data = POINTERS[name].format(path=canary.path, port=canary.port).encode()

    with pytest.raises(NotAudio):
        canary.opened(data)
    with pytest.raises(NotAudio), open_audio(io.BytesIO(data), max_duration_s=60.0):
        pass  # outside the sandbox, where nothing but the white lists would stop it

    assert not canary.is_disturbed


def test_an_mp4_whose_samples_are_in_another_file_does_not_get_them(canary: Canary) -> None:
    own = b"url \0\0\0\1"
    whole = encode(sine(0.5, -20.0), 48_000, "m4a")
    assert whole.count(own) == 1
    path = str(canary.path).encode()
    for reference in (b"url \0\0\0\0" + path + b"\0", b"alis\0\0\0\0" + path + b"\0"):
        elsewhere = whole.replace(own, reference[: len(own)]) + reference

        with suppress(Refused):
            canary.opened(elsewhere)

        assert not canary.is_disturbed


# Bombs: much audio in few bytes.


@pytest.mark.parametrize(("kind", "channels"), [("flac", 8), ("opus", 1), ("m4a", 2), ("wav8", 8)])
def test_a_bomb_is_too_long(opened: Opener, kind: str, channels: int) -> None:
    bomb = encode(np.zeros((channels, 48_000 * 60), np.float32), 48_000, kind)

    with pytest.raises(TooLong, match="longer than 10 s"):
        opened(bomb, max_duration_s=10.0)


# Headers that lie.


def wav(*, size: int | None = None, **claims: int) -> bytes:
    """Write a WAV of 0.1 s whose header says what it is told."""
    said = {"code": 1, "channels": 1, "rate": 48_000, "bits": 16} | claims
    block = said["channels"] * said["bits"] // 8
    header = struct.pack(
        "<HHIIHH",
        said["code"],
        said["channels"],
        said["rate"],
        said["rate"] * block & 0xFFFF_FFFF,
        block & 0xFFFF,
        said["bits"],
    )
    data = bytes(9_600)
    length = struct.pack("<I", len(data) if size is None else size)
    chunks = b"WAVEfmt " + struct.pack("<I", len(header)) + header + b"data" + length + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


LIES: Final = {
    "rate 0": wav(rate=0),
    "rate 1": wav(rate=1),
    "rate 2^32 - 1": wav(rate=0xFFFF_FFFF),
    "0 channels": wav(channels=0),
    "65535 channels": wav(channels=0xFFFF),
    "0 bits": wav(bits=0),
    "255 bits": wav(bits=255),
    "unknown code": wav(code=0x1234),
    "FLAC of no channels that fit": b"fLaC\x80\0\0\x22" + b"\xff" * 34,
    "AIFF at an infinite rate": b"FORM\0\0\0\x2eAIFFCOMM\0\0\0\x12\0\2\0\0\0\1\0\x10"
    b"\x7f\xff\x80\0\0\0\0\0\0\0SSND\0\0\0\x0c\0\0\0\0\0\0\0\0\1\2\3\4",
}


@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_is_bad_audio(opened: Opener, name: str) -> None:
    with pytest.raises(BadAudio) as refused:
        opened(LIES[name])

    assert not broke(refused.value)


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x8000_0000])
def test_a_claim_of_4_gb_is_not_believed(opened: Opener, size: int) -> None:
    assert opened(wav(size=size)).duration == pytest.approx(0.1)


# Damage.


def broke(refused: Refused) -> bool:
    """Tell whether a file has ended its child, rather than been refused in it."""
    return any(word in str(refused) for word in ("crashed", "it takes more", "was broken"))


def damaged(kind: str, number: int, wholes: dict[str, bytes]) -> bytes:
    """Return the file of that number: the same for the same seed."""
    chance = random.Random(f"{SEED} {kind} {number}")  # noqa: S311 - no secret
    data = bytearray(wholes[kind])
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, to = sorted(chance.randrange(len(data)) for _ in range(2))
        match chance.randrange(7):
            case 0:
                del data[max(at, 1) :]
            case 1:
                for _ in range(chance.choice((1, 8, 64))):
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case 2:
                other = wholes[chance.choice(list(wholes))]
                data[at:to] = other[at : at + chance.randrange(1, 4_000)]
            case 3:
                del data[at : min(to, len(data) - 1)]
            case 4:
                data[at:to] = bytes([chance.choice((0x00, 0x7F, 0x80, 0xFF))]) * (to - at)
            case 5:
                data[at:at] = data[at:to]
            case _:  # a field of the header, most likely
                width = chance.choice((1, 2, 4, 8))
                field = chance.randrange(min(len(data), 256))
                lie = chance.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff"))
                fill = chance.choice((lie, b"\0"))
                data[field : field + width] = lie + fill * (width - 1)
    return bytes(data)


@pytest.fixture(scope="module")
def wholes() -> dict[str, bytes]:
    return {kind: encode(music(0.2), 48_000, kind) for kind in FILES}


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_opened_or_refused_and_break_nothing(
    opened: Opener, wholes: dict[str, bytes], kind: str
) -> None:
    print(f"FUZZ_SEED={SEED}")  # noqa: T201 - shown with a failure
    files = FILES_OF_A_KIND if opened.service == "analyzer" else FILES_OF_A_KIND // 4
    failed: list[str] = []
    refused = 0

    for number in range(files):
        try:
            opened(damaged(kind, number, wholes))
        except (NotAudio, BadAudio, TooLong) as refusal:
            refused += 1
            if broke(refusal):
                failed.append(f"file {number}: {refusal}")
        except Exception as error:  # noqa: BLE001 - all of them are told
            failed.append(f"file {number}: {error!r}\n{error}")

    assert not failed, "\n".join(failed)
    assert refused > files // 10


def test_the_corpus_is_large() -> None:
    assert len(FILES) * FILES_OF_A_KIND >= 1_000 or "FUZZ_FILES" in os.environ
