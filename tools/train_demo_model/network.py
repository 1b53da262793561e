"""
Whisper's network at a hundredth of its size, as functions of named weights.

A window is mostly padding, and all padding sounds alike. So a few positions stand for all of it,
each with the logarithm of how many it stands for added where it is attended to: what comes out is
nearly the same, for a tenth of the time.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import (
    conv1d,
    gelu,
    layer_norm,
    linear,
    scaled_dot_product_attention,
)

WIDTH: Final = 128
INNER: Final = 384
HEADS: Final = 4
ENCODER_LAYERS: Final = 3
DECODER_LAYERS: Final = 2
BANDS: Final = 80
POSITIONS: Final = 1500
TEXT_POSITIONS: Final = 448
STAND_INS: Final = 16

_HEAD: Final = WIDTH // HEADS

Weights = dict[str, Tensor]


class Shape(NamedTuple):
    """How many tokens there are before the times, and times; frame classes and word numbers."""

    tokens: int
    times: int
    words: int
    numbers: int


class Heard(NamedTuple):
    """What the encoder made of a batch. `bias` is to be added where a position is attended to."""

    states: Tensor
    bias: Tensor


def sinusoids(count: int) -> Tensor:
    """Return Whisper's position encodings."""
    half = WIDTH // 2
    rates = torch.exp(-math.log(10_000.0) / (half - 1) * torch.arange(half))
    phases = torch.arange(count)[:, None] * rates
    return torch.cat([phases.sin(), phases.cos()], dim=1)


def initial(shape: Shape, seed: int) -> Weights:
    """Draw the weights to start from."""
    draw = _Draw(seed)
    draw.kernel("encoder.conv1", WIDTH, BANDS)
    draw.kernel("encoder.conv2", WIDTH, WIDTH)
    for layer in range(ENCODER_LAYERS):
        draw.attention(f"encoder.{layer}.self")
        draw.forward(f"encoder.{layer}.forward")
    draw.norm("encoder.norm")
    for layer in range(DECODER_LAYERS):
        draw.attention(f"decoder.{layer}.self")
        draw.attention(f"decoder.{layer}.cross")
        draw.forward(f"decoder.{layer}.forward")
    draw.norm("decoder.norm")
    # A time is where it is in the sound: its token is made of that position's encoding.
    for side in ("read", "write"):
        draw.matrix(f"tokens.{side}", shape.tokens, WIDTH)
        draw.matrix(f"times.{side}", WIDTH, WIDTH)
        draw.weights[f"times.{side}.tenths"] = torch.zeros(WIDTH)
    draw.weights["times.read.weight"] *= 0.3
    draw.weights["times.write.weight"] *= 0.1
    draw.weights["text_positions.weight"] = 0.3 * torch.eye(WIDTH)
    draw.dense("helpers.word", shape.words, WIDTH)
    draw.dense("helpers.number", shape.numbers, WIDTH)
    for layer, offsets in enumerate(((-6, -2, 2, 6), (-14, -5, 5, 14))):
        _look_at(draw.weights, f"encoder.{layer}.self", offsets)
    return draw.weights


class _Draw:
    """Draws weights of every kind, one after the other."""

    def __init__(self, seed: int) -> None:
        self.weights: Weights = {}
        self._random = torch.Generator().manual_seed(seed)

    def matrix(self, name: str, outputs: int, *inputs: int, gain: float = 1.0) -> None:
        scale = gain * math.prod(inputs) ** -0.5
        drawn = torch.randn(outputs, *inputs, generator=self._random)
        self.weights[f"{name}.weight"] = drawn * scale

    def dense(self, name: str, outputs: int, inputs: int, *, gain: float = 1.0) -> None:
        self.matrix(name, outputs, inputs, gain=gain)
        self.weights[f"{name}.bias"] = torch.zeros(outputs)

    def kernel(self, name: str, outputs: int, inputs: int) -> None:
        self.matrix(name, outputs, inputs, 3)
        self.weights[f"{name}.bias"] = torch.zeros(outputs)

    def norm(self, name: str) -> None:
        self.weights[f"{name}.gain"] = torch.ones(WIDTH)
        self.weights[f"{name}.bias"] = torch.zeros(WIDTH)

    def attention(self, name: str) -> None:
        self.norm(f"{name}.norm")
        self.dense(f"{name}.query", WIDTH, WIDTH)
        self.matrix(f"{name}.key", WIDTH, WIDTH)
        self.dense(f"{name}.value", WIDTH, WIDTH)
        self.dense(f"{name}.out", WIDTH, WIDTH, gain=0.5)

    def forward(self, name: str) -> None:
        self.norm(f"{name}.norm")
        self.dense(f"{name}.inner", INNER, WIDTH)
        self.dense(f"{name}.outer", WIDTH, INNER, gain=0.5)


def _look_at(weights: Weights, name: str, offsets: tuple[int, ...]) -> None:
    """
    Let each head start by looking so many positions further on, as a convolution would.

    sin(a)·sin(b) + cos(a)·cos(b) = cos(a - b): with a sinusoid's two halves in query and key, and
    the query's turned by an offset, attention peaks there, at all positions alike.
    """
    query, key = weights[f"{name}.query.weight"], weights[f"{name}.key.weight"]
    query *= 0.3
    key *= 0.3
    half = WIDTH // 2
    for head, offset in enumerate(offsets):
        for pair in range(_HEAD // 2):
            sine, cosine = 2 * pair, half + 2 * pair
            row = head * _HEAD + 2 * pair
            turn = offset * math.exp(-math.log(10_000.0) / (half - 1) * sine)
            key[row, sine] += 1.8
            key[row + 1, cosine] += 1.8
            query[row, sine] += 1.8 * math.cos(turn)
            query[row, cosine] += 1.8 * math.sin(turn)
            query[row + 1, cosine] += 1.8 * math.cos(turn)
            query[row + 1, sine] -= 1.8 * math.sin(turn)


def encode(weights: Weights, mel: Tensor, first: Tensor, context: Tensor, shift: float) -> Heard:
    """
    Hear a batch of sounds, (batch, bands, frames), that start at a position, within a context.

    There are zeros after the end of each of them, for four frames at the least.
    `shift`, 0 to 1, moves the positions that stand for the padding.
    """
    sound = _convolved(weights, mel)
    count = sound.shape[1] - 2  # what is at the right edge misses its neighbour
    padding = sound[:, count - 1 : count].expand(-1, STAND_INS, -1)
    ends = first + count
    rest = (context - ends).clamp(min=0)
    steps = (torch.arange(STAND_INS) + shift) / STAND_INS
    there = torch.cat(
        [
            first[:, None] + torch.arange(count),
            (ends[:, None] + rest[:, None] * steps).long(),
        ],
        dim=1,
    )
    bias = torch.zeros(there.shape)
    bias[:, count:] = torch.log(rest[:, None] / STAND_INS)  # -inf for none
    bias[:, :count].masked_fill_(there[:, :count] >= context[:, None], -math.inf)
    states = torch.cat([sound[:, :count], padding], dim=1)
    states = states + _ENCODER_POSITIONS[there.clamp(max=POSITIONS - 1)]
    bias = bias[:, None, None]
    for layer in range(ENCODER_LAYERS):
        name = f"encoder.{layer}"
        states = states + _attend(weights, f"{name}.self", states, None, bias)
        states = states + _forward(weights, f"{name}.forward", states)
    return Heard(_norm(weights, "encoder.norm", states), bias)


def decode(weights: Weights, tokens: Tensor, heard: Heard) -> tuple[Tensor, list[Tensor]]:
    """Return the states to say the next tokens from, and where each layer's first heads looked."""
    read = vocabulary(weights, "read")
    states = read[tokens] + text_positions(weights)[: tokens.shape[1]]
    looks = []
    for layer in range(DECODER_LAYERS):
        name = f"decoder.{layer}"
        states = states + _attend(weights, f"{name}.self", states, None, None)
        found, look = _look(weights, f"{name}.cross", states, heard)
        states = states + found
        states = states + _forward(weights, f"{name}.forward", states)
        looks.append(look)
    return _norm(weights, "decoder.norm", states), looks


def helper(weights: Weights, name: str, heard: Heard) -> Tensor:
    """Return what a helper thinks of each position; it is not part of the finished model."""
    return _dense(weights, f"helpers.{name}", heard.states)


def vocabulary(weights: Weights, side: str) -> Tensor:
    """Return the vectors of all tokens, to "read" or to "write" them."""
    times = linear(_ENCODER_POSITIONS_AND_END, weights[f"times.{side}.weight"])
    tenths = torch.zeros(len(times), 1)
    tenths[::5] = 1.0
    times = times + tenths * weights[f"times.{side}.tenths"]
    return torch.cat([weights[f"tokens.{side}.weight"], times])


def text_positions(weights: Weights) -> Tensor:
    """Return the encodings of the positions in the text."""
    return linear(_ENCODER_POSITIONS[:TEXT_POSITIONS], weights["text_positions.weight"])


_ENCODER_POSITIONS: Final = sinusoids(POSITIONS)
_ENCODER_POSITIONS_AND_END: Final = sinusoids(POSITIONS + 1)


def finished(weights: Weights) -> dict[str, NDArray[np.float32]]:
    """Return the weights as they are needed to hear with, by Whisper's parts."""
    tables = {
        "encoder.positions": _ENCODER_POSITIONS,
        "decoder.positions": text_positions(weights),
        "decoder.read": vocabulary(weights, "read"),
        "decoder.write": vocabulary(weights, "write"),
    }
    layers = {name: weight for name, weight in weights.items() if name.startswith(("enc", "dec"))}
    return {name: weight.detach().numpy() for name, weight in (layers | tables).items()}


def _convolved(weights: Weights, mel: Tensor) -> Tensor:
    for name, stride in (("encoder.conv1", 1), ("encoder.conv2", 2)):
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        mel = gelu(conv1d(mel, kernel, bias, stride=stride, padding=1))
    return mel.transpose(1, 2)


def _norm(weights: Weights, name: str, states: Tensor) -> Tensor:
    return layer_norm(states, (WIDTH,), weights[f"{name}.gain"], weights[f"{name}.bias"])


def _dense(weights: Weights, name: str, states: Tensor) -> Tensor:
    return linear(states, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def _forward(weights: Weights, name: str, states: Tensor) -> Tensor:
    states = _norm(weights, f"{name}.norm", states)
    return _dense(weights, f"{name}.outer", gelu(_dense(weights, f"{name}.inner", states)))


def _heads(states: Tensor) -> Tensor:
    return states.unflatten(-1, (HEADS, _HEAD)).transpose(1, 2)


def _projected(
    weights: Weights, name: str, states: Tensor, others: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    states = _norm(weights, f"{name}.norm", states)
    others = states if others is None else others
    query = _heads(_dense(weights, f"{name}.query", states))
    key = _heads(_dense(weights, f"{name}.key", others))
    return query, key, _heads(_dense(weights, f"{name}.value", others))


def _attend(
    weights: Weights, name: str, states: Tensor, others: Tensor | None, bias: Tensor | None
) -> Tensor:
    """Attend to others, with a bias, or to oneself up to now."""
    query, key, value = _projected(weights, name, states, others)
    found = scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=bias is None)
    return _dense(weights, f"{name}.out", found.transpose(1, 2).flatten(2))


def _look(weights: Weights, name: str, states: Tensor, heard: Heard) -> tuple[Tensor, Tensor]:
    query, key, value = _projected(weights, name, states, heard.states)
    shares = (query @ key.transpose(2, 3) * _HEAD**-0.5 + heard.bias).softmax(-1)
    found = (shares @ value).transpose(1, 2).flatten(2)
    return _dense(weights, f"{name}.out", found), shares[:, :2].mean(1)
