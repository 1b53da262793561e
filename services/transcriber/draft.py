"""
A transcript as it grows: window by window, on the time line of the upload.

What is kept of each window is all that another attempt needs to go on behind it.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple, Self

import msgspec
from msgspec.structs import replace

from decibus.audio import DECODER
from decibus.errors import Unreadable
from decibus.messages import AudioFormat, Checkpoint, Segment, Transcript, read
from decibus.progress import Progress
from services.transcriber.decode import RATE_HZ
from services.transcriber.model import Model, Utterance
from services.transcriber.windows import Place, Stretch, Window, merged


class Tongue(NamedTuple):
    """A language, and how probable it is; None: it was asked for."""

    language: str
    probability: float | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a window beside its segments, for another attempt to go on behind it."""

    model: str
    start: int
    end: int
    searched: int
    text: str
    language: str
    language_probability: float | None
    speech: tuple[Stretch, ...]

    @property
    def tongue(self) -> Tongue:
        """The language that it was heard in."""
        return Tongue(self.language, self.language_probability)


class Draft:
    """A transcript as it grows, window by window."""

    def __init__(self, model: str) -> None:
        self.parts: list[Part] = []
        self.segments: list[Segment] = []
        self._model = model
        self._unkept: Checkpoint | None = None

    @classmethod
    def of(cls, kept: Iterable[Checkpoint], model: Model) -> Self:
        """Go on with what was kept; what another model has heard is heard again."""
        draft = cls(model.name)
        for checkpoint in kept:
            try:
                part = read(bytes(checkpoint.state), Part)
            except Unreadable:  # another release's, in a rollout
                return cls(model.name)
            if part.model != model.name:
                return cls(model.name)
            draft.parts.append(part)
            draft.segments += checkpoint.segments
        return draft

    @property
    def place(self) -> Place:
        """Where to go on."""
        return Place(self.parts[-1].searched, self.parts[-1].end) if self.parts else Place()

    def add(
        self, window: Window, tongue: Tongue, heard: Iterable[Utterance], *, by_window: bool
    ) -> tuple[Segment, ...]:
        """Add what was heard in a window; returns its segments."""
        utterances = [_on_time_line(utterance, window) for utterance in heard]
        language = tongue.language if by_window else None
        new = tuple(
            _segment(number, utterance, language)
            for number, utterance in enumerate(utterances, len(self.segments))
        )
        part = Part(
            model=self._model,
            start=window.start,
            end=window.end,
            searched=window.searched,
            text="".join(utterance.text for utterance in utterances),
            language=tongue.language,
            language_probability=tongue.probability,
            speech=window.speech,
        )
        state = msgspec.Raw(msgspec.json.encode(part))
        self._unkept = Checkpoint(number=len(self.parts), segments=new, state=state)
        self.parts.append(part)
        self.segments += new
        return new

    def keep(self, progress: Progress) -> None:
        """Keep the last window, as there is more to come: what is short is never kept."""
        if self._unkept is not None:
            progress.keep(self._unkept)
            self._unkept = None

    def transcript(self, audio: AudioFormat) -> Transcript:
        """Make a transcript of all that was heard."""
        tongue = _tongue_of(self.parts) if self.segments else None
        return Transcript(
            text="".join(part.text for part in self.parts).strip(),
            language=tongue.language if tongue else None,
            language_probability=tongue.probability if tongue else None,
            model=self._model,
            audio=audio,
            decoder=DECODER,
            segments=tuple(self.segments),
            speech=tuple(
                (round(start / RATE_HZ, 3), round(end / RATE_HZ, 3))
                for start, end in merged(chain.from_iterable(part.speech for part in self.parts))
            ),
        )


def _tongue_of(parts: list[Part]) -> Tongue:
    """Return the one language of all windows, or the one that was spoken for longest."""
    if len({part.tongue for part in parts}) == 1:
        return parts[0].tongue
    weights: dict[str, float] = defaultdict(float)
    total = 0
    for part in parts:
        if part.text:
            weights[part.language] += (part.language_probability or 1.0) * (part.end - part.start)
            total += part.end - part.start
    winner = max(weights, key=weights.__getitem__)
    return Tongue(winner, weights[winner] / total)


def _on_time_line(utterance: Utterance, window: Window) -> Utterance:
    """Move an utterance to where its window is; what ends after the window was heard wrongly."""
    start, end = window.start / RATE_HZ, window.end / RATE_HZ

    def moved(seconds: float) -> float:
        return round(min(start + seconds, end), 2)

    words = utterance.words and tuple(
        replace(word, start=moved(word.start), end=moved(word.end)) for word in utterance.words
    )
    return utterance._replace(start=moved(utterance.start), end=moved(utterance.end), words=words)


def _segment(number: int, utterance: Utterance, language: str | None) -> Segment:
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
        language=language,
        words=utterance.words,
    )
