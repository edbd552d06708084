"""A map that stays: new rows placed among old ones, or a new map turned onto the old.

`place` is the `transform` of UMAP with the old coordinates as they are recorded, so it needs no
fitted model and moves no old point. `onto` finds the similarity that brings a new map nearest to an
old one.
Source: McInnes, Healy & Melville 2018 (UMAP; umap-learn's `transform`, BSD); Umeyama 1991
(least-squares similarity; here a mirrored map is the same map).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.reduce import import_umap, neighbours_among

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_SHARED = 3
"""Shared points that a similarity in the plane needs to be more than a coincidence."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """x -> scale * x @ turn + shift, for row vectors in the plane."""

    scale: float
    turn: NDArray[np.float64]
    """float64 (2, 2), orthogonal."""
    shift: NDArray[np.float64]
    """float64 (2,)."""
    residual: float
    """Root mean square distance of the shared points after it, in units of their root mean square
    distance from their middle: 0 for maps that differ by a similarity, about 1 for unrelated ones.
    """

    def move(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points moved, float64 (n, 2)."""
        return self.scale * points @ self.turn + self.shift


def onto(points: NDArray[np.float64], wanted: NDArray[np.float64]) -> Similarity:
    """The similarity that brings `points` nearest to `wanted`, both float64 (n, 2), n >= 3."""
    import numpy as np

    middle, goal = points.mean(axis=0), wanted.mean(axis=0)
    centred, aimed = points - middle, wanted - goal
    left, strengths, right = np.linalg.svd(centred.T @ aimed)
    spread = float((centred**2).sum())
    scale = float(strengths.sum()) / spread if spread > 0 else 1.0
    turn = left @ right
    shift = goal - scale * middle @ turn
    apart = scale * points @ turn + shift - wanted
    size = float((aimed**2).sum())
    residual = float(np.sqrt((apart**2).sum() / size)) if size > 0 else 0.0
    return Similarity(scale, turn, shift, residual)


def place(
    old: NDArray[np.float32],
    coordinates: NDArray[np.float64],
    new: NDArray[np.float32],
    *,
    count: int,
    min_dist: float,
    seed: int,
) -> NDArray[np.float64]:
    """Coordinates, float64 (m, 2), of the rows `new` on the map of the rows `old`.

    `old`: float32 (n, d), `new`: float32 (m, d), L2 norm 1; `coordinates`: float64 (n, 2), which do
    not change; `count`: neighbours of a point; `min_dist` as the map was made with. The order of
    rows and the seed decide the answer, nothing else does.
    """
    import numpy as np
    from scipy.sparse import coo_matrix

    umap = import_umap()
    indices, distances = neighbours_among(old, new, min(count, len(old)))
    sigmas, rhos = umap.smooth_knn_dist(distances, float(indices.shape[1]), local_connectivity=0.0)
    rows, columns, weights, _ = umap.compute_membership_strengths(
        indices, distances, sigmas, rhos, bipartite=True
    )
    graph = coo_matrix((weights, (rows, columns)), shape=(len(new), len(old)))
    fixed = coordinates.astype(np.float32)
    start = umap.init_graph_transform(graph.tocsr(), fixed)
    epochs = 100 if len(new) <= 10_000 else 30
    graph.data[graph.data < graph.data.max() / epochs] = 0.0
    graph.eliminate_zeros()
    a, b = umap.find_ab_params(1.0, min_dist)
    state = np.random.RandomState(seed).randint(-(2**31) + 1, 2**31 - 1, 3).astype(np.int64)
    placed = umap.optimize_layout_euclidean(
        start,
        fixed.copy(),
        graph.row,
        graph.col,
        epochs,
        len(old),
        umap.make_epochs_per_sample(graph.data, epochs),
        a,
        b,
        state,
        1.0,
        0.25,
        5,
        False,
        verbose=False,
    )
    return np.asarray(placed, dtype=np.float64)
