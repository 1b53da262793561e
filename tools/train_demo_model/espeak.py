"""
Speech with the time of each word, from libespeak-ng within this process.

The library keeps one voice and one callback a process, so that this module has state, too.
"""

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_int, c_short, c_uint, c_void_p
from ctypes.util import find_library
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE_HZ: Final = 16_000

# espeak-ng/speak_lib.h, version 1.51.
_AUDIO_OUTPUT_RETRIEVAL: Final = 1
_PHONEME_EVENTS: Final = 1
_END, _WORD, _PHONEME = 0, 1, 7
_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7
_UTF8: Final = 1


class _Id(ctypes.Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("phoneme", c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", c_int),
        ("identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


class Voice(NamedTuple):
    """How to speak. Pitch and range are 0 to 100; a unit of `word_gap` is 10 ms."""

    name: str
    words_a_minute: int
    pitch: int = 50
    pitch_range: int = 50
    word_gap: int = 0


class Spoken(NamedTuple):
    """Mono at `RATE_HZ`, full scale = 1.0, and when each word starts and ends, in seconds."""

    samples: NDArray[np.float32]
    words: tuple[tuple[float, float], ...]


class NoSuchVoiceError(Exception):
    """This espeak-ng lacks the voice."""


def speak(text: str, voice: Voice) -> Spoken:
    """Speak a text; the silence after it is cut off."""
    library = _library()
    library.heard.clear()
    library.events.clear()
    if library.c.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise NoSuchVoiceError(voice.name)
    for parameter, value in (
        (_RATE, voice.words_a_minute),
        (_PITCH, voice.pitch),
        (_RANGE, voice.pitch_range),
        (_WORD_GAP, voice.word_gap),
    ):
        library.c.espeak_SetParameter(parameter, value, 0)
    encoded = text.encode()
    library.c.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
    library.c.espeak_Synchronize()
    own_rate = np.concatenate([*library.heard, np.zeros(1, np.int16)]).astype(np.float32) / 2**15
    spans = _word_spans(library.events, own_rate.size, library.rate_hz)
    samples = resample_poly(own_rate, RATE_HZ, library.rate_hz).astype(np.float32)
    if spans:
        samples = samples[: round(spans[-1][1] * RATE_HZ)]
    return Spoken(samples, spans)


class _Library:
    """The library as it was initialized, and what its callback was told since."""

    def __init__(self) -> None:
        self.c: Any = ctypes.CDLL(find_library("espeak-ng") or "libespeak-ng.so.1")
        self.heard: list[NDArray[np.int16]] = []
        self.events: list[tuple[int, int, str]] = []
        self.rate_hz = int(
            self.c.espeak_Initialize(_AUDIO_OUTPUT_RETRIEVAL, 200, None, _PHONEME_EVENTS)
        )
        self._callback = _Callback(self._told)  # kept: the library does not
        self.c.espeak_SetSynthCallback(self._callback)

    def _told(self, samples: Any, count: int, events: Any) -> int:
        if count > 0 and samples:
            self.heard.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        number = 0
        while (event := events[number]).type != _END:
            phoneme = event.id.phoneme.decode() if event.type == _PHONEME else ""
            self.events.append((event.type, event.sample, phoneme))
            number += 1
        return 0


_library = cache(_Library)


def _word_spans(
    events: list[tuple[int, int, str]], samples: int, rate_hz: int
) -> tuple[tuple[float, float], ...]:
    """A word lasts until the next, or until a pause (`_:` and the like) after its first sound."""
    spans: list[tuple[float, float]] = []
    start: int | None = None
    sounded = False
    for kind, sample, phoneme in [*events, (_WORD, samples, "")]:
        pauses = kind == _PHONEME and phoneme[:1] in {"", "_"}
        if start is not None and sounded and (kind == _WORD or pauses):
            spans.append((start / rate_hz, sample / rate_hz))
            start = None
        if kind == _WORD:  # there is an empty one at the end of some texts
            start, sounded = sample, False
        elif kind == _PHONEME and not pauses:
            sounded = True
    return tuple(spans)
