"""Which settings hold across collections: W1's table of signatures, and the one to recommend.

A signature that was tried once, in one easy collection, must not win: its rank and its score are those
of its trials and of one imaginary average trial more, and where several collections were swept it has
to have been tried in as many of them as any signature was. One that was ranked down somewhere holds
there by chance: it comes behind those that were not.
Source: workflow W1; James & Stein 1961 (drawing few observations towards the mean).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
ROBUST = "w1-robust-v1"
"""Of the signatures tried in the most collections those that were ranked down in the fewest, and of these
the first by W1's order: least rank, greatest worst score, greatest score, rank and score drawn towards
those of an average trial.
"""


def signature_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Signatures with W1's mean rank, worst and mean z-score and trials; best first.

    Rows have dataset, algorithm, signature and score_raw_z; those without a score are left out.
    `ranked_down` are the collections in which at least half of a signature's trials were ranked
    down, as their `ranked_down`, if they have it, says. A rank is that of `score_raw_z` within its
    dataset, the greatest 1, equal ones alike (the least). Sorted by rising `shrunk_rank`, falling
    `worst_z` and `shrunk_z`: with an average trial more, whose z is 0 and whose rank is the middle
    one of the datasets it was tried in.
    """
    scored = [row for row in rows if row["score_raw_z"] is not None]
    by_dataset: dict[str, list[float]] = {}
    for row in scored:
        by_dataset.setdefault(row["dataset"], []).append(row["score_raw_z"])
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in scored:
        groups.setdefault((row["signature"], row["algorithm"]), []).append(row)
    table = []
    for (signature, _), some in groups.items():
        ranks = [
            1 + sum(other > row["score_raw_z"] for other in by_dataset[row["dataset"]])
            for row in some
        ]
        scores = [row["score_raw_z"] for row in some]
        datasets = {row["dataset"] for row in some}
        middle = sum((len(by_dataset[name]) + 1) / 2 for name in datasets) / len(datasets)
        table.append(
            {
                "signature": signature,
                "avg_rank": sum(ranks) / len(ranks),
                "worst_z": min(scores),
                "mean_z": sum(scores) / len(scores),
                "trials": len(some),
                "collections": len(datasets),
                "shrunk_rank": (sum(ranks) + middle) / (len(ranks) + 1),
                "shrunk_z": sum(scores) / (len(scores) + 1),
                "ranked_down": sum(_down(some, name) for name in datasets),
            }
        )
    return sorted(
        table,
        key=lambda row: (row["shrunk_rank"], -row["worst_z"], -row["shrunk_z"], row["signature"]),
    )


def _down(rows: Sequence[Row], dataset: str) -> bool:
    """Whether at least half of the trials in a dataset were ranked down."""
    told = [row.get("ranked_down", False) for row in rows if row["dataset"] == dataset]
    return bool(2 * sum(told) >= len(told))


def robust(table: Sequence[Row]) -> Row | None:
    """The signature to recommend by `w1-robust-v1`; None for an empty table."""
    most = max((row["collections"] for row in table), default=0)
    able = (row for row in table if row["collections"] == most)
    return min(able, key=lambda row: row["ranked_down"], default=None)  # the first of equal ones
