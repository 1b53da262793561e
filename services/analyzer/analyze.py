"""The measurement of one file: decode once, feed every meter, read them in the standards' order."""

import io
import wave
from collections.abc import Callable
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from decibus.audio import DECODER, Audio, open_audio
from decibus.messages import (
    AnalyzeOptions,
    Band,
    ChannelPeak,
    Envelope,
    Loudness,
    Measurement,
    Peak,
    Silence,
    Spectrum,
    Stereo,
    Timeline,
)
from services.analyzer import kernels
from services.analyzer.dsp import gating, peak_to_short_term
from services.analyzer.dsp.envelope import envelope
from services.analyzer.dsp.kweighting import KWeighting
from services.analyzer.dsp.levels import Levels
from services.analyzer.dsp.loudness_range import STABLE_S, loudness_range
from services.analyzer.dsp.peak_to_short_term import StepPeaks
from services.analyzer.dsp.scan import look
from services.analyzer.dsp.spectrum import BANDS, TonalBalance
from services.analyzer.dsp.stereo import StereoImage
from services.analyzer.dsp.timeline import timeline
from services.analyzer.dsp.true_peak import (
    TruePeak,
    annex_2,
    decibels,
    kaiser_sinc,
)

BLOCK_SAMPLES: Final = 1 << 22
"""Of all channels, 16 MiB: 44 s of 48 kHz stereo, so that K-weighting starts its lanes seldom."""

SLICE_SAMPLES: Final = 1 << 19
"""2 MiB: stays in a core's cache from one meter to the next."""

AS_FAST_AS_OVERSAMPLED: Final = 176_400
"""Four times 44.1 kHz."""

_PAIR: Final = 2


def analyze(
    file: BinaryIO, options: AnalyzeOptions, progress: Callable[[float], None]
) -> Measurement:
    """
    Measure a seekable file; `progress` hears 0..1 after each block, where a length is known.

    Raises what `open_audio` raises. Blocks its thread, for some 1 ms per second of audio.
    """
    with open_audio(file, max_duration_s=options.max_duration_s) as audio:
        meters = _Meters(audio.sample_rate, audio.channel_names)
        _feed(meters, audio, progress)
        return meters.read(audio, options)


def _feed(meters: "_Meters", audio: Audio, progress: Callable[[float], None]) -> None:
    # A function, so that the block is gone when the meters are read, which takes memory, too.
    expected_frames = (audio.expected_duration_s or 0.0) * audio.sample_rate
    for block in audio.blocks(BLOCK_SAMPLES // audio.channels, reuse=True):
        meters.feed(block)
        if expected_frames > 0:
            progress(min(1.0, audio.decoded_frames / expected_frames))


def warm() -> None:
    """
    Measure noise, so that every kernel is compiled or loaded, and every module imported.

    A confined child can do neither: it has what is here when it is forked.
    """
    kernels.load()
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, 48_000, np.int16)
    for channels in (1, _PAIR):
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setparams((channels, noise.itemsize, 48_000, 0, "NONE", ""))
            wav.writeframes(noise.tobytes())
        analyze(file, AnalyzeOptions(timeline=True), lambda _: None)


class _Meters:
    """One of each."""

    def __init__(self, sample_rate: int, channel_names: tuple[str, ...]) -> None:
        channels = len(channel_names)
        self._sample_rate = sample_rate
        self._channel_names = channel_names
        self._kweighting = KWeighting(sample_rate, channels)
        self._weights = gating.channel_weights(channel_names)
        self._energies: list[NDArray[np.float64]] = []
        self._step_peak = StepPeaks(sample_rate)
        self._step_peaks: list[NDArray[np.float32]] = []
        self._true_peak = TruePeak(kaiser_sinc(), channels)
        # Annex 2: "signals that are at higher sampling rates require proportionately less
        # over-sampling". From here on they are as fast as oversampled ones, and their peak is read.
        oversampled = sample_rate < AS_FAST_AS_OVERSAMPLED
        self._true_peak_bs1770 = TruePeak(annex_2(), channels) if oversampled else None
        self._spectrum = TonalBalance(sample_rate, channels)
        self._levels = Levels(channels)
        self._stereo = StereoImage() if channels == _PAIR else None

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take in a block: K-weighting all at once, the others slice by slice."""
        self._energies.append(self._weights @ self._kweighting.feed(block))
        size = SLICE_SAMPLES // len(block)
        for begin in range(0, block.shape[1], size):
            piece = block[:, begin : begin + size]
            seen = look(piece)
            self._levels.feed(piece, seen)
            self._true_peak.feed(piece, seen.maxima)
            if self._true_peak_bs1770 is not None:
                self._true_peak_bs1770.feed(piece, seen.maxima)
            self._step_peaks.append(self._step_peak.feed(piece, seen.maxima))
            if self._stereo is not None:
                self._stereo.feed(piece, seen)
            self._spectrum.feed(piece)

    def read(self, audio: Audio, options: AnalyzeOptions) -> Measurement:
        """Read all meters, once; the true peaks' filters are run out here."""
        audio_format = audio.format()
        loudness = self.loudness(audio_format.duration, with_timeline=options.timeline)
        return Measurement(
            audio=audio_format,
            loudness=loudness,
            peak=self.peak(loudness.integrated_lufs),
            spectrum=self.balance(),
            stereo=self.image(),
            dc_offset=tuple(self._levels.dc_offsets.tolist()),
            silence=Silence(
                lead_s=self._levels.lead / self._sample_rate,
                tail_s=self._levels.tail / self._sample_rate,
            ),
            decoder=DECODER,
            scrubbed_samples=audio.scrubbed_samples,
            envelope=self.envelope(),
        )

    def loudness(self, duration_s: float, *, with_timeline: bool) -> Loudness:
        """BS.1770-5 annex 1: weigh, sum and gate; then Tech 3341's maxima and Tech 3342's range."""
        rate = self._sample_rate
        steps = self._weighted_energies()
        hop = gating.GATING_HOP_STEPS
        blocks = gating.window_powers(steps, rate, gating.MOMENTARY_STEPS, hop)
        integrated_lufs, threshold_lufs = gating.integrated(blocks)
        return Loudness(
            integrated_lufs=integrated_lufs,
            range_lu=loudness_range(
                gating.window_powers(steps, rate, gating.SHORT_TERM_STEPS, hop)
            ),
            momentary_max_lufs=gating.maximum(steps, rate, gating.MOMENTARY_STEPS),
            short_term_max_lufs=gating.maximum(steps, rate, gating.SHORT_TERM_STEPS),
            threshold_lufs=threshold_lufs,
            stable=duration_s >= STABLE_S,
            timeline=Timeline(**timeline(steps, rate)._asdict()) if with_timeline else None,
        )

    def envelope(self) -> Envelope:
        """Keep what a report needs to measure the speech, once somebody knows where it is."""
        step_s, levels = envelope(self._weighted_energies(), self._sample_rate)
        return Envelope(step_s=step_s, levels=levels.tobytes())

    def _weighted_energies(self) -> NDArray[np.float64]:
        self._energies = [np.concatenate(self._energies)]
        return self._energies[0]

    def peak(self, integrated_lufs: float | None) -> Peak:
        """BS.1770-5 annex 2, by the closer interpolator and by the one it prints."""
        samples = self._levels.peaks.tolist()
        between = self._true_peak.finish().tolist()
        bs1770 = samples
        if self._true_peak_bs1770 is not None:
            bs1770 = self._true_peak_bs1770.finish().tolist()
        true_peak_dbtp = decibels(max(between))
        return Peak(
            true_peak_dbtp=true_peak_dbtp,
            true_peak_bs1770_dbtp=decibels(max(bs1770)),
            sample_peak_dbfs=decibels(max(samples)),
            per_channel=tuple(
                ChannelPeak(channel=name, true_peak_dbtp=decibels(t), sample_peak_dbfs=decibels(s))
                for name, t, s in zip(self._channel_names, between, samples, strict=True)
            ),
            plr_lu=(
                None
                if true_peak_dbtp is None or integrated_lufs is None
                else true_peak_dbtp - integrated_lufs
            ),
            psr_min_lu=peak_to_short_term.smallest(
                np.concatenate(self._step_peaks), self._weighted_energies(), self._sample_rate
            ),
            clipped_samples=self._levels.clipped_samples,
        )

    def balance(self) -> Spectrum:
        """Name the levels of the bands."""
        levels = self._spectrum.finish()
        return Spectrum(
            bands=tuple(
                Band(name=band.name, low_hz=band.low_hz, high_hz=band.high_hz, level_db=level)
                for band, level in zip(BANDS, levels, strict=True)
            )
        )

    def image(self) -> Stereo | None:
        """Relate the channels, where there are two."""
        if self._stereo is None:
            return None
        return Stereo(correlation=self._stereo.correlation, balance_db=self._stereo.balance_db)
