"""HTML from Python: `element` escapes everything that is not already markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


class Html(str):
    """A string of HTML markup; any other string is text."""

    __slots__ = ()


VOID = ("img", "wbr")
"""Elements without an end tag."""


def element(name: str, *children: Any, **attributes: Any) -> Html:
    """The element `<name attributes>children</name>`; text, numbers and values are escaped, `Html` is not.

    An underscore in an attribute's name becomes a hyphen (`data_sort`), a trailing one is dropped (`class_`); an
    attribute that is None is omitted. A list or tuple of children stands for its members.
    """
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    opening = f"<{name}" + "".join(f' {key}="{escape(str(value))}"' for key, value in given.items()) + ">"
    return Html(opening if name in VOID else f"{opening}{markup(children)}</{name}>")


def markup(children: Iterable[Any]) -> Html:
    """The markup of all children, concatenated."""
    return Html("".join(_one(child) for child in children if child is not None))


def _one(child: Any) -> str:
    if isinstance(child, Html):
        return child
    return markup(child) if isinstance(child, list | tuple) else escape(str(child))


def prose(text: str) -> Html:
    """Text in which `backticks` mark code."""
    return markup(element("code", part) if i % 2 else part for i, part in enumerate(text.split("`")))


def note(*words: Any) -> Html:
    """A remark under a heading."""
    return element("p", *words, class_="note")


def joined(words: Sequence[str]) -> str:
    """Words as an enumeration: a, b and c."""
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), *words[-1:]])


def slug(*names: str) -> str:
    """An id for links, made of letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(names).lower()).strip("-")


def cell(content: Any, *, sort: float | str | None = None, kind: str | None = None) -> Html:
    """A table cell; `sort` is its sort key, if that is not its text."""
    return element("td", content, data_sort=sort, class_=kind)


def table(
    head: Sequence[Any], rows: Sequence[Sequence[Any]], *, caption: str, kind: str = "sortable",
    ids: Sequence[str] | None = None,
) -> Html:  # fmt: skip
    """A table in a scrollable box; the first member of a row is its heading, the others are `cell`s or text.

    caption: description for screen readers; also the label of the box, which can be scrolled with the keyboard.
    kind: `sortable`, `matrix`, or `sortable stacked`: on a narrow screen a row becomes a card with one line per cell.
    ids: ids of the rows, for links.
    """
    lines = [
        element(
            "tr",
            element("th", _breakable(first), scope="row"),
            [_cell_of(c, what if "stacked" in kind else None) for c, what in zip(others, head[1:], strict=True)],
            id=name,
        )
        for name, (first, *others) in zip(ids or [None] * len(rows), rows, strict=True)
    ]
    inner = element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", element("tr", [element("th", name, scope="col") for name in head])),
        element("tbody", lines),
        class_=kind,
    )
    return element("div", inner, class_="box", tabindex=0, role="region", aria_label=caption)


def _cell_of(content: Any, head: Any = None) -> Html:
    made = content if isinstance(content, Html) and content.startswith("<td") else element("td", content)
    return made if head is None else Html(made.replace("<td", f'<td data-head="{escape(str(head))}"', 1))


def _breakable(name: Any) -> Any:
    """A name with line-break opportunities after its underscores."""
    if isinstance(name, Html) or not isinstance(name, str):
        return name
    first, *others = name.split("_")
    return [first, *(part for other in others for part in ("_", element("wbr"), other))]
