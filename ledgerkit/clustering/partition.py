"""Points to labels: HDBSCAN, and KMeans where HDBSCAN finds too little, with the reason.

Noise stays noise (-1); nothing is assigned to a nearest cluster behind the user's back.
Source: Campello, Moulavi & Sander 2013 (HDBSCAN, excess of mass); workflow W0 (noise <= 0.40,
KMeans k = 9).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOISE = -1


@dataclass(frozen=True, slots=True)
class Partition:
    """Labels of points, and how they came about."""

    labels: NDArray[np.int64]
    """int64 (n,), 0.. by falling size (ties: the cluster of the earlier row first), -1 for
    noise.
    """
    probabilities: NDArray[np.float64]
    """float64 (n,), 0..1; 0 for noise; 1 for all by KMeans, which has no such notion."""
    method: str
    """'hdbscan' or 'kmeans'."""
    reason: str
    """Why HDBSCAN's answer was not taken; empty when it was."""
    outliers: NDArray[np.float64] | None = None
    """float64 (n,), 0..1, GLOSH (Campello et al. 2015); None by KMeans."""
    persistence: tuple[float, ...] = ()
    """HDBSCAN's persistence of each cluster, by label; empty by KMeans."""


def least_size(rows: int, asked: int) -> int:
    """The least cluster size: what was asked for, or (0) three in a hundred rows, at least 5."""
    return asked if asked > 0 else max(5, round(0.03 * rows))


def partition(
    points: NDArray[np.float64],
    unit: NDArray[np.float32],
    *,
    min_cluster_size: int,
    min_samples: int,
    selection: str,
    max_noise: float,
    k: int,
    seed: int,
) -> Partition:
    """HDBSCAN on `points`, float64 (n, d); KMeans on `unit`, float32 (n, e), where that finds too
    little.

    Too little is: fewer than two clusters possible or found, or more noise than `max_noise`.
    """
    import numpy as np

    count = len(points)
    if count < 2 * min_cluster_size:
        reason = f"{count} points cannot hold two clusters of at least {min_cluster_size}"
        return _kmeans(unit, k, seed, reason)
    model = _hdbscan(points, min_cluster_size, min_samples, selection)
    labels = np.asarray(model.labels_, dtype=np.int64)
    found, noise = int(labels.max()) + 1, float(np.mean(labels == NOISE))
    if found < 2:
        return _kmeans(
            unit, k, seed, f"HDBSCAN found {found} clusters of at least {min_cluster_size}"
        )
    if noise > max_noise:
        return _kmeans(
            unit, k, seed, f"HDBSCAN left {noise:.2f} as noise, more than {max_noise:.2f}"
        )
    numbers = by_size(labels)
    former = [int(labels[numbers == number][0]) for number in range(found)]
    return Partition(
        numbers,
        np.where(labels == NOISE, 0.0, model.probabilities_),
        "hdbscan",
        "",
        np.clip(np.nan_to_num(model.outlier_scores_), 0, 1),
        tuple(float(model.cluster_persistence_[label]) for label in former),
    )


def _hdbscan(
    points: NDArray[np.float64], min_cluster_size: int, min_samples: int, selection: str
) -> Any:
    with warnings.catch_warnings():
        # hdbscan 0.8 still passes a keyword that scikit-learn renamed.
        warnings.filterwarnings("ignore", message=".*force_all_finite.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=SyntaxWarning)
        import hdbscan

        return hdbscan.HDBSCAN(
            min_cluster_size=min_cluster_size,
            min_samples=min(min_samples or min_cluster_size, len(points) - 1),
            metric="euclidean",
            cluster_selection_method=selection,
            approx_min_span_tree=False,
            core_dist_n_jobs=1,
        ).fit(points)


def _kmeans(unit: NDArray[np.float32], k: int, seed: int, reason: str) -> Partition:
    """KMeans with at most `k` clusters, at most half as many as points, at most one per distinct
    vector.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    distinct = len(np.unique(unit, axis=0)) if len(unit) <= 20 * k else k
    clusters = max(1, min(k, len(unit) // 2, distinct))
    labels = KMeans(n_clusters=clusters, n_init=10, random_state=seed).fit_predict(unit)
    return Partition(by_size(labels.astype(np.int64)), np.ones(len(unit)), "kmeans", reason)


def by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels renumbered 0.. by falling size, ties by first row; -1 stays. int64 (n,)."""
    import numpy as np

    kinds, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    clusters = sorted(
        (-int(size), int(row), int(kind))
        for kind, row, size in zip(kinds, first, sizes, strict=True)
        if kind != NOISE
    )
    renumbered = np.full(labels.shape, NOISE, dtype=np.int64)
    for number, (_, _, kind) in enumerate(clusters):
        renumbered[labels == kind] = number
    return renumbered
