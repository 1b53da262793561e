"""Blocking work has a thread of its own, one that is free."""

import asyncio
import threading

import pytest

from decibus.threads import AT_WORK, in_thread


async def test_a_thread_is_used_again_and_one_that_does_not_come_back_is_not() -> None:
    go_on = threading.Event()

    used = [await in_thread(threading.get_ident) for _ in range(20)]
    stuck = in_thread(lambda: (go_on.wait(30), threading.get_ident())[1])
    meanwhile = [await in_thread(threading.get_ident) for _ in range(20)]
    go_on.set()

    assert len(set(used)) < 10  # another test's may come free at any time
    assert await stuck not in meanwhile


async def test_what_a_thread_is_asked_for_late_is_let_go() -> None:
    go_on, seen = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(seen.set)
        go_on.wait(30)

    given_up = in_thread(work)
    await seen.wait()
    assert AT_WORK in {each.name for each in threading.enumerate()}
    given_up.cancel()
    go_on.set()
    async with asyncio.timeout(30):
        while AT_WORK in {each.name for each in threading.enumerate()}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration("no"), SystemExit(1)])
async def test_an_error_reaches_who_waits(error: BaseException) -> None:
    def fail() -> None:
        raise error

    for _ in range(20):
        with pytest.raises((ValueError, RuntimeError, SystemExit)):
            await in_thread(fail)

    assert await in_thread(lambda: 7) == 7
