"""The index of the library: its order, its cursors, its bounds."""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decibus.errors import BadRequest
from services.gateway.shelf import Books, folded, read_cursor, written
from services.gateway.uploads import Retention, Upload, Volume

START = datetime(2026, 11, 21, tzinfo=UTC)


def volume(name: str, *, minute: float = 0.0, text: str = "") -> Volume:
    upload = Upload(
        token="",
        keys={},
        sha256="0" * 64,
        size=1,
        filename=name,
        genre=None,
        target=None,
        created_at=START + timedelta(minutes=minute),
        expires_at=None,
        received_s=0.0,
        row=hashlib.sha256(name.encode()).hexdigest(),
        retention=Retention.LIBRARY,
    )
    report = msgspec.Raw(b'{"loudness":{"integrated_lufs":-23.0}}')
    return Volume(upload=upload, text=text, language="en", duration_s=1.0, report=report)


def names(books: Books, after: str | None = None) -> list[str | None]:
    return [book.entry.filename for book in books.behind(read_cursor(after) if after else None)]


def cursor(books: Books, name: str) -> str | None:
    return next(written(book.key) for book in books.behind(None) if book.entry.filename == name)


def test_the_newest_stands_first() -> None:
    books = Books()
    for minute in (1, 3, 2):
        books.put(volume(f"{minute}.wav", minute=minute))

    assert names(books) == ["3.wav", "2.wav", "1.wav"]


@given(st.sets(st.integers(0, 30)), st.integers(0, 30))
def test_a_cursor_goes_on_where_it_was_whatever_came_and_went(come: set[int], gone: int) -> None:
    books = Books()
    for minute in range(10, 21):
        books.put(volume(f"{minute}", minute=minute))
    after = cursor(books, "15")

    for minute in come:
        books.put(volume(f"{minute}", minute=minute))
    books.remove(volume(f"{gone}").upload.row)

    there = ({*range(10, 21)} | come) - {gone}
    assert names(books, after) == [str(each) for each in sorted(there, reverse=True) if each < 15]


def test_a_report_that_is_put_again_stands_once() -> None:
    books = Books()
    books.put(volume("a.wav", text="one"))
    books.put(volume("a.wav", text="two"))

    assert names(books) == ["a.wav"]
    assert books.text(volume("a.wav").upload.row) == "two"


def test_beyond_its_bounds_the_oldest_go_and_their_texts_before_them() -> None:
    books = Books(max_books=3, max_text_bytes=20)
    for minute in range(5):
        books.put(volume(f"{minute}", minute=minute, text="ten bytes!"))

    texts = [books.text(book.entry.id) for book in books.behind(None)]
    assert names(books) == ["4", "3", "2"]
    assert texts == ["ten bytes!", "ten bytes!", None]


def test_what_is_no_longer_there_is_let_go() -> None:
    books = Books()
    for name in "abc":
        books.put(volume(name))

    books.keep({volume("b").upload.row})

    assert names(books) == ["b"]


def test_case_and_the_way_an_accent_is_written_make_no_difference() -> None:
    assert folded("CAFE\N{COMBINING ACUTE ACCENT}.WAV") == folded("café.wav")
    assert folded("STRASSE") == folded("Straße")


@pytest.mark.parametrize("text", ["?", "abc", "A" * 53, "ä", "A" * 500])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        read_cursor(text)


def test_an_entry_tells_how_the_transcript_begins_on_one_line() -> None:
    books = Books()
    books.put(volume("a.wav", text="one\n two " + "three " * 100))

    (book,) = books.behind(None)

    assert book.entry.excerpt.startswith("one two three")
    assert len(book.entry.excerpt) <= 161
    assert book.entry.integrated_lufs == -23.0
