"""
The training itself: an hour and a half on one core, and it goes on from where it was stopped.

Each step draws its examples from a seed of its own, so that a training that was stopped learns the
same as one that was not.
"""

import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import structlog
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from tools.train_demo_model import mel, network
from tools.train_demo_model.bank import LONGEST, Bank
from tools.train_demo_model.examples import (
    IGNORED,
    Composer,
    Example,
    frame_classes,
)
from tools.train_demo_model.network import Shape, Weights
from tools.train_demo_model.tokenizer import TIMES, Tokens
from tools.train_demo_model.words import WORDS

log = structlog.get_logger()

_RATE: Final = 2e-3
_WARM_UP: Final = 100
_COOL_DOWN: Final = 2800
"""Steps in which the learning rate falls to nothing."""

_FINISHING: Final = 400
"""Steps after these, in which it falls again, from a quarter."""

_SAVE_EVERY_S: Final = 120.0
_TELL_EVERY: Final = 100
_TIME_WEIGHT: Final = 0.5
_EDGE: Final = 20  # positions of padding that are themselves: what is near them looks at them


class Kind(NamedTuple):
    """Of batches: how many examples, of how many frames at the most."""

    examples: int
    frames: tuple[int, int]
    sliced: float
    """The share of them that stand for the middle of a window."""


_SHORT: Final = Kind(16, (250, 550), 0.4)
_MEDIUM: Final = Kind(8, (700, 1050), 0.4)
_LONG: Final = Kind(3, (1500, 3000), 0.0)
_KINDS: Final = (_SHORT, _MEDIUM, _LONG)


def _kind(step: int, random: Generator) -> Kind:
    """More and more of the sounds are long."""
    if step < 600:
        return _SHORT
    longs = 0.12 if step < 1170 else 0.35
    return _KINDS[int(random.choice(3, p=(0.75 - longs, 0.25, longs)))]


class Batch(NamedTuple):
    """Examples side by side."""

    mel: Tensor
    first: Tensor
    context: Tensor
    tokens: Tensor
    targets: Tensor
    words: Tensor
    numbers: Tensor
    current: Tensor
    next: Tensor


class Losses(NamedTuple):
    """What is to become small; `right` is the share of the words that are right already."""

    text: Tensor
    words: Tensor
    numbers: Tensor
    looks: Tensor
    right: Tensor


def collate(examples: list[Example]) -> Batch:
    """Put examples side by side, the shorter ones with the padding that they have anyway."""
    frames = max(len(example.sound.features) for example in examples)
    frames += frames % 2
    positions = frames // 2
    written = max(len(example.tokens) for example in examples)
    many = len(examples)
    mels = np.zeros((many, mel.BANDS, frames + 2 * _EDGE), np.float32)
    tokens = np.zeros((many, written), np.int64)
    targets = np.full((many, written), IGNORED)
    words = np.zeros((many, positions), np.int64)
    numbers = np.full((many, positions), IGNORED)
    spans = np.zeros((2, many, written, 2), np.int64)
    for row, example in enumerate(examples):
        mels[row, :, : len(example.sound.features)] = example.sound.features.T
        tokens[row, : len(example.tokens)] = example.tokens
        targets[row, : len(example.targets)] = example.targets
        words[row], numbers[row] = frame_classes(example.sound, positions)
        spans[0, row, : len(example.tokens)] = example.current
        spans[1, row, : len(example.tokens)] = example.next
    return Batch(
        torch.from_numpy(mels),
        torch.tensor([example.sound.first_frame // 2 for example in examples]),
        torch.tensor([example.context // 2 for example in examples]),
        torch.from_numpy(tokens),
        torch.from_numpy(targets),
        torch.from_numpy(words),
        torch.from_numpy(numbers),
        torch.from_numpy(spans[0]),
        torch.from_numpy(spans[1]),
    )


def losses(weights: Weights, batch: Batch, tokens: Tokens, shift: float) -> Losses:
    """Measure how far the weights are from saying what they should."""
    heard = network.encode(weights, batch.mel, batch.first, batch.context, shift)
    states, looks = network.decode(weights, batch.tokens, heard)
    asked = batch.targets != IGNORED
    wanted = batch.targets[asked]
    said = states[asked] @ network.vocabulary(weights, "write").T
    weight = torch.where(wanted >= tokens.first_time, _TIME_WEIGHT, 1.0)
    text = (cross_entropy(said, wanted, reduction="none") * weight).sum() / weight.sum()
    spoken = wanted < tokens.end
    right = (said.argmax(-1) == wanted)[spoken].float().mean() if spoken.any() else text * 0 + 1
    within = batch.words.shape[1]
    word = network.helper(weights, "word", heard)[:, :within]
    words = cross_entropy(word.flatten(0, 1), batch.words.flatten(), ignore_index=IGNORED)
    number = network.helper(weights, "number", heard)[:, :within]
    numbers = text * 0
    if (batch.numbers != IGNORED).any():
        numbers = cross_entropy(number.flatten(0, 1), batch.numbers.flatten(), ignore_index=IGNORED)
    return Losses(
        text,
        words,
        numbers,
        _astray(looks[0], batch.current) + _astray(looks[1], batch.next),
        right,
    )


def _astray(look: Tensor, spans: Tensor) -> Tensor:
    """Return how little of the looks is within their spans, as a mean surprise."""
    asked = spans[..., 1] > 0
    if not asked.any():
        return look.sum() * 0
    look, spans = look[asked], spans[asked]
    position = torch.arange(look.shape[-1])
    within = (position >= spans[:, :1]) & (position < spans[:, 1:])
    return -torch.log((look * within).sum(-1) + 1e-4).mean()


class Training:
    """Weights, what the optimizers remember, and how many steps were taken."""

    def __init__(self, bank: Bank, directory: Path, *, steps: int, seed: int) -> None:
        torch.set_num_threads(1)
        self._bank = bank
        self._file = directory / "training.pt"
        self._steps = steps
        self._seed = seed
        self._tokens = Tokens()
        shape = Shape(
            tokens=self._tokens.first_time, times=TIMES, words=len(WORDS) + 1, numbers=LONGEST
        )
        self.weights = network.initial(shape, seed)
        for weight in self.weights.values():
            weight.requires_grad_()
        self._optimizers = _optimizers(self.weights)
        self.step = 0
        if self._file.exists():
            self._restore(torch.load(self._file))

    def run(self) -> Weights:
        """Take the steps that are left."""
        saved = time.monotonic()
        told: list[list[float]] = []
        while self.step < self._steps:
            told.append(self._take())
            self.step += 1
            if self.step % _TELL_EVERY == 0:
                means = np.nanmean(told, axis=0)
                told.clear()
                log.info(
                    "trained",
                    step=self.step,
                    text=round(float(means[0]), 3),
                    words=round(float(means[1]), 3),
                    numbers=round(float(means[2]), 3),
                    looks=round(float(means[3]), 3),
                    right=round(float(means[4]), 3),
                    seconds=round(time.process_time()),
                )
            if time.monotonic() - saved > _SAVE_EVERY_S or self.step == self._steps:
                self._save()
                saved = time.monotonic()
        return {name: weight.detach() for name, weight in self.weights.items()}

    def _take(self) -> list[float]:
        random = np.random.default_rng([self._seed, self.step])
        finishing = self.step >= self._steps - _FINISHING
        composer = Composer(self._bank, self._tokens, random, finishing=finishing)
        kind = _kind(self.step, random)
        frames = int(random.integers(*kind.frames))
        sliced = random.random(kind.examples) < kind.sliced
        batch = collate([composer.example(frames, sliced=bool(each)) for each in sliced])
        found = losses(self.weights, batch, self._tokens, float(random.random()))
        helping = max(0.2, 1.0 - self.step / 6000)
        looking = 0.3 if finishing else 0.3 * helping
        total = found.text + helping * (found.words + 0.3 * found.numbers) + looking * found.looks
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = _rate(self.step, self._steps)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        return [float(each.detach()) for each in found]

    def _save(self) -> None:
        state = {
            "step": self.step,
            "weights": {name: weight.detach() for name, weight in self.weights.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        new = self._file.with_suffix(".new")
        torch.save(state, new)
        new.replace(self._file)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        for name, weight in self.weights.items():
            weight.data.copy_(state["weights"][name])
        for optimizer, remembered in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(remembered)


def _rate(step: int, steps: int) -> float:
    left = steps - _FINISHING - step
    if left <= 0:
        return _RATE / 4 * (steps - step) / _FINISHING
    return _RATE * min(1.0, (step + 1) / _WARM_UP, left / _COOL_DOWN)


def _optimizers(weights: Weights) -> list[torch.optim.Optimizer]:
    """Muon for the matrices within the layers, AdamW for what is at the ends and for vectors."""
    inner = {
        name: weight
        for name, weight in weights.items()
        if weight.ndim == 2 and name.startswith(("encoder", "decoder"))
    }
    outer = [weight for name, weight in weights.items() if name not in inner]
    return [
        torch.optim.Muon(
            inner.values(), lr=_RATE, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(outer, lr=_RATE, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
