"""
Log-mel features as faster-whisper makes them, in two steps, so that sounds can be mixed in between.

Powers of sounds that have nothing to do with each other add up, nearly; that is a hundred times
cheaper than to mix samples and to transform what comes out.
"""

from typing import Final

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray
from scipy.fft import rfft

Frames = NDArray[np.float32]
"""A row of `BANDS` for each hundredth of a second."""

RATE_HZ: Final = 16_000
FRAMES_PER_S: Final = 100
BANDS: Final = 80
FLOOR: Final = np.float32(1e-10)

_HOP: Final = RATE_HZ // FRAMES_PER_S
_WINDOW: Final = np.hanning(401)[:-1].astype(np.float32)
_FILTERS: Final = FeatureExtractor.get_mel_filters(RATE_HZ, 400, BANDS).astype(np.float32).T


def frames(seconds: float) -> int:
    """Return how many frames so many seconds have."""
    return round(seconds * FRAMES_PER_S)


def power(samples: NDArray[np.float32]) -> Frames:
    """Return the power in each mel band, with silence before and after the samples."""
    padded = np.pad(samples.astype(np.float32), 200)
    count = 1 + samples.size // _HOP
    strides = (_HOP * padded.strides[0], padded.strides[0])
    spectrum = rfft(np.lib.stride_tricks.as_strided(padded, (count, 400), strides) * _WINDOW)
    found: Frames = (spectrum.real**2 + spectrum.imag**2) @ _FILTERS
    return found


def features(mel_power: Frames) -> Frames:
    """Return what the model hears: logarithms of no less than 80 dB below the loudest."""
    logarithm = np.log10(np.maximum(mel_power, FLOOR))
    clipped: Frames = (np.maximum(logarithm, logarithm.max() - 8.0) + 4.0) / 4.0
    return clipped
