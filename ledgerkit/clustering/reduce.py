"""Vectors to fewer dimensions: principal components, the neighbour graph, UMAP, and the way out.

Every function takes rows in canonical order and gives the same bytes for the same rows and seed.
Source: McInnes, Healy & Melville 2018 (UMAP); Kobak & Linderman 2021 (starting from principal
components, which also spares the spectral solver that hangs on disconnected graphs: umap#771,
#1026).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

BLOCK = 2048
LARGEST_EXACT = 50_000
"""Rows up to which neighbours are found exactly; beyond, by nearest neighbour descent."""
RECALLED = 200
"""Rows of which approximate neighbours are held against the exact ones."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Coordinates and how they came about."""

    points: NDArray[np.float64]
    """float64 (n, d)."""
    method: str
    """'umap' or 'pca'."""
    reason: str
    """Why UMAP was not used; empty when it was."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest neighbours of each row by cosine, itself first."""

    indices: NDArray[np.int32]
    """int32 (n, k)."""
    distances: NDArray[np.float32]
    """float32 (n, k), 1 - cosine, 0..2."""
    recall: float | None = None
    """Share of them, 0..1, that are as near as the exact ones, of `RECALLED` rows; None where exact."""


def normalise(matrix: Matrix) -> Matrix:
    """Rows at L2 norm 1, float32 (n, d); rows must not be zero."""
    import numpy as np

    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    return np.asarray(matrix / lengths[:, None].astype(np.float32), dtype=np.float32)


def principal(matrix: Matrix, components: int, whiten: bool) -> Matrix:
    """The first principal components of `matrix`, float32 (n, min(components, rank)), columns by
    falling variance.

    By eigenvectors of the covariance, or of the rows' products where there are fewer rows than
    columns: exact, and without a seed. With `whiten` every column has variance 1. Signs are fixed:
    the largest entry of each axis is positive. Fewer columns come back than asked for where the
    vectors span fewer dimensions.
    """
    import numpy as np

    centred = matrix.astype(np.float64) if len(matrix) <= LARGEST_EXACT else matrix.copy()
    centred -= centred.mean(axis=0, dtype=np.float64).astype(centred.dtype)
    axes, variances = principal_axes(centred, components)
    points = centred @ axes
    if whiten:
        points /= np.sqrt(variances)
    return np.asarray(points, dtype=np.float32)


def principal_axes(
    centred: NDArray[np.floating], components: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Axes of the largest variances of `centred` (n, d), float64 (d, k), and those variances, (k,).

    The largest entry of each axis is positive; k is at most the rank.
    """
    import numpy as np

    if len(centred) < centred.shape[1]:
        sums, within = np.linalg.eigh(centred @ centred.T)
        kept = _kept(sums, components)
        axes = centred.T @ within[:, kept] / np.sqrt(sums[kept])
    else:
        sums, within = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        kept = _kept(sums, components)
        axes = within[:, kept]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return axes, sums[kept] / max(1, len(centred) - 1)


def directions(unit: Matrix, components: int, whiten: bool) -> Matrix:
    """The principal components of `unit` (L2 norm 1), themselves brought to length 1, float32
    (n, <= components); `unit` itself for 0 components, one row, or rows without any difference.

    A row at the very mean of all has no direction and gets the first axis.
    """
    import numpy as np

    if not components or len(unit) < 2:
        return unit
    parts = principal(unit, components, whiten)
    if not parts.shape[1]:
        return unit
    lost = np.linalg.norm(parts, axis=1) < 1e-7
    parts[lost] = 0
    parts[lost, 0] = 1
    return normalise(parts)


def _kept(variances: NDArray[np.float64], components: int) -> NDArray[np.int64]:
    """Places of the largest variances, largest first, less those that are rounding errors."""
    import numpy as np

    order = np.argsort(-variances, kind="stable")[:components]
    least = max(1e-9 * float(variances.clip(0).sum()), 1e-9)
    return np.asarray(order[variances[order] > least], dtype=np.int64)


def neighbours(unit: Matrix, count: int) -> Neighbours:
    """The `count` nearest rows of each row of `unit` (L2 norm 1), itself first, ties by row
    number.
    """
    import numpy as np

    indices = np.empty((len(unit), count), dtype=np.int32)
    distances = np.empty((len(unit), count), dtype=np.float32)
    for start in range(0, len(unit), BLOCK):
        block = slice(start, min(start + BLOCK, len(unit)))
        rows = np.arange(block.stop - block.start)
        near = unit[block] @ unit.T
        near[rows, rows + start] = 3.0
        indices[block], found = _largest(near, count)
        distances[block] = 1 - found
    distances[:, 0] = 0
    return Neighbours(indices, np.clip(distances, 0, 2))


def graph(unit: Matrix, count: int, seed: int) -> Neighbours:
    """The `count` nearest rows of each, exact up to `LARGEST_EXACT` rows, else approximate."""
    if len(unit) <= LARGEST_EXACT:
        return neighbours(unit, count)
    return approximate(unit, count, seed)


def approximate(unit: Matrix, count: int, seed: int) -> Neighbours:
    """About the `count` nearest rows of each row of `unit` (L2 norm 1), itself first, ties by row
    number, and their recall. Rows for which the search finds fewer get the exact ones.

    Settings are those of umap-learn. Source: Dong, Moses & Li 2011 (nearest neighbour descent).
    """
    import numpy as np

    search = import_umap().NNDescent(
        unit,
        n_neighbors=count,
        metric="cosine",
        n_trees=min(64, 5 + round(len(unit) ** 0.5 / 20)),
        n_iters=max(5, round(np.log2(len(unit)))),
        max_candidates=60,
        random_state=seed,
        n_jobs=1,
    )
    found = np.asarray(search.neighbor_graph[0], dtype=np.int32)
    rows = np.arange(len(unit))
    short = np.flatnonzero((found < 0).any(axis=1))
    if short.size:
        found[short] = neighbours_among(unit, unit[short], count)[0]
    # Among equal vectors the search may leave out the row itself.
    lost = ~(found == rows[:, None]).any(axis=1)
    found[lost, -1] = rows[lost]
    distances = np.empty(found.shape, dtype=np.float32)
    for start in range(0, len(unit), BLOCK):
        block = slice(start, start + BLOCK)
        distances[block] = 1 - np.einsum("id,ijd->ij", unit[block], unit[found[block]])
    distances[found == rows[:, None]] = -1
    order = np.lexsort((found, distances))
    near = np.clip(np.take_along_axis(distances, order, axis=1), 0, 2)
    found = np.take_along_axis(found, order, axis=1)
    return Neighbours(found, near, recall_of(unit, near, seed))


def recall_of(unit: Matrix, distances: NDArray[np.float32], seed: int) -> float:
    """Of `RECALLED` rows drawn with `seed` the share of neighbours within the exact distance, 0..1.

    `distances`: float32 (n, k), of each row to its k neighbours, itself first, which does not count.
    """
    import numpy as np

    drawn = np.random.default_rng(seed).choice(len(unit), min(RECALLED, len(unit)), replace=False)
    farthest = neighbours_among(unit, unit[drawn], distances.shape[1])[1][:, -1:]
    return float(np.mean(distances[drawn, 1:] <= farthest + 1e-6))


def neighbours_among(
    unit: Matrix, asked: Matrix, count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `count` rows of `unit` nearest to each row of `asked`, ties by row number: places, int32
    (m, count), and 1 - cosine, float32 (m, count), 0..2. Both at L2 norm 1.
    """
    import numpy as np

    indices = np.empty((len(asked), count), dtype=np.int32)
    distances = np.empty((len(asked), count), dtype=np.float32)
    for start in range(0, len(asked), BLOCK):
        block = slice(start, start + BLOCK)
        indices[block], found = _largest(asked[block] @ unit.T, count)
        distances[block] = 1 - found
    return indices, np.clip(distances, 0, 2)


def _largest(near: Matrix, count: int) -> tuple[NDArray[np.intp], Matrix]:
    """Columns and values of the `count` largest entries of each row, largest first, ties by
    column.
    """
    import numpy as np

    best = np.sort(np.argpartition(-near, count - 1, axis=1)[:, :count], axis=1)
    found = np.take_along_axis(near, best, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)


def first(near: Neighbours | None, count: int) -> Neighbours | None:
    """The graph of the first `count` neighbours only."""
    import numpy as np

    if near is None:
        return None
    indices, distances = near.indices[:, :count], near.distances[:, :count]
    return Neighbours(np.ascontiguousarray(indices), np.ascontiguousarray(distances), near.recall)


def lay_out(
    unit: Matrix,
    near: Neighbours | None,
    *,
    dimensions: int,
    count: int,
    min_dist: float,
    seed: int,
) -> Layout:
    """`unit` (float32, L2 norm 1) in `dimensions` by UMAP, or by principal components where UMAP
    cannot.

    `near`: neighbours found before, so that the map and the clusters share them; None lets UMAP
    search.
    `count`: neighbours per point, itself included. Fails for no input: the reason is in the result.
    """
    import numpy as np

    start = principal(unit, dimensions, False)
    if len(unit) < 4:
        return _by_components(start, dimensions, f"{len(unit)} vectors are too few for UMAP")
    if start.shape[1] < dimensions:
        reason = f"the vectors span {start.shape[1]} dimensions, {dimensions} are needed"
        return _by_components(start, dimensions, reason)
    try:
        points = _umap(unit, near, start, count=count, min_dist=min_dist, seed=seed)
    except (ValueError, ArithmeticError, MemoryError, ImportError) as error:
        return _by_components(start, dimensions, f"UMAP failed: {type(error).__name__}: {error}")
    if not np.isfinite(points).all():
        return _by_components(start, dimensions, "UMAP gave coordinates that are not finite")
    return Layout(points.astype(np.float64), "umap", "")


def _umap(
    unit: Matrix, near: Neighbours | None, start: Matrix, *, count: int, min_dist: float, seed: int
) -> NDArray[np.float32]:
    import numpy as np

    library = import_umap()
    with warnings.catch_warnings():
        # Caught by their words, because umap gives them no class of their own.
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message="A few of your vertices were disconnected", category=UserWarning
        )
        model = library.UMAP(
            n_neighbors=count,
            n_components=start.shape[1],
            min_dist=min_dist,
            metric="cosine",
            init=start.astype(np.float32),
            random_state=seed,
            n_jobs=1,
            force_approximation_algorithm=near is not None,
            precomputed_knn=(None, None, None)
            if near is None
            else (near.indices, near.distances, None),
        )
        return np.asarray(model.fit_transform(unit), dtype=np.float32)


def import_umap() -> Any:
    """The module `umap.umap_`, without what it says of tensorflow while it is imported."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=UserWarning, module="umap", message=".*[Tt]ensorflow"
        )
        warnings.filterwarnings("ignore", category=ImportWarning)
        from umap import umap_

        return umap_


def _by_components(start: Matrix, dimensions: int, reason: str) -> Layout:
    """Principal components, filled up with zeros where the vectors span fewer dimensions."""
    import numpy as np

    points = np.zeros((len(start), dimensions), dtype=np.float64)
    points[:, : start.shape[1]] = start
    return Layout(points, "pca", reason)
