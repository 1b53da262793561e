"""One call for several, and none of them waits for ever."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from decibus.errors import WorkerBroken
from services.transcriber.batcher import Batcher


def test_those_with_one_key_share_a_call_and_never_too_many() -> None:
    batcher = Batcher(threads=1, most=3)
    calls: list[list[int]] = []

    def double(items: Sequence[int]) -> list[int]:
        calls.append([*items])
        return [2 * item for item in items]

    with ThreadPoolExecutor(20) as jobs:
        found = list(jobs.map(lambda item: batcher.do(double, item, item % 2), range(20)))

    assert found == [2 * item for item in range(20)]
    assert len(calls) < 20
    assert all(len(call) <= 3 and len({item % 2 for item in call}) == 1 for call in calls)


def test_one_that_fails_does_not_fail_those_beside_it() -> None:
    batcher = Batcher(threads=1, most=8)

    def invert(items: Sequence[int]) -> list[float]:
        return [1 / item for item in items]

    with ThreadPoolExecutor(5) as jobs:
        calls = [jobs.submit(batcher.do, invert, item, "key") for item in (1, 2, 0, 4, 5)]

    assert [call.exception() and type(call.exception()) for call in calls] == [
        None,
        None,
        ZeroDivisionError,
        None,
        None,
    ]
    assert [call.result() for call in calls if not call.exception()] == [1.0, 0.5, 0.25, 0.2]


def test_a_call_that_hangs_is_told_and_the_other_thread_goes_on() -> None:
    batcher = Batcher(threads=2, patience_s=0.4)
    never = threading.Event()

    def hang(_: Sequence[str]) -> list[str]:
        never.wait()
        return [""]

    with ThreadPoolExecutor(2) as jobs:
        hanging = jobs.submit(batcher.do, hang, "a", "key")
        others = [batcher.do(list, "b", "key") for _ in range(20)]

        with pytest.raises(WorkerBroken, match="has not returned within"):
            hanging.result(timeout=20)

    assert others == ["b"] * 20
    never.set()


def test_a_call_may_take_long_where_all_do() -> None:
    batcher = Batcher(threads=1, patience_s=0.6)
    slow = threading.Event()

    def wait(items: Sequence[float]) -> list[bool]:
        return [slow.wait(item) for item in items]

    assert batcher.do(wait, 0.2, "key") is False
    assert batcher.do(wait, 1.0, "key") is False


def test_what_waits_behind_others_is_not_taken_for_hanging() -> None:
    batcher = Batcher(threads=1, patience_s=0.8)
    slow = threading.Event()

    def wait(items: Sequence[float]) -> list[bool]:
        return [slow.wait(item) for item in items]

    with ThreadPoolExecutor(6) as jobs:
        found = list(jobs.map(lambda item: batcher.do(wait, item, "key"), [0.2] * 6))

    assert found == [False] * 6
