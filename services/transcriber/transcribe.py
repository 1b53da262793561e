"""
Audio in, transcript out.

    blocks ─▶ mono, 16 kHz ─▶ windows of speech ─▶ language, by vote ─▶ segments, window by window

All of it streams: memory is a few windows, however long the audio. Times are those of the upload.
Each window is kept as soon as another one follows, and another attempt goes on behind it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO, Final

import structlog

from decibus.messages import Segment, TranscribeOptions, Transcript
from decibus.progress import Progress
from services.transcriber.decode import RATE_HZ, Decode, Samples, decoded
from services.transcriber.draft import Draft, Tongue
from services.transcriber.model import Guess, Hearing, Model
from services.transcriber.windows import Window, cut

log = structlog.get_logger()

_MAX_VOTERS: Final = 3
_SURE: Final = 0.8  # a window as sure as this of its language ends the vote

Guessed = tuple[Window, Guess | None]
"""A window, and what it was found to be spoken in, where it was asked."""


def transcribe(
    file: BinaryIO,
    options: TranscribeOptions,
    progress: Progress,
    *,
    model: Model,
    decode: Decode = decoded,
) -> Transcript:
    """
    Transcribe what is spoken in a file, behind what attempts before this one have kept of it.

    `progress` is told with every second that is decoded and every window that is heard. It stops
    the work by raising: what it raises comes out here.
    """
    model.check_language(options.language)
    draft = Draft.of(progress.kept, model)
    progress.take_over(len(draft.segments))
    meter = _Meter(progress)
    with decode(file, options, meter.tick) as audio:
        meter.expect(audio.expected_duration_s, heard=draft.place.heard)
        windows = cut(
            meter.through(audio.blocks()),
            model.find_speech,
            longest=round(model.window_s * RATE_HZ),
            behind=draft.place,
        )
        tongue, guessed = _choose_tongue(options, draft, windows, model)
        for window, voted in guessed:
            draft.keep(progress)
            spoken, guess = (tongue, voted) if tongue else _own_tongue(window, model)
            hearing = _hearing(spoken.language, options)
            heard = model.transcribe_window(window.samples, hearing, guess)
            meter.heard(window, draft.add(window, spoken, heard, by_window=tongue is None))
            log.debug("window_heard", window=len(draft.parts) - 1)
        return draft.transcript(audio.format())


def _choose_tongue(
    options: TranscribeOptions, draft: Draft, windows: Iterator[Window], model: Model
) -> tuple[Tongue | None, Iterator[Guessed]]:
    """Return the one language of all windows, None if each has its own; and the windows again."""
    unguessed = ((window, None) for window in windows)
    if options.language is not None:
        return Tongue(options.language), unguessed
    if options.multilingual:
        return None, unguessed
    if draft.parts:
        return draft.parts[0].tongue, unguessed
    voters, tongue = _vote(windows, model)
    return tongue, chain(voters, unguessed)


def _vote(windows: Iterator[Window], model: Model) -> tuple[list[Guessed], Tongue]:
    """
    Let the first windows say which language they hear, each with the weight of its length.

    Returns them, with what they have said, and the winner.
    """
    voters: list[Guessed] = []
    votes: dict[str, float] = defaultdict(float, {model.languages[0]: 0.0})
    for window in windows:
        guess = model.detect_language(window.samples)
        voters.append((window, guess))
        for language, probability in guess.languages.items():
            votes[language] += probability * window.samples.size
        if len(voters) == _MAX_VOTERS or max(guess.languages.values()) > _SURE:
            break
    winner = max(votes, key=votes.__getitem__)
    weight = sum(window.samples.size for window, _ in voters)
    return voters, Tongue(winner, votes[winner] / max(weight, 1))


def _own_tongue(window: Window, model: Model) -> tuple[Tongue, Guess]:
    guess = model.detect_language(window.samples)
    language = max(guess.languages, key=guess.languages.__getitem__)
    return Tongue(language, guess.languages[language]), guess


def _hearing(language: str, options: TranscribeOptions) -> Hearing:
    return Hearing(
        language,
        translate=options.translate,
        words=options.words,
        prompt=options.prompt,
        temperature=options.temperature,
    )


class _Meter:
    """
    How much has been heard, told while decoding too: silence can be stopped as well.

    A header's word on the length is good for a fraction; for what the work may take, what was
    decoded counts where that is more.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._expected: float | None = None
        self._fraction = 0.0

    def expect(self, seconds: float | None, *, heard: int) -> None:
        if seconds:
            self._expected = seconds * RATE_HZ
            self._progress.lasts(seconds)
        self._fraction = self._of(heard)

    def tick(self, _: float = 0.0) -> None:
        self._progress(self._fraction)

    def through(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        decoded_samples = 0
        for block in blocks:
            decoded_samples += block.size
            if self._expected is not None:
                self._progress.lasts(decoded_samples / RATE_HZ)
            self.tick()
            yield block

    def heard(self, window: Window, segments: tuple[Segment, ...]) -> None:
        self._fraction = self._of(window.end)
        self._progress(self._fraction, segments)

    def _of(self, heard: int) -> float:
        return 0.0 if self._expected is None else min(heard / self._expected, 1.0)
