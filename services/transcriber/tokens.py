"""
What a decoder's tokens say: where they belong in time, and whether they are to be believed.

The gates are those of OpenAI's decoder (whisper/decoding.py, transcribe.py), and one of our own for
loops that are too short to compress well.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

FRAMES_PER_S: Final = 100
_FRAMES_PER_TIMESTAMP: Final = 2

_MAX_COMPRESSION_RATIO: Final = 2.4
_MIN_LOGPROB: Final = -1.0
_MAX_NO_SPEECH_PROB: Final = 0.6
# A phrase of up to so many tokens, said over and over: so often, and so many tokens in all.
_LOOP_PHRASE: Final = 16
_LOOP_TIMES: Final = 4
_LOOP_TOKENS: Final = 16


class Confidence(NamedTuple):
    """How sure a decoding is. `avg_logprob` is the mean of its tokens, the end included."""

    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    has_loop: bool

    @property
    def is_silence(self) -> bool:
        """The model takes it for silence, and is not sure of its words either."""
        return self.no_speech_prob > _MAX_NO_SPEECH_PROB and not self._is_sure

    @property
    def is_doubtful(self) -> bool:
        """Improbable or repetitive, so that another try is worth its time."""
        return not self.is_silence and (not self._is_sure or self.is_repetitive)

    @property
    def is_repetitive(self) -> bool:
        """It says the same over and over."""
        return self.compression_ratio > _MAX_COMPRESSION_RATIO or self.has_loop

    @property
    def _is_sure(self) -> bool:
        return self.avg_logprob >= _MIN_LOGPROB  # false for NaN


class Stretch(NamedTuple):
    """The tokens between two timestamps, in frames from the start of their piece."""

    start: int
    end: int
    tokens: tuple[int, ...]


def find_loop(tokens: Sequence[int]) -> tuple[int, int] | None:
    """Return where a phrase starts to be said over and over, and its length in tokens."""
    for length in range(1, min(_LOOP_PHRASE, len(tokens) // _LOOP_TIMES) + 1):
        same = 0
        for here in range(length, len(tokens)):
            same = same + 1 if tokens[here] == tokens[here - length] else 0
            if same + length >= max(_LOOP_TOKENS, _LOOP_TIMES * length):
                return here - same - length + 1, length
    return None


def split(tokens: Sequence[int], *, timestamp_begin: int, frames: int) -> tuple[list[Stretch], int]:
    """
    Return the stretches of a piece of so many frames, and how many of them were dealt with.

    What comes after the last of several complete stretches is left out: it is to be heard again
    with what follows it. Of a loop the first time counts, and nothing after it.
    """

    def at(token: int) -> int:
        since = (token - timestamp_begin) * _FRAMES_PER_TIMESTAMP
        return min(since, frames) if since >= 0 else frames

    is_text = [token < timestamp_begin for token in tokens]
    looped = find_loop([token for token in tokens if token < timestamp_begin])
    if looped:
        places = [place for place, text in enumerate(is_text) if text]
        tokens = tokens[: places[sum(looped) - 1] + 1]
    cuts = [n for n in range(1, len(tokens)) if not is_text[n - 1] and not is_text[n]]
    if not cuts:
        times = [at(token) for token in tokens if token > timestamp_begin]
        return [Stretch(0, times[-1] if times else frames, tuple(tokens))], frames
    # One timestamp at the end means: nobody speaks after it.
    is_done = bool(looped) or (is_text[len(tokens) - 2] and not is_text[len(tokens) - 1])
    if is_done:
        cuts.append(len(tokens))
    stretches = [Stretch(at(part[0]), at(part[-1]), tuple(part)) for part in _parts(tokens, cuts)]
    return stretches, frames if is_done else stretches[-1].end or frames


def _parts(tokens: Sequence[int], cuts: Sequence[int]) -> Iterator[Sequence[int]]:
    start = 0
    for cut in cuts:
        yield tokens[start:cut]
        start = cut
