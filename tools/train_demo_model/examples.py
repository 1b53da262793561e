"""
Examples to learn from, composed of what is in the bank.

    whole   0 ──[pause]─phrase─[pause]─phrase─ ... ─[pause]──┤ padding, up to the context
    slice   0 ··· text and times only ··· ├─phrase─[pause]─phrase──┤ padding

A slice stands for the middle of a long window at the cost of a short one: what comes before it is
in the text that was written already, but not in the sound.

Words stand in segments: a pause ends one, and so does its sixth word. Times are in tenths of a
second. Both keep what the decoder has to count small.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import lfilter

from tools.train_demo_model import mel
from tools.train_demo_model.bank import LONGEST, Bank, Phrase
from tools.train_demo_model.tokenizer import Tokens
from tools.train_demo_model.words import LANGUAGES, VOCABULARY, WORDS, in_english

CONTEXT: Final = 3000  # frames of a full window
LEAST_CONTEXT: Final = 1000
MARGIN: Final = 200  # frames of padding at least, unless the window is full
IGNORED: Final = -100

_JOINED: Final = 30  # frames; a shorter pause parts no segments, and none is between this and
_PARTED: Final = 48
_AFTERWARDS: Final = 40  # frames after the last word
_LATEST_START: Final = 10  # tenths: faster-whisper's `max_initial_timestamp`
_MOST_PROMPT: Final = 223
_MOST_TOKENS: Final = 224


class Word(NamedTuple):
    """A word, and when it was said, in frames from the start of the window."""

    text: str
    start: float
    end: float


class Sound(NamedTuple):
    """What is heard from a frame of the window on, and the segments of words in it."""

    features: mel.Frames
    first_frame: int
    language: str | None
    segments: list[list[Word]]


class Example(NamedTuple):
    """
    A sound and what to say to it. Spans are (start, end) in positions of half the frame rate.

    `current` is where the token at the input is, `next` where the one to say is; (0, 0) is nowhere.
    """

    sound: Sound
    context: int
    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    current: NDArray[np.int64]
    next: NDArray[np.int64]


class Composer:
    """
    Makes sounds out of the bank, and examples out of sounds, as chance will have it.

    Some have no times, which is how faster-whisper asks when each word was said; `finishing` makes
    half of the examples so, and shows where to look when all is said.
    """

    def __init__(
        self, bank: Bank, tokens: Tokens, random: Generator, *, finishing: bool = False
    ) -> None:
        self._bank = bank
        self._tokens = tokens
        self._random = random
        self._finishing = finishing

    def example(self, frames: int, *, sliced: bool) -> Example:
        """Make an example of up to so many frames."""
        sound = self._silence(frames) if self._chance(0.08) else self._speech(frames, sliced=sliced)
        return self._say(sound)

    def _chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    # Sounds.

    def _silence(self, frames: int) -> Sound:
        """Nothing, noise, music or an effect, or one after the other."""
        count = int(self._random.integers(20, frames + 1))
        power = np.zeros((count, mel.BANDS), np.float32)
        if not self._chance(0.1):
            power += 10.0 ** self._random.uniform(-9.0, -4.0)
            for _ in range(self._random.integers(1, 3)):
                first = 0 if self._chance(0.7) else int(self._random.integers(count))
                level = 10.0 ** self._random.uniform(-5.0, 0.0)
                kind = int(self._random.choice([0, 1, 1, 2]))
                power[first:] += level * self._other(count - first, kind)
        return Sound(mel.features(power), 0, None, [])

    def _speech(self, frames: int, *, sliced: bool) -> Sound:
        """Phrases with pauses, from somewhere in a window on."""
        random = self._random
        language = str(random.choice(LANGUAGES, p=(0.56, 0.22, 0.22)))
        first = int(random.integers(0, (CONTEXT - frames) // 2)) * 2 if sliced else 0
        power = np.zeros((frames, mel.BANDS), np.float32)
        at = int(random.uniform(0, 45) if self._chance(0.8) else random.uniform(0, 400))
        at = min(at, frames // 4)
        hurried = self._chance(0.2)  # hardly a pause
        drawl, head = self._habit(0.4, 0.15), self._habit(0.4, 0.06)
        segments: list[list[Word]] = []
        ends = 0.0
        most = int(random.choice([1, 2, 3, 99], p=[0.2, 0.15, 0.15, 0.5]))
        for number in range(most):
            phrase = _stretched(self._bank.draw(language, random), drawl, head)
            if number and at + len(phrase.log_power) + 4 > frames:
                break
            kept = phrase.log_power[: frames - at]
            power[at : at + len(kept)] += 10.0 ** (kept + random.uniform(-0.35, 0.35))
            for text, (start, end) in zip(phrase.words, phrase.spans, strict=True):
                if at + end > frames + 3:  # cut off, as only the first phrase can be
                    break
                word = Word(text, first + at + start, first + min(at + end, frames))
                joins = segments and word.start - ends < _JOINED
                if not joins or len(segments[-1]) == LONGEST:
                    segments.append([])
                segments[-1].append(word)
                ends = word.end
            at += len(kept) + self._pause(hurried=hurried)
        if not segments:
            return self._speech(frames, sliced=sliced)
        last = round(ends - first)
        tail = random.uniform(2, 50) if self._chance(0.75) else random.uniform(0, 400)
        power = power[: min(frames, last + int(tail))]
        return Sound(self._recorded(power), first, language, segments)

    def _pause(self, *, hurried: bool) -> int:
        if hurried:
            return int(self._random.uniform(0, _JOINED - 8))
        longest = 130 if self._chance(0.8) else 350
        return int(self._random.uniform(_PARTED, longest))

    def _habit(self, probability: float, most: float) -> float:
        return float(self._random.uniform(-most, most)) if self._chance(probability) else 0.0

    def _recorded(self, power: mel.Frames) -> mel.Frames:
        """Add a room, a microphone, noise in the background, and a bad line."""
        random = self._random
        if self._chance(0.12):
            stays = random.uniform(0.5, 0.9)
            echo = np.asarray(lfilter([0.0, 1 - stays], [1.0, -stays], power, 0), np.float32)
            power = power + random.uniform(0.02, 0.2) * echo
        level = float(power.mean()) + 1e-12
        if self._chance(0.6):
            kind = int(random.choice([0, 0, 0, 1, 2]))
            noise = self._other(len(power), kind)
            snr_db = random.uniform(6.0, 40.0)
            power = power + noise * (level / noise.mean() * 10.0 ** (-snr_db / 10.0))
        elif self._chance(0.6):
            hiss = np.float32(random.standard_exponential(power.shape))
            power = power + hiss * (level * 10.0 ** random.uniform(-8.0, -4.5))
        if self._chance(0.5):
            position = np.linspace(-1.0, 1.0, mel.BANDS)
            curve = random.uniform(-0.8, 0.8) * position
            curve += random.uniform(0.0, 0.4) * np.cos(
                random.uniform(1.0, 8.0) * position + random.uniform(0, 6)
            )
            power = power * np.float32(10.0**curve)
        found = mel.features((power * 10.0 ** random.uniform(-4.0, 1.0)).astype(np.float32))
        if self._chance(0.25):
            low = int(random.integers(0, mel.BANDS - 10))
            found[:, low : low + int(random.integers(2, 9))] = found.min()
        return found

    def _other(self, frames: int, kind: int) -> mel.Frames:
        """Return so much noise (0), music (1) or effect (2); its mean level is that of the bank."""
        number = 3 * int(self._random.integers(len(self._bank.sounds) // 3)) + kind
        whole = 10.0 ** self._bank.sounds[number].astype(np.float32)
        shift = int(self._random.integers(len(whole)))
        return np.resize(np.roll(whole, shift, axis=0), (frames, mel.BANDS))

    # What to say.

    def _say(self, sound: Sound) -> Example:
        random, tokens = self._random, self._tokens
        language = sound.language or str(random.choice(LANGUAGES))
        translated = self._chance(0.35 if language != "en" else 0.04)
        timed = sound.first_frame > 0 or self._chance(0.5 if self._finishing else 0.7)
        written = _Writing()
        if self._chance(0.12):
            spoken = "en" if translated else language
            written.given(tokens.previous, *self._earlier(spoken))
        written.given(tokens.start)
        written.say(
            tokens.languages[language],
            wanted=tokens.languages[language] if sound.language else tokens.no_speech,
        )
        written.given(tokens.translate if translated else tokens.transcribe)
        if not timed:
            written.given(tokens.no_times)
        elif sound.first_frame:
            self._skip(written, sound, "en" if translated else language)
        elif not sound.segments:
            written.say(tokens.time(0))
        for number, segment in enumerate(sound.segments):
            start, end = segment[0].start, segment[-1].end
            if timed:
                tenths = int(start / 10)
                if number == 0 and sound.first_frame == 0:
                    tenths = min(tenths, _LATEST_START)
                written.say(tokens.time(tenths), span=(start - 4, start + 6))
            for word in segment:
                text = in_english(word.text) if translated else word.text
                written.say(tokens.words[text], span=(word.start, word.end))
            if timed:
                tenths = min(int(np.ceil(end / 10)), 300)
                written.say(tokens.time(tenths), span=(end - 6, end + 4))
        ends = sound.segments[-1][-1].end if self._finishing and sound.segments else 0
        written.say(tokens.end, span=(ends, ends + _AFTERWARDS) if ends else (0, 0))
        return written.example(sound, self._context(sound))

    def _context(self, sound: Sound) -> int:
        """Sometimes all of Whisper's context, sometimes what the sound needs, sometimes between."""
        needed = sound.first_frame + len(sound.features) + MARGIN
        least = min(max(needed, LEAST_CONTEXT), CONTEXT)
        choice = self._random.random()
        if choice < 0.45:
            return CONTEXT
        if choice < 0.75:
            return least + least % 2
        between = int(self._random.integers(least, CONTEXT + 1))
        return between + between % 2

    def _earlier(self, language: str) -> list[int]:
        """Return text of earlier windows, whole or cut off on its left."""
        found: list[int] = []
        wanted = int(self._random.integers(1, _MOST_PROMPT + 1 if self._chance(0.3) else 25))
        timed = self._chance(0.6)
        while len(found) < wanted:
            segment = self._words(language)
            if timed:
                start = int(self._random.integers(0, 280))
                end = start + 4 * len(segment)
                segment = [self._tokens.time(start), *segment, self._tokens.time(min(end, 300))]
            found += segment
        return found[-wanted:]

    def _words(self, language: str) -> list[int]:
        count = int(self._random.integers(1, LONGEST + 1))
        words = self._random.choice(VOCABULARY[language], count)
        return [self._tokens.words[str(word)] for word in words]

    def _skip(self, written: "_Writing", sound: Sound, language: str) -> None:
        """Write what was said before the slice, which need not be learnt; it ends with a time."""
        latest = int(sound.first_frame / 10)  # tenths
        at = int(self._random.uniform(0, min(10, latest)))
        while True:
            words = self._words(language)
            end = at + 1 + int(len(words) * self._random.uniform(2.5, 5.0))
            # The last of it may end right before the slice, or long before.
            if end > latest:
                if not written.skipped:
                    written.skip(
                        self._tokens.time(0), *words[:1], self._tokens.time(max(latest, 1))
                    )
                return
            written.skip(self._tokens.time(at), *words, self._tokens.time(end))
            at = end + int(self._random.uniform(3, 15) if not self._chance(0.2) else 0)


class _Writing:
    """Tokens as they are written; each is said by what is before it."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._wanted: list[int] = []
        self._spans: list[tuple[float, float]] = []
        self.skipped = False

    def given(self, *tokens: int) -> None:
        """Write what faster-whisper writes itself."""
        for token in tokens:
            self.say(token, wanted=IGNORED)

    def skip(self, *tokens: int) -> None:
        self.given(*tokens)
        self.skipped = True

    def say(
        self, token: int, *, wanted: int | None = None, span: tuple[float, float] = (0, 0)
    ) -> None:
        """Write what the model has to say."""
        self._tokens.append(token)
        self._wanted.append(token if wanted is None else wanted)
        self._spans.append(span)

    def example(self, sound: Sound, context: int) -> Example:
        spans = np.zeros((len(self._spans), 2), np.int64)
        for number, (start, end) in enumerate(self._spans):
            if end > 0:
                low = max(0, int((start - sound.first_frame) / 2))
                spans[number] = low, max(low + 1, int((end - sound.first_frame) / 2))
        return Example(
            sound,
            context,
            tokens=np.array(self._tokens[:-1]),
            targets=np.array(self._wanted[1:]),
            current=spans[:-1],
            next=spans[1:],
        )


def _stretched(phrase: Phrase, drawl: float, head: float) -> Phrase:
    """Speak slower or faster at the same pitch, and with a smaller or larger head."""
    log_power, spans = phrase.log_power, phrase.spans
    if drawl:
        count = round(len(log_power) * (1 + drawl))
        at = np.linspace(0, len(log_power) - 1, count)
        low = at.astype(int)
        share = (at - low)[:, None].astype(np.float32)
        high = np.minimum(low + 1, len(log_power) - 1)
        log_power = (1 - share) * log_power[low] + share * log_power[high]
        spans = spans * np.float32(1 + drawl)
    if head:
        at = np.clip(np.arange(mel.BANDS) * (1 + head), 0, mel.BANDS - 1)
        low = at.astype(int)
        share = (at - low).astype(np.float32)
        high = np.minimum(low + 1, mel.BANDS - 1)
        log_power = (1 - share) * log_power[:, low] + share * log_power[:, high]
    return Phrase(log_power, phrase.words, spans)


def frame_classes(sound: Sound, positions: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which word each position is in (0 is none), and which of its segment (or IGNORED)."""
    words = np.zeros(positions, np.int64)
    order = np.full(positions, IGNORED, np.int64)
    for segment in sound.segments:
        for number, word in enumerate(segment):
            low = max(0, int((word.start - sound.first_frame) / 2))
            high = max(low + 1, int((word.end - sound.first_frame) / 2))
            words[low:high] = 1 + WORDS.index(word.text)
            order[low:high] = number
    return words, order
