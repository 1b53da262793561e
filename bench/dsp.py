"""
How fast the meters are, next to libebur128, libavfilter's ebur128 and pyloudnorm.

    python -m bench.dsp [--seconds 300] [--rounds 5]

All measure the same samples in memory, 48 kHz stereo, turn by turn in one process; the table shows
medians of CPU time, and how many times ours it is. What is not installed is left out, and told.
"""

import argparse
import ctypes
import ctypes.util
import importlib
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import av
import av.filter
import msgspec
import numpy as np
from numpy.typing import NDArray

from services.analyzer import analyze
from services.analyzer.analyze import warm
from services.analyzer.dsp import gating
from services.analyzer.dsp.kweighting import KWeighting
from services.analyzer.dsp.loudness_range import loudness_range
from services.analyzer.dsp.spectrum import TonalBalance
from tests.signals import music

Samples = NDArray[np.float32]
RATE: Final = 48_000
STEREO: Final = ("FL", "FR")
SURROUND: Final = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
WORST_RATE: Final = 192_000
RESULTS: Final = Path(__file__).parent / "results" / "dsp.json"

# ebur128.h: the modes are bits, and include what they need.
I_LRA: Final = 5 | 11
I_LRA_TP: Final = 5 | 11 | 49


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Median CPU time of one way to measure one signal; `seconds`: where it is not the report's."""

    signal: str
    what: str
    ms: float
    times_ours: float | None = None
    seconds: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in bench/results/dsp.json."""

    machine: str
    seconds: float
    rounds: int
    rows: list[Row]


class Silent:
    """A meter that is left out of a row."""

    def __init__(self, *_: object) -> None:
        self.feed: Callable[..., None] = lambda *_: None


def signals(seconds: float) -> dict[str, Samples]:
    """
    Make a programme (-23 LUFS), a limited master (-7), and noise, which no bound excludes.

    The master is saturated and then clipped: it is full of peaks between samples, up to +2 dBTP.
    """
    song = music(seconds)
    quiet = np.asarray(0.58 * song, np.float32)
    master = np.asarray(np.clip(1.13 * np.tanh(4.0 * song), -0.97, 0.97), np.float32)
    noise = np.random.default_rng(1770).uniform(-1.0, 1.0, song.shape).astype(np.float32)
    return {"music": quiet, "hot": master, "noise": noise}


def cut(samples: Samples) -> list[Samples]:
    """Cut samples into blocks, each of one piece, as the decoder hands them over."""
    size = analyze.BLOCK_SAMPLES // len(samples)
    begins = range(0, samples.shape[1], size)
    return [np.ascontiguousarray(samples[:, begin : begin + size]) for begin in begins]


def ours(blocks: list[Samples], rate: int = RATE, *, spectrum: bool) -> None:
    """Measure all there is, as the analyzer does."""
    names = STEREO if len(blocks[0]) == len(STEREO) else SURROUND
    meters = analyze._Meters(rate, names)  # noqa: SLF001 - the meters alone, without a file
    if not spectrum:
        meters._spectrum = Silent()  # type: ignore[assignment]  # noqa: SLF001
    for block in blocks:
        meters.feed(block)
    duration_s = sum(block.shape[1] for block in blocks) / rate
    meters.peak(meters.loudness(duration_s, with_timeline=False).integrated_lufs)
    meters.image()


def loudness_alone(blocks: list[Samples]) -> None:
    """Measure integrated loudness and its range."""
    kweighting = KWeighting(RATE, len(STEREO))
    parts = [kweighting.feed(block) for block in blocks]
    steps = gating.channel_weights(STEREO) @ np.concatenate(parts, axis=1)
    gating.integrated(gating.window_powers(steps, RATE, gating.MOMENTARY_STEPS, 10))
    loudness_range(gating.window_powers(steps, RATE, gating.SHORT_TERM_STEPS, 10))


def balance_alone(samples: Samples) -> None:
    """Measure tonal balance."""
    balance = TonalBalance(RATE, len(samples))
    for begin in range(0, samples.shape[1], 131_072):
        balance.feed(samples[:, begin : begin + 131_072])
    balance.finish()


def libebur128(interleaved: Samples, mode: int) -> None:
    """Measure with Debian's libebur128-1."""
    library = ctypes.CDLL(ctypes.util.find_library("ebur128"))
    library.ebur128_init.restype = ctypes.c_void_p
    state = ctypes.c_void_p(library.ebur128_init(2, ctypes.c_ulong(RATE), mode))
    library.ebur128_add_frames_float(
        state, ctypes.c_void_p(interleaved.ctypes.data), ctypes.c_size_t(len(interleaved))
    )
    shown = ctypes.c_double()
    library.ebur128_loudness_global(state, ctypes.byref(shown))
    library.ebur128_loudness_range(state, ctypes.byref(shown))
    library.ebur128_destroy(ctypes.byref(state))


def libavfilter(samples: Samples, name: str, options: str | None = None) -> None:
    """Send one second after another through a filter."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="fltp", layout="stereo")
    meter, sink = graph.add(name, options), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    for begin in range(0, samples.shape[1], RATE):
        part = np.ascontiguousarray(samples[:, begin : begin + RATE])
        frame = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
        frame.sample_rate, frame.pts = RATE, begin
        graph.push(frame)
        while True:
            try:
                graph.pull()
            except (av.BlockingIOError, av.EOFError):
                break


def peers(samples: Samples) -> dict[str, Callable[[], None]]:
    """List who else is here."""
    interleaved = np.ascontiguousarray(samples.T)
    found: dict[str, Callable[[], None]] = {
        "anull": lambda: libavfilter(samples, "anull"),
        "ebur128=peak=true": lambda: libavfilter(samples, "ebur128", "peak=true"),
    }
    if ctypes.util.find_library("ebur128"):
        found["libebur128 I, LRA, TP"] = lambda: libebur128(interleaved, I_LRA_TP)
        found["libebur128 I, LRA"] = lambda: libebur128(interleaved, I_LRA)
    else:
        print("libebur128 is left out: apt install libebur128-1")
    try:
        pyloudnorm: Any = importlib.import_module("pyloudnorm")
    except ImportError:
        print("pyloudnorm is left out: pip install pyloudnorm")
    else:
        found["pyloudnorm I"] = lambda: pyloudnorm.Meter(RATE).integrated_loudness(interleaved)
    return found


def compare(signal: str, samples: Samples, rounds: int) -> list[Row]:
    """Take turns, so that all meet the same weather."""
    blocks = cut(samples)
    calls: dict[str, Callable[[], None]] = {
        "all measures": lambda: ours(blocks, spectrum=False),
        "I, LRA": lambda: loudness_alone(blocks),
        "spectrum": lambda: balance_alone(samples),
        "everything": lambda: ours(blocks, spectrum=True),
        **peers(samples),
    }
    taken: dict[str, list[float]] = {what: [] for what in calls}
    for _ in range(rounds):
        for what, call in calls.items():
            start = time.process_time()
            call()
            taken[what].append(1e3 * (time.process_time() - start))
    ms = {what: statistics.median(times) for what, times in taken.items()}
    ms["ebur128=peak=true"] -= ms.pop("anull")  # the filter without its graph
    own = dict.fromkeys(("libebur128 I, LRA", "pyloudnorm I"), ms["I, LRA"])
    return [
        Row(
            signal=signal,
            what=what,
            ms=round(took, 1),
            times_ours=round(took / own.get(what, ms["all measures"]), 1),
        )
        for what, took in ms.items()
    ]


def worst(seconds: float, rounds: int) -> Row:
    """Measure what takes longest: 8 channels of noise at full scale and 192 kHz."""
    shape = (len(SURROUND), round(seconds * WORST_RATE))
    noise = np.random.default_rng(1770).uniform(-1.0, 1.0, shape).astype(np.float32)
    blocks, taken = cut(noise), []
    for _ in range(rounds):
        start = time.process_time()
        ours(blocks, WORST_RATE, spectrum=True)
        taken.append(1e3 * (time.process_time() - start))
    ms = round(statistics.median(taken), 1)
    return Row(signal="worst", what="everything", ms=ms, seconds=seconds)


def main(seconds: float, rounds: int) -> None:
    """Measure, print the table, and write the results."""
    warm()
    rows = [row for name, s in signals(seconds).items() for row in compare(name, s, rounds)]
    print(f"{seconds:g} s of 48 kHz stereo, median CPU time of {rounds}")
    for row in rows:
        print(f"{row.signal:6} {row.what:24} {row.ms:8.1f} ms {row.times_ours:6.1f} x")
    slowest = worst(seconds / 10.0, rounds)
    rows.append(slowest)
    speed = 1e2 * seconds / slowest.ms
    print(f"worst, 8 channels of noise at 192 kHz: {speed:.0f} x real time")
    report = Report(machine=platform.machine(), seconds=seconds, rounds=rounds, rows=rows)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.seconds, arguments.rounds)
