"""
Down-mixing and up-mixing by ITU-R BS.775-4.

A channel that the target has too stays there. One that it lacks goes to those that stand in for
it, with the coefficients of annex 4; a low-frequency channel is left out, as that annex does. Where
the coefficients of an output come to more than 1, all are scaled down alike, so that nothing clips.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LAYOUTS: Final = ("", "mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""FFmpeg's layout of so many channels, in which an output is written."""

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "mono": ("FC",),
    "stereo": ("FL", "FR"),
    "3.0": ("FL", "FR", "FC"),
    "quad": ("FL", "FR", "BL", "BR"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "6.1": ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}

_3_DB: Final = 0.5**0.5  # BS.775-4 prints 0.7071
_6_DB: Final = 0.5

_Shares = Mapping[str, float]
_STAND_INS: Final[dict[str, tuple[_Shares, ...]]] = {
    "FC": ({"FL": _3_DB, "FR": _3_DB},),
    "FL": ({"FC": _3_DB},),
    "FR": ({"FC": _3_DB},),
    "FLC": ({"FL": 1.0}, {"FC": _3_DB}),
    "FRC": ({"FR": 1.0}, {"FC": _3_DB}),
    "SL": ({"BL": 1.0}, {"FL": _3_DB}, {"FC": _6_DB}),
    "SR": ({"BR": 1.0}, {"FR": _3_DB}, {"FC": _6_DB}),
    "BL": ({"SL": 1.0}, {"FL": _3_DB}, {"FC": _6_DB}),
    "BR": ({"SR": 1.0}, {"FR": _3_DB}, {"FC": _6_DB}),
    "BC": (
        {"BL": _3_DB, "BR": _3_DB},
        {"SL": _3_DB, "SR": _3_DB},
        {"FL": _6_DB, "FR": _6_DB},
        {"FC": _3_DB},
    ),
    "LFE": ({},),
    "LFE2": ({},),
}
"""For each channel what stands in for it, the best first."""

_UNKNOWN: Final = ({"FL": _6_DB, "FR": _6_DB}, {"FC": _3_DB})  # a channel overhead, or a new one


def matrix(source: Sequence[str], channels: int) -> NDArray[np.float32] | None:
    """
    Return what mixes channels of these names (FFmpeg's) down or up, shaped (outputs, inputs).

    None when there is nothing to mix: as many channels, in the places of the target's or in ones
    that only have other names.
    """
    target = _NAMES[LAYOUTS[channels]]
    mix = np.zeros((len(target), len(source)))
    for column, name in enumerate(source):
        for output, share in _shares(name, target).items():
            mix[target.index(output), column] = share
    mix /= max(1.0, mix.sum(axis=1).max())
    if mix.shape[0] == mix.shape[1] and np.array_equal(mix, np.eye(len(mix))):
        return None
    return mix.astype(np.float32)


def _shares(name: str, target: Sequence[str]) -> _Shares:
    if name in target:
        return {name: 1.0}
    for shares in _STAND_INS.get(name, _UNKNOWN):
        if shares.keys() <= set(target):
            return shares
    return {}
