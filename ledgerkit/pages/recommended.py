"""The parts of a report of sweeps that speak of all collections together."""

from __future__ import annotations

from collections.abc import Sequence

from ledgerkit.clustering.swept import said_setting
from ledgerkit.export.swept import CollectionData
from ledgerkit.pages.chosen import (
    Expected,
    Overall,
    expected,
    setting_lines,
    trade_offs,
    trials_of,
)
from ledgerkit.pages.markup import Markup, joined, table, tag
from ledgerkit.pages.parts import many, section

SIGNATURES = 20
MISSING = "–"


def number(value: float | None, digits: int) -> str:
    """With so many digits after the point; a dash where it is missing."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def breakable(signature: str) -> Markup:
    """A signature that may be broken after its bars."""
    first, *others = signature.split("|")
    return joined([first, *(part for one in others for part in ("|", tag("wbr"), one))])


def recommendation(collections: Sequence[CollectionData], overall: Overall) -> Markup:
    """The card: the setting, what to expect of it, and what it costs against each winner."""
    title = "Recommendation"
    if overall.robust is None:
        said = "No trial has a score, so nothing is recommended."
        return section(title, tag("p", said, class_="note"), id="recommendation")
    by_collection = trials_of(collections, overall.robust)
    trials = sum(map(len, by_collection.values()))
    said = (
        f"It was tried {many(trials, 'time')} in {len(by_collection):,} of "
        f"{many(len(collections), 'collection')}."
    )
    if len(by_collection) == 1:
        said += " What it does in other collections is not known: this is a local choice."
    down = next(row for row in overall.signatures if row["signature"] == overall.robust)
    if down["ranked_down"]:
        said += (
            f" In {many(down['ranked_down'], 'collection')} its trials were ranked down, as unstable and "
            "apart from the consensus or with too little coverage; of those tried in as many "
            "collections none was in fewer."
        )
    facts: list[Markup] = []
    algorithm = next(iter(by_collection.values()))[0]["algorithm"]
    for name, value in (("algorithm", algorithm), *setting_lines(by_collection)):
        facts += [tag("dt", name), tag("dd", value)]
    lines = [tag("li", one) for one in trade_offs(collections, overall)]
    return section(
        title,
        tag("p", tag("strong", breakable(overall.robust))),
        tag("dl", *facts, class_="facts"),
        tag("p", said),
        _expected(expected(collections, overall.robust)),
        tag("h3", "What it costs against the winner of each collection"),
        tag("ul", *lines),
        id="recommendation",
    )


def _expected(measures: Sequence[Expected]) -> Markup:
    rows = []
    for one in measures:
        worst = number(one.worst, one.digits)
        if one.worst is None and one.least is not None:
            worst = f"{number(one.least, one.digits)} to {number(one.most, one.digits)}"
        where = one.where
        if one.missing:
            where += f" (not defined in {many(one.missing, 'collection')})"
        rows.append((one.name, number(one.mean, one.digits), worst, where.strip()))
    head = ("Measure", "Mean over collections", "Worst (or range)", "In")
    return table(head, rows, "What to expect of it")


def signatures(overall: Overall, collections: int) -> Markup:
    """The leaderboard of signatures."""
    shown = overall.signatures[:SIGNATURES]
    rows = [
        (
            f"{place}",
            breakable(row["signature"]),
            number(row["avg_rank"], 1),
            number(row["worst_z"], 2),
            number(row["mean_z"], 2),
            f"{row['trials']:,}",
            f"{row['collections']:,} of {collections:,}",
        )
        for place, row in enumerate(shown, start=1)
    ]
    head = ("", "Signature", "Average rank", "Worst z", "Mean z", "Trials", "Collections")
    told = f"The first {len(shown):,} of {many(len(overall.signatures), 'signature')}"
    said = (
        "A signature is an algorithm with its setting, continuous settings in bins. Sorted by average "
        "rank, then worst, then mean score, rank and mean drawn towards those of an average trial: one "
        "that was tried seldom does not stand high by chance."
    )
    parts = (
        [table(head, rows, told)] if rows else [tag("p", "No trial has a score.", class_="note")]
    )
    return section("Signatures over collections", *parts, tag("p", said), id="signatures")


def winners(overall: Overall) -> Markup:
    """The best trial of each collection by itself."""
    rows = [
        (
            one.label,
            f"{row['trial']}",
            said_setting(row),
            number(row["score"], 2),
            f"{row['clusters']:,}",
            number(row["coverage"], 2),
            number(row["stability_ari"], 3),
            number(row["silhouette"], 3),
        )
        for one, row in overall.winners
    ]
    head = (
        "Collection", "Trial", "Algorithm and setting", "Score (z)", "Clusters", "Coverage",
        "Stability", "Silhouette",
    )  # fmt: skip
    return section("Winner of each collection", table(head, rows, "The trial of rank 1"))
