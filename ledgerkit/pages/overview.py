"""The first page of the atlas: what there is, what was checked, and what it is a view of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledgerkit import software
from ledgerkit.export.ledgers import Basis
from ledgerkit.pages.gather import Map, Row
from ledgerkit.pages.markup import Markup, joined, table, tag
from ledgerkit.pages.parts import figure, hint, many, page, section

MOST_CLUSTERS = 60
"""Clusters of one map that are listed, the largest."""
MOST_NOTES = 50
"""Sentences about pictures that are listed."""
KINDS = {"plate": "plates", "tile": "tiles", "segment": "segments"}


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page says."""

    basis: Basis
    command: str
    plates: int
    maps: Sequence[Map]
    segments: Mapping[str, int]
    zoomable: int
    gates: Sequence[Row]
    figures: Sequence[tuple[Row, str | None]]
    """Each with its file in the atlas; None where it is missing."""
    missing: Mapping[str, str]
    figures_missing: Mapping[str, str]
    spaces_left_out: Sequence[str] = field(default_factory=tuple)


def overview_page(view: Overview) -> bytes:
    """The whole page, which says everything without scripts; they only put small pictures in."""
    return page(
        f"Atlas of {view.basis.origin}",
        ("atlas.js", "overview.js"),
        _header(),
        tag("h1", "Atlas"),
        tag("p", _summary(view)),
        _maps(view),
        _pictures(view),
        _gates(view.gates),
        _figures(view),
        _basis(view),
    )


def _header() -> Markup:
    pages = (("index.html", "Overview"), ("map.html", "Map"), ("plates.html", "Plates"))
    links = [
        tag("a", name, href=page, **({"aria_current": "page"} if page == "index.html" else {}))
        for page, name in pages
    ]
    return tag("header", tag("nav", *links, aria_label="Atlas"), class_="bar")


def _summary(view: Overview) -> str:
    parts = [many(view.plates, "plate")]
    total = sum(view.segments.values())
    if total:
        kinds = ", ".join(f"{count} {kind}" for kind, count in view.segments.items())
        parts.append(f"{many(total, 'segment')} ({kinds})")
    parts += [many(len(view.maps), "map"), many(len(view.figures), "figure")]
    return ", ".join(parts) + "."


def _maps(view: Overview) -> Markup:
    if not view.maps:
        said = "There is no clustering in these ledgers, so there is no map. "
        return section("Maps and clusters", hint(said, "cluster", " makes one."))
    found = [_one_map(number, one) for number, one in enumerate(view.maps)]
    return section("Maps and clusters", *found)


def _one_map(number: int, one: Map) -> Markup:
    coarse = [row for row in one.clusters if row["level"] == one.levels[0]]
    noise = int((one.members[0] < 0).sum())
    said = f"{len(one.subjects):,} {KINDS[one.kind]} in {many(len(coarse), 'cluster')}"
    if len(one.levels) > 1:
        said += f" on the coarsest of {len(one.levels)} levels"
    said += f", {noise:,} in none. Run {one.run_id}, variant {one.variant}."
    if one.without_plate:
        said += f" {one.without_plate:,} are left out, for their plates are not at work."
    items = [_cluster(number, one, row) for row in coarse[:MOST_CLUSTERS]]
    more = len(coarse) - len(items)
    return joined(
        (
            tag("h3", tag("a", f"Map of {KINDS[one.kind]}", href=f"map.html#{number}")),
            tag("p", said),
            tag("ul", *items, class_="grid") if items else tag("p", "It has no clusters."),
            tag("p", f"{more:,} smaller ones are on the map.") if more > 0 else Markup(""),
        )
    )


def _cluster(number: int, one: Map, row: Row) -> Markup:
    """A cluster; `data-map` and `data-medoid` tell a script which picture to put in."""
    link = tag("a", tag("span", row["title"]), href=f"cluster.html#{number}/{row['cluster_id']}")
    at = one.place.get(row["representative_id"] or row["medoid_id"])
    told = {} if at is None else {"data_map": number, "data_medoid": at}
    said = tag("span", f"{row['size']:,} {KINDS[one.kind]}", class_="small")
    return tag("li", link, said, **told)


def _pictures(view: Overview) -> Markup:
    parts = [
        hint("No plate has tiles here: each is one picture. ", "pyramid", " makes tiles.")
        if not view.zoomable
        else tag("p", f"{view.zoomable:,} of {view.plates:,} plates can be zoomed to every pixel.")
    ]
    if not view.segments:
        parts.append(hint("There are no segments in these ledgers. ", "segment", " finds them."))
    for space in view.spaces_left_out:
        said = f"Neighbours in the space {space} are left out: there are too many vectors. "
        parts.append(hint(said, "search", " finds them."))
    return section("Pictures", *parts, *_missing(view.missing))


def _missing(missing: Mapping[str, str]) -> list[Markup]:
    """What is said of plates without a picture, or with another one than their best."""
    if not missing:
        return []
    notes = [tag("li", f"{plate}: {why}") for plate, why in list(missing.items())[:MOST_NOTES]]
    said = f"Of {many(len(missing), 'plate')} a picture is missing or replaced:"
    more = len(missing) - len(notes)
    rest = [tag("p", f"and {more:,} more; their pages say why.")] if more else []
    return [tag("p", said), tag("ul", *notes), *rest]


def _gates(gates: Sequence[Row]) -> Markup:
    if not gates:
        return section("Checks", tag("p", "No current run has checked its own result."))
    total, failed = sum(row["runs"] for row in gates), sum(row["failed"] for row in gates)
    rows = [
        (
            tag("strong", "failed") if row["failed"] else Markup("passed"),
            row["operation"],
            f"{row['gate']}: {row['check']}",
            f"{row['runs'] - row['failed']:,} of {row['runs']:,}",
            row["message"],
            _subject(row["subject"], row["run_id"]),
        )
        for row in gates
    ]
    head = ("Outcome", "Operation", "Check", "Passed", "Message of one run", "That run")
    said = f"{total - failed:,} of {total:,} checks that current runs made of their own results passed."
    return section("Checks", tag("p", said), table(head, rows, "Checks of current runs"))


def _subject(subject: str, run_id: str) -> Markup:
    if subject == "collection":
        return joined((run_id,))
    return joined((tag("a", subject, href=f"plate.html#{subject}"), " ", run_id))


def _figures(view: Overview) -> Markup:
    if not view.figures:
        return section("Figures", tag("p", "No current run has drawn a figure."))
    shown = [
        figure(row, file, view.figures_missing.get(f"{row['run_id']}/{row['figure_id']}", ""))
        for row, file in view.figures
    ]
    return section("Figures", *shown)


def _basis(view: Overview) -> Markup:
    basis = view.basis
    facts: list[tuple[str, Any]] = [
        ("Repository", basis.origin),
        ("Log size", basis.log_size),
        ("Log root", basis.log_root),
        ("SHA-256 of ledger.json", basis.ledger_sha256),
        *((f"SHA-256 of {name}.parquet", digest) for name, digest in sorted(basis.tables.items())),
        ("Made by", f"ledgerkit {software.VERSION}"),
        ("Command", view.command),
    ]
    rows = [(name, tag("code", str(value))) for name, value in facts]
    listed = tag(
        "p",
        "Every file of this folder is listed with its digest in ",
        tag("a", "export.json", href="export.json"),
        ".",
    )
    said = "This atlas is a view: the records of the repository decide. It shows the ledgers at this point of the log."
    return section("What this is a view of", tag("p", said), table(("", ""), rows, "Basis"), listed)
