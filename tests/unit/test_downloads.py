"""Ranges and names of downloads, as RFC 9110, RFC 6266 and RFC 8187 have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decibus.errors import WrongRange
from services.gateway.downloads import Span, disposition, read_range


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=3-99", 3, 10),
        ("bytes=-3", 7, 10),
        ("bytes=-99", 0, 10),
        ("BYTES= 2-4 ", 2, 5),
    ],
)
def test_a_range_is_read(text: str, start: int, stop: int) -> None:
    assert read_range(text, 10) == Span(start=start, stop=stop, is_rest=False)


@pytest.mark.parametrize("start", [0, 9])
def test_a_range_without_an_end_is_all_the_rest(start: int) -> None:
    assert read_range(f"bytes={start}-", 10) == Span(start=start, stop=10, is_rest=True)


@pytest.mark.parametrize(
    "text", [None, "", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b"]
)
def test_what_is_no_single_range_is_answered_with_everything(text: str | None) -> None:
    assert read_range(text, 10) is None


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(text: str) -> None:
    with pytest.raises(WrongRange) as refused:
        read_range(text, 10)

    assert refused.value.size == 10


@given(text=st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True), size=st.integers(1, 999))
def test_a_range_lies_within_the_file(text: str, size: int) -> None:
    try:
        span = read_range(text, size)
    except WrongRange:
        return

    assert span is None or 0 <= span.start < span.stop <= size


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("take.mp3", 'attachment; filename="take.mp3"'),
        ('a"b\\c.mp3', "attachment; filename=\"a_b_c.mp3\"; filename*=UTF-8''a%22b%5Cc.mp3"),
        ("Lärm.mp3", "attachment; filename=\"L_rm.mp3\"; filename*=UTF-8''L%C3%A4rm.mp3"),
        ("50%.mp3", "attachment; filename=\"50_.mp3\"; filename*=UTF-8''50%25.mp3"),
        (
            "a\r\nSet-Cookie: x",
            "attachment; filename=\"a__Set-Cookie: x\"; filename*=UTF-8''a%0D%0A",
        ),
    ],
)
def test_a_name_is_told_as_all_clients_read_it(name: str, header: str) -> None:
    assert disposition(name).startswith(header)


@given(name=st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_name_leaves_its_header(name: str) -> None:
    told = disposition(name)

    assert told.isascii()
    assert told.isprintable()
    assert told.count('"') == 2
