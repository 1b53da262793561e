"""
Files measured on this machine: one after the other, or several at once in processes.

What imports this has the kernels loaded: the commands do it when they begin to work.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import msgspec

from decibus.errors import DecibusError, Refused
from decibus.messages import AnalyzeOptions, Measurement
from services.analyzer.analyze import analyze
from services.analyzer.dsp import jit

jit.build()
_FILES_A_PROCESS: Final = 16
_OPTIONS: Final = AnalyzeOptions(max_duration_s=math.inf)


class Failure(msgspec.Struct, frozen=True):
    """Why a file could not be measured, in the codes of the API."""

    code: str
    detail: str


Outcome = Measurement | Failure


def measure(path: Path, progress: Callable[[float], None] = lambda _: None) -> Outcome:
    """Measure one file; `progress` hears 0..1. What goes wrong is the outcome, too."""
    try:
        with path.open("rb") as file:
            return analyze(file, _OPTIONS, progress)
    except Refused as error:
        return Failure(error.code, str(error))
    except (OSError, DecibusError) as error:
        return Failure("unavailable", str(error))
    except Exception as error:  # noqa: BLE001 - the other files can be measured all the same
        return Failure("internal_error", repr(error))


def measure_all(
    paths: Sequence[Path], *, jobs: int, progress: Callable[[float], None]
) -> Iterator[tuple[Path, Outcome]]:
    """
    Measure files in `jobs` processes and yield them as they end; `progress` hears files, in parts.

    The kernels are loaded by each process, which takes a second: one job works in this one.
    """
    jobs = min(jobs, len(paths))
    if jobs == 1:
        yield from _measure_here(paths, progress)
        return
    # Not forked: this process has threads, and a lock that one of them holds stays locked.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(measure, path): path for path in paths}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                progress(float(done))
                yield futures[future], _outcome(future)
        except BaseException:  # such as Ctrl-C
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _measure_here(
    paths: Sequence[Path], progress: Callable[[float], None]
) -> Iterator[tuple[Path, Outcome]]:
    for done, path in enumerate(paths):

        def tell(part: float, before: int = done) -> None:
            progress(before + part)

        yield path, measure(path, tell)
        progress(done + 1.0)


def default_jobs(files: int) -> int:
    """Return how many processes are worth their start, which takes as long as some songs."""
    return max(1, min(os.cpu_count() or 1, files // _FILES_A_PROCESS))


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        return Failure("worker_lost", "the process that measured it was killed")
