"""What all trials of a sweep have in common, each computed once: graph, linkage, layouts, trees.

Rows are in canonical order; everything is the same bytes for the same rows and seed. Memory: the
linkage takes 8 bytes for each pair of at most `LARGEST_LINKAGE` rows, twice while it is made (512 MB);
nothing else has the size of all pairs.
Source: Müllner 2013 (linkage); McInnes, Healy & Melville 2018 (UMAP); Newman 2004 (modularity).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ledgerkit.clustering.density import Tree, grow
from ledgerkit.clustering.reduce import Layout, Neighbours, directions, first, lay_out, neighbours

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = TypeVar("Value")
LARGEST_LINKAGE = 8000
"""Rows up to which the linkage is that of all; beyond it is that of a sample of so many."""
NEAREST = 15
"""Neighbours of a row in the graph, itself not counted."""
WIDEST = 50
"""Neighbours that are found at once: the most that a layout takes, itself counted."""
FEWEST = 4
"""Rows without which there is nothing to compare."""
GROW_FROM = 2000
"""Rows beyond which least sizes of clusters grow in proportion, as in `cluster`."""
PRINCIPAL = 10
"""Dimensions of the space in which DBCV is measured, at most: one for all trials."""


@dataclass(frozen=True, slots=True)
class Linkage:
    """Average linkage by cosine distance, of all rows or of a sample."""

    tree: NDArray[np.float64]
    """float64 (m - 1, 4), as scipy has it."""
    rows: NDArray[np.int64]
    """int64 (m,), the rows it is of."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Each row joined to its nearest, in both directions, as a sparse matrix by rows."""

    starts: NDArray[np.int64]
    """int64 (n + 1,), where the entries of each row begin."""
    others: NDArray[np.int32]
    """int32 (m,)."""
    distances: NDArray[np.float64]
    """float64 (m,), 1 - cosine, 0..2."""

    def weights(self, temperature: float) -> NDArray[np.float64]:
        """exp(-d / (median d * temperature)), float64 (m,), 0..1."""
        import numpy as np

        middle = float(np.median(self.distances)) or 1.0
        return np.asarray(np.exp(-self.distances / (middle * temperature)), dtype=np.float64)


class Shared:
    """Vectors of n rows and what was computed of them; `counts` says what, and how often."""

    def __init__(self, unit: NDArray[np.float32], *, seed: int, components: int = 32) -> None:
        """`unit`: float32 (n, d), L2 norm 1, n >= 2. Neighbours and layouts are those of its first
        `components` principal components (0 for none), silhouettes and linkage those of itself.
        """
        self.unit, self.seed, self.components = unit, seed, components
        self.counts: Counter[str] = Counter()
        self._known: dict[tuple[Any, ...], Any] = {}

    def once(self, key: tuple[Any, ...], make: Callable[[], Value]) -> Value:
        """The value of `key`, made by the first who asks; `key[0]` is what is counted."""
        if key not in self._known:
            self.counts[str(key[0])] += 1
            self._known[key] = make()
        value: Value = self._known[key]
        return value

    @property
    def reduced(self) -> NDArray[np.float32]:
        """float32 (n, e), L2 norm 1."""
        return self.once(("reduced",), lambda: directions(self.unit, self.components, False))

    def near(self, count: int) -> Neighbours:
        """The `count` nearest rows of each, itself first; fewer where there are fewer rows."""
        most = min(max(count, WIDEST), len(self.unit))
        found = self.once(("neighbours", most), lambda: neighbours(self.reduced, most))
        return first(found, min(count, len(self.unit))) or found

    @property
    def graph(self) -> Graph:
        """The symmetric graph of the `NEAREST` nearest."""
        return self.once(("graph",), lambda: _symmetric(self.near(NEAREST + 1)))

    @property
    def linkage(self) -> Linkage:
        """Average linkage by cosine distance."""
        return self.once(("linkage",), lambda: _linkage(self.unit, self.seed))

    @property
    def principal(self) -> NDArray[np.float64]:
        """The first principal components, float64 (n, at most `PRINCIPAL`)."""
        import numpy as np

        from ledgerkit.clustering.reduce import principal

        return self.once(
            ("principal",),
            lambda: np.asarray(principal(self.unit, PRINCIPAL, False), dtype=np.float64),
        )

    def layout(self, count: int, min_dist: float) -> Layout:
        """Two dimensions by UMAP with `count` neighbours, itself counted, or the way out."""
        used = max(2, min(count, len(self.unit) - 1))
        near = self.near(used) if len(self.unit) >= 4 else None
        return self.once(
            ("layout", used, min_dist),
            lambda: lay_out(
                self.reduced,
                near,
                dimensions=max(1, min(2, len(self.unit) - 2, self.reduced.shape[1])),
                count=used,
                min_dist=min_dist,
                seed=self.seed,
            ),
        )

    def tree(self, count: int, min_dist: float, samples: int) -> Tree:
        """HDBSCAN's hierarchy of a layout."""
        layout = self.layout(count, min_dist)
        return self.once(("tree", count, min_dist, samples), lambda: grow(layout.points, samples))

    def least(self, size: int) -> int:
        """A least size of clusters for so many rows: in proportion beyond `GROW_FROM` of them."""
        rows = len(self.unit)
        return max(2, round(size * rows / GROW_FROM) if rows > GROW_FROM else size)

    def part(self, rows: NDArray[np.int64]) -> Shared:
        """The same for some of the rows, which then have a graph and layouts of their own."""
        return Shared(self.unit[rows], seed=self.seed, components=self.components)


def _symmetric(near: Neighbours) -> Graph:
    """Pairs of which one is among the nearest of the other, each in both directions, by rows."""
    import numpy as np

    count, width = near.indices.shape
    rows = np.repeat(np.arange(count), width - 1)
    others = near.indices[:, 1:].ravel().astype(np.int64)
    places = np.minimum(rows, others) * count + np.maximum(rows, others)
    pairs, kept = np.unique(places, return_index=True)
    left, right = np.divmod(pairs, count)
    distances = near.distances[:, 1:].ravel().astype(np.float64)[kept]
    both, there = np.concatenate([left, right]), np.concatenate([right, left])
    order = np.lexsort((there, both))
    starts = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(both, minlength=count), out=starts[1:])
    return Graph(
        starts, there[order].astype(np.int32), np.concatenate([distances, distances])[order]
    )


def _linkage(unit: NDArray[np.float32], seed: int) -> Linkage:
    import numpy as np
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    rows = np.arange(len(unit))
    if len(unit) > LARGEST_LINKAGE:
        drawn = np.random.default_rng(seed).choice(len(unit), LARGEST_LINKAGE, replace=False)
        rows = np.sort(drawn)
    distances = np.clip(pdist(unit[rows].astype(np.float64), "cosine"), 0, 2)
    return Linkage(linkage(distances, method="average"), rows.astype(np.int64))
