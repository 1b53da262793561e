"""
Audio in, transcript out.

    blocks ─▶ mono, 16 kHz ─▶ windows of speech ─▶ language, by vote ─▶ segments, window by window

All of it streams: memory is a few windows, however long the audio. Times are those of the upload.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import BinaryIO, Final, NamedTuple, Protocol

import numpy as np
from msgspec.structs import replace

from decibus.audio import DECODER
from decibus.errors import BadRequest
from decibus.messages import Segment, TranscribeOptions, Transcript
from services.transcriber.decode import RATE_HZ, Decode, Samples, decoded
from services.transcriber.model import Hearing, Model, Utterance

FindSpeech = Callable[[Samples], list[tuple[int, int]]]

_MAX_PAUSE: Final = 3 * RATE_HZ  # a model that hears silence for longer may make up words
_CONTEXT: Final = 1 * RATE_HZ  # heard again with what follows it, so that no onset is lost

_MAX_VOTERS: Final = 3
_SURE: Final = 0.8  # a window as sure as this of its language ends the vote


class Progress(Protocol):
    """Told how far the work is, 0 to 1, and whenever there are new segments all of them so far."""

    def __call__(self, fraction: float, segments: tuple[Segment, ...] | None = None, /) -> None:
        """Take it in, or raise to stop the work."""
        ...


class Window(NamedTuple):
    """A stretch of speech with its short pauses; `start` is the number of its first sample."""

    start: int
    samples: Samples

    @property
    def end(self) -> int:
        """The number of the sample after its last."""
        return self.start + self.samples.size


def transcribe(
    file: BinaryIO,
    options: TranscribeOptions,
    progress: Progress,
    *,
    model: Model,
    decode: Decode = decoded,
) -> Transcript:
    """
    Transcribe what is spoken in a file.

    `progress` is told with every second that is decoded and every window that is heard. It stops
    the work by raising: what it raises comes out here.
    """
    if options.language is not None and options.language not in model.languages:
        raise BadRequest(
            f"the language {options.language!r} is not one that the model {model.name} hears: "
            f"{', '.join(sorted(model.languages))}"
        )
    meter = _Meter(progress)
    with decode(file, options, meter.tick) as audio:
        meter.expect(audio.expected_duration_s)
        windows = cut(
            meter.through(audio.blocks()),
            model.find_speech,
            longest=round(model.window_s * RATE_HZ),
        )
        language, probability = options.language, None
        if language is None:
            language, probability, windows = _vote(windows, model)
        utterances: list[Utterance] = []
        segments: tuple[Segment, ...] = ()
        for window in windows:
            heard = model.transcribe_window(window.samples, _hearing(language, options))
            utterances += [_on_time_line(utterance, window) for utterance in heard]
            new = utterances[len(segments) :]
            segments += tuple(_segment(len(segments) + n, u) for n, u in enumerate(new))
            meter.heard(window, segments)
        return Transcript(
            text="".join(utterance.text for utterance in utterances).strip(),
            language=language if utterances else None,
            language_probability=probability if utterances else None,
            model=model.name,
            audio=audio.format(),
            decoder=DECODER,
            segments=segments,
        )


def cut(blocks: Iterable[Samples], find_speech: FindSpeech, *, longest: int) -> Iterator[Window]:
    """
    Cut a stream into windows of speech, at its pauses.

    `find_speech` must not return stretches over `longest`; a window joins as many as it can hold.
    """
    # So much that at least one window in it is complete: the next can neither join nor extend it.
    span = 2 * longest + _MAX_PAUSE
    start, held = 0, np.empty(0, np.float32)
    waiting: list[Samples] = []
    for block in blocks:
        waiting.append(block)
        if held.size + sum(each.size for each in waiting) < span:
            continue
        held = np.concatenate([held, *waiting])
        waiting.clear()
        bounds = _join(find_speech(held), longest)
        done = held.size - _CONTEXT
        if bounds and bounds[-1][1] + _MAX_PAUSE > held.size:
            done = bounds.pop()[0]
        for first, end in bounds:
            yield Window(start + first, held[first:end])
        start, held = start + done, held[done:]
    held = np.concatenate([held, *waiting])
    for first, end in _join(find_speech(held), longest):
        yield Window(start + first, held[first:end])


def _join(stretches: Iterable[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, end in stretches:
        if joined and end - joined[-1][0] <= longest and first - joined[-1][1] <= _MAX_PAUSE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return joined


def _vote(windows: Iterator[Window], model: Model) -> tuple[str, float, Iterator[Window]]:
    """
    Let the first windows say which language they hear, each with the weight of its length.

    Returns the winner, its probability, and all of the windows again.
    """
    voters: list[Window] = []
    votes: dict[str, float] = defaultdict(float, {model.languages[0]: 0.0})
    for window in windows:
        voters.append(window)
        probabilities = model.detect_language(window.samples)
        for language, probability in probabilities.items():
            votes[language] += probability * window.samples.size
        if len(voters) == _MAX_VOTERS or max(probabilities.values()) > _SURE:
            break
    winner = max(votes, key=votes.__getitem__)
    weight = sum(window.samples.size for window in voters)
    return winner, votes[winner] / max(weight, 1), chain(voters, windows)


def _hearing(language: str, options: TranscribeOptions) -> Hearing:
    return Hearing(
        language,
        translate=options.translate,
        words=options.words,
        prompt=options.prompt,
        temperature=options.temperature,
    )


def _on_time_line(utterance: Utterance, window: Window) -> Utterance:
    """Move an utterance to where its window is; what ends after the window was heard wrongly."""
    start, end = window.start / RATE_HZ, window.end / RATE_HZ

    def moved(seconds: float) -> float:
        return round(min(start + seconds, end), 2)

    words = utterance.words and tuple(
        replace(word, start=moved(word.start), end=moved(word.end)) for word in utterance.words
    )
    return utterance._replace(start=moved(utterance.start), end=moved(utterance.end), words=words)


def _segment(number: int, utterance: Utterance) -> Segment:
    return Segment(
        id=number,
        start=utterance.start,
        end=utterance.end,
        text=utterance.text.strip(),
        avg_logprob=utterance.avg_logprob,
        no_speech_prob=utterance.no_speech_prob,
        compression_ratio=utterance.compression_ratio,
        temperature=utterance.temperature,
        tokens=utterance.tokens,
        words=utterance.words,
    )


class _Meter:
    """How much has been heard, told while decoding too: silence can be stopped as well."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._expected: float | None = None
        self._fraction = 0.0

    def expect(self, seconds: float | None) -> None:
        self._expected = seconds * RATE_HZ if seconds else None

    def tick(self, _: float = 0.0) -> None:
        self._progress(self._fraction)

    def through(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self.tick()
            yield block

    def heard(self, window: Window, segments: tuple[Segment, ...]) -> None:
        if self._expected is not None:
            self._fraction = min(window.end / self._expected, 1.0)
        self._progress(self._fraction, segments)
