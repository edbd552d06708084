"""Average linkage by cosine distance, cut, merged, filled up, and cut once more: W1's face grouper.

W1 gives five names and their grids, and no flow; this is our reading, drawn in the page on sweeps:

1. The linkage is cut at `start_threshold`. Clusters smaller than `min_cluster_size` dissolve.
2. Clusters with a mean distance of at most `merge_dist` are one, the nearest pair first.
3. Rows in no cluster join the nearest, by mean distance, within `assign_threshold`.
4. The same linkage is cut at `second_pass_start`; groups of rows still in no cluster that are large
   enough become clusters, merged with the others by 2 and filled up by 3.

W1's distances are those of face embeddings, where .24 tells persons apart, and mean nothing in another
space. So they are read in its units: the cut of the linkage that has the greatest
modularity in the graph of nearest neighbours is this space's .24, and all other distances keep their
ratio to it. `auto` is that cut itself. All are mean distances between rows, as the linkage's own heights
are: centroids of spread clusters lie much nearer, and by them nearly everything became one.
Source: workflow W1; Sokal & Michener 1958 (average linkage); Newman 2004 (modularity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.clustering.density import NOISE
from ledgerkit.sweeping.measures import modularity
from ledgerkit.sweeping.space import Dimension, Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.shared import Shared

CONTROL = False
LIBRARIES = ("scipy",)
AUTO = "auto"
DIMENSIONS = (
    Dimension("min_cluster_size", (10, 12, 16, 20, 24, 28)),
    Dimension("start_threshold", (AUTO, 0.28, 0.26, 0.24, 0.22, 0.20)),
    Dimension("merge_dist", (0.14, 0.16, 0.18, 0.20)),
    Dimension("assign_threshold", (0.16, 0.18, 0.20, 0.22)),
    Dimension("second_pass_start", (0.34, 0.32, 0.30, 0.28)),
)
MIDDLE = 0.24
"""The middle of W1's start thresholds: what the cut of greatest modularity stands for."""
CUTS = 40
"""Cuts among which that one is sought, at even shares of the linkage's heights."""


def label(shared: Shared, setting: Setting, seed: int) -> NDArray[np.int64]:
    """Clusters by the four steps, int64 (n,), -1 for rows in none."""
    import numpy as np

    found = threshold(shared)
    scale = found / MIDDLE
    start = found if setting["start_threshold"] == AUTO else scale * setting["start_threshold"]
    share = len(shared.linkage.rows) / len(shared.unit)
    least = max(2, round(share * shared.least(int(setting["min_cluster_size"]))))
    merge, assign = scale * setting["merge_dist"], scale * setting["assign_threshold"]
    labels = np.full(len(shared.unit), NOISE, dtype=np.int64)
    for height in (start, scale * setting["second_pass_start"]):
        labels = _grown(labels, cut(shared, float(height)), least)
        labels = _merged(shared.unit, labels, merge)
        labels = _assigned(shared.unit, labels, assign)
    return labels


def note(shared: Shared, setting: Setting) -> str:
    """Of how many rows the linkage is, where it is not of all."""
    drawn, count = len(shared.linkage.rows), len(shared.unit)
    return "" if drawn == count else f"linkage of {drawn} rows drawn from {count}"


def cut(shared: Shared, height: float) -> NDArray[np.int64]:
    """Groups of the linkage at a height, int64 (n,), 0..; -1 for rows that are not in its sample."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster

    linkage = shared.linkage
    labels = np.full(len(shared.unit), NOISE, dtype=np.int64)
    labels[linkage.rows] = fcluster(linkage.tree, height, criterion="distance") - 1
    return labels


def threshold(shared: Shared) -> float:
    """The height at which the linkage's groups have the greatest modularity, > 0; the lower of two."""
    import numpy as np

    def find() -> float:
        heights = shared.linkage.tree[:, 2]
        tried = np.unique(np.quantile(heights, np.linspace(0.3, 1, CUTS)))
        values = [modularity(shared, cut(shared, float(height))) or 0.0 for height in tried]
        return max(float(tried[int(np.argmax(np.round(values, 9)))]), 1e-9)

    return shared.once(("threshold",), find)


def _grown(labels: NDArray[np.int64], groups: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """`labels` and, as further clusters, the rows in none that are together in a group of `least`."""
    import numpy as np

    free = (labels == NOISE) & (groups != NOISE)
    if not free.any():
        return labels
    sizes = np.bincount(groups[free])
    numbers = np.where(sizes >= least, np.cumsum(sizes >= least) + labels.max(initial=NOISE), NOISE)
    labels = labels.copy()
    labels[free] = numbers[groups[free]]
    return labels


def _merged(
    unit: NDArray[np.float32], labels: NDArray[np.int64], distance: float
) -> NDArray[np.int64]:
    """Clusters with a mean distance of at most `distance` as one, the nearest pair first."""
    import numpy as np

    sums, sizes = _sums(unit, labels)
    alive = np.arange(len(sums))
    becomes = np.arange(len(sums))
    while len(alive) > 1:
        means = sums[alive] / sizes[alive, None]
        apart = 1 - means @ means.T
        np.fill_diagonal(apart, np.inf)
        one, other = sorted(np.unravel_index(apart.argmin(), apart.shape))
        if apart[one, other] > distance:
            break
        sums[alive[one]] += sums[alive[other]]
        sizes[alive[one]] += sizes[alive[other]]
        becomes[becomes == alive[other]] = alive[one]
        alive = np.delete(alive, other)
    numbers = np.searchsorted(alive, becomes)
    return np.where(labels == NOISE, NOISE, numbers[np.maximum(labels, 0)] if len(sums) else NOISE)


def _assigned(
    unit: NDArray[np.float32], labels: NDArray[np.int64], distance: float
) -> NDArray[np.int64]:
    """Rows in no cluster in the nearest by mean distance, where that is at most `distance`."""
    import numpy as np

    sums, sizes = _sums(unit, labels)
    free = np.flatnonzero(labels == NOISE)
    if not len(sums) or not len(free):
        return labels
    near = unit[free].astype(np.float64) @ (sums / sizes[:, None]).T
    best = near.argmax(axis=1)
    labels = labels.copy()
    labels[free] = np.where(1 - near[np.arange(len(free)), best] <= distance, best, NOISE)
    return labels


def _sums(
    unit: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum of the vectors of each cluster, float64 (clusters, d), and its rows, (clusters,).

    The mean distance of a unit vector to a cluster is 1 - its product with the cluster's mean, and so is
    that of two clusters, by their means.
    """
    import numpy as np

    clusters = int(labels.max(initial=NOISE)) + 1
    rows = np.flatnonzero(labels != NOISE)
    order = rows[np.argsort(labels[rows], kind="stable")]
    if not len(order):
        return np.zeros((0, unit.shape[1])), np.zeros(0)
    starts = np.searchsorted(labels[order], np.arange(clusters))
    sums = np.add.reduceat(unit[order].astype(np.float64), starts, axis=0)
    return sums, np.bincount(labels[order], minlength=clusters).astype(np.float64)
