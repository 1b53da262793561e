"""A speech model with random weights, in the shape of the large ones: 128 mel bands."""

import shutil
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from ctranslate2.converters.utils import fuse_linear
from ctranslate2.specs import common_spec, whisper_spec
from numpy.typing import NDArray

from tests.processes import ROOT

DEMO: Final = ROOT / "services/transcriber/demo_model"

_MEL_BANDS: Final = 128
_WIDTH: Final = 64
_LAYERS: Final = 2
_HEADS: Final = 4
_POSITIONS: Final = 1500, 448  # the encoder's and the decoder's

Array = NDArray[np.float32]


class _Random:
    """Fills the layers of a specification."""

    def __init__(self) -> None:
        self._numbers = np.random.default_rng(0)

    def weights(self, *shape: int) -> Array:
        return self._numbers.normal(scale=0.05, size=shape).astype(np.float32)

    def linear(self, spec: Any, outputs: int = _WIDTH, inputs: int = _WIDTH) -> Any:
        spec.weight, spec.bias = self.weights(outputs, inputs), self.weights(outputs)
        return spec

    def norm(self, spec: Any) -> None:
        spec.gamma, spec.beta = np.ones(_WIDTH, np.float32), np.zeros(_WIDTH, np.float32)

    def attention(self, spec: Any, *, fused: tuple[int, ...]) -> None:
        for linear, parts in zip(spec.linear, fused, strict=False):
            fuse_linear(linear, [self.linear(common_spec.LinearSpec()) for _ in range(parts)])
        self.linear(spec.linear[-1])
        self.norm(spec.layer_norm)

    def half(self, spec: Any, positions: int) -> None:
        spec.position_encodings.encodings = self.weights(positions, _WIDTH)
        self.norm(spec.layer_norm)
        for layer in spec.layer:
            self.attention(layer.self_attention, fused=(3,))
            if hasattr(layer, "attention"):
                self.attention(layer.attention, fused=(1, 2))
            self.linear(layer.ffn.linear_0, outputs=4 * _WIDTH)
            self.linear(layer.ffn.linear_1, inputs=4 * _WIDTH)
            self.norm(layer.ffn.layer_norm)


def write_128_mel_bands(directory: Path) -> None:
    """Write a model that loads and runs, and says nothing sensible. Its words are the demo's."""
    random = _Random()
    words = msgspec.json.decode((DEMO / "vocabulary.json").read_bytes(), type=list[str])
    model = whisper_spec.WhisperSpec(_LAYERS, _HEADS, _LAYERS, _HEADS)
    for convolution, inputs in ((model.encoder.conv1, _MEL_BANDS), (model.encoder.conv2, _WIDTH)):
        convolution.weight = random.weights(_WIDTH, inputs, 3)
        convolution.bias = random.weights(_WIDTH)
    random.half(model.encoder, _POSITIONS[0])
    random.half(model.decoder, _POSITIONS[1])
    model.decoder.embeddings.weight = random.weights(len(words), _WIDTH)
    model.decoder.projection.weight = model.decoder.embeddings.weight
    model.register_vocabulary(words)
    model.validate()
    model.optimize(quantization="int8")
    directory.mkdir()
    model.save(str(directory))
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(DEMO / name, directory)
    (directory / "preprocessor_config.json").write_bytes(
        msgspec.json.encode({"feature_size": _MEL_BANDS})
    )
