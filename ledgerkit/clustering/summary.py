"""What is said of each cluster: identity, centroid, mean, medoid and the members nearest to it.

Everything in the original space and by cosine. Source: workflow W0 (means), W2 (representatives).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPRESENTATIVES = 9
BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster."""

    cluster_id: str
    label: int
    size: int
    centroid: NDArray[np.float32]
    """Mean of the members' unit vectors, at L2 norm 1, float32 (d,)."""
    nearest: tuple[str, ...]
    """Members nearest the centroid by cosine, nearest first, at most 9; the first is the medoid."""
    mean: NDArray[np.float32]
    """Mean of the members' vectors as they are, float32 (d,)."""


def clusters_of(
    matrix: NDArray[np.float32],
    unit: NDArray[np.float32],
    labels: NDArray[np.int64],
    subjects: Sequence[str],
    level: int,
) -> list[Cluster]:
    """The clusters of `labels` (int64 (n,), -1 noise), by label.

    `matrix`: the vectors as they are, float32 (n, d); `unit`: the same at L2 norm 1.
    """
    import numpy as np

    made = []
    for label in range(int(labels.max(initial=-1)) + 1):
        rows = np.flatnonzero(labels == label)
        mean = unit[rows].astype(np.float64).mean(axis=0)
        length = float(np.linalg.norm(mean))
        centroid = (mean / length if length > 1e-12 else unit[rows[0]].astype(np.float64)).astype(
            np.float32
        )
        near = np.round(unit[rows].astype(np.float64) @ centroid.astype(np.float64), 9)
        order = rows[np.argsort(-near, kind="stable")][:REPRESENTATIVES]
        members = [subjects[int(row)] for row in rows]
        nearest = tuple(subjects[int(row)] for row in order)
        plain = matrix[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        made.append(Cluster(cluster_id(members, level), label, len(rows), centroid, nearest, plain))
    return made


def cluster_id(members: Sequence[str], level: int) -> str:
    """The identity of a cluster: its level and its members, whatever it is called or numbered."""
    return "cluster-" + hashlib.sha256(canonical_bytes([level, sorted(members)])).hexdigest()[:20]


def nearest_centroid(
    unit: NDArray[np.float32], labels: NDArray[np.int64], clusters: Sequence[Cluster]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each row of noise the cluster with the nearest centroid and the cosine distance, 0..2.

    Place in `clusters`, int64 (n,), -1 for members and without clusters; distances of those are 0.
    """
    import numpy as np

    found = np.full(len(unit), -1, dtype=np.int64)
    distances = np.zeros(len(unit))
    noise = np.flatnonzero(labels < 0)
    if not clusters:
        return found, distances
    centroids = np.stack([one.centroid for one in clusters]).astype(np.float64)
    for start in range(0, noise.size, BLOCK):
        rows = noise[start : start + BLOCK]
        apart = np.clip(1 - unit[rows].astype(np.float64) @ centroids.T, 0, 2)
        found[rows] = np.round(apart, 9).argmin(axis=1)
        distances[rows] = apart[np.arange(rows.size), found[rows]]
    return found, distances


def noise_of(
    unit: NDArray[np.float32], levels: Sequence[NDArray[np.int64]]
) -> list[dict[str, Any]]:
    """For each level how many rows are noise, and the mean of their vectors, None without any.

    `unit`: float32 (n, d), L2 norm 1; `levels`: labels, int64 (n,), -1 for noise. The mean is not
    brought to length 1: the more it falls short of it, the less alike the rows are.
    """
    import numpy as np

    found = []
    for number, labels in enumerate(levels, 1):
        rows = np.flatnonzero(labels < 0)
        mean = unit[rows].mean(axis=0, dtype=np.float64).tolist() if rows.size else None
        found.append({"level": number, "rows": int(rows.size), "mean": mean})
    return found
