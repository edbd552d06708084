"""HDBSCAN with its hierarchy made once per space and `min_samples`, and cut for each least size.

The minimum spanning tree is what costs; every `min_cluster_size` cuts the same single linkage tree.
The labels are those of a plain call of hdbscan, which a test holds.
Source: Campello, Moulavi & Sander 2013 (HDBSCAN, excess of mass); Campello et al. 2015 (GLOSH);
McInnes, Healy & Astels 2017 (the library).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOISE = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """A single linkage hierarchy of mutual reachability distances, and the tree it came from."""

    linkage: NDArray[np.float64]
    """float64 (n - 1, 4): two parts, distance, size."""
    spanning: NDArray[np.float64]
    """float64 (n - 1, 3): two rows, distance."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What one cut of a tree gives."""

    labels: NDArray[np.int64]
    """int64 (n,), 0.. in hdbscan's order, -1 for noise."""
    probabilities: NDArray[np.float64]
    """float64 (n,), 0..1; 0 for noise."""
    persistence: NDArray[np.float64]
    """float64 (clusters,), hdbscan's `cluster_persistence_`."""
    outliers: NDArray[np.float64]
    """float64 (n,), 0..1, GLOSH."""


@contextmanager
def quiet() -> Iterator[None]:
    """What hdbscan 0.8 says of itself when imported and fitted: a renamed keyword, odd escapes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*force_all_finite.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=SyntaxWarning)
        yield


def grow(points: NDArray[np.float64], min_samples: int) -> Tree:
    """The hierarchy of `points`, float64 (n, d), n >= 2, euclidean; `min_samples` is brought to at
    most n - 1, as hdbscan does.
    """
    import numpy as np

    with quiet():
        import hdbscan

        model = hdbscan.HDBSCAN(
            min_cluster_size=2,
            min_samples=max(1, min(min_samples, len(points) - 1)),
            metric="euclidean",
            approx_min_span_tree=False,
            gen_min_span_tree=True,
            core_dist_n_jobs=1,
        ).fit(points)
        linkage = model.single_linkage_tree_.to_numpy()
        spanning = model.minimum_spanning_tree_.to_numpy()
    return Tree(np.asarray(linkage), np.asarray(spanning))


def cut(tree: Tree, min_cluster_size: int, selection: str) -> Cut:
    """The clusters of at least `min_cluster_size` (>= 2) rows; `selection` is eom or leaf."""
    import numpy as np

    with quiet():
        from hdbscan import _hdbscan_tree as library

        condensed = library.condense_tree(tree.linkage.copy(), min_cluster_size)
        stability = library.compute_stability(condensed)
        labels, probabilities, persistence = library.get_clusters(condensed, stability, selection)
        outliers = library.outlier_scores(condensed)
    labels = np.asarray(labels, dtype=np.int64)
    return Cut(
        labels,
        np.where(labels == NOISE, 0.0, probabilities),
        np.asarray(persistence, dtype=np.float64),
        np.clip(np.nan_to_num(outliers), 0, 1),
    )


def relative_validity(tree: Tree, labels: NDArray[np.int64]) -> float | None:
    """hdbscan's approximation of DBCV in the space of the tree, -1..1; None where not defined.

    It depends on the space: it says nothing between spaces.
    Source: Moulavi et al. 2014.
    """
    import numpy as np

    if labels.max(initial=NOISE) < 0:
        return None
    with quiet(), np.errstate(all="ignore"):
        import hdbscan

        model: Any = hdbscan.HDBSCAN(gen_min_span_tree=True)
        model.labels_, model._min_spanning_tree = labels, tree.spanning
        value = float(model.relative_validity_)
    return value if np.isfinite(value) else None
