"""
A stream of audio, cut into windows of speech at its pauses.

A window depends on nothing but the audio behind the place where it was looked for: whoever goes on
at that place, with the same audio, gets the same windows.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from services.transcriber.decode import RATE_HZ, Samples

Stretch = tuple[int, int]
"""Where something starts and ends, by sample."""
FindSpeech = Callable[[Samples], list[Stretch]]

_MAX_PAUSE: Final = 3 * RATE_HZ  # a model that hears silence for longer may make up words
_CONTEXT: Final = 1 * RATE_HZ  # heard again with what follows it, so that no onset is lost


class Place(NamedTuple):
    """How far audio is heard: up to `heard`; speech behind it is looked for from `searched` on."""

    searched: int = 0
    heard: int = 0


class Window(NamedTuple):
    """
    Stretches of speech with the short pauses between them, as one.

    `start` is the number of the first sample; `searched` that of the first one in which the speech
    was looked for.
    """

    start: int
    samples: Samples
    speech: tuple[Stretch, ...] = ()
    searched: int = 0

    @property
    def end(self) -> int:
        """The number of the sample after its last."""
        return self.start + self.samples.size


def cut(
    blocks: Iterable[Samples],
    find_speech: FindSpeech,
    *,
    longest: int,
    behind: Place = Place(),  # noqa: B008 - it is a tuple
) -> Iterator[Window]:
    """
    Cut a stream into windows of speech, at its pauses, behind a place.

    `find_speech` must not return stretches over `longest`; a window joins as many as it can hold.
    How the stream is cut into blocks makes no difference.
    """
    # So much that at least one window in it is complete: the next can neither join nor extend it.
    span = 2 * longest + _MAX_PAUSE
    start, held = behind.searched, np.empty(0, np.float32)
    waiting: list[Samples] = []
    for block in _behind(blocks, start):
        waiting.append(block)
        if held.size + sum(each.size for each in waiting) < span:
            continue
        held = np.concatenate([held, *waiting])
        waiting.clear()
        while held.size >= span:
            groups = _join(find_speech(held[:span]), longest)
            done = span - _CONTEXT
            if groups and groups[-1][-1][1] + _MAX_PAUSE > span:
                done = groups.pop()[0][0]
            yield from _windows(groups, held, start, behind.heard)
            start, held = start + done, held[done:]
    held = np.concatenate([held, *waiting])
    yield from _windows(_join(find_speech(held), longest), held, start, behind.heard)


def _behind(blocks: Iterable[Samples], start: int) -> Iterator[Samples]:
    """Leave out the first samples of a stream: to decode them is cheap beside hearing them."""
    for block in blocks:
        if start < block.size:
            yield block[start:]
        start = max(0, start - block.size)


def _join(stretches: Iterable[Stretch], longest: int) -> list[list[Stretch]]:
    groups: list[list[Stretch]] = []
    for first, end in stretches:
        if groups and end - groups[-1][0][0] <= longest and first - groups[-1][-1][1] <= _MAX_PAUSE:
            groups[-1].append((first, end))
        else:
            groups.append([(first, end)])
    return groups


def _windows(
    groups: Iterable[list[Stretch]], held: Samples, start: int, heard: int
) -> Iterator[Window]:
    for group in groups:
        first, end = group[0][0], group[-1][1]
        if start + first >= heard:
            speech = tuple((start + each, start + its_end) for each, its_end in group)
            yield Window(start + first, held[first:end], speech, start)


def merged(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Make one of stretches that touch; they come in order."""
    held: Stretch | None = None
    for start, end in stretches:
        if held is not None and start > held[1]:
            yield held
            held = None
        held = (start, end) if held is None else (held[0], max(held[1], end))
    if held is not None:
        yield held
