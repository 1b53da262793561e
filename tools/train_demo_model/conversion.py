"""
The trained weights as a model directory of faster-whisper.

They are put straight into CTranslate2's specification of a Whisper. Its converters start from
another framework's model, and leave out what of config.json only that would have told them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from ctranslate2.converters.utils import fuse_linear
from ctranslate2.specs.common_spec import LinearSpec
from ctranslate2.specs.whisper_spec import WhisperSpec
from numpy.typing import NDArray

from tools.train_demo_model.tokenizer import Tokens

Weights = Mapping[str, NDArray[np.float32]]

QUANTIZATION: Final = "int8_float16"
"""Of the file; what is computed with is the loader's choice."""

_PREPROCESSOR: Final = {
    "chunk_length": 30,
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 80,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
    "padding_value": 0.0,
    "processor_class": "WhisperProcessor",
    "return_attention_mask": False,
    "sampling_rate": 16_000,
}


def convert(weights: Weights, heads: int, directory: Path) -> None:
    """Write the directory's five files; others in it stay as they are."""
    tokens = Tokens()
    layers = {side: _layers(weights, side) for side in ("encoder", "decoder")}
    spec = WhisperSpec(layers["encoder"], heads, layers["decoder"], heads)
    _encoder(spec.encoder, weights)
    _decoder(spec.decoder, weights)
    spec.register_vocabulary(tokens.vocabulary)
    spec.validate()
    spec.optimize(quantization=QUANTIZATION)
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))
    tokens.tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        # The heads that were taught to look at the word that comes next.
        "alignment_heads": [[layers["decoder"] - 1, head] for head in (0, 1)],
        "lang_ids": sorted(tokens.languages.values()),
        "suppress_ids": [],
        "suppress_ids_begin": [tokens.space, tokens.end],
    }
    for name, content in (("config", config), ("preprocessor_config", _PREPROCESSOR)):
        text = msgspec.json.format(msgspec.json.encode(content), indent=1)
        (directory / f"{name}.json").write_bytes(text + b"\n")


def _layers(weights: Weights, side: str) -> int:
    return sum(name.startswith(side) and name.endswith("self.norm.gain") for name in weights)


def _encoder(spec: Any, weights: Weights) -> None:
    for name in ("conv1", "conv2"):
        getattr(spec, name).weight = weights[f"encoder.{name}.weight"]
        getattr(spec, name).bias = weights[f"encoder.{name}.bias"]
    spec.position_encodings.encodings = weights["encoder.positions"]
    _norm(spec.layer_norm, weights, "encoder.norm")
    for number, layer in enumerate(spec.layer):
        _attention(layer.self_attention, weights, f"encoder.{number}.self", splits=3)
        _forward(layer.ffn, weights, f"encoder.{number}.forward")


def _decoder(spec: Any, weights: Weights) -> None:
    spec.embeddings.weight = weights["decoder.read"]
    spec.projection.weight = weights["decoder.write"]
    spec.position_encodings.encodings = weights["decoder.positions"]
    _norm(spec.layer_norm, weights, "decoder.norm")
    for number, layer in enumerate(spec.layer):
        _attention(layer.self_attention, weights, f"decoder.{number}.self", splits=3)
        _attention(layer.attention, weights, f"decoder.{number}.cross", splits=1)
        _forward(layer.ffn, weights, f"decoder.{number}.forward")


def _attention(spec: Any, weights: Weights, name: str, *, splits: int) -> None:
    """CTranslate2 wants query, key and value in one, or the query and the others in one."""
    _norm(spec.layer_norm, weights, f"{name}.norm")
    parts = [_linear(LinearSpec(), weights, f"{name}.{part}") for part in ("query", "key", "value")]
    fuse_linear(spec.linear[0], parts[:splits])
    if parts[splits:]:
        fuse_linear(spec.linear[1], parts[splits:])
    _linear(spec.linear[-1], weights, f"{name}.out")


def _forward(spec: Any, weights: Weights, name: str) -> None:
    _norm(spec.layer_norm, weights, f"{name}.norm")
    _linear(spec.linear_0, weights, f"{name}.inner")
    _linear(spec.linear_1, weights, f"{name}.outer")


def _linear(spec: Any, weights: Weights, name: str) -> Any:
    spec.weight = weights[f"{name}.weight"]
    spec.bias = weights.get(f"{name}.bias", np.zeros(len(spec.weight), np.float32))
    return spec


def _norm(spec: Any, weights: Weights, name: str) -> None:
    spec.gamma, spec.beta = weights[f"{name}.gain"], weights[f"{name}.bias"]
