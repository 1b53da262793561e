"""
The speech models behind a small interface: what a transcriber asks, and nothing of how it is done.

    Models ── of(name) ──▶ Model ── transcribe_window ──▶ pieces ──▶ Batcher ──▶ Engine
"""

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import structlog
from msgspec.structs import replace

from decibus.errors import Unsupported
from decibus.messages import Word
from decibus.telemetry import MODEL_LOADED
from services.transcriber import files, sources
from services.transcriber.batcher import Batcher
from services.transcriber.decode import RATE_HZ, Samples
from services.transcriber.engine import (
    MAX_FRAMES,
    Engine,
    Features,
    Guess,
    Heard,
    Piece,
    Segment,
    find_speech,
    has_gpu,
)
from services.transcriber.files import ModelError
from services.transcriber.sources import DEMO, Store
from services.transcriber.tokens import FRAMES_PER_S

__all__ = ["DEMO", "Guess", "Hearing", "Model", "ModelError", "Models", "Utterance"]

log = structlog.get_logger()

# A window that comes out repetitive or improbable is tried again, this often and no more: each
# try costs as much as the first.
_TEMPERATURES: Final = (0.0, 0.2, 0.4)

# How much an encoder is given of a clip that is shorter than the 30 s that Whisper was trained on.
_CONTEXT_AFTER: Final = 2 * FRAMES_PER_S
_CONTEXT_MIN: Final = 10 * FRAMES_PER_S
_CONTEXT_STEP: Final = 2 * FRAMES_PER_S  # so that clips of about the same length share a batch

_MIN_FRAMES: Final = FRAMES_PER_S // 10  # less is no word
_MIN_SAMPLES: Final = _MIN_FRAMES * RATE_HZ // FRAMES_PER_S
_FAST: Final = {"cpu": "int8", "cuda": "float16"}
_IDLE_LOOKS: Final = 4  # within the time after which a model is unloaded

Context = Literal["auto", "full"]


class Hearing(NamedTuple):
    """How a window is to be heard; as in `TranscribeOptions`. `language` None is detected."""

    language: str | None = None
    translate: bool = False
    words: bool = False
    prompt: str | None = None
    temperature: float | None = None


class Utterance(NamedTuple):
    """
    What was heard, in seconds from the start of its window. `text` has its leading space.

    `language` is the one that the window was heard in.
    """

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] | None = None
    language: str = ""


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """
    How windows are computed: by `threads` threads of a CPU each, `batch` of them in one call.

    `device` and `compute_type`: `auto` is a GPU where there is one, and what is fast on it.
    `context`: how much of 30 s the encoder is given of a short clip: `full`, all of it; `auto`,
    what the clip needs; None, what the model was trained for.
    A call that takes `patience_s`, and far longer than others, is given up.
    """

    threads: int = 1
    batch: int = 1
    device: str = "auto"
    compute_type: str = "auto"
    context: Context | None = None
    patience_s: float = 30.0


class Model:
    """
    A loaded model. Any thread may call it; as many as it has workers are served in parallel.

    `languages` are the ISO 639-1 codes that it hears; `window_s` is the longest stretch that it
    hears well.
    """

    def __init__(
        self, engine: Engine, batcher: Batcher, *, name: str, window_s: float, context: Context
    ) -> None:
        self._engine = engine
        self._batcher = batcher
        self._context_wanted = context
        self.name = name
        self.window_s = window_s
        self.languages = engine.languages
        self._loading = threading.Lock()
        self._users = 0
        self._used_at = time.monotonic()
        MODEL_LOADED.labels(name).set(1)

    def find_speech(self, samples: Samples) -> list[tuple[int, int]]:
        """Return where speech starts and ends, by sample; no stretch is longer than a window."""
        return find_speech(_clean(samples), longest_s=self.window_s)

    def detect_language(self, samples: Samples) -> Guess:
        """Tell how probable each language is. Silence and noise have likely languages, too."""
        samples = _clean(samples)
        with self._in_use():
            lacking = max(0, _MIN_SAMPLES - samples.size)
            features = self._engine.features(np.pad(samples, (0, lacking)))
            piece = Piece(features, self._context(features))
            return self._batcher.do(self._engine.detect, piece, piece.frames)

    def transcribe_window(
        self, samples: Samples, hearing: Hearing, guess: Guess | None = None
    ) -> list[Utterance]:
        """
        Transcribe up to 30 s, on their own: what was said before does not colour them.

        `guess`: what `detect_language` has said of the same samples, so that they are encoded once.
        Raises `Unsupported` for a language that the model does not hear.
        """
        self.check_language(hearing.language)
        samples = _clean(samples)
        if samples.size < _MIN_SAMPLES:
            return []
        with self._in_use():
            piece = (
                Piece(self._engine.features(samples), MAX_FRAMES) if guess is None else guess.piece
            )
            window = piece._replace(
                language=hearing.language,
                translate=hearing.translate,
                words=hearing.words,
                prompt=self._engine.prompt(hearing.prompt),
            )
            temperatures = _TEMPERATURES if hearing.temperature is None else (hearing.temperature,)
            return [*self._utterances(window, temperatures)]

    def check_language(self, language: str | None) -> None:
        """Raise `Unsupported` for a language that the model does not hear."""
        if language is not None and language not in self.languages:
            raise Unsupported(
                f"the language {language!r} is not one that the model {self.name} hears: "
                f"{', '.join(sorted(self.languages))}"
            )

    def unload_after(self, idle_s: float) -> None:
        """Let go of weights that nobody has used for so long; the next use brings them back."""
        with self._loading:
            is_idle = not self._users and time.monotonic() - self._used_at >= idle_s
            if is_idle and self._engine.is_loaded:
                self._engine.unload()
                MODEL_LOADED.labels(self.name).set(0)
                log.info("model_unloaded", model=self.name)

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._engine.is_loaded

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._loading:
            if not self._engine.is_loaded:
                started = time.monotonic()
                self._engine.load()
                MODEL_LOADED.labels(self.name).set(1)
                log.info("model_loaded", model=self.name, seconds=_since(started))
            self._users += 1
        try:
            yield
        finally:
            with self._loading:
                self._users -= 1
                self._used_at = time.monotonic()

    def _utterances(self, window: Piece, temperatures: Sequence[float]) -> Iterator[Utterance]:
        """Hear a window piece by piece: a decoder may stop before the end of what it was given."""
        start, end = 0, window.features.shape[1]
        while end - start >= _MIN_FRAMES:
            heard = self._hear(window._replace(features=window.features[:, start:]), temperatures)
            if heard.confidence.is_silence:
                return
            for segment in heard.segments:
                if segment.start < segment.end and segment.text.strip():
                    yield _utterance(segment, heard, start / FRAMES_PER_S)
            start += max(heard.frames, _MIN_FRAMES)
            window = window._replace(language=heard.language, encoded=None)

    def _hear(self, piece: Piece, temperatures: Sequence[float]) -> Heard:
        """
        Try until the model is sure: first in the context that is needed, then in all of it.

        What is `encoded` of the piece already has the context that is needed.
        """
        context = self._context(piece.features)
        encoded = piece.encoded
        if context < MAX_FRAMES:
            heard = self._try(piece._replace(frames=context, temperature=temperatures[0]))
            if not heard.confidence.is_doubtful and not heard.confidence.is_silence:
                return heard
            encoded = None
        whole = piece._replace(frames=MAX_FRAMES)
        tries: list[Heard] = []
        for temperature in temperatures:
            tries.append(self._try(whole._replace(temperature=temperature, encoded=encoded)))
            if not tries[-1].confidence.is_doubtful:
                return tries[-1]
            encoded = tries[-1].encoded
        plain = [each for each in tries if not each.confidence.is_repetitive]
        return max(plain or tries, key=lambda each: each.confidence.avg_logprob)

    def _try(self, piece: Piece) -> Heard:
        return self._batcher.do(self._engine.hear, piece, piece.batch)

    def _context(self, features: Features) -> int:
        """Return how many frames the encoder is given."""
        if self._context_wanted == "full":
            return MAX_FRAMES
        needed: int = max(features.shape[1] + _CONTEXT_AFTER, _CONTEXT_MIN)
        return min(math.ceil(needed / _CONTEXT_STEP) * _CONTEXT_STEP, MAX_FRAMES)


class Models:
    """The models of a process, by name; the first is the one that is meant without a name."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = {model.name: model for model in models}
        self._default = models[0]

    def of(self, name: str | None) -> Model:
        """Return a model; raises `Unsupported`, with the names that there are."""
        if name is None:
            return self._default
        try:
            return self._models[name]
        except KeyError:
            raise Unsupported(
                f"the model {name!r} is not one of those that are here: {', '.join(self._models)}"
            ) from None

    def metadata(self) -> Mapping[str, str]:
        """Return what there is to announce: the names, the default first, and their languages."""
        languages = {f"languages.{m.name}": ",".join(m.languages) for m in self._models.values()}
        return {"models": ",".join(self._models), **languages}

    def unload_idle(self, after_s: float) -> None:
        """Unload, from now on, each model that nobody uses for so long."""

        def look() -> None:
            while True:
                time.sleep(after_s / _IDLE_LOOKS)
                for model in self._models.values():
                    model.unload_after(after_s)

        threading.Thread(target=look, name="idle", daemon=True).start()


def load(
    spec: str, *, workers: int, compute: Compute | None = None, store: Store | None = None
) -> Model:
    """
    Return a model that has heard its first window already, so that it is ready.

    `spec` is what `sources` can find; `workers` calls are computed at once.
    """
    how = compute or Compute()
    started = time.monotonic()
    name, directory = sources.find(spec, store or Store())
    files.check(directory)
    notes = files.manifest(directory)
    device = resolve(how.device)
    engine = Engine(
        directory,
        workers=workers,
        threads=how.threads,
        device=device,
        compute_type=_FAST[device] if how.compute_type == "auto" else how.compute_type,
    )
    model = Model(
        engine,
        Batcher(threads=workers, most=how.batch, patience_s=how.patience_s),
        name=name,
        window_s=notes.window_s,
        context=how.context or ("auto" if notes.short_context else "full"),
    )
    _warm_up(model)
    log.info("model_ready", model=model.name, seconds=_since(started))
    return model


def load_all(specs: str, *, workers: int, compute: Compute, store: Store) -> Models:
    """Load several models: `small`, or `fast=small,best=/models/large-v3`."""
    models: list[Model] = []
    for spec in specs.split(","):
        model = load(spec, workers=workers, compute=compute, store=store)
        # The demo model steps in for one, or for several.
        if model.name not in {each.name for each in models}:
            models.append(model)
    return Models(models)


def resolve(device: str) -> str:
    """Return the device that is meant: `auto` is a GPU where there is one."""
    return ("cuda" if has_gpu() else "cpu") if device == "auto" else device


def _warm_up(model: Model) -> None:
    """Take one window of faint noise down the path that all will go."""
    noise = np.random.default_rng(0).normal(scale=0.01, size=RATE_HZ).astype(np.float32)
    model.find_speech(noise)
    model.transcribe_window(noise, Hearing(temperature=0.0))


def _utterance(segment: Segment, heard: Heard, offset_s: float) -> Utterance:
    words = segment.words and tuple(
        replace(word, start=word.start + offset_s, end=word.end + offset_s)
        for word in segment.words
    )
    return Utterance(
        start=segment.start + offset_s,
        end=segment.end + offset_s,
        text=segment.text,
        avg_logprob=heard.confidence.avg_logprob,
        no_speech_prob=heard.confidence.no_speech_prob,
        compression_ratio=heard.confidence.compression_ratio,
        temperature=heard.temperature,
        tokens=segment.tokens,
        words=words,
        language=heard.language,
    )


def _clean(samples: Samples) -> Samples:
    """Return samples that have a value each: NaN and infinity become silence."""
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
