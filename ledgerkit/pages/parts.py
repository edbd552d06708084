"""What the pages that are written here share: the whole page, sections, figures, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledgerkit.pages.markup import Markup, tag

POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; "
    "img-src 'self' file: blob: data:; base-uri 'none'; form-action 'none'"
)
"""Content security policy of every page: nothing from elsewhere is loaded, no script within a page."""


def page(title: str, scripts: Sequence[str], header: Markup, *main: Markup) -> bytes:
    """A whole page, HTML in UTF-8; `scripts` are names in `assets/`, beside its style."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="stylesheet", href="assets/style.css"),
        *(tag("script", defer="", src=f"assets/{name}") for name in scripts),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        header,
        tag("main", *main, id="content", class_="page"),
    )
    return ("<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n").encode()


def section(title: str, *parts: Markup, **attributes: str) -> Markup:
    """A part of a page with its heading."""
    return tag("section", tag("h2", title), *parts, **attributes)


def many(count: int, name: str) -> str:
    """As `1 plate` and `1,840 plates`."""
    return f"{count:,} {name}" + ("" if count == 1 else "s")


def hint(said: str, command: str, does: str) -> Markup:
    """That something is not there, and the command that changes it."""
    return tag("p", said, tag("code", f"ledgerkit {command}"), does)


def figure(row: Mapping[str, Any], file: str | None, missing: str) -> Markup:
    """A row of `figures` with its texts; `file` is its copy, None where `missing` says why not."""
    parts: list[Markup] = [tag("h3", row["title"])]
    if file is None:
        parts.append(tag("p", missing, class_="no-picture"))
    else:
        image = tag(
            "img",
            src=file,
            alt=row["title"],
            width=row["width"],
            height=row["height"],
            loading="lazy",
        )
        parts.append(tag("a", image, href=file))
    for column, title in (("interpretation", "Interpretation"), ("warning_signs", "Warning signs")):
        if row.get(column):
            parts.append(tag("p", tag("strong", f"{title}: "), row[column]))
    said = f"{row['file']} of {row['run_id']}, SHA-256 {row['sha256']}"
    return tag("figure", *parts, tag("figcaption", said))
