"""
What was spoken once to train with, kept as mel powers on disk; a fixed seed says it all again.

    phrases.npy   float16 logarithms of mel power, frame after frame of phrase after phrase
    phrases.npz   where each phrase starts, its language, its words, and when each starts and ends
    sounds.npy    the same of what is no speech
"""

from collections.abc import Sequence, Sized
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, lfilter

from tools.train_demo_model import mel, sounds
from tools.train_demo_model.espeak import NoSuchVoiceError, Spoken, Voice, speak
from tools.train_demo_model.words import LANGUAGES, VOCABULARY, WORDS, Speakers

LONGEST: Final = 6
"""Words in a phrase."""

_SOUND_S: Final = 12.0

Samples = NDArray[np.float32]


class Phrase(NamedTuple):
    """Mel powers, their logarithms to base 10; `spans` are in frames."""

    log_power: NDArray[np.float32]
    words: tuple[str, ...]
    spans: NDArray[np.float32]


def request(language: str, speakers: Speakers, random: Generator) -> tuple[tuple[str, ...], Voice]:
    """Choose the words of a phrase, and who speaks them how."""
    count = int(random.integers(1, LONGEST + 1))
    words = tuple(str(word) for word in random.choice(VOCABULARY[language], count))
    accent, variant = random.choice(speakers.accents[language]), random.choice(speakers.variants)
    voice = Voice(
        name=f"{accent}+{variant}" if variant else str(accent),
        words_a_minute=int(random.choice(speakers.words_a_minute)),
        pitch=int(random.integers(25, 76)),
        pitch_range=int(random.integers(30, 70)),
        word_gap=int(random.choice([0, 0, 0, 0, 3, 8])),
    )
    return words, voice


def utter(language: str, speakers: Speakers, random: Generator) -> tuple[tuple[str, ...], Spoken]:
    """Let somebody say a few words."""
    while True:
        words, voice = request(language, speakers, random)
        mark = str(random.choice(["", "", "", ".", "?", "!"]))
        try:
            spoken = speak(" ".join(words) + mark, voice)
        except NoSuchVoiceError:  # another release of espeak-ng
            continue
        if len(spoken.words) == len(words) and np.abs(spoken.samples).max() > 0.01:
            return words, spoken


def _coloured(samples: Samples, random: Generator) -> tuple[Samples, float]:
    """Send some of what was spoken through a larger head, a room or a telephone."""
    stretch = 1.0
    if random.random() < 0.35:
        stretch = random.uniform(0.9, 1.12)
        at = np.arange(0.0, samples.size - 1, 1.0 / stretch)
        samples = np.interp(at, np.arange(samples.size), samples).astype(np.float32)
    choice = random.random()
    if choice < 0.15:
        taps = random.standard_normal(round(random.uniform(0.03, 0.2) * mel.RATE_HZ))
        taps *= np.exp(-4.0 * np.arange(taps.size) / taps.size)
        taps[0] = 4.0
        samples = fftconvolve(samples, taps / np.abs(taps).max())
    elif choice < 0.3:
        band = [random.uniform(100.0, 300.0), random.uniform(3000.0, 3800.0)]
        samples = np.asarray(lfilter(*butter(2, band, "band", fs=mel.RATE_HZ), samples), np.float32)
    return samples.astype(np.float32), stretch


def fill(
    directory: Path, speakers: Speakers, *, phrases: int, sounds_of_each: int = 100, seed: int
) -> None:
    """Speak so many phrases, three fifths of them English, and make noise for an hour."""
    random = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    languages = [LANGUAGES[(0, 0, 0, 1, 2)[number % 5]] for number in range(phrases)]
    frames, words, spans = [], [], []
    for language in languages:
        said, spoken = utter(language, speakers, random)
        samples, stretch = _coloured(spoken.samples, random)
        frames.append(_kept(samples / np.abs(samples).max()))
        words.append([WORDS.index(word) for word in said])
        spans.append(np.array(spoken.words) * stretch * mel.FRAMES_PER_S)
    makers = (sounds.noise, sounds.music, sounds.effect) * sounds_of_each
    pieces = [_kept(make(_SOUND_S, random)) for make in makers]
    np.save(directory / "sounds.npy", [piece[: mel.frames(_SOUND_S)] for piece in pieces])
    np.save(directory / "phrases.npy", np.concatenate(frames))
    np.savez(
        directory / "phrases.npz",
        starts=_starts(frames),
        languages=[LANGUAGES.index(language) for language in languages],
        words=np.concatenate(words),
        first_word=_starts(words),
        spans=np.concatenate(spans).astype(np.float32),
    )


def _kept(samples: Samples) -> NDArray[np.float16]:
    return np.log10(np.maximum(mel.power(samples), mel.FLOOR)).astype(np.float16)


def _starts(pieces: Sequence[Sized]) -> NDArray[np.int_]:
    """Return where each piece starts when all are put behind each other, and where all end."""
    return np.cumsum([0, *map(len, pieces)])


class Bank:
    """What `fill` left in a directory."""

    def __init__(self, directory: Path) -> None:
        self._frames = np.load(directory / "phrases.npy", mmap_mode="r")
        with np.load(directory / "phrases.npz") as index:
            self._starts, self._languages = index["starts"], index["languages"]
            self._words, self._first_word = index["words"], index["first_word"]
            self._spans = index["spans"]
        self.sounds = np.load(directory / "sounds.npy", mmap_mode="r")
        """Noise, music and effects in turn, scaled to a root mean square of 1."""

    @cached_property
    def _by_language(self) -> dict[str, NDArray[np.int_]]:
        return {
            language: np.flatnonzero(self._languages == number)
            for number, language in enumerate(LANGUAGES)
        }

    def draw(self, language: str, random: Generator) -> Phrase:
        """Return any phrase of a language."""
        number = int(random.choice(self._by_language[language]))
        first, last = self._first_word[number : number + 2]
        log_power = self._frames[self._starts[number] : self._starts[number + 1]]
        return Phrase(
            log_power.astype(np.float32),
            tuple(WORDS[word] for word in self._words[first:last]),
            self._spans[first:last],
        )
