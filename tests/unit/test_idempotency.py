"""Idempotency-Key: which requests are the same, and whose turn it is."""

from datetime import UTC, datetime, timedelta

import pytest

from decibus.blobs import Blob
from decibus.errors import BadRequest, IdempotencyMismatch, OutOfTurn
from services.gateway.idempotency import (
    LEASE,
    fingerprint_of,
    finish,
    is_free,
    open_row,
    read_key,
    tokens_of,
)
from services.gateway.intake import Received

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENDER_AND_KEY = "address 192.0.2.7\n3f2a"


def file(digest: str = "AAAA", name: str | None = "take.wav") -> Received:
    blob = Blob(name="n", bucket="b", nuid="x", digest=f"SHA-256={digest}")
    return Received(blob, name, 1.0)


@pytest.mark.parametrize("key", ["", "a" * 256, "a\nb", "ключ", "\x7f"])
def test_a_key_is_printable_and_short(key: str) -> None:
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        read_key(key)

    assert read_key("x" * 255) == "x" * 255


def test_while_a_request_is_in_flight_its_key_is_taken() -> None:
    row = open_row(now=NOW)

    with pytest.raises(OutOfTurn):
        is_free(row, now=NOW + LEASE - timedelta(seconds=1))


def test_the_key_of_a_gateway_that_died_is_free_after_its_lease() -> None:
    assert is_free(open_row(now=NOW), now=NOW + LEASE)


def test_the_same_request_leads_to_the_same_reports() -> None:
    row = finish(open_row(now=NOW), SENDER_AND_KEY, "f", ["one", "two"])

    assert not is_free(row, now=NOW + timedelta(hours=23))
    assert tokens_of(row, SENDER_AND_KEY, "f") == ["one", "two"]


def test_another_request_does_not_get_the_first_ones_reports() -> None:
    row = finish(open_row(now=NOW), SENDER_AND_KEY, "f", ["one"])

    with pytest.raises(IdempotencyMismatch):
        tokens_of(row, SENDER_AND_KEY, "g")


def test_a_row_alone_opens_no_report() -> None:
    first, second = (finish(open_row(now=NOW), SENDER_AND_KEY, "f", ["token"]) for _ in range(2))

    assert b"token" not in first.tokens
    assert first.tokens != second.tokens


def test_requests_are_the_same_when_all_but_the_patience_is() -> None:
    one = fingerprint_of("/analyze", {"genre": "pop", "wait": "5"}, [file()])

    assert fingerprint_of("/analyze", {"wait": "0", "genre": "pop"}, [file()]) == one
    assert fingerprint_of("/analyze/", {"genre": "pop"}, [file()]) == one
    assert fingerprint_of("/resample/", {"genre": "pop"}, [file()]) != one
    assert fingerprint_of("/analyze", {"genre": "rock"}, [file()]) != one
    assert fingerprint_of("/analyze", {"genre": "pop"}, [file("BBBB")]) != one
    assert fingerprint_of("/analyze", {"genre": "pop"}, [file(name="b.wav")]) != one
    assert fingerprint_of("/analyze", {"genre": "pop"}, [file(), file()]) != one
