"""How good a partition is, without labels: the terms of W1's composite, and what goes beside them.

What is not defined is None, never 0.
Source: Rousseeuw 1987 (silhouette); Davies & Bouldin 1979; Calinski & Harabasz 1974; Newman 2004
(modularity); Moulavi et al. 2014 (DBCV); workflow W1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.density import NOISE, quiet
from ledgerkit.clustering.quality import quality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.shared import Shared

LARGEST_DBCV = 2000
"""Clustered rows up to which DBCV is measured: it compares all pairs within each cluster."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of one partition of n rows."""

    clusters: int
    coverage: float
    """Share of the rows that are in a cluster, 0..1."""
    singleton_rate: float
    """Share of the rows that are alone: in no cluster, or in one without others; 0..1."""
    silhouette: float | None
    """Mean cosine silhouette of the clustered rows in the original space, -1..1."""
    davies_bouldin: float | None
    """>= 0, less is better."""
    calinski_harabasz: float | None
    """>= 0, more is better."""
    modularity: float | None
    """Of the graph of nearest neighbours, rows in no cluster alone, -0.5..1."""
    dbcv: float | None
    """Density-based validity in the first principal components, -1..1; one space for all trials."""
    dbcv_note: str
    """Why it is not known; empty where it is."""


def measure(shared: Shared, labels: NDArray[np.int64]) -> Measures:
    """All measures of `labels`, int64 (n,), -1 for none; equal partitions are measured once."""
    from ledgerkit.clustering.partition import by_size

    same = by_size(labels)
    return shared.once(("measures", same.tobytes()), lambda: _measure(shared, same))


def _measure(shared: Shared, labels: NDArray[np.int64]) -> Measures:
    import numpy as np

    found = quality(shared.unit, labels)
    sizes = np.bincount(labels[labels != NOISE])
    alone = int((labels == NOISE).sum() + (sizes == 1).sum())
    validity, note = dbcv(shared.principal, labels)
    return Measures(
        len(sizes),
        float(np.mean(labels != NOISE)),
        alone / len(labels),
        found.silhouette,
        found.davies_bouldin,
        found.calinski_harabasz,
        modularity(shared, labels),
        validity,
        note,
    )


def modularity(shared: Shared, labels: NDArray[np.int64]) -> float | None:
    """The modularity of `labels` in the weighted graph of nearest neighbours, -0.5..1.

    Rows in no cluster are communities of their own, so that leaving rows out earns nothing. None for
    a graph without edges. Every partition of every algorithm has it: were it missing for some, its
    default would be a bonus or a fine for an algorithm.
    """
    import numpy as np

    graph = shared.graph
    weights = shared.once(("weights",), lambda: graph.weights(1.0))
    total = float(weights.sum())
    if total <= 0:
        return None
    count = len(labels)
    alone = np.arange(count) + int(labels.max(initial=NOISE)) + 1
    own = np.where(labels == NOISE, alone, labels)
    rows = np.repeat(np.arange(count), np.diff(graph.starts))
    degrees = np.bincount(rows, weights=weights, minlength=count)
    inside = float(weights[own[rows] == own[graph.others]].sum()) / total
    sums = np.bincount(own, weights=degrees) / total
    return inside - float((sums * sums).sum())


def dbcv(points: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float | None, str]:
    """Density-based cluster validity of `labels` over `points`, float64 (n, d), and why there is none.

    It is defined for two clusters or more of two rows or more; singletons are left out. hdbscan's own
    function takes float64 only, and its value moves with the dimension (hdbscan#592).
    """
    import numpy as np

    sizes = np.bincount(labels[labels != NOISE])
    kept = np.isin(labels, np.flatnonzero(sizes >= 2))
    if (sizes >= 2).sum() < 2:
        return None, "fewer than two clusters of two rows"
    if not points.shape[1]:
        return None, "all rows are equal"
    if int(kept.sum()) > LARGEST_DBCV:
        return None, f"more than {LARGEST_DBCV} clustered rows"
    numbers = np.full(len(labels), NOISE, dtype=np.int64)
    _, numbers[kept] = np.unique(labels[kept], return_inverse=True)
    with quiet(), np.errstate(all="ignore"):
        from hdbscan.validity import validity_index

        try:
            value = float(validity_index(points, numbers, metric="euclidean", d=points.shape[1]))
        except (ValueError, FloatingPointError, ZeroDivisionError) as error:
            return None, f"{type(error).__name__}: {error}"
    return (value, "") if np.isfinite(value) else (None, "equal rows within a cluster")
