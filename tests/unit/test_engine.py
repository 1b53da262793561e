"""Our own way through encoder and decoder hears what faster-whisper's hears, and when to doubt."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import soxr
from faster_whisper import WhisperModel

from decibus.errors import Unsupported
from services.transcriber.batcher import Batcher
from services.transcriber.decode import RATE_HZ, Samples
from services.transcriber.engine import Engine, Heard, Piece
from services.transcriber.model import (
    DEMO,
    Compute,
    Context,
    Hearing,
    Model,
    ModelError,
    Models,
    Utterance,
    load,
    load_all,
)
from services.transcriber.sources import Store
from services.transcriber.tokens import Stretch, find_loop, split
from tests import models, speech
from tests.processes import wait_for
from tests.speech import digits, say, silence, word_errors

FULL: Final = Compute(context="full")
ENGLISH: Final = Hearing("en")


class Watched(Engine):
    """Takes down what it is given."""

    def __init__(self) -> None:
        super().__init__(models.DEMO, workers=1, threads=1, device="cpu", compute_type="int8")
        self.given: list[list[Piece]] = []
        self.encoded = 0

    def _encode(self, pieces: Sequence[Piece]) -> Any:
        self.encoded += 1
        return super()._encode(pieces)

    def hear(self, pieces: Sequence[Piece]) -> list[Heard]:
        self.given.append([*pieces])
        return super().hear(pieces)


class Unsure(Watched):
    """Never trusts its ears."""

    def hear(self, pieces: Sequence[Piece]) -> list[Heard]:
        return [
            each._replace(confidence=each.confidence._replace(avg_logprob=-2.0, no_speech_prob=0.0))
            for each in super().hear(pieces)
        ]


def clip(words: str, language: str = "en", *, speaker: int = 0) -> Samples:
    spoken = np.concatenate([silence(0.2), say(words, language, speaker=speaker), silence(0.3)])
    found: Samples = soxr.resample(spoken, speech.RATE_HZ, RATE_HZ).astype(np.float32)
    return found


def tones(seconds: float) -> Samples:
    """Return a chord that swells four times a second: a voice, to a careless ear."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * at) for hz in (262, 330, 392))
    return (0.2 * chord * (1 + np.sin(2 * np.pi * 4 * at))).astype(np.float32)


def text(heard: Sequence[Utterance]) -> str:
    return "".join(each.text for each in heard).strip()


# What it hears.


@pytest.mark.espeak
@pytest.mark.parametrize("words", [False, True], ids=["segments", "words"])
def test_in_the_full_context_it_hears_exactly_what_faster_whisper_hears(*, words: bool) -> None:
    theirs = WhisperModel(str(models.DEMO), device="cpu", compute_type="int8", cpu_threads=1)
    ours = load(DEMO, workers=1, compute=FULL)
    for seed, language in enumerate(("en", "de", "es", "en")):
        samples = clip(digits(language, 2 + seed, seed=seed), language, speaker=seed)

        found = ours.transcribe_window(samples, Hearing(language, words=words))

        segments, _ = theirs.transcribe(
            samples, language=language, word_timestamps=words, condition_on_previous_text=False
        )
        expected = [
            (
                each.text,
                each.start,
                each.end,
                each.tokens,
                each.words and [(w.word.strip(), w.start, w.end) for w in each.words],
            )
            for each in segments
        ]
        assert expected
        assert expected == [
            (
                each.text,
                pytest.approx(each.start),
                pytest.approx(each.end),
                list(each.tokens),
                each.words and [(w.word, w.start, w.end) for w in each.words],
            )
            for each in found
        ]


@pytest.mark.espeak
def test_a_short_clip_is_heard_as_well_in_its_own_context() -> None:
    engine = Watched()
    model = Model(engine, Batcher(threads=1), name="auto", window_s=4.0, context="auto")
    errors = 0

    for seed in range(6):
        said = digits("en", 4, seed=seed)
        errors += word_errors(said, text(model.transcribe_window(clip(said), ENGLISH)))

    assert errors <= 1  # of 24
    frames = [piece.frames for pieces in engine.given for piece in pieces]
    assert frames.count(1000) >= 5  # of the 3000 that Whisper has


def test_what_is_doubtful_in_a_short_context_is_heard_again_in_full_and_not_for_ever() -> None:
    engine = Unsure()
    model = Model(engine, Batcher(threads=1), name="auto", window_s=4.0, context="auto")

    model.transcribe_window(tones(5.0), ENGLISH)

    tried = [(piece.frames, piece.temperature) for [piece] in engine.given]
    assert tried[:2] == [(1000, 0.0), (3000, 0.0)]
    assert set(tried[2:]) <= {(3000, 0.2), (3000, 0.4), (1000, 0.0), (3000, 0.0)}
    assert len(tried) <= 8


@pytest.mark.espeak
@pytest.mark.parametrize("context", ["auto", "full"])
def test_what_was_computed_to_detect_a_language_is_heard_as_it_is(context: Context) -> None:
    engine = Watched()
    model = Model(engine, Batcher(threads=1), name="one", window_s=4.0, context=context)
    samples = clip("sieben acht neun", "de")
    expected = model.transcribe_window(samples, Hearing("de"))

    guess = model.detect_language(samples)
    encoded, engine.encoded = engine.encoded, 0
    found = model.transcribe_window(samples, Hearing("de"), guess)

    assert max(guess.languages, key=guess.languages.__getitem__) == "de"
    assert text(found) == "sieben acht neun"
    assert found == expected
    assert (encoded, engine.encoded) == (2, 0)


@pytest.mark.espeak
def test_a_window_that_names_no_language_is_heard_in_its_own() -> None:
    model = load(DEMO, workers=1)

    heard = [
        model.transcribe_window(clip(digits(language, 4, seed=1), language), Hearing())
        for language in ("de", "es")
    ]

    assert [{each.language for each in window} for window in heard] == [{"de"}, {"es"}]


def test_what_has_no_sound_has_no_words() -> None:
    model = load(DEMO, workers=1)
    nothing = np.full(3 * RATE_HZ, np.nan, np.float32)
    nothing[::7] = np.inf

    assert model.find_speech(nothing) == []
    assert model.find_speech(tones(20.0)) == []
    assert model.transcribe_window(np.empty(0, np.float32), ENGLISH) == []
    assert model.transcribe_window(tones(0.05), ENGLISH) == []
    assert model.detect_language(np.empty(0, np.float32)).languages.keys() == {"en", "de", "es"}


@pytest.mark.espeak
def test_a_sample_without_a_value_does_not_spoil_the_others() -> None:
    model = load(DEMO, workers=1)
    samples = clip("one two three")
    samples[100:110] = np.nan

    assert text(model.transcribe_window(samples, ENGLISH)) == "one two three"


@pytest.mark.espeak
def test_a_prompt_of_any_length_is_taken() -> None:
    model = load(DEMO, workers=1)

    for prompt in ("", " ", "one two", "one two three " * 500):
        assert model.transcribe_window(clip("one two three"), Hearing("en", prompt=prompt))


# What a decoder's tokens say. Timestamps begin at 1000.


@pytest.mark.parametrize(
    ("tokens", "stretches", "dealt_with"),
    [
        ([1000, 1, 2, 1050], [(0, 100)], 500),
        ([1000, 1, 2], [(0, 500)], 500),
        ([1000, 1, 1050, 1050, 2, 1100], [(0, 100), (100, 200)], 500),
        ([1000, 1, 1050, 1050, 2], [(0, 100)], 100),
        ([1000, 1, 1050, 1060, 2, 1100, 1100], [(0, 100), (120, 200)], 200),
        ([1000, 1000], [(0, 0)], 500),
        ([1000, 1, 1400], [(0, 500)], 500),
        ([], [(0, 500)], 500),
        ([1000, *[7, 8] * 10, 1100], [(0, 500)], 500),
    ],
)
def test_a_piece_is_split_at_its_timestamps_and_always_goes_on(
    tokens: list[int], stretches: list[tuple[int, int]], dealt_with: int
) -> None:
    found, frames = split(tokens, timestamp_begin=1000, frames=500)

    assert [(each.start, each.end) for each in found] == stretches
    assert frames == dealt_with


def test_of_a_loop_the_first_time_counts() -> None:
    found, _ = split([1000, 5, *[7, 8] * 10, 1100], timestamp_begin=1000, frames=500)

    assert found == [Stretch(0, 500, (1000, 5, 7, 8))]
    assert find_loop([5, *[7, 8] * 10]) == (1, 2)
    assert find_loop([1] * 16) == (0, 1)
    assert find_loop([1] * 15) is None
    assert find_loop([*range(30)]) is None
    assert find_loop([*range(5)] * 4) == (0, 5)
    assert find_loop([*range(5)] * 3) is None


# Batches.


@pytest.mark.espeak
@pytest.mark.parametrize("words", [False, True], ids=["segments", "words"])
def test_windows_of_several_jobs_hear_in_one_call_what_each_hears_alone(*, words: bool) -> None:
    languages = ("en", "de", "es", None) * 2
    windows = [
        (clip(digits(language or "en", 1 + n % 4, seed=n), language or "en", speaker=n), language)
        for n, language in enumerate(languages)
    ]
    engine = Watched()
    alone = Model(engine, Batcher(threads=1), name="alone", window_s=4.0, context="auto")
    together = Model(engine, Batcher(threads=1, most=8), name="all", window_s=4.0, context="auto")
    expected = [
        alone.transcribe_window(samples, Hearing(language, words=words))
        for samples, language in windows
    ]
    engine.given.clear()

    with ThreadPoolExecutor(8) as jobs:
        found = list(
            jobs.map(
                lambda each: together.transcribe_window(each[0], Hearing(each[1], words=words)),
                windows,
            )
        )

    assert len(engine.given) < len(windows)
    assert [text(each) for each in found] == [text(each) for each in expected]
    assert [[s.tokens for s in each] for each in found] == [
        [s.tokens for s in each] for each in expected
    ]
    if words:
        assert [[w.word for s in each for w in s.words or ()] for each in found] == [
            [w.word for s in each for w in s.words or ()] for each in expected
        ]


# Other models.


def test_a_model_of_128_mel_bands_runs(tmp_path: Path) -> None:
    models.write_128_mel_bands(tmp_path / "large")

    model = load(str(tmp_path / "large"), workers=1)

    assert model.name == "large"
    assert set(model.languages) == {"en", "de", "es"}
    model.transcribe_window(tones(3.0), Hearing(words=True))


def test_a_model_of_128_mel_bands_needs_to_say_so(tmp_path: Path) -> None:
    models.write_128_mel_bands(tmp_path / "large")
    (tmp_path / "large/preprocessor_config.json").unlink()

    with pytest.raises(ModelError, match=r"hears 128 mel bands, .* makes 80"):
        load(str(tmp_path / "large"), workers=1)


@pytest.mark.espeak
def test_an_idle_model_leaves_memory_and_comes_back() -> None:
    model = load(DEMO, workers=2)
    samples = clip("one two three")

    model.unload_after(60.0)
    assert model.is_loaded

    model.unload_after(0.0)
    assert not model.is_loaded

    assert text(model.transcribe_window(samples, ENGLISH)) == "one two three"
    assert model.is_loaded


@pytest.mark.espeak
def test_a_model_in_use_is_never_unloaded() -> None:
    model = load(DEMO, workers=2)
    samples = clip("one two three")

    with ThreadPoolExecutor(2) as jobs:
        heard = [jobs.submit(model.transcribe_window, samples, ENGLISH) for _ in range(12)]
        while not all(each.done() for each in heard):
            model.unload_after(0.0)

    assert {text(each.result()) for each in heard} == {"one two three"}


def test_who_is_told_to_unloads_what_is_idle() -> None:
    found = load_all("fast=demo,demo", workers=1, compute=Compute(), store=Store())

    found.unload_idle(0.2)

    both = [found.of("fast"), found.of("decibus-demo")]
    wait_for(lambda: not any(each.is_loaded for each in both), within_s=20, what="unloaded")


def test_models_are_found_by_name_and_the_first_is_the_default() -> None:
    one, other = (
        Model(Watched(), Batcher(threads=1), name=name, window_s=4.0, context="auto")
        for name in ("fast", "best")
    )

    found = Models([one, other])

    assert (found.of(None), found.of("fast"), found.of("best")) == (one, one, other)
    with pytest.raises(Unsupported, match="'huge' is not one of those that are here: fast, best"):
        found.of("huge")
    assert found.metadata()["models"] == "fast,best"
    assert sorted(found.metadata()["languages.best"].split(",")) == ["de", "en", "es"]
