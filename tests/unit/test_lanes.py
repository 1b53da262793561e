"""Bodies that are sent faster than they are read take turns."""

import asyncio
from typing import Final

import pytest

from services.gateway import lanes
from services.gateway.lanes import FULL_BYTES, LARGE_PLACES, SMALL_BYTES, Lanes, Place

BEHIND_SMALL: Final = SMALL_BYTES + FULL_BYTES


async def holders(every: Lanes) -> list[Place]:
    """Take all places for large bodies."""
    places = [Place(every) for _ in range(LARGE_PLACES)]
    for place in places:
        await place.take(BEHIND_SMALL)
    return places


async def test_a_body_waits_until_another_leaves_and_the_first_to_come_is_next() -> None:
    every = Lanes()
    first, *_ = await holders(every)
    waiting = [asyncio.create_task(Place(every).take(BEHIND_SMALL)) for _ in range(3)]
    await asyncio.sleep(0.01)
    before = [each.done() for each in waiting]

    first.leave()
    first.leave()  # it has none any more
    await asyncio.sleep(0.01)

    assert before == [False, False, False]
    assert [each.done() for each in waiting] == [True, False, False]


async def test_a_small_body_does_not_wait_behind_large_ones() -> None:
    every = Lanes()
    await holders(every)

    async with asyncio.timeout(5):
        await Place(every).take(FULL_BYTES)


async def test_who_has_had_a_turn_stands_in_line_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "TURN_S", 0.0)
    every = Lanes()
    first, *_ = await holders(every)
    other = Place(every)
    waiting = asyncio.create_task(other.take(BEHIND_SMALL))
    await asyncio.sleep(0.01)

    again = asyncio.create_task(first.take(FULL_BYTES))
    await waiting
    await asyncio.sleep(0.01)
    is_early = again.done()
    other.leave()
    await again

    assert not is_early


@pytest.mark.parametrize("does", ["pauses", "sends little"])
async def test_a_sender_that_is_slower_than_we_are_holds_no_place(does: str) -> None:
    every = Lanes()
    slow, *_ = await holders(every)
    waiting = asyncio.create_task(Place(every).take(BEHIND_SMALL))

    async with asyncio.timeout(5):
        if does == "pauses":
            with slow.waiting():
                await waiting
        await slow.take(1)

        await waiting
