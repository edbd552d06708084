"""Plot a sweep: leaderboard, consensus, silhouettes, Pareto front, settings, and its map.

Each figure says how it is read and what should make one doubt. Nothing is scored or chosen here: the
numbers are those of the sweep, and `sweep-report.json` has what the figures show. Silhouettes are
exact, by cosine in the vectors that were grouped. Where a figure has nothing to show, it says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.swept import (
    AS_SWEPT,
    CUTS,
    Swept,
    plain,
    read_sweep,
    said_setting,
    setting_of,
)
from ledgerkit.errors import MissingInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.plotting.album import Album

VERSION = "1"
EVENT_TYPE = "visualization"
SUBJECT = "collection"
LIBRARIES = ("matplotlib", "numpy", "pyarrow")
MAKES = ("figures",)

TOP_TRIALS, TOP_CLUSTERS = 20, 30
HEADS = ("score", "k", "coverage", "stability", "silhouette", "modularity")
"""Numbers of the leaderboard, each with its column and its digits after the point."""
COLUMNS = ("score", "clusters", "coverage", "stability_ari", "silhouette", "modularity")
DIGITS = (2, 0, 2, 3, 3, 3)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `survey`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What was grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    collection: str = field(
        default="",
        metadata={"help": "Collection that was swept; empty for that of the newest", "unit": ""},
    )
    cut: str = field(
        default=AS_SWEPT,
        metadata={
            "help": "Cut of the consensus that is drawn; swept for that of the sweep",
            "unit": "",
            "choices": (AS_SWEPT, *CUTS),
        },
    )
    sample: int = field(
        default=400,
        metadata={
            "minimum": 2,
            "maximum": 2000,
            "help": "Most subjects in the heat map of the consensus",
            "unit": "1",
        },
    )
    space: str = field(
        default="",
        metadata={
            "help": "Vector space that was swept; empty for that of the newest sweep",
            "unit": "",
        },
    )
    made_by: str = field(
        default="",
        metadata={"help": "Operation that made the vectors; empty for any", "unit": ""},
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The trials, what they made of each subject, and the vectors."""
    return ("sweep_trials", "sweep_members", "embeddings?")


def variant(parameters: Parameters) -> str:
    """What was grouped, the collection, and the cut, behind a sign that no name has."""
    return f"{parameters.of}-{parameters.collection}+{parameters.cut}"


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the figures and `sweep-report.json`.

    Raises `MissingInput` without a sweep, `UsageError` for several collections, `InvalidRecord`.
    """
    from ledgerkit.plotting.album import Album

    swept = read_sweep(
        (row for row in inputs.rows("sweep_trials") if row["of"] == parameters.of),
        inputs.tables("sweep_members"),
        collection=parameters.collection,
        cut=parameters.cut,
    )
    album = Album(outputs)
    _draw_leaderboard(swept, album)
    _draw_consensus(swept, parameters, album)
    silhouettes = _silhouettes(inputs, parameters, swept, outputs)
    _draw_silhouettes(swept, silhouettes, album)
    front = _draw_pareto(swept, album)
    _draw_dependence(swept, album)
    _draw_map(swept, parameters.cut, album)
    outputs.rows("figures", album.rows)
    ranked = len(swept.ranked)
    told = f"{ranked:,} of {len(swept.trials):,} trials have a rank"
    outputs.gate("trials", "ranked", ranked > 0, float(ranked), told)
    found = len(swept.sizes)
    told = f"the consensus has {found:,} clusters, 2 at least wanted"
    outputs.gate("consensus", "clusters", found > 1, float(found), told)
    outputs.document(
        "sweep-report.json", "sweep-report", _report(swept, parameters.cut, silhouettes, front)
    )


def _draw_leaderboard(swept: Swept, album: Album) -> None:
    from ledgerkit.plotting.leaderboard import Line, leaderboard

    best = swept.ranked[:TOP_TRIALS]
    title = f"The first {len(best)} of {len(swept.trials):,} trials on {swept.what}"
    figure: Any = "No trial has a rank."
    if best:
        lines = [
            Line(
                f"{row['rank']}",
                f"trial {row['trial']}, {said_setting(row)}",
                tuple(row[column] for column in COLUMNS),
                row["rank"] == 1,
            )
            for row in best
        ]
        down = sum(row["ranked_down"] for row in swept.trials)
        controls = sum(row["control"] for row in swept.trials)
        foot = (
            f"k: clusters. {down:,} trials were ranked down as unstable and apart from the "
            f"consensus, {controls:,} are controls without a rank."
        )
        figure = leaderboard(lines, HEADS, title, foot, digits=DIGITS)
    album.keep("sweep-leaderboard", title, figure)


def _draw_consensus(swept: Swept, parameters: Parameters, album: Album) -> None:
    from ledgerkit.clustering.swept import coassociation, sampled, voters
    from ledgerkit.plotting.together import together

    rows, trials = sampled(swept, parameters.sample, TOP_CLUSTERS), voters(swept)
    title = f"Consensus of {len(trials):,} trials on {swept.what}, cut by {parameters.cut}"
    figure: Any = "No trial could serve for the consensus."
    if len(trials):
        shares = coassociation(swept.labels[rows][:, trials])
        shown, found = min(TOP_CLUSTERS, len(swept.sizes)), len(swept.sizes)
        told = f"{len(rows):,} {swept.of} of the largest {shown} of {found:,} consensus clusters"
        told += " and of none" if -1 in swept.consensus[rows] else ""
        numbers = swept.consensus[rows]
        figure = together(
            shares, numbers, title, "share of the trials that put both together", told
        )
    album.keep("sweep-consensus", title, figure)


def _silhouettes(
    inputs: Inputs, parameters: Parameters, swept: Swept, outputs: Outputs
) -> dict[int, NDArray[np.float64]] | None:
    """By consensus cluster those of its members; None where there are no vectors or not two clusters.

    Gates say whether every subject has its vector, in the space of the sweep.
    """
    import numpy as np

    from ledgerkit.clustering.quality import silhouette_values
    from ledgerkit.clustering.reduce import normalise
    from ledgerkit.clustering.vectors import gather

    try:
        found = gather(inputs.tables("embeddings"), parameters.of, parameters.space or swept.space)
    except MissingInput as error:
        outputs.gate("vectors", "found", False, None, error.message)
        return None
    place = {subject: row for row, subject in enumerate(found.subjects)}
    rows = [row for row, one in enumerate(swept.members) if one["subject_id"] in place]
    lost = len(swept.members) - len(rows)
    outputs.gate("vectors", "found", lost == 0, float(lost), f"{lost} subjects have no vector")
    places = [place[swept.members[row]["subject_id"]] for row in rows]
    numbers = swept.consensus[rows]
    values = silhouette_values(normalise(found.matrix)[places], numbers)
    if values is None:
        return None
    clustered = numbers[numbers >= 0]
    return {int(number): values[clustered == number] for number in np.unique(clustered)}


def _draw_silhouettes(
    swept: Swept, silhouettes: dict[int, NDArray[np.float64]] | None, album: Album
) -> None:
    import numpy as np

    from ledgerkit.plotting.violins import violins

    largest = [number for number, _ in swept.sizes[:TOP_CLUSTERS]]
    title = f"Silhouettes of the largest {len(largest)} of {len(swept.sizes):,} consensus clusters"
    figure: Any = "Not defined: it needs the vectors, two clusters, and more members than clusters."
    if silhouettes is not None:
        shown = [number for number in largest if number in silhouettes]
        mean = float(np.concatenate(list(silhouettes.values())).mean())
        figure = violins(
            [(f"{number} ({len(silhouettes[number]):,})", silhouettes[number]) for number in shown],
            title,
            "cosine silhouette in the original vectors",
            "consensus cluster (members)",
            span=(-1, 1),
            line=(f"mean over all {len(silhouettes):,} clusters {mean:.2f}", mean),
        )
    album.keep("sweep-silhouettes", title, figure)


def _draw_pareto(swept: Swept, album: Album) -> list[int]:
    """Draws it; the trials on the front, by falling stability."""
    from ledgerkit.clustering.swept import front
    from ledgerkit.plotting.pareto import Spot, pareto

    x, y = "stability_ari", "silhouette"
    rows = [row for row in swept.trials if not row["control"]]
    kept = [row for row in rows if row[x] is not None and row[y] is not None]
    found = front(kept, x, y)
    title = f"Stability against silhouette of {len(kept):,} trials on {swept.what}"
    figure: Any = "No trial has both a stability and a silhouette."
    if kept:
        spots = [
            Spot(
                f"{row['trial']}",
                str(row["algorithm"]),
                row[x],
                row[y],
                row["coverage"],
                row["rank"] == 1,
            )
            for row in kept
        ]
        bare = len(rows) - len(kept)
        named = f"stability, ARI ({bare:,} trials lack a measure)" if bare else "stability, ARI"
        figure = pareto(spots, found, title, (named, "mean cosine silhouette"), "coverage")
    album.keep("sweep-pareto", title, figure)
    return [int(kept[place]["trial"]) for place in found]


def _draw_dependence(swept: Swept, album: Album) -> None:
    """One figure for each algorithm that has settings."""
    from ledgerkit.plotting.dependence import Panel, dependence

    scored = [row for row in swept.trials if row["score"] is not None and not row["control"]]
    for algorithm in sorted({str(row["algorithm"]) for row in scored}):
        rows = [row for row in scored if row["algorithm"] == algorithm]
        by_name: dict[str, list[tuple[float | str, float]]] = {}
        for row in rows:
            for name, value in setting_of(row).items():
                by_name.setdefault(name, []).append((_value(value), float(row["score"])))
        title = f"Score of {len(rows):,} trials of {algorithm} on {swept.what}, by setting"
        figure: Any = "This algorithm has no settings."
        panels = [Panel(name, *zip(*pairs, strict=True)) for name, pairs in by_name.items()]
        if panels:
            figure = dependence(panels, title, "score (z)")
        name = re.sub(r"[^a-z0-9]+", "-", algorithm.lower()).strip("-")
        album.keep(f"sweep-dependence-{name}", title, figure, "sweep-dependence")


def _value(value: Any) -> float | str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return plain(value)


def _draw_map(swept: Swept, cut: str, album: Album) -> None:
    import numpy as np

    from ledgerkit.plotting.chart import chart, grouped, middles

    points = np.array([(row["x"], row["y"]) for row in swept.members], dtype=np.float64)
    names = [None if number < 0 else f"{number}" for number in swept.consensus]
    title = f"Map of {swept.what} in {len(swept.sizes):,} consensus clusters, cut by {cut}"
    marks = middles(points, swept.consensus)
    album.keep("sweep-map", title, chart(points, grouped(names, "none"), title, marks=marks))


def _report(
    swept: Swept,
    cut: str,
    silhouettes: dict[int, NDArray[np.float64]] | None,
    front: list[int],
) -> dict[str, Any]:
    """What the figures show, in numbers; null where something is missing."""
    known = silhouettes or {}
    return {
        "collection": swept.collection,
        "of": swept.of,
        "space_id": swept.space,
        "cut": cut,
        "rows": len(swept.members),
        "trials": len(swept.trials),
        "leaderboard": [
            {
                "rank": row["rank"],
                "trial": row["trial"],
                "algorithm": row["algorithm"],
                "parameters": setting_of(row),
                **{column: row[column] for column in COLUMNS},
            }
            for row in swept.ranked[:TOP_TRIALS]
        ],
        "pareto_front": front,
        "consensus": [
            {
                "label": number,
                "size": size,
                "silhouette": float(known[number].mean()) if number in known else None,
            }
            for number, size in swept.sizes
        ],
        "unclustered": int((swept.consensus < 0).sum()),
    }
