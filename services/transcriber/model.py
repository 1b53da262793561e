"""
The speech model behind a small interface: the only module that knows faster-whisper.

    directory ──────────────────────────▶ that model, or ModelError
    name ───▶ local cache ───▶ hub ─────▶ that model
                                └ away ─▶ the demo model, and a warning
    demo ───────────────────────────────▶ the demo model
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import structlog
from faster_whisper import WhisperModel
from faster_whisper.utils import available_models, download_model
from faster_whisper.vad import VadOptions, get_speech_timestamps
from huggingface_hub import constants as hub
from huggingface_hub import get_session
from huggingface_hub.errors import RepositoryNotFoundError

from decibus.messages import Word
from services.transcriber.decode import RATE_HZ, Samples

log = structlog.get_logger()
T = TypeVar("T")

MAX_WINDOW_S: Final = 30.0  # the positions a Whisper encoder has

DEMO: Final = "demo"
_DEMO_DIRECTORY: Final = Path(__file__).parent / "demo_model"
_HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_HUB_PATIENCE_S: Final = 4.0

# A window that comes out repetitive or improbable is tried again, this often and no more: each
# try costs as much as the first.
_TEMPERATURES: Final = (0.0, 0.2, 0.4)
_BEAM_SIZE: Final = 5
_MAX_TOKENS: Final = 224  # a window's, as in OpenAI's decoder: half of the 448 positions
_MAX_TOKENS_PER_S: Final = 16  # more are a loop, which a short window would not end by itself


class ModelError(Exception):
    """The model cannot be loaded; the message names what is wrong, and where."""


class Hearing(NamedTuple):
    """How a window is to be heard; as in `TranscribeOptions`, with a language that is known."""

    language: str
    translate: bool = False
    words: bool = False
    prompt: str | None = None
    temperature: float | None = None


class Utterance(NamedTuple):
    """What was heard, in seconds from the start of its window. `text` has its leading space."""

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] | None = None


class Model:
    """
    A loaded model. Any thread may call it; as many as it has workers are served in parallel.

    `languages` are the ISO 639-1 codes that it hears; `window_s` is the longest stretch that it
    hears well.
    """

    def __init__(self, whisper: WhisperModel, *, name: str, window_s: float) -> None:
        self._whisper = whisper
        self.name = name
        self.window_s = window_s
        self.languages = _languages(whisper)
        # Short silences part the stretches, so that there are many good places to cut at; whoever
        # makes windows of them joins them again.
        self._vad = VadOptions(
            max_speech_duration_s=window_s, min_silence_duration_ms=300, speech_pad_ms=300
        )

    def find_speech(self, samples: Samples) -> list[tuple[int, int]]:
        """Return where speech starts and ends, by sample; no stretch is longer than a window."""
        return [
            (stretch["start"], stretch["end"])
            for stretch in get_speech_timestamps(samples, self._vad, RATE_HZ)
        ]

    def detect_language(self, samples: Samples) -> Mapping[str, float]:
        """Return how probable each language is. Silence and noise have likely languages, too."""
        if len(self.languages) == 1:
            return {self.languages[0]: 1.0}
        _, _, probabilities = self._whisper.detect_language(samples)
        return {language: float(probability) for language, probability in probabilities}

    def transcribe_window(self, samples: Samples, hearing: Hearing) -> list[Utterance]:
        """Transcribe up to 30 s, on their own: what was said before does not colour them."""
        seconds = samples.size / RATE_HZ
        temperatures = _TEMPERATURES if hearing.temperature is None else (hearing.temperature,)
        # No `chunk_length`: it changes the feature extractor that all threads share
        # (faster-whisper 1.2).
        segments, _ = self._whisper.transcribe(
            samples,
            language=hearing.language,
            task="translate" if hearing.translate else "transcribe",
            initial_prompt=hearing.prompt,
            word_timestamps=hearing.words,
            beam_size=_BEAM_SIZE,
            temperature=temperatures,
            condition_on_previous_text=False,
            max_new_tokens=min(_MAX_TOKENS, round(_MAX_TOKENS_PER_S * (1 + seconds))),
        )
        return [
            Utterance(
                start=float(segment.start),
                end=float(segment.end),
                text=segment.text,
                avg_logprob=float(segment.avg_logprob),
                no_speech_prob=float(segment.no_speech_prob),
                compression_ratio=float(segment.compression_ratio),
                temperature=float(segment.temperature),
                tokens=tuple(segment.tokens),
                words=_words(segment.words),
            )
            for segment in segments
        ]


def _words(heard: Iterable[Any] | None) -> tuple[Word, ...] | None:
    if heard is None:
        return None
    return tuple(
        Word(
            start=float(word.start),
            end=float(word.end),
            word=word.word.strip(),
            probability=float(word.probability),
        )
        for word in heard
    )


def load(
    spec: str, *, workers: int, threads: int = 1, device: str = "auto", compute_type: str = "int8"
) -> Model:
    """
    Return a model that has heard its first window already, so that it is ready.

    `workers` windows are computed at once, each by `threads` threads of a CPU.
    """
    started = time.monotonic()
    name, directory = _find(spec)
    check_files(directory)
    manifest = _read(directory / "decibus.json", _Manifest, default=_Manifest())
    try:
        whisper = WhisperModel(
            str(directory),
            device=device,
            compute_type=compute_type,
            cpu_threads=threads,
            num_workers=workers,
        )
    except (RuntimeError, ValueError) as error:  # a damaged file; what the device cannot compute
        raise ModelError(f"{directory}: {error}") from error
    _check_mel_bands(directory, whisper)
    model = Model(whisper, name=manifest.name or name, window_s=manifest.window_s)
    _warm_up(model)
    log.info("model_ready", model=model.name, seconds=round(time.monotonic() - started, 3))
    return model


def _warm_up(model: Model) -> None:
    """Take one window of faint noise down the path that all will go."""
    noise = np.random.default_rng(0).normal(scale=0.01, size=RATE_HZ).astype(np.float32)
    model.find_speech(noise)
    likely = model.detect_language(noise)
    model.transcribe_window(noise, Hearing(max(likely, key=likely.__getitem__)))


def _languages(whisper: WhisperModel) -> tuple[str, ...]:
    if not whisper.model.is_multilingual:
        return ("en",)
    # `supported_languages` is all that Whisper ever had; a model of fewer lacks their tokens.
    token_id = whisper.hf_tokenizer.token_to_id
    return tuple(
        language
        for language in whisper.supported_languages
        if token_id(f"<|{language}|>") is not None
    )


# Where the model is.


class _NoHubError(Exception):
    """The hub cannot be asked, or breaks off; the message says why."""


def _find(spec: str) -> tuple[str, Path]:
    """Return the name and the directory of a model, after fetching it if need be."""
    directory = Path(spec).expanduser()
    if spec == DEMO:
        return DEMO, _DEMO_DIRECTORY
    if directory.is_dir():
        return directory.resolve().name, directory
    if spec not in available_models() and not _HUB_ID.fullmatch(spec):
        raise ModelError(
            f"{spec!r} is neither a directory nor a model that faster-whisper knows: "
            f"{', '.join(available_models())}"
        )
    cached = _cached(spec)
    if cached is not None:
        return spec, cached
    try:
        return spec, _fetch(spec)
    except _NoHubError as error:
        log.warning("demo_model_used", wanted=spec, reason=str(error))
        return DEMO, _DEMO_DIRECTORY


def _cached(name: str) -> Path | None:
    """Return a model that was fetched before; not one of which a fetch was broken off."""
    try:
        directory = Path(download_model(name, local_files_only=True))
    except OSError:
        return None
    return None if _missing(directory) else directory


def _fetch(name: str) -> Path:
    """Fetch a model from the hub, into its local cache."""
    try:
        knock = partial(get_session().head, hub.ENDPOINT, timeout=_HUB_PATIENCE_S)
        _within(_HUB_PATIENCE_S, knock)
        log.info("model_fetching", model=name)
        return Path(download_model(name))
    except RepositoryNotFoundError as error:
        raise ModelError(f"the hub has no model {name!r}, or none that is public") from error
    # The hub's client lets its HTTP library's errors through, and has changed that library twice.
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        raise _NoHubError(f"{type(error).__name__}: {first_line}") from error


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Wait so long for a call. Its thread may be left behind: name resolution has no timeout."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.result(timeout=seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


# Whether it can be right: what CTranslate2 and faster-whisper would find out in the first job, or
# never.


class _Manifest(msgspec.Struct, frozen=True):
    """Our own notes in a model's directory; the well-known models have none."""

    name: str = ""
    window_s: Annotated[float, msgspec.Meta(ge=1.0, le=MAX_WINDOW_S)] = MAX_WINDOW_S


class _Config(msgspec.Struct, frozen=True):
    """What CTranslate2 reads with every window, and fails over if it is not there."""

    suppress_ids: list[int]
    suppress_ids_begin: list[int]
    lang_ids: list[int] = []


class _AddedToken(msgspec.Struct, frozen=True):
    id: int
    content: str


class _Bpe(msgspec.Struct, frozen=True):
    vocab: dict[str, int]


class _Tokenizer(msgspec.Struct, frozen=True):
    model: _Bpe
    added_tokens: list[_AddedToken] = []

    def ids(self) -> dict[str, int]:
        return self.model.vocab | {token.content: token.id for token in self.added_tokens}


_VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
_MULTILINGUAL: Final = ""  # the token by which CTranslate2 tells a multilingual model, since 4.7
_SAME_TOKEN: Final = {"<|nocaptions|>": "<|nospeech|>"}  # it was renamed after the first models


def check_files(directory: Path) -> None:
    """Raise `ModelError` for a directory in which a file is missing or contradicts another."""
    if missing := _missing(directory):
        raise ModelError(f"{directory} lacks {', '.join(missing)}")
    config = _read(directory / "config.json", _Config)
    vocabulary = _vocabulary(directory)
    if _MULTILINGUAL in vocabulary and not config.lang_ids:
        raise ModelError(f"{directory}/config.json: lang_ids is empty, but the vocabulary is not")
    for token, number in _read(directory / "tokenizer.json", _Tokenizer).ids().items():
        there = vocabulary[number] if number < len(vocabulary) else None
        if there is None or _SAME_TOKEN.get(there, there) != _SAME_TOKEN.get(token, token):
            raise ModelError(
                f"{directory}: token {number} is {token!r} in tokenizer.json, "
                f"{there!r} in the vocabulary"
            )


def _missing(directory: Path) -> list[str]:
    # Without tokenizer.json, faster-whisper would fetch another model's.
    needed = [("model.bin",), ("config.json",), ("tokenizer.json",), _VOCABULARIES]
    return [
        " or ".join(names)
        for names in needed
        if not any((directory / name).is_file() for name in names)
    ]


def _vocabulary(directory: Path) -> list[str]:
    as_json = directory / "vocabulary.json"
    if as_json.is_file():
        return _read(as_json, list[str])
    return (directory / "vocabulary.txt").read_text("utf-8").removesuffix("\n").split("\n")


def _check_mel_bands(directory: Path, whisper: WhisperModel) -> None:
    # preprocessor_config.json may be missing: 80 bands are the rule, large-v3 has 128.
    wanted, made = whisper.model.n_mels, whisper.feature_extractor.mel_filters.shape[0]
    if wanted != made:
        raise ModelError(
            f"{directory}: the model hears {wanted} mel bands, but preprocessor_config.json "
            f"(80 without it) makes {made}"
        )


def _read(path: Path, into: type[T], *, default: T | None = None) -> T:
    if default is not None and not path.exists():
        return default
    try:
        return msgspec.json.decode(path.read_bytes(), type=into)
    except msgspec.DecodeError as error:
        raise ModelError(f"{path}: {error}") from error
