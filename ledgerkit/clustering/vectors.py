"""Vectors to the rows of `embeddings`, and many such tables to one matrix in canonical order.

Streams: no vector becomes a Python list, so a million of them cost their float32 bytes twice at
most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import InvalidRecord, MissingInput, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of one kind of subject in one space, rows sorted by subject id."""

    kind: str
    """plate, tile, segment or text."""
    space: str
    subjects: list[str]
    plates: list[str]
    matrix: NDArray[np.float32]
    """float32 (n, d), finite, no row zero."""


def table_of(
    rows: Sequence[Mapping[str, Any]],
    vectors: Sequence[NDArray[np.float32]],
    norms: Sequence[float],
    space: str,
) -> pa.Table:
    """Rows of `embeddings` as Arrow: ids of `rows`, float32 (d,) of length 1, their norms before.

    Raises `InvalidRecord` for vectors of several dimensions.
    """
    import numpy as np
    import pyarrow as pa

    dimensions = {vector.size for vector in vectors}
    if len(dimensions) > 1:
        raise InvalidRecord(f"vectors of {sorted(dimensions)} numbers in one space")
    dimension = dimensions.pop() if dimensions else 0
    flat = np.concatenate(vectors) if vectors else np.zeros(0, dtype=np.float32)
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * dimension
    names = ("subject_id", "subject_kind", "plate_id")
    return pa.table(
        {name: pa.array([row[name] for row in rows], pa.string()) for name in names}
        | {
            "space_id": pa.array([space] * len(rows), pa.string()),
            "dim": pa.array([dimension] * len(rows), pa.int32()),
            "norm": pa.array(norms, pa.float64()),
            "vector": pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.float32())),
        }
    )


def gather(tables: Iterable[pa.Table], of: str, space: str) -> Vectors:
    """The vectors of `of` (plates, tiles, segments) in `space` ('' for the only one there is).

    Sorted by subject id, so that the order of files changes nothing. Raises `MissingInput` when
    there are none, `UsageError` for several spaces, `InvalidRecord` for a subject twice, differing
    dimensions, a vector that is not finite, or zero.
    """
    kind = of.removesuffix("s")
    chosen = [part for part in (_select(table, kind, space) for table in tables) if part.num_rows]
    if not chosen:
        wanted = f" in space {space}" if space else ""
        raise MissingInput(
            f"no vectors of {of}{wanted} among the inputs", f"run: ledgerkit embed --of {of}"
        )
    spaces = sorted({name for part in chosen for name in part["space_id"].unique().to_pylist()})
    if len(spaces) > 1:
        raise UsageError(
            f"vectors of {len(spaces)} spaces: {', '.join(spaces)}", "name one with --space"
        )
    subjects = [name for part in chosen for name in part["subject_id"].to_pylist()]
    plates = [name for part in chosen for name in part["plate_id"].to_pylist()]
    order = sorted(range(len(subjects)), key=subjects.__getitem__)
    ordered = [subjects[row] for row in order]
    twice = next((left for left, right in pairwise(ordered) if left == right), None)
    if twice is not None:
        raise InvalidRecord(
            f"{twice} has two vectors in space {spaces[0]}", "give one run per subject"
        )
    matrix = _fill(chosen, order)
    _check_rows(matrix, ordered)
    return Vectors(kind, spaces[0], ordered, [plates[row] for row in order], matrix)


def _select(table: pa.Table, kind: str, space: str) -> pa.Table:
    """Rows of this kind and space."""
    import pyarrow.compute as pc

    keep = pc.equal(table["subject_kind"], kind)
    if space:
        keep = pc.and_(keep, pc.equal(table["space_id"], space))
    return table.filter(keep)


def _fill(chosen: list[pa.Table], order: list[int]) -> NDArray[np.float32]:
    """The matrix, each row written once to its place."""
    import numpy as np

    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    matrix: NDArray[np.float32] | None = None
    start = 0
    for part in chosen:
        flat = part["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        dimension = flat.size // part.num_rows
        if matrix is None:
            matrix = np.empty((len(order), dimension), dtype=np.float32)
        if flat.size != part.num_rows * matrix.shape[1] or dimension == 0:
            raise InvalidRecord(
                f"vectors of {dimension} numbers among vectors of {matrix.shape[1]}"
            )
        matrix[place[start : start + part.num_rows]] = flat.reshape(part.num_rows, -1)
        start += part.num_rows
    assert matrix is not None
    return matrix


def _check_rows(matrix: NDArray[np.float32], subjects: list[str]) -> None:
    """Raise `InvalidRecord` naming the first subjects whose vector is not finite, or zero."""
    import numpy as np

    lengths = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if bad.size:
        named = ", ".join(subjects[row] for row in bad[:5])
        raise InvalidRecord(
            f"{bad.size} vectors are zero or not finite: {named}", "run: ledgerkit embed --force"
        )
