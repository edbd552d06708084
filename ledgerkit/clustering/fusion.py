"""Blocks of vectors, each projected and brought to length 1, joined to vectors of a derived space.

A basis is fitted on all rows (principal components, whitened) or drawn from a seed (a Gaussian
random projection, which knows no row). It is kept in 32 bits, and vectors are made from what is
kept: so the file of a space is all that is needed to bring another vector into it.
Source: Jégou & Chum 2012 (whitening before vectors are joined or compared); Dasgupta 2000 (random
projections); Pearson 1901 (principal components).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.reduce import principal_axes
from ledgerkit.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

BLOCK = 4096
"""Rows that are projected at a time."""


@dataclass(frozen=True, slots=True)
class Basis:
    """How one block is projected: (row - mean) @ axes / scale."""

    mean: Matrix
    """float32 (d,)."""
    axes: Matrix
    """float32 (d, k)."""
    scale: Matrix
    """float32 (k,), above 0: standard deviations along the axes; 1 where there is no whitening."""


def fitted(matrix: Matrix, components: int) -> Basis:
    """Whitened principal components of float32 (n, d): at most `components`, at most the rank.

    Raises `InvalidRecord` when all rows are equal.
    """
    import numpy as np

    mean = matrix.mean(axis=0, dtype=np.float64)
    axes, variances = principal_axes(matrix.astype(np.float64) - mean, components)
    if not axes.shape[1]:
        raise InvalidRecord(f"a block of {matrix.shape[1]} numbers is the same in all vectors")
    return Basis(
        mean.astype(np.float32), axes.astype(np.float32), np.sqrt(variances).astype(np.float32)
    )


def drawn(dimension: int, components: int, generator: np.random.Generator) -> Basis:
    """A Gaussian random projection from `dimension` numbers to `components`."""
    import numpy as np

    axes = generator.standard_normal((dimension, components)) / np.sqrt(components)
    zero, one = np.zeros(dimension, dtype=np.float32), np.ones(components, dtype=np.float32)
    return Basis(zero, axes.astype(np.float32), one)


def joined(
    blocks: Mapping[str, Matrix], bases: Mapping[str, Basis], subjects: Sequence[str]
) -> tuple[Matrix, NDArray[np.float64]]:
    """Vectors float32 (n, sum of k), L2 norm 1, and their lengths before, float64 (n,).

    `blocks` float32 (n, d) by name, `bases` by the same names in the order in which they are joined.
    Raises `InvalidRecord` that names, of `subjects` (n), one whose vector is zero or not finite.
    """
    import numpy as np

    count = len(subjects)
    made = np.empty((count, sum(basis.scale.size for basis in bases.values())), dtype=np.float32)
    lengths = np.empty(count, dtype=np.float64)
    for start in range(0, count, BLOCK):
        rows = slice(start, start + BLOCK)
        whole = np.concatenate(
            [_projected(blocks[name][rows], basis) for name, basis in bases.items()], axis=1
        )
        lengths[rows] = np.linalg.norm(whole, axis=1)
        wrong = np.flatnonzero(~np.isfinite(lengths[rows]) | (lengths[rows] == 0))
        if wrong.size:
            name = subjects[start + int(wrong[0])]
            raise InvalidRecord(f"{name} has no direction in the derived space")
        made[rows] = whole / lengths[rows, None]
    return made, lengths


def _projected(block: Matrix, basis: Basis) -> NDArray[np.float64]:
    """Rows of a block along the axes, at length 1; one without direction stays zero."""
    import numpy as np

    points = (block.astype(np.float64) - basis.mean) @ basis.axes.astype(np.float64) / basis.scale
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.where(lengths > 1e-9, lengths, np.inf), dtype=np.float64)


def file_of(bases: Mapping[str, Basis]) -> bytes:
    """All bases as one `.npz`: `<block>.mean`, `<block>.axes`, `<block>.scale`; fixed bytes."""
    import numpy as np

    buffer = io.BytesIO()
    arrays = {
        f"{name}.{part}": getattr(basis, part)
        for name, basis in bases.items()
        for part in ("mean", "axes", "scale")
    }
    np.savez(buffer, **arrays)  # its entries carry no time
    return buffer.getvalue()


def read_file(data: bytes) -> dict[str, Basis]:
    """The bases that `file_of` wrote, in their order."""
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        names = dict.fromkeys(entry.rpartition(".")[0] for entry in kept.files)
        return {
            name: Basis(kept[f"{name}.mean"], kept[f"{name}.axes"], kept[f"{name}.scale"])
            for name in names
        }


def content_id(bases: Mapping[str, Basis]) -> str:
    """Eight hex digits of the digest of all numbers of the bases, whatever file they lie in."""
    digest = hashlib.sha256()
    for name, basis in bases.items():
        for array in (basis.mean, basis.axes, basis.scale):
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.astype("<f4").tobytes())
    return digest.hexdigest()[:8]
