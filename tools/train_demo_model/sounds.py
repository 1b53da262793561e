"""Sounds that are no speech: noises to speak over, music and clatter to keep quiet at."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

Samples = NDArray[np.float32]
Wave = NDArray[np.float64]

RATE_HZ: Final = 16_000


def noise(seconds: float, random: Generator) -> Samples:
    """Return noise of some colour, steady or swelling."""
    n = round(seconds * RATE_HZ)
    kind = random.integers(5)
    white = random.standard_normal(n)
    if kind == 0:
        return _level(white)
    if kind == 1:
        return _level(lfilter([1.0], [1.0, -random.uniform(0.5, 0.98)], white))
    if kind == 2:
        return _level(lfilter([1.0, -random.uniform(0.3, 0.95)], [1.0], white))
    if kind == 3:
        low = random.uniform(60.0, 3000.0)
        band = butter(2, [low, min(low * random.uniform(1.5, 6.0), 7500.0)], "band", fs=RATE_HZ)
        return _level(lfilter(*band, white))
    swell = 1.0 + 0.8 * np.sin(_phase(np.full(n, random.uniform(0.2, 6.0))))
    return _level(lfilter([1.0], [1.0, -random.uniform(0.0, 0.9)], white) * swell)


def music(seconds: float, random: Generator) -> Samples:
    """Return a few bars of chords, a melody, a bass and drums, or of some of these."""
    tune = _Tune(
        out=np.zeros(round(seconds * RATE_HZ)),
        beat_s=60.0 / random.uniform(60.0, 180.0),
        root_hz=55.0 * 2.0 ** random.uniform(0.0, 2.0),
        scale=np.array([(0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)][random.integers(2)]),
    )
    parts = random.random(4) < (0.6, 0.6, 0.5, 0.5)
    if not parts.any():
        parts[random.integers(4)] = True
    for part, plays in zip((_chords, _melody, _bass, _drums), parts, strict=True):
        if plays:
            part(tune, random)
    out = tune.out
    if random.random() < 0.3:
        out += 0.05 * random.standard_normal(out.size) * np.abs(out).max()
    return _level(out)


class _Tune(NamedTuple):
    out: Wave
    beat_s: float
    root_hz: float
    scale: NDArray[np.int_]

    def hz(self, degree: int) -> float:
        return float(self.root_hz * 2.0 ** ((12 * (degree // 7) + self.scale[degree % 7]) / 12.0))


def _chords(tune: _Tune, random: Generator) -> None:
    timbre = _timbre(random)
    bar = round(4 * tune.beat_s * RATE_HZ)
    for at in range(0, tune.out.size, bar):
        degree = int(random.integers(7))
        for third in range(random.integers(2, 5)):
            note = timbre(2.0 * tune.hz(degree + 2 * third), bar, random)
            _add(tune.out, at, note, random.uniform(0.1, 0.4))


def _melody(tune: _Tune, random: Generator) -> None:
    timbre, at = _timbre(random), 0
    while at < tune.out.size:
        length = round(tune.beat_s * random.choice([0.25, 0.5, 1.0, 1.0, 2.0]) * RATE_HZ)
        if random.random() < 0.85:
            octave = random.choice([2.0, 4.0, 8.0])
            note = timbre(octave * tune.hz(int(random.integers(10))), length, random)
            _add(tune.out, at, note, random.uniform(0.2, 0.8))
        at += length


def _bass(tune: _Tune, random: Generator) -> None:
    timbre, length = _timbre(random), round(tune.beat_s * RATE_HZ)
    for at in range(0, tune.out.size, length):
        note = timbre(tune.hz(int(random.choice([0, 0, 4, 3]))), length, random)
        _add(tune.out, at, note, random.uniform(0.3, 0.8))


def _drums(tune: _Tune, random: Generator) -> None:
    for number, at in enumerate(range(0, tune.out.size, round(tune.beat_s / 2 * RATE_HZ))):
        if number % 4 == 0 or random.random() < 0.1:
            _add(tune.out, at, _drum(random.uniform(45.0, 90.0), 0.15), 0.9)
        elif random.random() < 0.7:
            hit = random.standard_normal(2400)
            hit *= np.exp(-np.arange(2400) / random.uniform(200, 900))
            _add(tune.out, at, hit, random.uniform(0.1, 0.4))


def effect(seconds: float, random: Generator) -> Samples:
    """Return tones, sweeps, warbles, beeps, clicks or knocks."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    makers = (_tones, _siren, _buzz, _beeps, _clicks, _knocks, _gusts)
    out = makers[random.integers(len(makers))](t, random)
    return _level(out + 1e-4 * random.standard_normal(t.size))


def _tones(t: Wave, random: Generator) -> Wave:
    out = np.zeros(t.size)
    for hz in random.uniform(40.0, 6000.0, random.integers(1, 5)):
        out += random.uniform(0.2, 1.0) * np.sin(2 * np.pi * hz * t)
    return out


def _siren(t: Wave, random: Generator) -> Wave:
    middle_hz, rate_hz = random.uniform(200.0, 2000.0), random.uniform(0.2, 8.0)
    depth = random.uniform(0.1, 0.8)
    return np.asarray(np.sin(_phase(middle_hz * (1 + depth * np.sin(2 * np.pi * rate_hz * t)))))


def _buzz(t: Wave, random: Generator) -> Wave:
    """A voice that warbles, with no words in it."""
    middle_hz = random.uniform(80.0, 250.0)
    pitch_hz = middle_hz * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.5, 6) * t))
    swell = 1 + np.sin(2 * np.pi * random.uniform(0.5, 8.0) * t)
    return _formants(np.sign(np.sin(_phase(pitch_hz))) * swell, random)


def _beeps(t: Wave, random: Generator) -> Wave:
    out = np.zeros(t.size)
    length = round(random.uniform(0.05, 0.6) * RATE_HZ)
    for at in range(0, t.size, round(length * random.uniform(1.1, 4.0))):
        hz = random.choice([random.uniform(300.0, 3000.0), 440.0, 697.0, 1000.0, 1209.0])
        _add(out, at, np.sin(2 * np.pi * hz * t[:length]), 1.0)
    return out


def _clicks(t: Wave, random: Generator) -> Wave:
    out = np.zeros(t.size)
    count = max(1, round(t[-1] * random.uniform(0.5, 20.0)))
    out[random.integers(0, t.size, count)] = 1.0
    return np.asarray(lfilter([1.0], [1.0, -random.uniform(0.0, 0.95)], out))


def _knocks(t: Wave, random: Generator) -> Wave:
    out = np.zeros(t.size)
    for at in random.integers(0, t.size, max(1, round(t[-1] * random.uniform(0.5, 5.0)))):
        _add(out, int(at), _drum(random.uniform(60.0, 800.0), random.uniform(0.03, 0.2)), 1.0)
    return out


def _gusts(t: Wave, random: Generator) -> Wave:
    gusts = np.maximum(0.0, np.sin(2 * np.pi * random.uniform(0.3, 4.0) * t))
    return _formants(random.standard_normal(t.size) * gusts, random)


def _level(samples: Wave) -> Samples:
    """Scale to a root mean square of 1."""
    level = np.sqrt(np.mean(samples**2)) + 1e-9
    return np.asarray(samples / level, np.float32)


def _phase(hz: Wave) -> Wave:
    return np.asarray(np.cumsum(hz) * (2.0 * np.pi / RATE_HZ))


def _add(out: Wave, at: int, piece: Wave, gain: float) -> None:
    piece = piece[: out.size - at]
    out[at : at + piece.size] += gain * piece


def _drum(hz: float, decay_s: float) -> Wave:
    t = np.arange(round(4 * decay_s * RATE_HZ)) / RATE_HZ
    return np.asarray(np.sin(2 * np.pi * hz * t * (1 + np.exp(-30 * t))) * np.exp(-t / decay_s))


def _formants(samples: Wave, random: Generator) -> Wave:
    out = np.zeros_like(samples)
    for middle in random.uniform(250.0, 3200.0, 3):
        band = butter(1, [middle * 0.9, middle * 1.1], "band", fs=RATE_HZ, output="sos")
        out += sosfilt(band, samples)
    return out


_Timbre = Callable[[float, int, Generator], Wave]


def _timbre(random: Generator) -> _Timbre:
    """Choose an instrument: how loud its harmonics are, how it starts and how it dies away."""
    rolloff = random.uniform(0.5, 2.5)
    odd_only = random.random() < 0.3
    attack_s, decay_s = random.uniform(0.002, 0.1), random.uniform(0.1, 2.0)
    vibrato = random.uniform(0.0, 0.012) * (random.random() < 0.5)
    bell = random.uniform(1.2, 3.7) if random.random() < 0.25 else 0.0

    def note(hz: float, length: int, chance: Generator) -> Wave:
        t = np.arange(length) / RATE_HZ
        phase = _phase(hz * (1 + vibrato * np.sin(2 * np.pi * 5.5 * t + chance.uniform(0, 6))))
        if bell:
            tone = np.sin(phase + 2.0 * np.exp(-t / decay_s) * np.sin(bell * phase))
        else:
            tone = np.zeros(length)
            for harmonic in range(1, 16, 2 if odd_only else 1):
                if harmonic * hz < RATE_HZ / 2.2:
                    tone += np.sin(harmonic * phase) / harmonic**rolloff
        envelope = np.minimum(1.0, t / attack_s) * np.exp(-t / decay_s)
        return np.asarray(tone * envelope * np.minimum(1.0, (length - np.arange(length)) / 80.0))

    return note
