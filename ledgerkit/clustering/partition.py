"""Labels with what is known of each row and cluster, and KMeans for where density finds too little.

Noise stays noise (-1); nothing is assigned to a nearest cluster behind the user's back.
Source: workflow W0 (KMeans, k = 9).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.density import NOISE, Cut

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Partition:
    """Labels of rows and what came with them."""

    labels: NDArray[np.int64]
    """int64 (n,), 0.. by falling size (ties: the cluster of the earlier row first), -1 noise."""
    probabilities: NDArray[np.float64]
    """float64 (n,), 0..1; 0 for noise; 1 for all by KMeans, which has no such notion."""
    outliers: NDArray[np.float64]
    """float64 (n,), 0..1, GLOSH; NaN where HDBSCAN did not look at the row."""
    persistence: tuple[float | None, ...]
    """HDBSCAN's persistence of each cluster, by label; None by KMeans."""
    parents: tuple[int, ...] = ()
    """Label one level up of each cluster, by label; empty at the first level."""

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.persistence)


def least_size(rows: int) -> int:
    """The least cluster size for few rows: three in a hundred, at least 5."""
    return max(5, round(0.03 * rows))


def of_cut(found: Cut) -> Partition:
    """A cut of HDBSCAN's hierarchy with its clusters renumbered by size."""
    return renumbered(
        found.labels,
        found.probabilities,
        found.outliers,
        [float(one) for one in found.persistence],
        [],
    )


def renumbered(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    outliers: NDArray[np.float64],
    persistence: list[float | None] | list[float],
    parents: list[int],
) -> Partition:
    """The same clusters, numbered 0.. by falling size; lists are by the label given here."""
    order = by_size(labels)
    former = [int(labels[order == number][0]) for number in range(len(persistence))]
    return Partition(
        order,
        probabilities,
        outliers,
        tuple(persistence[label] for label in former),
        tuple(parents[label] for label in former) if parents else (),
    )


def kmeans(unit: NDArray[np.float32], k: int, seed: int) -> Partition:
    """KMeans on `unit`, float32 (n, d), L2 norm 1, with at most `k` clusters, at most half as many
    as rows and at most one per distinct vector.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    distinct = len(np.unique(unit, axis=0)) if len(unit) <= 20 * k else k
    clusters = max(1, min(k, len(unit) // 2, distinct))
    labels = KMeans(n_clusters=clusters, n_init=10, random_state=seed).fit_predict(unit)
    count = len(unit)
    unknown = np.full(count, np.nan)
    found = int(np.unique(labels).size)
    return Partition(by_size(labels.astype(np.int64)), np.ones(count), unknown, (None,) * found)


def by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels renumbered 0.. by falling size, ties by first row; -1 stays. int64 (n,)."""
    import numpy as np

    kinds, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    clusters = sorted(
        (-int(size), int(row), int(kind))
        for kind, row, size in zip(kinds, first, sizes, strict=True)
        if kind != NOISE
    )
    numbers = np.full(labels.shape, NOISE, dtype=np.int64)
    for number, (_, _, kind) in enumerate(clusters):
        numbers[labels == kind] = number
    return numbers
