"""
How well a model directory hears, through faster-whisper as it is, voices that it never heard.

Unlike the examples of the training, its clips are mixed as samples, not as mel powers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from faster_whisper import WhisperModel
from numpy.random import Generator
from numpy.typing import NDArray

from tools.train_demo_model import sounds
from tools.train_demo_model.bank import utter
from tools.train_demo_model.words import HELD_OUT, in_english

Samples = NDArray[np.float32]

RATE_HZ: Final = 16_000
_MARGIN_FRAMES: Final = 200
_LEAST_FRAMES: Final = 1000


class Clip(NamedTuple):
    """What was said."""

    samples: Samples
    words: tuple[str, ...]


class Case(NamedTuple):
    """A row of the table: what is heard, and how."""

    name: str
    language: str = "en"
    longest_s: float = 8.0
    pauses_s: tuple[float, float] = (0.5, 1.5)
    noise_db: float | None = None
    detect: bool = False
    short_context: bool = False
    translate: bool = False
    options: Mapping[str, Any] = MappingProxyType({})


class Score(NamedTuple):
    """Of a case."""

    words: int
    errors: int
    clips: int
    right_language: int

    @property
    def error_rate(self) -> float:
        """The share of the words that were wrong, left out or added."""
        return self.errors / max(1, self.words)


CASES: Final = (
    *(
        Case(f"{language}, 8 s, {context}", language, short_context=context == "short context")
        for language in ("en", "de", "es")
        for context in ("full context", "short context")
    ),
    *(
        Case(
            f"en, 8 s, noise at {snr:g} dB, {context}",
            noise_db=snr,
            short_context=context == "short context",
        )
        for snr in (20.0, 10.0)
        for context in ("full context", "short context")
    ),
    Case("en, 8 s, greedy", options={"beam_size": 1}),
    Case("en, 8 s, without pauses", pauses_s=(0.0, 0.2)),
    Case("en, 8 s, no timestamps", options={"without_timestamps": True}),
    *(Case(f"{language}, 8 s, detected", language, detect=True) for language in ("en", "de", "es")),
    *(Case(f"{language} to en, 8 s", language, translate=True) for language in ("de", "es")),
    *(Case(f"{language}, 28 s", language, 28.0) for language in ("en", "de", "es")),
    Case("en, 28 s, long pauses", "en", 28.0, pauses_s=(0.5, 4.0)),
    Case("en, 28 s, without pauses", "en", 28.0, pauses_s=(0.0, 0.2)),
    Case("en, 28 s, noise at 10 dB", "en", 28.0, noise_db=10.0),
    Case("de to en, 28 s", "de", 28.0, translate=True),
    Case("en, 28 s, no timestamps", "en", 28.0, options={"without_timestamps": True}),
    Case("en, 28 s in chunks of 10 s", "en", 28.0, options={"chunk_length": 10}),
)


class ShortContext(WhisperModel):  # type: ignore[misc]
    """Gives the encoder no more padding than a worker does that has `encoder_context: auto`."""

    def encode(self, features: NDArray[np.float32]) -> Any:
        """Encode features without most of the zeros at their end."""
        used = int(np.flatnonzero(np.any(features != 0.0, axis=-2))[-1]) + 1
        return super().encode(features[..., : max(_LEAST_FRAMES, used + _MARGIN_FRAMES)])


def clips(case: Case, count: int, seed: int) -> Iterator[Clip]:
    """Let one speaker after the other say phrases with pauses, up to the longest that is asked."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield _clip(case, random)


def _clip(case: Case, random: Generator) -> Clip:
    pieces = [_silence(random.uniform(0.1, 0.5))]
    words: list[str] = []
    left = case.longest_s - 0.6
    wanted = case.longest_s if case.longest_s > 10 else random.uniform(1.0, case.longest_s)
    while True:
        said, spoken = utter(case.language, HELD_OUT, random)
        pause = random.uniform(*case.pauses_s)
        length = spoken.samples.size / RATE_HZ
        if length > left:
            if words:
                break
            continue
        pieces += [spoken.samples * (0.5 / np.abs(spoken.samples).max()), _silence(pause)]
        words += said
        left -= length + pause
        if left < case.longest_s - wanted:
            break
    samples = np.concatenate([*pieces[:-1], _silence(random.uniform(0.1, 0.5))])
    if case.noise_db is not None:
        level = np.sqrt(np.mean(samples**2)) * 10.0 ** (-case.noise_db / 20.0)
        samples = samples + level * random.standard_normal(samples.size)
    return Clip(samples.astype(np.float32), tuple(words))


def score(directory: Path, case: Case, *, count: int, seed: int = 1) -> Score:
    """Let a model hear a case."""
    kind = ShortContext if case.short_context else WhisperModel
    whisper = kind(str(directory), device="cpu", compute_type="int8", cpu_threads=1)
    words = errors = right = 0
    for clip in clips(case, count, seed):
        segments, told = whisper.transcribe(
            clip.samples,
            language=None if case.detect else case.language,
            task="translate" if case.translate else "transcribe",
            **case.options,
        )
        heard = " ".join(segment.text for segment in segments).split()
        said = [in_english(word) if case.translate else word for word in clip.words]
        words += len(said)
        errors += _distance(said, heard)
        right += told.language == case.language
    return Score(words, errors, count, right)


def hallucinations(directory: Path, *, seed: int = 1) -> dict[str, str]:
    """Return what a model hears where nothing is said, in 20 s each; it had better be nothing."""
    whisper = WhisperModel(str(directory), device="cpu", compute_type="int8", cpu_threads=1)
    random = np.random.default_rng(seed)
    cases = {"silence": _silence(20.0)}
    for level in (0.003, 0.1, 0.5):
        white = level * random.standard_normal(20 * RATE_HZ)
        cases[f"white noise of {level}"] = white.astype(np.float32)
    for number in range(8):
        cases[f"noise {number}"] = 0.1 * sounds.noise(20.0, random)
        cases[f"music {number}"] = 0.1 * sounds.music(20.0, random)
        cases[f"effect {number}"] = 0.1 * sounds.effect(20.0, random)
    found = {}
    for name, samples in cases.items():
        segments, _ = whisper.transcribe(samples, language="en")
        found[name] = " ".join(segment.text for segment in segments).strip()
    return found


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def _distance(said: list[str], heard: list[str]) -> int:
    row = list(range(len(heard) + 1))
    for there, word in enumerate(said, 1):
        diagonal, row[0] = row[0], there
        for here, other in enumerate(heard, 1):
            wrong = diagonal + (word != other)
            diagonal, row[here] = row[here], min(row[here] + 1, row[here - 1] + 1, wrong)
    return row[-1]
