"""
Speech to test with, made by the `espeak-ng` command, and the sounds that are none.

The demo model was trained on espeak-ng too, but never on `HELD_OUT`'s variants and speeds.
"""

import io
import subprocess
import wave
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE_HZ: Final = 22_050  # espeak-ng's own

HELD_OUT: Final = (
    ("m6", 138),
    ("m7", 152),
    ("f3", 168),
    ("Andy", 122),
    ("Annie", 138),
    ("david", 152),
    ("max", 168),
)
"""A voice's variant, and its speed in words a minute."""

DIGITS: Final = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    "es": ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
}


def say(text: str, language: str = "en", *, speaker: int = 0) -> Samples:
    """Speak a few words, without the silence around them. `speaker` is one of `HELD_OUT`."""
    variant, words_a_minute = HELD_OUT[speaker % len(HELD_OUT)]
    spoken = subprocess.run(
        ["espeak-ng", "-v", f"{language}+{variant}", "-s", str(words_a_minute), "--stdout", text],
        capture_output=True,
        check=True,
    ).stdout
    with wave.open(io.BytesIO(spoken)) as file:
        assert file.getframerate() == RATE_HZ
        # The header of a WAV that was piped claims more than there is.
        samples = np.frombuffer(file.readframes(2**24), "<i2").astype(np.float32)
    samples *= 0.6 / 2**15
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1]


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def noise(seconds: float, *, level: float) -> Samples:
    generator = np.random.default_rng(1)
    return generator.normal(scale=level, size=round(seconds * RATE_HZ)).astype(np.float32)


def digits(language: str, count: int, *, seed: int) -> str:
    generator = np.random.default_rng(seed)
    return " ".join(generator.choice(DIGITS[language], count))


def wav(*pieces: Samples) -> io.BytesIO:
    """Put pieces of one channel, or all of two, behind each other into a WAV file."""
    samples = np.concatenate(pieces, axis=-1)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(samples.ndim)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes((samples.T.clip(-1, 1) * (2**15 - 1)).astype("<i2").tobytes())
    file.seek(0)
    return file


def with_pauses(phrases: list[Samples], pauses_s: list[float]) -> tuple[Samples, list[float]]:
    """Put a pause before each phrase; return it all, with the time at which each phrase starts."""
    pairs = list(zip(map(silence, pauses_s), phrases, strict=True))
    ends = np.cumsum([pause.size + phrase.size for pause, phrase in pairs])
    starts = [(end - phrase.size) / RATE_HZ for end, (_, phrase) in zip(ends, pairs, strict=True)]
    return np.concatenate([*chain.from_iterable(pairs), silence(0.5)]), starts


def word_errors(said: str, heard: str) -> int:
    """Count the words that were added, left out or taken for another."""
    row = list(range(len(heard.split()) + 1))
    for there, word in enumerate(said.split(), 1):
        diagonal, row[0] = row[0], there
        for here, other in enumerate(heard.split(), 1):
            diagonal, row[here] = (
                row[here],
                min(row[here] + 1, row[here - 1] + 1, diagonal + (word != other)),
            )
    return row[-1]
