"""
The cases that meters are held to, as signals made in code.

`exact` is what the standards show for the signal word by word, in float64 at 48 kHz (a tone of
1 kHz in phase at -23 dBFS reads -22.9933, not -23); the published tolerances are wider. At another
rate it moves with the gain of the K-weighting there. docs/conformance.md is made of this list.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from tests.dsp import reference
from tests.signals import Samples, faded_sine, sine, tones

RATES: Final = (44_100, 48_000, 96_000, 192_000)

TECH_3341: Final = "EBU Tech 3341 (2023), table 1"
TECH_3342: Final = "EBU Tech 3342 (2023), table 1"
BS_1770: Final = "ITU-R BS.1770-5"
BS_2217: Final = "Tones and gates in the manner of ITU-R BS.2217"

STEREO: Final = ("FL", "FR")
SURROUND: Final = ("FL", "FR", "FC", "LFE", "BL", "BR")
SURROUND_7_1: Final = (*SURROUND, "SL", "SR")
SURROUND_5_1_2: Final = (*SURROUND, "TFL", "TFR")

Make = Callable[[int], Samples]


class Reading(NamedTuple):
    """
    One number that a meter shows of a signal.

    `name` is an attribute of `Meter`; `above` and `below` are how far it may be from `expected`.
    """

    name: str
    expected: float
    exact: float
    above: float = 0.1
    below: float = 0.1


class Case(NamedTuple):
    """A signal, and what is to be read of it; `hz` is the tone that it is made of."""

    standard: str
    number: str
    signal: str
    make: Make
    readings: tuple[Reading, ...]
    names: tuple[str, ...] = STEREO
    hz: float = 1_000.0


def _levels(
    number: str, parts: list[tuple[float, float | None]], *readings: Reading, signal: str
) -> Case:
    return Case(TECH_3341, number, signal, partial(tones, parts), readings)


def _tech_3341_loudness() -> Iterator[Case]:
    for number, dbfs in (("1", -23.0), ("2", -33.0)):
        exact = dbfs + 0.0067
        names = ("momentary", "short_term", "integrated")
        readings = (Reading(name, dbfs, exact) for name in names)
        yield _levels(number, [(20, dbfs)], *readings, signal=f"20 s at {dbfs:g}")
    integrated = partial(Reading, "integrated", -23.0)
    yield _levels(
        "3",
        [(10, -36), (60, -23), (10, -36)],
        integrated(-23.0139),
        signal="10 s at -36, 60 s at -23, 10 s at -36",
    )
    yield _levels(
        "4",
        [(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)],
        integrated(-23.0139),
        signal="as 3, between 10 s at -72",
    )
    yield _levels(
        "5",
        [(20, -26), (20.1, -20), (20, -26)],
        integrated(-22.9787),
        signal="20 s at -26, 20.1 s at -20, 20 s at -26",
    )
    surround = "5.0, 20 s: L and R at -28, C at -24, Ls and Rs at -30"
    yield Case(
        TECH_3341, "6", surround, _case_6, (integrated(-23.0163),), ("FL", "FR", "FC", "BL", "BR")
    )
    yield _levels(
        "9",
        [(1.34, -20), (1.66, -30)] * 5,
        Reading("short_term", -23.0, -22.9863),
        Reading("short_term_least", -23.0, -22.9863),
        signal="5 × (1.34 s at -20, 1.66 s at -30)",
    )
    yield _levels(
        "12",
        [(0.18, -20), (0.22, -30)] * 25,
        Reading("momentary", -23.0, -22.9604),
        Reading("momentary_least", -23.0, -22.9605),
        signal="25 × (0.18 s at -20, 0.22 s at -30)",
    )


def _case_6(rate: int) -> Samples:
    levels = (-28.0, -28.0, -24.0, -30.0, -30.0)
    return np.concatenate([sine(20.0, dbfs, rate, channels=1) for dbfs in levels])


def _tech_3341_at_any_phase() -> Iterator[Case]:
    for i in range(20):
        at = -38.0 + i
        short, brief = i * 0.15, i * 0.02
        yield _levels(
            "10",
            [(short, None), (3.0, -23.0), (1.0, None)],
            Reading("short_term", -23.0, -22.9933),
            signal="i · 0.15 s of silence, 3 s at -23, 1 s of silence",
        )
        yield _levels(
            "11",
            [(short, None), (3.0, at), (3.0 - short, None)],
            Reading("short_term", at, at + 0.0067),
            signal="i · 0.15 s of silence, 3 s at -38 + i, silence up to 6 s",
        )
        yield _levels(
            "13",
            [(brief, None), (0.4, -23.0), (1.0, None)],
            Reading("momentary", -23.0, -22.9936),
            signal="i · 0.02 s of silence, 0.4 s at -23, 1 s of silence",
        )
        yield _levels(
            "14",
            [(brief, None), (0.4, at), (0.4 - brief, None)],
            Reading("momentary", at, at + 0.0064),
            signal="i · 0.02 s of silence, 0.4 s at -38 + i, silence up to 0.8 s",
        )


def _tech_3341_true_peak() -> Iterator[Case]:
    rows = (
        ("15", 4, 0.50, 0.0),
        ("16", 4, 0.50, 45.0),
        ("17", 6, 0.50, 60.0),
        ("18", 8, 0.50, 67.5),
        ("19", 4, 1.41, 45.0),
    )
    for number, divisor, amplitude, degrees in rows:
        exact = float(20.0 * np.log10(amplitude))
        wave = partial(faded_sine, divisor=divisor, amplitude=amplitude, degrees=degrees)
        reading = Reading("true_peak", round(exact), exact, above=0.2, below=0.4)
        signal = f"1/{divisor} of the rate, amplitude {amplitude:g}, {degrees:g}°"
        yield Case(TECH_3341, number, signal, wave, (reading,))
    for offset in range(4):
        yield Case(
            TECH_3341,
            str(20 + offset),
            f"one period of 1 in a hum of 0.5, of 4 × the rate each fourth sample from {offset}",
            partial(_decimated_burst, offset=offset),
            (Reading("true_peak", 0.0, -0.0776, above=0.2, below=0.4),),
        )


def burst_at_four_times_the_rate() -> NDArray[np.float64]:
    """
    Make a hum of -6 dBFS with one period at full scale, under half of the rate to come.

    The maximum of all that is between its samples is -0.0776 dB. Of each fourth sample the same can
    be read, up to what an interpolator does to the band next to half of the rate, where the lowpass
    rolls off: one of 20 taps a phase reads -0.101, -0.048, -0.120, -0.048.
    """
    hum = 0.5 * np.sin(2.0 * np.pi * np.arange(24_000) / 24.0)
    burst = np.sin(2.0 * np.pi * np.arange(16) / 16.0)
    lowpass = scipy.signal.firwin(511, 0.25, window=("kaiser", 8.0))
    limited = np.convolve(np.concatenate((hum, burst, hum)), lowpass, "same")
    fade = np.minimum(1.0, np.arange(len(limited)) / 1_920.0)
    return np.asarray(limited * fade * fade[::-1])


def _decimated_burst(_rate: int, *, offset: int) -> Samples:
    return np.tile(burst_at_four_times_the_rate()[offset::4].astype(np.float32), (2, 1))


def _tech_3342() -> Iterator[Case]:
    rows = (
        ("1", (-20, -30), 10.0),
        ("2", (-20, -15), 5.0),
        ("3", (-40, -20), 20.0),
        ("4", (-50, -35, -20, -35, -50), 15.0),
    )
    for number, levels, expected in rows:
        make = partial(tones, [(20.0, float(dbfs)) for dbfs in levels])
        signal = "20 s each at " + ", ".join(map(str, levels))
        reading = Reading("range_lu", expected, expected, above=1.0, below=1.0)
        yield Case(TECH_3342, number, signal, make, (reading,))


def _bs_1770() -> Iterator[Case]:
    full_scale = partial(sine, 5.0, 0.0, hz=997.0, channels=1)
    reading = Reading("integrated", -3.01, -3.0103)
    yield Case(BS_1770, "0 dBFS", "997 Hz in C alone", full_scale, (reading,), ("FC",), hz=997.0)
    for names, places, layout in (
        (SURROUND, ("FL", "FR", "FC", "BL", "BR"), "5.1"),
        (SURROUND_7_1, ("BL", "BR", "SL", "SR"), "7.1"),
        (SURROUND_5_1_2, ("BL", "TFL", "TFR"), "5.1.2"),
    ):
        for place in places:
            beside = {"SL", "SR"} if "SL" in names else {"BL", "BR"}
            weight = 1.41 if place in beside else 1.0
            exact = -24.0 - 3.0036 + 10.0 * float(np.log10(weight))
            yield Case(
                BS_1770,
                f"{layout} {place}",
                f"a tone at -24 in {place}, weighed {weight:g}, and one at -6 in the LFE",
                partial(_in_one_channel, names=names, place=place),
                (Reading("integrated", round(exact, 1), exact),),
                names,
            )

    yield Case(
        BS_1770,
        "cut off",
        "silence that ends with two samples of 0.7",
        _cut_off,
        (Reading("true_peak", -1.0, -1.0006, above=0.2, below=0.4),),
    )


def _cut_off(rate: int) -> Samples:
    samples = np.zeros((2, rate // 10), np.float32)
    samples[:, -2:] = 0.7
    return samples


def _in_one_channel(rate: int, *, names: tuple[str, ...], place: str) -> Samples:
    tone = sine(2.0, -24.0, rate, channels=1)[0]
    samples = np.zeros((len(names), len(tone)), np.float32)
    samples[names.index(place)] = tone
    samples[names.index("LFE")] = tone * np.float32(10.0 ** ((-6.0 + 24.0) / 20.0))
    return samples


def _bs_2217() -> Iterator[Case]:
    for hz in (25.0, 100.0, 500.0, 1_000.0, 2_000.0, 10_000.0):
        for lkfs in (-23.0, -24.0):
            dbfs = lkfs + 0.691 - reference.gain_db(hz)
            yield Case(
                BS_2217,
                f"{hz:g} Hz at {lkfs:g}",
                f"stereo, 10 s at {dbfs:.2f}",
                partial(sine, 10.0, dbfs, hz=hz),
                (Reading("integrated", lkfs, lkfs),),
                hz=hz,
            )
    least = -20.0 * float(np.log10(2.0**15))  # the least step of 16 bits
    yield Case(
        BS_2217,
        "absolute gate",
        "4 × (0.5 s at -69.48, 0.5 s at -90.3)",
        partial(tones, [(0.5, -69.48), (0.5, least)] * 4),
        (Reading("integrated", -69.5, -69.4734),),
    )
    yield Case(
        BS_2217,
        "relative gate",
        "0.9 s at -19.9, 1.3 s at -7.1, 0.8 s at -19.9, between 0.5 s at -90.3",
        partial(tones, [(0.5, least), (0.9, -19.9), (1.3, -7.1), (0.8, -19.9), (0.5, least)]),
        (Reading("integrated", -10.0, -10.0287),),
    )


CASES: Final = (
    *sorted(
        (*_tech_3341_loudness(), *_tech_3341_at_any_phase(), *_tech_3341_true_peak()),
        key=lambda case: int(case.number),
    ),
    *_tech_3342(),
    *_bs_1770(),
    *_bs_2217(),
)


def exact_at(case: Case, reading: Reading, rate: int) -> float:
    """Give the exact reading at a rate: table 2 has another gain at each."""
    if reading.name in {"true_peak", "range_lu"}:
        return reading.exact
    return reading.exact + reference.gain_db(case.hz, rate) - reference.gain_db(case.hz)
