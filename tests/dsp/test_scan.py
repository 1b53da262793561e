import numpy as np
import pytest

from services.analyzer.dsp.scan import STRETCH, look, stretch_maxima

RANDOM = np.random.default_rng(64)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 10_000])
def test_one_look_sees_what_several_would(channels: int, n: int) -> None:
    block = RANDOM.normal(0.1, 1.0, (channels, n)).astype(np.float32)
    exact = block.astype(np.float64)

    seen = look(block)

    edges = range(0, n, STRETCH)
    assert np.array_equal(seen.maxima, np.maximum.reduceat(np.abs(block), edges, axis=1))
    assert np.array_equal(seen.maxima, stretch_maxima(block))
    assert seen.sums == pytest.approx(exact.sum(axis=1), rel=1e-12, abs=1e-12)
    if channels == 2:
        products = (exact[0] @ exact[0], exact[1] @ exact[1], exact[0] @ exact[1])
        assert seen.products == pytest.approx(products, rel=1e-12, abs=1e-12)
