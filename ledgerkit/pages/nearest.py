"""Neighbours for the pages: of plates by their vectors, of clusters by their centroids, by cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.errors import InvalidRecord
from ledgerkit.pages.gather import Map, Plates
from ledgerkit.query import Ledgers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COUNT = 8
"""Neighbours that are shown."""
MOST_PRODUCTS = 2 * 10**11
"""Multiplications above which neighbours of plates are left out: some 20 seconds on one core."""
BLOCK = 1024
DECIMALS = 4
Pairs = list[list[tuple[int, float]]]
"""For each row its neighbours, nearest first: row and cosine, rounded to `DECIMALS`."""
_SPACES = """
    SELECT space_id, count(*) AS n, any_value(dim) AS dim FROM current_embeddings
    WHERE subject_kind = 'plate' GROUP BY space_id ORDER BY space_id"""
_VECTORS = """
    SELECT plate_id, vector FROM current_embeddings
    WHERE subject_kind = 'plate' AND space_id = ? ORDER BY plate_id, run_id"""


def neighbours_of(ledgers: Ledgers, plates: Plates) -> tuple[dict[str, Pairs], list[str]]:
    """By space the neighbours of every plate, and the spaces that are too large for it."""
    import numpy as np

    found, left_out = {}, []
    for space in ledgers.table(_SPACES).to_pylist():
        if space["n"] ** 2 * space["dim"] > MOST_PRODUCTS:
            left_out.append(space["space_id"])
            continue
        table = ledgers.table(_VECTORS, [space["space_id"]])
        vectors = table["vector"].combine_chunks()
        rows = np.array([plates.place.get(one, -1) for one in table["plate_id"].to_pylist()])
        matrix = np.asarray(vectors.flatten(), np.float32).reshape(len(rows), -1)
        _, first = np.unique(rows, return_index=True)  # one vector a plate, were there two runs
        chosen = np.array([at for at in first.tolist() if rows[at] >= 0], np.intp)
        pairs: Pairs = [[] for _ in plates.rows]
        for at, near in zip(chosen.tolist(), nearest_rows(matrix[chosen]), strict=True):
            pairs[int(rows[at])] = [(int(rows[chosen[one]]), cosine) for one, cosine in near]
        found[str(space["space_id"])] = pairs
    return found, left_out


def clusters_near(one: Map) -> Pairs:
    """For each cluster those of its own level with the nearest centroids."""
    import numpy as np

    pairs: Pairs = [[] for _ in one.clusters]
    for level in one.levels:
        at = [place for place, row in enumerate(one.clusters) if row["level"] == level]
        if len(at) > 1:
            centroids = np.array([one.clusters[place]["centroid"] for place in at], np.float32)
            for place, near in zip(at, nearest_rows(centroids), strict=True):
                pairs[place] = [(at[other], cosine) for other, cosine in near]
    return pairs


def nearest_rows(matrix: NDArray[np.float32], count: int = COUNT) -> Pairs:
    """For each row of float32 (n, d) the `count` nearest others; equals in the order of rows.

    Raises `InvalidRecord` for a vector that is zero or not finite.
    """
    import numpy as np

    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise InvalidRecord(
            "a vector in the ledgers is zero or not finite",
            "Make it again with: ledgerkit embed --force, then: ledgerkit consolidate",
        )
    unit = (matrix / lengths[:, None]).astype(np.float32)
    count = min(count, len(unit) - 1)
    found: Pairs = []
    for start in range(0, len(unit), BLOCK):
        near = np.round(unit[start : start + BLOCK] @ unit.T, DECIMALS)
        for row, line in enumerate(near):
            line[start + row] = -2  # itself
            floor = np.partition(line, len(line) - count)[len(line) - count] if count else 2
            best = np.flatnonzero(line >= floor)
            best = best[np.argsort(-line[best], kind="stable")][:count]
            found.append([(int(one), round(float(line[one]), DECIMALS)) for one in best])
    return found
