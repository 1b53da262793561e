"""The kernels put together as a meter, without a file."""

from collections.abc import Sequence

import numpy as np

from services.analyzer.dsp import gating, loudness_range
from services.analyzer.dsp.kweighting import KWeighting
from services.analyzer.dsp.true_peak import Interpolator, TruePeak, kaiser_sinc
from tests.signals import Samples

STEREO = ("FL", "FR")


class Meter:
    """Loudness readings in LUFS and LU; `sizes`: cut the signal into blocks, over and over."""

    def __init__(
        self,
        samples: Samples,
        rate: int = 48_000,
        names: Sequence[str] = STEREO,
        sizes: Sequence[int] = (1 << 30,),
    ) -> None:
        kweighting = KWeighting(rate, len(samples))
        energies = [kweighting.feed(block) for block in cut(samples, sizes)]
        self.steps = gating.channel_weights(names) @ np.concatenate(energies, axis=1)
        self.rate = rate
        self.samples = samples

    @property
    def integrated(self) -> float:
        blocks = gating.window_powers(self.steps, self.rate, gating.MOMENTARY_STEPS, 10)
        return number(gating.integrated(blocks)[0])

    @property
    def momentary(self) -> float:
        return number(gating.maximum(self.steps, self.rate, gating.MOMENTARY_STEPS))

    @property
    def short_term(self) -> float:
        return number(gating.maximum(self.steps, self.rate, gating.SHORT_TERM_STEPS))

    @property
    def momentary_least(self) -> float:
        return self._least(gating.MOMENTARY_STEPS)

    @property
    def short_term_least(self) -> float:
        return self._least(gating.SHORT_TERM_STEPS)

    def _least(self, steps: int) -> float:
        powers = gating.window_powers(self.steps, self.rate, steps, hop=1)
        return number(gating.lufs(float(powers.min())))

    @property
    def true_peak(self) -> float:
        return true_peak_dbtp(self.samples)

    @property
    def range_lu(self) -> float:
        windows = gating.window_powers(self.steps, self.rate, gating.SHORT_TERM_STEPS, 10)
        return number(loudness_range.loudness_range(windows))


def true_peak_dbtp(
    samples: Samples,
    interpolator: Interpolator | None = None,
    sizes: Sequence[int] = (1 << 30,),
) -> float:
    meter = TruePeak(interpolator or kaiser_sinc(), len(samples))
    for block in cut(samples, sizes):
        meter.feed(block)
    return float(20.0 * np.log10(meter.finish().max()))


def cut(samples: Samples, sizes: Sequence[int]) -> list[Samples]:
    blocks: list[Samples] = []
    at = 0
    while at < samples.shape[1]:
        size = sizes[len(blocks) % len(sizes)]
        blocks.append(samples[:, at : at + size])
        at += size
    return blocks


def number(level: float | None) -> float:
    assert level is not None
    return level
