"""What the demo model is made of, up to where torch is needed: speech, tokens and examples."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from hypothesis import given
from hypothesis import strategies as st

from services.transcriber.model import DEMO, load
from tests import speech
from tools.train_demo_model import mel, sounds
from tools.train_demo_model.bank import LONGEST, Bank, fill, request
from tools.train_demo_model.espeak import RATE_HZ, Voice, speak
from tools.train_demo_model.examples import CONTEXT, IGNORED, Composer, frame_classes
from tools.train_demo_model.tokenizer import Tokens
from tools.train_demo_model.words import (
    HELD_OUT,
    LANGUAGES,
    TRAINING,
    VOCABULARY,
    WORDS,
    in_english,
)

DIRECTORY: Final = Path(__file__).parents[2] / "services/transcriber/demo_model"


# Words and speakers.


def test_whom_the_tests_hear_the_model_has_not() -> None:
    assert not set(HELD_OUT.variants) & set(TRAINING.variants)
    assert not set(HELD_OUT.words_a_minute) & set(TRAINING.words_a_minute)
    assert {speaker for speaker, _ in speech.HELD_OUT} <= set(HELD_OUT.variants)
    assert {speed for _, speed in speech.HELD_OUT} <= set(HELD_OUT.words_a_minute)


def test_every_word_has_an_english_one() -> None:
    assert {in_english(word) for word in WORDS} == set(VOCABULARY["en"])
    assert [in_english(word) for word in VOCABULARY["en"]] == list(VOCABULARY["en"])


# Tokens.


def test_every_word_is_a_token() -> None:
    tokens = Tokens()

    assert sorted(tokens.words) == sorted(WORDS)
    assert [tokens.tokenizer.decode([tokens.words[word]]) for word in WORDS] == [
        f" {word}" for word in WORDS
    ]


@given(st.text())
def test_any_text_can_be_written(text: str) -> None:
    tokenizer = Tokens().tokenizer

    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_order_of_the_tokens_is_the_one_that_ctranslate2_counts_on() -> None:
    tokens = Tokens()

    assert "" in tokens.vocabulary
    assert tokens.start == tokens.end + 1
    assert sorted(tokens.languages.values()) == [tokens.start + 1 + n for n in range(3)]
    assert tokens.no_speech - tokens.start - 5 == len(LANGUAGES)
    assert tokens.first_time == tokens.no_times + 1 == tokens.no_speech + 2
    assert [tokens.vocabulary[tokens.time(tenths)] for tenths in (0, 7, 300)] == [
        *("<|0.00|>", "<|0.70|>", "<|30.00|>")
    ]


def test_the_model_that_ships_has_these_tokens() -> None:
    shipped = msgspec.json.decode((DIRECTORY / "vocabulary.json").read_bytes())

    assert shipped == Tokens().vocabulary
    assert set(load(DEMO, workers=1).languages) == set(LANGUAGES)


# Speech.


def test_the_same_seed_asks_for_the_same_phrases() -> None:
    first, second = (
        [request("en", TRAINING, random) for _ in range(60)]
        for random in (np.random.default_rng(7), np.random.default_rng(7))
    )

    assert first == second
    assert {len(words) for words, _ in first} == set(range(1, LONGEST + 1))


@pytest.mark.espeak
def test_each_word_has_its_time() -> None:
    said = speak("one two, three", Voice("en", words_a_minute=160))

    starts, ends = zip(*said.words, strict=True)
    assert len(said.words) == 3
    assert starts[0] < 0.05
    assert starts[1] - ends[0] == pytest.approx(0.0, abs=0.03)
    assert starts[2] - ends[1] > 0.1  # the comma
    assert ends[2] == pytest.approx(said.samples.size / RATE_HZ, abs=0.01)


def test_features_are_those_of_faster_whisper() -> None:
    samples = np.float32(0.1) * sounds.music(2.0, np.random.default_rng(1))

    ours = mel.features(mel.power(samples))
    theirs = FeatureExtractor()(samples).T

    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs)[3:-3].max() < 1e-4  # at the edges they mirror the sound


# Examples.


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    directory = tmp_path_factory.mktemp("bank")
    fill(directory, TRAINING, phrases=15, sounds_of_each=1, seed=1)
    return Bank(directory)


@pytest.mark.espeak
@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_an_example_says_what_is_heard(bank: Bank, seed: int, *, sliced: bool) -> None:
    tokens = Tokens()
    composer = Composer(bank, tokens, np.random.default_rng(seed))

    example = composer.example(900, sliced=sliced)

    sound = example.sound
    said = [word.text for segment in sound.segments for word in segment]
    wanted = [token for token in example.targets if token != IGNORED]
    written = [token for token in wanted if token in tokens.words.values()]
    assert written in (
        [tokens.words[word] for word in said],
        [tokens.words[in_english(word)] for word in said],
    )
    assert wanted[-1] == tokens.end
    assert (tokens.no_speech in wanted) == (not said)
    assert all(len(segment) <= LONGEST for segment in sound.segments)
    assert sound.first_frame + len(sound.features) <= CONTEXT
    assert len(example.tokens) == len(example.targets) <= 448


@pytest.mark.espeak
def test_where_a_word_is_heard_it_is_also_looked_for(bank: Bank) -> None:
    tokens = Tokens()
    composer = Composer(bank, tokens, np.random.default_rng(2))
    examples = [composer.example(600, sliced=False) for _ in range(60)]

    for example in examples:
        words, _ = frame_classes(example.sound, len(example.sound.features) // 2 + 1)
        spoken = [word.text for segment in example.sound.segments for word in segment]
        looked = [
            span
            for token, span in zip(example.targets, example.next, strict=True)
            if token in tokens.words.values()
        ]
        assert [WORDS[words[start] - 1] for start, _ in looked] == spoken
