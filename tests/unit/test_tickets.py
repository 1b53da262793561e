"""The life of a ticket, in values: what may follow what."""

from datetime import UTC, datetime, timedelta

import pytest

from decibus.blobs import Blob
from decibus.errors import BadRequest, OutOfTurn, WrongOffset
from decibus.messages import TranscodeOptions
from decibus.settings import SettingsError
from services.gateway import tickets as moves
from services.gateway.links import read_signing_keys
from services.gateway.tickets import STARTING, Arrived, Ticket

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + STARTING
NEW = moves.open_ticket("key alice", TranscodeOptions(extension="mp3"), now=NOW)


def arrived(size: int, *, length: int | None = None, is_cut: bool = False) -> Arrived:
    part = Blob(name=f"source-{size}", bucket="audio", nuid=str(size), size=size)
    return Arrived(part=part, length=length, is_cut=is_cut)


def put(ticket: Ticket, size: int, *, length: int | None = None, is_cut: bool = False) -> Ticket:
    return moves.put(ticket, arrived(size, length=length, is_cut=is_cut), now=NOW)


def test_ids_grow_with_the_time() -> None:
    later = moves.open_ticket("key bob", NEW.options, now=NOW + timedelta(milliseconds=1))

    assert NEW.id < later.id
    assert len(NEW.id) == 32


def test_what_has_come_goes_on_where_it_ends() -> None:
    half = put(NEW, 40, length=100, is_cut=True)
    whole = moves.append(half, arrived(60), after=half.parts, now=NOW)

    assert (half.offset, half.is_complete) == (40, False)
    assert (whole.offset, whole.is_complete) == (100, True)


def test_of_two_that_go_on_at_once_the_second_is_told_where() -> None:
    half = put(NEW, 40, length=100)
    won = moves.append(half, arrived(10), after=half.parts, now=NOW)

    with pytest.raises(WrongOffset) as lost:
        moves.append(won, arrived(10), after=half.parts, now=NOW)

    assert lost.value.offset == 50


def test_no_more_is_taken_than_was_announced() -> None:
    half = put(NEW, 40, length=100)

    with pytest.raises(BadRequest):
        moves.append(half, arrived(61), after=half.parts, now=NOW)
    with pytest.raises(BadRequest):
        moves.append(half, arrived(60, length=200), after=half.parts, now=NOW)


@pytest.mark.parametrize("ticket", [NEW, put(NEW, 40, length=100), put(NEW, 40, is_cut=True)])
def test_what_has_not_come_is_not_started(ticket: Ticket) -> None:
    with pytest.raises(OutOfTurn):
        moves.begin(ticket, name="a", now=NOW)


def test_of_several_starts_one_goes_on_and_a_dead_one_is_followed() -> None:
    first = moves.begin(put(NEW, 100), name="a", now=NOW)

    assert moves.begin(first, name="b", now=NOW) is first
    second = moves.begin(first, name="b", now=LATER)
    assert second.starter is not None
    assert second.starter.name == "b"
    with pytest.raises(OutOfTurn):
        moves.join(second, arrived(100).part, name="a")
    assert moves.release(second, name="a") is second
    assert moves.release(second, name="b").starter is None


def test_a_source_does_not_change_while_it_is_being_started() -> None:
    starting = moves.begin(put(NEW, 100), name="a", now=NOW)

    with pytest.raises(OutOfTurn):
        put(starting, 5)
    with pytest.raises(OutOfTurn):
        moves.append(starting, arrived(5), after=starting.parts, now=NOW)


def test_a_short_key_signs_nothing() -> None:
    assert read_signing_keys(f"{'a' * 32}  {'b' * 40}") == (b"a" * 32, b"b" * 40)
    assert read_signing_keys("") == ()
    with pytest.raises(SettingsError):
        read_signing_keys("short")
