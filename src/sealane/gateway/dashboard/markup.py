"""Markup that cannot forget to escape: a text becomes part of it only through ``html`` or ``tag``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from html import escape


class Html(str):
    """Markup that was made here."""

    __slots__ = ()


NOTHING = Html("")
ATTRIBUTES_KEPT = 2_048
"""Most attributes are the same every time."""
_VOID = frozenset({"br", "link", "meta"})


def html(value: object) -> Html:
    """Markup as it is; any other value as escaped text."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other, escaped unless they are markup."""
    return Html((escape(between) if between else "").join([html(part) for part in parts]))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """One element. ``class_`` is ``class`` and ``data_label`` is ``data-label``; None and False leave one out."""
    said = "".join([_attribute(key, value) for key, value in attributes.items()]) if attributes else ""
    opening = f"<{name}{said}>"
    return Html(opening if name in _VOID else f"{opening}{''.join([html(child) for child in children])}</{name}>")


@lru_cache(ATTRIBUTES_KEPT, typed=True)  # 1 and True are two things here
def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[object]], *, numbers: Iterable[str] = ()) -> Html:
    """A table that keeps its meaning where a narrow screen stacks its cells.

    The first cell of a row is its head. ``numbers`` names the columns that are set to the right.
    """
    names, right = [_titled(name) for name in heads], frozenset(map(_titled, numbers))
    head = tag(
        "tr",
        *(tag("th", name, scope="col", role="columnheader", class_=_side(name, right)) for name in names),
        role="row",
    )
    body = [tag("tr", *_cells(names, list(row), right), role="row") for row in rows]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", head, role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        role="table",
    )


def _titled(name: str) -> str:
    return name[:1].upper() + name[1:]


def _cells(names: list[str], cells: list[object], right: frozenset[str]) -> Iterable[Html]:
    yield tag("th", cells[0], scope="row", role="rowheader")
    for name, cell in zip(names[1:], cells[1:], strict=True):
        inner = tag("span", cell, class_="cell")
        yield tag("td", inner, role="cell", data_label=name, class_=_side(name, right))


def _side(name: str, right: frozenset[str]) -> str | None:
    return "number" if name in right else None


def section(anchor: str, title: str, *children: object, note: object = "") -> Html:
    """One part of the page under its own heading."""
    told = tag("p", note, class_="note") if note else NOTHING
    heading = tag("div", tag("h2", title, id=anchor), told, class_="heading")
    return tag("section", heading, *children, aria_labelledby=anchor)


def empty(text: str) -> Html:
    """What stands in the place of a table that has no row."""
    return tag("p", text, class_="empty")
