"""What is checked of a clustering: its vectors before, its members between, its clusters after.

Source: workflow W0 (preflight and checkpoint of the critic, imbalance of sizes). What a
rule can give for so few rows is said before, not left to be found: docs/clustering.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.consensus import FEWEST
from ledgerkit.clustering.critic import Report, check_table, check_vectors
from ledgerkit.clustering.quality import gini

if TYPE_CHECKING:
    import pyarrow as pa

    from ledgerkit.clustering.chart import Chart
    from ledgerkit.clustering.grid import Setting
    from ledgerkit.clustering.grouping import Grouping
    from ledgerkit.clustering.vectors import Vectors

LEAST_RECALL = 0.9
"""Wanted of an approximate graph; the choice of this project."""
MEMBER_COLUMNS = ("subject_id", "plate_id", "cluster_id", "label", "x", "y")


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of the checks, all parameters of `cluster`."""

    of: str
    min_rows: int
    max_noise: float
    min_silhouette: float
    max_share: float
    max_gini: float
    max_residual: float
    levels: str
    """nested, w4 or flat."""


def preflight(
    vectors: Vectors, settings: list[Setting], w4_least: int | None, limits: Limits
) -> Report:
    """The vectors, and what the rule can give for so many of them."""
    import pyarrow as pa

    rows = len(vectors.subjects)
    report = Report("preflight", rows)
    keys = {"subject_id": vectors.subjects, "plate_id": vectors.plates}
    check_table(
        report,
        pa.table(keys),
        required=tuple(keys),
        subject="subject_id",
        present=tuple(keys),
        finite=(),
        least_rows=limits.min_rows,
    )
    check_vectors(report, vectors.matrix, vectors.subjects)
    sizes = [w4_least] if w4_least else sorted({one.min_cluster_size for one in settings})
    told = ", ".join(f"{rows // size} clusters of {size}" for size in sizes)
    message = f"{rows} {limits.of} can hold {told}: the least sizes of the rule"
    report.add("capacity", rows >= 2 * sizes[0], rows // sizes[0], message, severe=False)
    return report


def checkpoint(members: pa.Table, limits: Limits) -> Report:
    """The first level of members: each subject once, with a label and coordinates."""
    import pyarrow.compute as pc

    first = members.filter(pc.equal(members["level"], 1))
    report = Report("checkpoint", first.num_rows)
    check_table(
        report,
        first,
        required=MEMBER_COLUMNS,
        subject="subject_id",
        present=("subject_id", "label", "x", "y"),
        finite=("x", "y"),
        least_rows=limits.min_rows,
    )
    return report


def methods(found: Grouping, chart: Chart) -> Iterator[tuple[str, bool, float | None, str]]:
    """Check, outcome, value and sentence on each method: whether it is the one that was wanted."""
    layout = found.swept.layout
    yield "layout", layout.method == "umap", None, layout.reason or "by UMAP"
    yield "partition", not found.reason, float(len(found.rows)), _partition(found)
    near = found.swept.near
    if near is not None:
        told = f"the {near.indices.shape[1]} nearest of each row, itself included"
        exact = near.recall is None
        told += ", exact" if exact else f", approximate: {near.recall:.3f} of them are as near as"
        told += "" if exact else f" the exact ones, at least {LEAST_RECALL:.2f} wanted"
        yield "graph", near.recall is None or near.recall >= LEAST_RECALL, near.recall, told
    drawn = f"{chart.neighbours} neighbours, least distance {chart.min_dist:g}"
    told = chart.reason or f"by UMAP, {drawn}"
    if chart.method == "kept":
        told = f"{chart.kept} points kept as they were, {chart.placed} placed among them, {drawn}"
    yield "map", chart.method != "pca", None, told


def _partition(found: Grouping) -> str:
    """How the first level came about, or why it is the fall-back."""
    tried = len(found.swept.trials)
    if found.reason:
        return found.reason
    if found.method == "consensus":
        return f"what {len(found.swept.votes)} of {tried} trials agree on, by {found.rule}"
    if found.method == "given":
        return f"by the setting that was given, {found.rule}"
    few = f", too few for a consensus, which takes {FEWEST}" if tried < FEWEST else ""
    return f"chosen among {tried} by {found.rule}{few}"


def postflight(found: Grouping, chart: Chart, limits: Limits) -> Report:
    """The clusters: number, noise, the largest, silhouette, evenness, levels, map."""
    first, rows = found.levels[0], len(chart.points)
    report = Report("postflight", rows)
    report.add("clusters", first.clusters >= 2, first.clusters, f"{first.clusters} clusters")
    noise = float((first.labels < 0).mean())
    told = f"{noise:.2f} of the rows are noise, at most {limits.max_noise:.2f} wanted"
    report.add("noise", noise <= limits.max_noise, noise, told)
    sizes = [int((first.labels == label).sum()) for label in range(first.clusters)]
    largest = max(sizes, default=0) / rows
    told = f"the largest cluster holds {largest:.2f} of the rows"
    told = f"{told}, less than {limits.max_share:.2f} wanted"
    report.add("largest", largest < limits.max_share, largest, told)
    _check_silhouette(report, found, limits)
    uneven = gini(sizes)
    told = f"imbalance of cluster sizes (Gini), at most {limits.max_gini:.2f} wanted"
    even = uneven is not None and uneven <= limits.max_gini
    report.add("gini", even, uneven, told, severe=False)
    _check_levels(report, found, limits)
    if chart.turned:
        fits = chart.residual is not None and chart.residual <= limits.max_residual
        told = f"residual of the map on {chart.shared} shared points"
        told = f"{told}, at most {limits.max_residual:.2f} wanted"
        report.add("residual", fits, chart.residual, told)
    return report


def _check_silhouette(report: Report, found: Grouping, limits: Limits) -> None:
    value: float | None = next(row["silhouette"] for row in found.rows if row["chosen"])
    told = "not defined" if value is None else f"{value:.3f}"
    told = f"mean silhouette by cosine in the original space {told}"
    good = value is not None and value > limits.min_silhouette
    report.add("silhouette", good, value, f"{told}, more than {limits.min_silhouette:g} wanted")


def _check_levels(report: Report, found: Grouping, limits: Limits) -> None:
    """Whether there are levels, and what each holds; plainly why where there are none."""
    counts = [
        f"level {number}: {level.clusters} clusters, {(level.labels >= 0).mean():.2f} of the rows"
        for number, level in enumerate(found.levels, 1)
    ]
    wanted = 1 if limits.levels == "flat" else 2
    good = len(counts) >= wanted and found.levels[0].clusters > 0
    told = "; ".join(counts)
    if not found.levels[0].clusters:
        told += f"; the rule {limits.levels} finds no cluster among {report.rows} rows"
    elif found.method == "kmeans" and not good:
        told += "; KMeans makes one level only"
    elif not good:
        told += f"; by the rule {limits.levels} no cluster has two parts that are large enough"
    report.add("levels", good, float(len(counts)), told, severe=False)
