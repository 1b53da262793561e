"""
faster-whisper and CTranslate2: features, encoder, decoder, words. Only this module computes.

It goes its own way through them instead of `WhisperModel.transcribe`, which encodes 30 s for each
clip however short, takes one window a call, and changes what all threads share (faster-whisper 1.2:
`chunk_length` the feature extractor, `multilingual` the tokenizer).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from decibus.messages import Word
from services.transcriber.decode import RATE_HZ, Samples
from services.transcriber.files import ModelError
from services.transcriber.tokens import FRAMES_PER_S, Confidence, Stretch, find_loop, split

Features = NDArray[np.float32]
"""Log-mel, bands × frames of 10 ms."""

MAX_FRAMES: Final = 3000  # of 10 ms: the positions that a Whisper encoder has

_BEAM_SIZE: Final = 5
_BEST_OF: Final = 5
_MAX_POSITIONS: Final = 448
_MAX_PROMPT: Final = 223  # tokens, as in OpenAI's decoder: half of the positions
_MAX_TOKENS: Final = 221  # a window's: with the longest prompt, all positions
_MAX_TOKENS_PER_S: Final = 16  # more are a loop, which a short window would not end by itself
_MAX_TOKENS_STEP_S: Final = 4  # so that windows of about the same length can share a batch
_MAX_FIRST_TIMESTAMP: Final = 50  # a second, as in OpenAI's decoder
_OPENING: Final = "\"'“¿([{-"
_CLOSING: Final = "\"'.。,，!！?？:：”)]}、"


class Piece(NamedTuple):
    """
    What is decoded at once: `features` in a context of so many `frames`.

    `language` None is detected. `encoded` is what an earlier try at the same piece has computed.
    """

    features: Features
    frames: int
    language: str | None = None
    translate: bool = False
    words: bool = False
    prompt: tuple[int, ...] = ()
    temperature: float = 0.0
    encoded: Any = None

    @property
    def max_tokens(self) -> int:
        """The most tokens that can be speech."""
        frames: int = self.features.shape[1]
        steps = math.ceil(frames / FRAMES_PER_S / _MAX_TOKENS_STEP_S)
        return min(_MAX_TOKENS, _MAX_TOKENS_PER_S * (1 + steps * _MAX_TOKENS_STEP_S))

    @property
    def batch(self) -> tuple[object, ...]:
        """What all pieces of a batch have in common: CTranslate2 takes one value for all."""
        return (self.frames, len(self.prompt), self.temperature, self.words, self.max_tokens)


class Segment(NamedTuple):
    """Text with its times, in seconds from the start of the piece."""

    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    words: tuple[Word, ...] | None


class Guess(NamedTuple):
    """How probable each language is in a piece; that one has what was computed to tell."""

    piece: Piece
    languages: Mapping[str, float]


class Heard(NamedTuple):
    """What one try has made of a piece. `frames`: how many were dealt with, from its start."""

    segments: tuple[Segment, ...]
    frames: int
    language: str
    temperature: float
    confidence: Confidence
    encoded: Any = None


class Engine:
    """A loaded model. Any thread may call it; `workers` calls are computed at once."""

    def __init__(
        self, directory: Path, *, workers: int, threads: int, device: str, compute_type: str
    ) -> None:
        try:
            self._whisper = WhisperModel(
                str(directory),
                device=device,
                compute_type=compute_type,
                cpu_threads=threads,
                num_workers=workers,
            )
        except (RuntimeError, ValueError) as error:  # damaged; what the device cannot compute
            raise ModelError(f"{directory}: {error}") from error
        self._model = self._whisper.model
        self._check_mel_bands(directory)
        self.languages = self._known_languages()
        self._tokenizer = lru_cache(maxsize=None)(self._new_tokenizer)
        self._any_tokenizer = self._tokenizer(self.languages[0], "transcribe")
        self._suppressed = get_suppressed_tokens(self._any_tokenizer, [-1])

    def _check_mel_bands(self, directory: Path) -> None:
        # preprocessor_config.json may be missing: 80 bands are the rule, large-v3 has 128.
        wanted = self._model.n_mels
        made = self._whisper.feature_extractor.mel_filters.shape[0]
        if wanted != made:
            raise ModelError(
                f"{directory}: the model hears {wanted} mel bands, but preprocessor_config.json "
                f"(80 without it) makes {made}"
            )

    def _known_languages(self) -> tuple[str, ...]:
        if not self._model.is_multilingual:
            return ("en",)
        # `supported_languages` is all that Whisper ever had; a model of fewer lacks their tokens.
        token_id = self._whisper.hf_tokenizer.token_to_id
        return tuple(
            language
            for language in self._whisper.supported_languages
            if token_id(f"<|{language}|>") is not None
        )

    def _new_tokenizer(self, language: str, task: str) -> Any:
        return Tokenizer(
            self._whisper.hf_tokenizer, self._model.is_multilingual, task=task, language=language
        )

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return bool(self._model.model_is_loaded)

    def load(self) -> None:
        """Bring the weights back."""
        self._model.load_model()

    def unload(self) -> None:
        """Let go of the weights. Nothing may be being computed."""
        self._model.unload_model()

    def features(self, samples: Samples) -> Features:
        """Return the features of 0.1 to 30 s."""
        # Given no `chunk_length`, the extractor only reads what it was made with.
        found: Features = self._whisper.feature_extractor(samples)
        # The last frame is of the silence that the extractor adds.
        return found[:, : min(samples.size * FRAMES_PER_S // RATE_HZ, MAX_FRAMES)]

    def prompt(self, text: str | None) -> tuple[int, ...]:
        """Return the tokens of what spellings may be taken from: the last, where there are many."""
        if text is None or not text.strip():
            return ()
        tokens = self._any_tokenizer.encode(" " + text.strip())
        return (self._any_tokenizer.sot_prev, *tokens[-_MAX_PROMPT:])

    def detect(self, pieces: Sequence[Piece]) -> list[Guess]:
        """Tell for each piece how probable each language is."""
        encoded = self._encode(pieces)
        return [
            Guess(piece._replace(encoded=encoded if len(pieces) == 1 else None), languages)
            for piece, languages in zip(pieces, self._languages(encoded, len(pieces)), strict=True)
        ]

    def hear(self, pieces: Sequence[Piece]) -> list[Heard]:
        """Decode pieces of one `batch`; each gets what it would get alone."""
        reusable = pieces[0].encoded if len(pieces) == 1 else None
        encoded = self._encode(pieces) if reusable is None else reusable
        languages = self._spoken(pieces, encoded)
        tokenizers = [
            self._tokenizer(language, "translate" if piece.translate else "transcribe")
            for piece, language in zip(pieces, languages, strict=True)
        ]
        prompts = [
            [*piece.prompt, *tokenizer.sot_sequence]
            for piece, tokenizer in zip(pieces, tokenizers, strict=True)
        ]
        results = self._generate(encoded, prompts, pieces[0])
        parts = [
            split(
                result.sequences_ids[0],
                timestamp_begin=self._any_tokenizer.timestamp_begin,
                frames=piece.features.shape[1],
            )
            for piece, result in zip(pieces, results, strict=True)
        ]
        stretches = [part[0] for part in parts]
        segments = (
            self._with_words(pieces, stretches, tokenizers, encoded)
            if pieces[0].words
            else [[self._segment(_plain(each)) for each in part] for part in stretches]
        )
        return [
            Heard(
                segments=tuple(own),
                frames=frames,
                language=language,
                temperature=piece.temperature,
                confidence=self._confidence(result),
                encoded=encoded if len(pieces) == 1 else None,
            )
            for own, (_, frames), language, piece, result in zip(
                segments, parts, languages, pieces, results, strict=True
            )
        ]

    def _encode(self, pieces: Sequence[Piece]) -> Any:
        batch = np.zeros((len(pieces), self._model.n_mels, pieces[0].frames), np.float32)
        for row, piece in zip(batch, pieces, strict=True):
            # Zeros in the log domain are no silence, but Whisper's padding as it has always been.
            row[:, : piece.features.shape[1]] = piece.features
        return self._model.encode(ctranslate2.StorageView.from_array(batch))

    def _languages(self, encoded: Any, count: int) -> list[Mapping[str, float]]:
        if len(self.languages) == 1:
            return [{self.languages[0]: 1.0}] * count
        return [
            {token[2:-2]: float(probability) for token, probability in each}
            for each in self._model.detect_language(encoded)
        ]

    def _spoken(self, pieces: Sequence[Piece], encoded: Any) -> list[str]:
        given = [piece.language for piece in pieces]
        if all(given):
            return [str(language) for language in given]
        found = self._languages(encoded, len(pieces))
        likely = [max(each, key=each.__getitem__) for each in found]
        return [language or detected for language, detected in zip(given, likely, strict=True)]

    def _generate(self, encoded: Any, prompts: list[list[int]], piece: Piece) -> list[Any]:
        sampled: dict[str, object] = {
            "beam_size": 1,
            "num_hypotheses": _BEST_OF,
            "sampling_topk": 0,
            "sampling_temperature": piece.temperature,
        }
        found: list[Any] = self._model.generate(
            encoded,
            prompts,
            max_length=min(len(prompts[0]) + piece.max_tokens, _MAX_POSITIONS),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
            max_initial_timestamp_index=_MAX_FIRST_TIMESTAMP,
            **(sampled if piece.temperature > 0 else {"beam_size": _BEAM_SIZE}),
        )
        return found

    def _confidence(self, result: Any) -> Confidence:
        tokens = result.sequences_ids[0]
        text = self._any_tokenizer.decode(tokens).strip()
        return Confidence(
            # The score is the mean without the end, although the end has cost something, too.
            avg_logprob=float(result.scores[0]) * len(tokens) / (len(tokens) + 1),
            no_speech_prob=float(result.no_speech_prob),
            compression_ratio=float(get_compression_ratio(text)),
            has_loop=find_loop(self._text_tokens(tokens)) is not None,
        )

    def _text_tokens(self, tokens: Iterable[int]) -> list[int]:
        return [token for token in tokens if token < self._any_tokenizer.eot]

    def _with_words(
        self,
        pieces: Sequence[Piece],
        stretches: Sequence[Sequence[Stretch]],
        tokenizers: Sequence[Any],
        encoded: Any,
    ) -> list[list[Segment]]:
        """Tell when each word was said, from where the decoder looked when it wrote it."""
        texts = [
            self._text_tokens(token for each in part for token in each.tokens) for part in stretches
        ]
        frames = [piece.features.shape[1] for piece in pieces]
        segments: list[list[Segment]] = [[] for _ in pieces]
        # One language a call: it is told the start of the sequence once for all.
        for tokenizer in set(tokenizers):
            own = [n for n, each in enumerate(tokenizers) if each is tokenizer]
            asked = [text if n in own else [] for n, text in enumerate(texts)]
            aligned = self._whisper.find_alignment(tokenizer, asked, encoded, frames)
            for n in own:
                placed = [_plain(each) for each in stretches[n]]
                # Its method does more than align: it mends words that are too long, and wants no
                # more of the model for that than what was aligned already.
                WhisperModel.add_word_timestamps(
                    SimpleNamespace(
                        find_alignment=lambda *_, found=aligned[n]: [found],
                        frames_per_second=FRAMES_PER_S,
                    ),
                    [placed],
                    tokenizer,
                    encoded,
                    frames[n],
                    _OPENING,
                    _CLOSING,
                    0.0,
                )
                segments[n] = [self._segment(each) for each in placed]
        return segments

    def _segment(self, placed: Mapping[str, Any]) -> Segment:
        tokens = tuple(placed["tokens"])
        words = placed.get("words")
        return Segment(
            start=float(placed["start"]),
            end=float(placed["end"]),
            text=self._any_tokenizer.decode(tokens),
            tokens=tokens,
            words=None if words is None else tuple(_word(each) for each in words),
        )


def find_speech(samples: Samples, *, longest_s: float) -> list[tuple[int, int]]:
    """Return where speech starts and ends, by sample; no stretch is longer than `longest_s`."""
    # Short silences part the stretches, so that there are many good places to cut at; whoever
    # makes windows of them joins them again.
    options = VadOptions(
        max_speech_duration_s=longest_s, min_silence_duration_ms=300, speech_pad_ms=300
    )
    return [
        (stretch["start"], stretch["end"])
        for stretch in get_speech_timestamps(samples, options, RATE_HZ)
    ]


def has_gpu() -> bool:
    """Return whether there is a GPU that CTranslate2 can use."""
    return bool(ctranslate2.get_cuda_device_count())


def _plain(stretch: Stretch) -> dict[str, Any]:
    """Return a stretch as faster-whisper has it."""
    return {
        "seek": 0,
        "start": stretch.start / FRAMES_PER_S,
        "end": stretch.end / FRAMES_PER_S,
        "tokens": list(stretch.tokens),
    }


def _word(found: Mapping[str, Any]) -> Word:
    return Word(
        start=float(found["start"]),
        end=float(found["end"]),
        word=str(found["word"]).strip(),
        probability=float(found["probability"]),
    )
