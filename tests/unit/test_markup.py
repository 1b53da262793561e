"""HTML made of tags and of text, and nothing that is text becomes a tag."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.markup import Markup, joined, tag


class Seen(HTMLParser):
    """What a browser finds: the elements, the values of their attributes, the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[str | None] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")))
def test_any_text_is_shown_as_it_is_and_makes_no_element(text: str) -> None:
    seen = Seen(tag("p", text, tag("b", f"{text}"), title=text))

    assert seen.tags == ["p", "b"]
    assert seen.values == [text]
    assert seen.text == text * 2


def test_only_what_tag_has_made_is_markup() -> None:
    bold = tag("b", "1")

    assert tag("p", bold) == "<p><b>1</b></p>"
    assert tag("p", f"{bold}") == "<p>&lt;b&gt;1&lt;/b&gt;</p>"
    assert tag("p", bold + "2") == "<p>&lt;b&gt;1&lt;/b&gt;2</p>"


def test_attributes_are_left_out_bare_or_with_a_value() -> None:
    made = tag("input", type="file", required=True, checked=False, value=None, class_="x", max_=1)

    assert made == '<input type="file" required class="x" max="1">'
    assert tag("td", aria_label="a & b") == '<td aria-label="a &amp; b"></td>'


def test_nothing_is_nothing_and_several_stand_behind_each_other() -> None:
    assert joined([None, "a", [tag("br"), "<"], None]) == Markup("a<br>&lt;")
