"""Clusters inside clusters: up to three levels, each cluster with the one it lies in.

`nested` asks inside each cluster what the sweep asked of all rows, in the same layout, and keeps a
split only where the sweep's own rule would: so it works from some tens of rows on. `w4` is the rule
of workflow W4 with its thresholds, which on 435 rows may find nothing at any level
(docs/clustering.md). A parent is the cluster whose rows were split, by construction; rows that fall into no part are
noise at that level and stay in the cluster above.
Source: workflow W4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ledgerkit.clustering.density import NOISE, Cut, cut, grow
from ledgerkit.clustering.grid import Setting
from ledgerkit.clustering.partition import Partition, of_cut, renumbered
from ledgerkit.clustering.sweep import Best, pick

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Split = Callable[[NDArray[np.intp]], Cut | None]

LEVELS = 3


def nested(
    points: NDArray[np.float64],
    unit: NDArray[np.float32],
    first: Partition,
    settings: list[Setting],
    *,
    selection: str,
    max_noise: float,
) -> list[Partition]:
    """`first` and what lies inside its clusters, at most three levels, none of them empty.

    `points`: float64 (n, d), the layout of the chosen trial; `unit`: float32 (n, e), L2 norm 1,
    where splits are judged. A split is kept when it passes the sweep's rule and its silhouette is
    positive.
    """
    import numpy as np

    def split(rows: NDArray[np.intp]) -> Cut | None:
        found: Best | None = pick(
            points[rows], unit[rows], settings, selection=selection, max_noise=max_noise
        )
        good = found and (found.trial.quality.silhouette or 0.0) > 0
        return found.cut if found and good else None

    levels = [first]
    while len(levels) < LEVELS and levels[-1].clusters:
        below = _inside(levels[-1], split, np.inf if not settings else _least(settings))
        if not below.clusters:
            break
        levels.append(below)
    return levels


def _least(settings: list[Setting]) -> float:
    """Rows that a cluster must have to be split at all."""
    return 2.0 * min(one.min_cluster_size for one in settings)


def w4(unit: NDArray[np.float32]) -> list[Partition]:
    """The levels of workflow W4 over `unit`, float32 (n, d), L2 norm 1; empty ones left out.

    L1: least size max(50, n // 100), min_samples 10; L2 inside each L1 of m >= 30: max(15, m // 10)
    and 5; L3 inside each L2 of m >= 15: min(50, max(5, m // 5)) and 3. The first level is always
    given, without clusters where there are none.
    """
    import numpy as np

    points = unit.astype(np.float64)

    def level(least: Callable[[int], int], samples: int) -> Split:
        return lambda rows: _w4_cut(points[rows], least(len(rows)), samples)

    levels = [of_cut(_w4_cut(points, w4_least(len(points)), 10))]
    rules = ((30, lambda m: max(15, m // 10), 5), (15, lambda m: min(50, max(5, m // 5)), 3))
    for fewest, least, samples in rules:
        below = _inside(levels[-1], level(least, samples), fewest)
        if not below.clusters:
            break
        levels.append(below)
    return levels


def w4_least(rows: int) -> int:
    """The least size of a cluster at W4's first level."""
    return max(50, rows // 100)


def _w4_cut(points: NDArray[np.float64], least: int, samples: int) -> Cut:
    import numpy as np

    count = len(points)
    if count < 2 * least:
        nothing = np.zeros(count)
        return Cut(np.full(count, NOISE, dtype=np.int64), nothing, np.zeros(0), nothing)
    return cut(grow(points, samples), least, "eom")


def _inside(above: Partition, split: Split, fewest: float) -> Partition:
    """The parts of each cluster of at least `fewest` rows, in the order of the clusters' labels."""
    import numpy as np

    count = len(above.labels)
    labels = np.full(count, NOISE, dtype=np.int64)
    probabilities, outliers = np.zeros(count), np.full(count, np.nan)
    persistence: list[float] = []
    parents: list[int] = []
    for label in range(above.clusters):
        rows = np.flatnonzero(above.labels == label)
        found = split(rows) if rows.size >= fewest else None
        if found is None or not found.persistence.size:
            continue
        inside = found.labels >= 0
        labels[rows[inside]] = found.labels[inside] + len(persistence)
        probabilities[rows], outliers[rows] = found.probabilities, found.outliers
        persistence += [float(one) for one in found.persistence]
        parents += [label] * found.persistence.size
    return renumbered(labels, probabilities, outliers, persistence, parents)
