"""How good labels are, by cosine in the original space, without noise.

Agreement in the layout's own space says nothing of the truth (docs/clustering.md), so nothing here
is measured there. Source: Rousseeuw 1987 (silhouette); Davies & Bouldin 1979; Calinski & Harabasz 1974;
workflow W0 (Gini of cluster sizes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of one partition; None where one is not defined, never 0."""

    silhouette: float | None
    """Mean cosine silhouette, -1..1, more is better."""
    davies_bouldin: float | None
    """>= 0, less is better."""
    calinski_harabasz: float | None
    """>= 0, more is better."""


def quality(unit: NDArray[np.float32], labels: NDArray[np.int64]) -> Quality:
    """All measures of `labels` (int64 (n,), -1 noise) over `unit`, float32 (n, d), L2 norm 1.

    They need two clusters and more clustered rows than clusters. Between unit vectors the squared
    euclidean distance is twice the cosine distance, so the last two speak of the same geometry.
    """
    import numpy as np
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    rows = np.flatnonzero(labels >= 0)
    kinds, numbers = np.unique(labels[rows], return_inverse=True)
    if not 2 <= kinds.size < rows.size:
        return Quality(None, None, None)
    values = _silhouettes(unit[rows], numbers)
    points = unit[rows].astype(np.float64)
    with np.errstate(all="ignore"):
        apart = float(davies_bouldin_score(points, numbers))
        ratio = float(calinski_harabasz_score(points, numbers))
    return Quality(
        float(values.mean()),
        apart if np.isfinite(apart) else None,
        ratio if np.isfinite(ratio) else None,
    )


def silhouette_values(
    unit: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """The cosine silhouette of each clustered row, float64 (clustered,), in their order.

    None where it is not defined. Singletons count 0 (Rousseeuw). Exact for any number of rows: see
    `_silhouettes`.
    """
    import numpy as np

    rows = np.flatnonzero(labels >= 0)
    kinds, numbers = np.unique(labels[rows], return_inverse=True)
    return _silhouettes(unit[rows], numbers) if 2 <= kinds.size < rows.size else None


def _silhouettes(unit: NDArray[np.float32], numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    """The mean cosine distance of a unit row to a cluster is 1 - row . (mean of the cluster), so the
    silhouette needs one product with the clusters' means and no matrix of all pairs.
    """
    import numpy as np

    sizes = np.bincount(numbers)
    order = np.argsort(numbers, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.add.reduceat(unit[order].astype(np.float64), starts, axis=0)
    values = np.zeros(len(unit))
    for start in range(0, len(unit), BLOCK):
        block = slice(start, start + BLOCK)
        own, rows = numbers[block], np.arange(len(numbers[block]))
        # The sum of distances to each cluster; that to itself leaves the row out, at distance 0.
        apart = np.clip(sizes - unit[block].astype(np.float64) @ sums.T, 0, None)
        within = apart[rows, own] / np.maximum(sizes[own] - 1, 1)
        apart = apart / sizes
        apart[rows, own] = np.inf
        nearest = apart.min(axis=1)
        larger = np.maximum(within, nearest)
        part = np.divide(nearest - within, larger, out=np.zeros_like(within), where=larger > 1e-12)
        values[block] = np.where(sizes[own] == 1, 0.0, part)
    return values


def gini(sizes: Sequence[int]) -> float | None:
    """Gini coefficient of cluster sizes, 0 (equal) to 1; None without clusters. W0's formula."""
    if not sizes:
        return None
    count = len(sizes)
    weighted = sum(
        (2 * place - count - 1) * size for place, size in enumerate(sorted(sizes), start=1)
    )
    return weighted / (count * sum(sizes) + 1e-12)
