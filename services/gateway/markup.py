"""
HTML in which nothing but our own tags is markup: text is escaped unless `tag` has made it.

    tag("td", name, class_="name")  ─▶  <td class="name">&lt;img onerror=…&gt;</td>
"""

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "hr", "input", "link", "meta"})


class Markup(str):
    """HTML, to be shown as it is. What is made of it by `+` or in an f-string is text again."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
"""Text, HTML, nothing, or several of them."""
Value = str | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """
    Return an element. None and False leave an attribute out, True gives it no value.

    An underscore at the end of a name is dropped, any other one is a hyphen.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Child) -> Markup:
    """Return all of it, one behind the other."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(escape(children))
    return Markup("".join(map(joined, children)))


def _attribute(key: str, value: Value) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
