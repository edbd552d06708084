"""What swept collections say together: signatures, winners, and what to expect of one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkit.clustering.swept import plain, setting_of
from ledgerkit.export.swept import CollectionData, signature_rows
from ledgerkit.sweeping.choice import robust, signature_table

MEASURES = (
    ("score (z)", "score", 2, True),
    ("silhouette", "silhouette", 3, True),
    ("coverage", "coverage", 2, True),
    ("stability (ARI)", "stability_ari", 3, True),
    ("modularity", "modularity", 3, True),
    ("Davies-Bouldin", "davies_bouldin", 2, False),
    ("Calinski-Harabasz", "calinski_harabasz", 0, True),
    ("singleton rate", "singleton_rate", 3, False),
    ("clusters", "clusters", 0, None),
)
"""Name, column, digits after the point, and whether more is better; None where neither is."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """A measure of one signature over the collections in which it was tried."""

    name: str
    digits: int
    mean: float | None
    worst: float | None
    """None where nothing is worst: then `least` and `most` say how far it goes."""
    where: str
    least: float | None
    most: float | None
    missing: int
    """Collections in which it is not defined."""


@dataclass(frozen=True, slots=True)
class Overall:
    """Over all collections."""

    signatures: list[Row]
    """With signature, avg_rank, worst_z, mean_z, trials, ranked_down and collections, the best first."""
    robust: str | None
    """The signature that is recommended; None where no trial has a score."""
    winners: list[tuple[CollectionData, Row]]
    """The trial of rank 1 of each collection that has one."""


def overall_of(collections: Sequence[CollectionData]) -> Overall:
    """The table of signatures and the robust one of them."""
    table = signature_table(signature_rows(collections))
    chosen = robust(table)
    winners = [(one, one.swept.ranked[0]) for one in collections if one.swept.ranked]
    return Overall(table, chosen["signature"] if chosen else None, winners)


def trials_of(collections: Sequence[CollectionData], signature: str) -> dict[str, list[Row]]:
    """The trials of a signature by collection, where there are some."""
    found: dict[str, list[Row]] = {}
    for one in collections:
        mine = [row for row in one.swept.trials if row["signature"] == signature]
        if mine:
            found[one.label] = mine
    return found


def expected(collections: Sequence[CollectionData], signature: str) -> list[Expected]:
    """What the trials of a signature reached: for each measure the mean, and the worst collection.

    Within a collection it is the mean of its trials that have the measure.
    """
    found = []
    by_collection = trials_of(collections, signature)
    for name, column, digits, more in MEASURES:
        means = {}
        for collection, rows in by_collection.items():
            values = [row[column] for row in rows if row[column] is not None]
            if values:
                means[collection] = sum(values) / len(values)
        missing = len(by_collection) - len(means)
        if not means:
            found.append(Expected(name, digits, None, None, "", None, None, missing))
            continue
        least, most = min(means.values()), max(means.values())
        worst = None if more is None else least if more else most
        where = next((one for one, value in means.items() if value == worst), "")
        where = "all alike" if least == most and len(means) > 1 else where
        mean = sum(means.values()) / len(means)
        found.append(Expected(name, digits, mean, worst, where, least, most, missing))
    return found


def trade_offs(collections: Sequence[CollectionData], overall: Overall) -> list[str]:
    """For each collection a sentence: what the recommended setting costs against its own winner."""
    said = []
    by_collection = trials_of(collections, overall.robust or "")
    for one, winner in overall.winners:
        rows = by_collection.get(one.label)
        if not rows:
            said.append(f"{one.label}: it was not tried there, so nothing is known.")
            continue
        best = min(rows, key=lambda row: (row["rank"] is None, row["rank"], row["trial"]))
        if best["trial"] == winner["trial"]:
            said.append(f"{one.label}: it is the winner there, trial {best['trial']}.")
            continue
        said.append(f"{one.label}: {_against(best, winner)}")
    return said


def _against(row: Row, winner: Row) -> str:
    """The best trial of the recommended signature against the winner of the same collection."""
    known = winner["score"] is not None and row["score"] is not None
    lost = f"{winner['score'] - row['score']:.2f} z below" if known else "behind"
    parts = []
    for name, column, digits, more in MEASURES[1:5]:
        ours, theirs = row[column], winner[column]
        if ours is None or theirs is None:
            parts.append(f"{name} not comparable")
        elif round(ours - theirs, digits) == 0:
            parts.append(f"{name} the same")
        else:
            better = "better" if (ours > theirs) == more else "worse"
            parts.append(f"{name} {ours:.{digits}f} against {theirs:.{digits}f} ({better})")
    return (
        f"rank {row['rank']} (trial {row['trial']}), {lost} the winner "
        f"(trial {winner['trial']}, {winner['algorithm']}): {'; '.join(parts)}; "
        f"{row['clusters']:,} clusters against {winner['clusters']:,}."
    )


def setting_lines(rows: Mapping[str, Sequence[Row]]) -> list[tuple[str, str]]:
    """Name and value of each setting of trials with one signature; the range where it was binned."""
    values: dict[str, list[Any]] = {}
    for some in rows.values():
        for row in some:
            for name, value in setting_of(row).items():
                if value not in values.setdefault(name, []):
                    values[name].append(value)
    lines = []
    for name, found in values.items():
        if len(found) == 1:
            lines.append((name, plain(found[0])))
        else:
            low, high = min(found), max(found)
            lines.append((name, f"{plain(low)} to {plain(high)} (one bin)"))
    return lines
