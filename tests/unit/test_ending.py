"""Tasks end, also those in which a cancel gets lost."""

import asyncio
from contextlib import suppress

from decibus.ending import ended


async def test_a_task_that_swallows_a_cancel_is_cancelled_again() -> None:
    cancels = 0

    async def deaf() -> None:
        nonlocal cancels
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancels += 1
                if cancels > 1:
                    raise

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(deaf())]
        await asyncio.sleep(0)

        await ended(tasks)

    assert cancels == 2


async def test_what_has_ended_already_is_left_alone() -> None:
    async with asyncio.TaskGroup() as group:
        over = group.create_task(asyncio.sleep(0, result=1))
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(over), 1)

        await ended([over])
        await ended([])

    assert over.result() == 1
