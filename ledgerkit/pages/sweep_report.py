"""`sweep report`: one page about swept collections, which opens from the disk without scripts.

The numbers are those of the ledgers; figures are copies that are held against their digests. The same
ledgers and images give the same bytes. Written as an export is: whole or absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ledgerkit import operation
from ledgerkit.clustering.swept import said_setting
from ledgerkit.errors import LedgerkitError, MissingInput
from ledgerkit.export.lines import encoded
from ledgerkit.export.swept import CollectionData
from ledgerkit.export.target import Listed, new_folder, refuse
from ledgerkit.imaging.contact import draw_sheet, to_jpeg
from ledgerkit.pages.chosen import Overall, overall_of
from ledgerkit.pages.markup import Markup, joined, table, tag
from ledgerkit.pages.parts import figure, hint, many, page, section
from ledgerkit.pages.recommended import number, recommendation, signatures, winners

if TYPE_CHECKING:
    from PIL.Image import Image

TRIALS = 20
CLUSTERS, MEMBERS, CELL = 12, 8, 130
"""Consensus clusters that are shown, the largest; most members of each; pixels of a picture."""
COLUMNS = (
    ("Score (z)", "score", 2),
    ("Clusters", "clusters", 0),
    ("Coverage", "coverage", 2),
    ("Stability", "stability_ari", 3),
    ("Silhouette", "silhouette", 3),
    ("Modularity", "modularity", 3),
)


@dataclass(frozen=True)
class SweepReportView:
    """A report that was written. `sha256` is that of its `export.json`, which lists every file.

    `missing` is how many pictures of members could not be had; `figures_missing` says why figures
    are not there.
    """

    target: str
    collections: int
    trials: int
    robust: str | None
    missing: int
    figures_missing: dict[str, str]
    files: int
    bytes: int
    sha256: str


@dataclass(slots=True)
class _Report:
    """What is being made."""

    collections: Sequence[CollectionData]
    overall: Overall
    output: Listed
    missing: int = 0
    figures_missing: dict[str, str] = field(default_factory=dict)


def build(collections: Sequence[CollectionData], target: Path) -> SweepReportView:
    """Write the report of `collections` to a new folder; open `index.html`.

    Raises `UsageError`, `MissingInput` without a collection, `CommitFailed`; nothing is left then.
    """
    refuse(target)
    if not collections:
        raise MissingInput("there is no sweep to report on", "Make one: ledgerkit sweep run")
    with new_folder(target) as folder:
        made = _Report(collections, overall_of(collections), Listed(folder))
        parts = [_collection(made, one) for one in collections]
        style = files("ledgerkit.pages").joinpath("assets/style.css").read_bytes()
        made.output.put("assets/style.css", style)
        made.output.put("index.html", _page(made, parts))
        told = [one.basis.document(_selection(one)) for one in collections]
        listing = {"ledgerkit": told, "files": made.output.files}
        made.output.put("export.json", encoded(listing) + b"\n")
    return SweepReportView(
        str(target),
        len(collections),
        sum(len(one.swept.trials) for one in collections),
        made.overall.robust,
        made.missing,
        made.figures_missing,
        len(made.output.files),
        made.output.bytes,
        made.output.files[-1]["sha256"],
    )


def _selection(one: CollectionData) -> dict[str, Any]:
    return {"collection": one.swept.collection, "of": one.swept.of, "sweep": one.run_id}


def _page(made: _Report, parts: Sequence[Markup]) -> bytes:
    links = [("#recommendation", "Recommendation"), ("#signatures", "Signatures")]
    links += [(f"#{_anchor(one)}", one.label) for one in made.collections]
    header = tag(
        "header",
        tag("nav", *(tag("a", text, href=to) for to, text in links), aria_label="Report"),
        class_="bar",
    )
    trials = sum(len(one.swept.trials) for one in made.collections)
    said = f"{many(trials, 'trial')} on {many(len(made.collections), 'collection')}."
    return page(
        "Report of sweeps",
        (),
        header,
        tag("h1", "Report of sweeps"),
        tag("p", said),
        recommendation(made.collections, made.overall),
        signatures(made.overall, len(made.collections)),
        winners(made.overall),
        *parts,
        _basis(),
    )


def _collection(made: _Report, one: CollectionData) -> Markup:
    swept, document = one.swept, one.document
    consensus = document["consensus"]
    said = (
        f"{many(len(swept.members), swept.of.removesuffix('s'))} in the space {swept.space}, "
        f"{many(len(swept.trials), 'trial')} of {', '.join(document['algorithms'])}, drawn by "
        f"{document['search']} search with seed {document['seed']}, scored by {document['formula']}. "
        f"The consensus of {many(len(consensus['trials']), 'trial')} has "
        f"{many(len(swept.sizes), 'cluster')} by the cut {consensus['cut']} "
        f"({many(consensus['clusters']['lifetime'], 'cluster')} by lifetime, "
        f"{many(consensus['clusters']['half'], 'cluster')} at one half)."
    )
    return section(
        f"Collection {one.label}",
        tag("p", said),
        tag("h3", "Leaderboard"),
        *_leaderboard(one),
        tag("h3", "Consensus clusters"),
        *_clusters(made, one),
        tag("h3", "Figures"),
        *_figures(made, one),
        tag("h3", "Where it is from"),
        _provenance(one),
        id=_anchor(one),
    )


def _anchor(one: CollectionData) -> str:
    """The id of its section, which no other part of the page has."""
    return f"collection-{one.name}"


def _leaderboard(one: CollectionData) -> list[Markup]:
    ranked = one.swept.ranked
    if not ranked:
        return [tag("p", "No trial has a rank.", class_="note")]
    head = ("Rank", "Trial", "Algorithm and setting", *(name for name, _, _ in COLUMNS))
    rows = [
        (
            f"{row['rank']}",
            f"{row['trial']}",
            said_setting(row),
            *(number(row[column], digits) for _, column, digits in COLUMNS),
        )
        for row in ranked[:TRIALS]
    ]
    down = sum(row["ranked_down"] for row in one.swept.trials)
    controls = sum(row["control"] for row in one.swept.trials)
    told = f"The first {len(rows)} of {many(len(one.swept.trials), 'trial')} on {one.label}"
    said = (
        f"A dash stands for a missing measure. {many(down, 'trial')} ranked down as unstable and "
        f"apart from the consensus; {many(controls, 'control')} without a rank."
    )
    return [table(head, rows, told), tag("p", said, class_="small")]


def _clusters(made: _Report, one: CollectionData) -> list[Markup]:
    """The largest with a sheet of members each: those that belong to them most."""
    sizes = one.swept.sizes
    if not sizes:
        return [tag("p", "The consensus has no cluster.", class_="note")]
    shown = [(label, size, _belonging(one, label)) for label, size in sizes[:CLUSTERS]]
    pictures = _pictures(made, one, [row for _, _, rows in shown for row in rows])
    parts = [_cluster(made, one, label, size, rows, pictures) for label, size, rows in shown]
    none = int((one.swept.consensus < 0).sum())
    rest = len(sizes) - len(shown)
    said = f"{none:,} {one.swept.of} are in no cluster."
    if rest:
        said = f"{many(rest, 'smaller cluster')} are not shown. {said}"
    return [*parts, tag("p", said)]


def _belonging(one: CollectionData, label: int) -> list[int]:
    """Rows of a cluster, those first that most trials put with the others."""
    import numpy as np

    members = one.swept.members
    rows = np.flatnonzero(one.swept.consensus == label).tolist()
    rows.sort(key=lambda row: (-members[row]["consensus_probability"], members[row]["subject_id"]))
    return list(rows[:MEMBERS])


def _pictures(made: _Report, one: CollectionData, rows: Sequence[int]) -> dict[str, Image]:
    from ledgerkit.export.thumbnails import thumbnails

    members = one.swept.members
    subjects = [(members[row]["subject_id"], members[row]["plate_id"]) for row in rows]
    found = dict(thumbnails(one.tree, one.images, subjects, CELL - 16))
    made.missing += len(subjects) - len(found)
    return found


def _cluster(
    made: _Report,
    one: CollectionData,
    label: int,
    size: int,
    rows: Sequence[int],
    pictures: dict[str, Image],
) -> Markup:
    import numpy as np

    members = [one.swept.members[row] for row in rows]
    shown = [(str(row["subject_id"]), row) for row in members if row["subject_id"] in pictures]
    title = f"Consensus cluster {label}: {size:,} {one.swept.of}"
    if not shown:
        said = "None of its pictures could be had: see ledgerkit cache status."
        return tag("figure", tag("figcaption", title), tag("p", said, class_="no-picture"))
    sheet = draw_sheet(
        f"Cluster {label}: {len(shown)} of {size}",
        [(name, pictures[name]) for name, _ in shown],
        label,
        cell=CELL,
        columns=MEMBERS,
    )
    name = f"clusters/{one.name}-{label}.jpg"
    made.output.put(name, to_jpeg(np.asarray(sheet)))
    titles = ", ".join(one.titles[row["plate_id"]] for _, row in shown)
    image = tag(
        "img", src=name, alt=f"{title}: {titles}", width=sheet.width, height=sheet.height,
        loading="lazy",
    )  # fmt: skip
    said = f"{title}. Shown: {titles.removesuffix('.')}."
    return tag("figure", image, tag("figcaption", said))


def _figures(made: _Report, one: CollectionData) -> list[Markup]:
    """Copies of the figures of `survey`, each held against its digest."""
    if not one.figures:
        command = f"{operation.command('survey')} --collection {quote(one.swept.collection)}"
        return [hint("No current run has drawn this sweep by its cut. ", command, " does.")]
    parts = []
    for row in one.figures:
        name = f"figures/{row['sha256'][:20]}.png"
        try:
            data = one.tree.read_checked(row["stored_path"], row["sha256"])
        except LedgerkitError as error:
            said = f"There is no picture: {error.message}."
            made.figures_missing[f"{row['run_id']}/{row['figure_id']}"] = said
            parts.append(figure(row, None, said))
            continue
        if all(listed["path"] != name for listed in made.output.files):
            made.output.put(name, data)
        parts.append(figure(row, name, ""))
    return parts


def _provenance(one: CollectionData) -> Markup:
    basis = one.basis
    facts = [
        ("Repository", basis.origin),
        ("Log size", basis.log_size),
        ("Log root", basis.log_root),
        ("SHA-256 of ledger.json", basis.ledger_sha256),
        ("Run of the sweep", one.run_id),
        ("Its record", one.record_path),
        ("SHA-256 of the record", one.record_sha256),
        (
            "Runs of the figures",
            ", ".join(sorted({row["run_id"] for row in one.figures})) or "none",
        ),
    ]
    rows = [(name, tag("code", str(value))) for name, value in facts]
    return table(("", ""), rows, f"What the numbers of {one.label} are a view of")


def _basis() -> Markup:
    from ledgerkit import software

    said = joined(
        (
            "This report is a view: the records of the repositories decide. Every file of this "
            "folder is listed with its digest in ",
            tag("a", "export.json", href="export.json"),
            f". Made by ledgerkit {software.VERSION}.",
        )
    )
    return section("What this is a view of", tag("p", said))
