"""Agreement with another implementation: libavfilter's ebur128, in this process."""

import av
import av.filter
import numpy as np
import pytest

from tests.dsp.metering import Meter, true_peak_dbtp
from tests.signals import Samples, music


def ebur128(samples: Samples, rate: int) -> dict[str, float]:
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="fltp", layout="stereo")
    meter = graph.add("ebur128", "peak=true:metadata=1")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
    frame.sample_rate = rate
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    shown: dict[str, float] = {}
    while True:
        try:
            metadata = graph.pull().metadata
        except (av.BlockingIOError, av.EOFError):
            return shown
        shown |= {k.removeprefix("lavfi.r128."): float(v) for k, v in metadata.items()}


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_we_agree_with_ffmpeg_on_music(rate: int) -> None:
    samples = music(30.0, rate)
    theirs = ebur128(samples, rate)

    meter = Meter(samples, rate)

    assert meter.integrated == pytest.approx(theirs["I"], abs=0.02)
    assert meter.range_lu == pytest.approx(theirs["LRA"], abs=0.1)
    peak = true_peak_dbtp(samples)
    assert peak == pytest.approx(20.0 * np.log10(theirs["true_peaks_ch0"]), abs=0.1) or (
        peak == pytest.approx(20.0 * np.log10(theirs["true_peaks_ch1"]), abs=0.1)
    )
