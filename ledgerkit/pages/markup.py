"""HTML in which every text is escaped: only `Markup`, made here, goes in as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable

VOID = frozenset({"br", "img", "link", "meta", "wbr"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(kind: str, /, *inside: str, **attributes: str | int) -> Markup:
    """One element. Attribute names are written with `_` for `-`, and `class_` for `class`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    if kind in VOID:
        return Markup(f"<{kind}{given}>")
    return Markup(f"<{kind}{given}>{joined(inside)}</{kind}>")


def joined(parts: Iterable[str]) -> Markup:
    """Texts, escaped, and markup one after the other."""
    return Markup(
        "".join(part if isinstance(part, Markup) else html.escape(part) for part in parts)
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]], caption: str) -> Markup:
    """A table with its heads and its caption, which may scroll sideways on a narrow screen."""
    top = tag("tr", *(tag("th", one, scope="col") for one in head))
    body = [tag("tr", *(tag("td", one) for one in row)) for row in rows]
    whole = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)
