"""
A transcriber whose inference never returns, once it is given more than its warm-up.

`python -m tests.nats.stuck`; it hangs in native code, as a driver or a library does.
"""

import ctypes
import runpy
from collections.abc import Sequence
from typing import Final

from services.transcriber.engine import Engine, Heard, Piece

WARM_UP_FRAMES: Final = 100
hear = Engine.hear


def hear_or_hang(self: Engine, pieces: Sequence[Piece]) -> list[Heard]:
    if pieces[0].features.shape[1] > WARM_UP_FRAMES:
        ctypes.CDLL(None).pause()
    return hear(self, pieces)


if __name__ == "__main__":
    Engine.hear = hear_or_hang  # type: ignore[method-assign]  # that is the point
    runpy.run_module("services.transcriber", run_name="__main__")
