"""Derive a space from classical vectors: each block whitened, then joined.

The blocks of the vectors of `embed` are taken apart, each brought to length 1, projected on its
principal components over all rows, whitened, brought to length 1 again, joined, and brought to
length 1. The space is named by the content of means, axes and scales, which are kept in a file of
that name: other rows give another space, and the vectors of `embed` stay what they are. With
`--method random` the axes are drawn from a seed and no row moves them.
Source: docs/embeddings-classical.md; Jégou & Chum 2012 (whitening); Dasgupta 2000 (random projections).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ledgerkit.errors import InvalidRecord, LimitExceeded, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ledgerkit.clustering.fusion import Basis
    from ledgerkit.clustering.vectors import Vectors
    from ledgerkit.handles import Inputs, Outputs

VERSION = "1"
EVENT_TYPE = "feature extraction"
SUBJECT = "collection"
LIBRARIES = ("numpy", "scipy", "pyarrow")
MAKES = ("embeddings",)
TOLERANCE = {"vector": {"cosine": 1e-6}}
MOST = 64
"""Components of a block at most, where their number is left to the rows (docs/embeddings-classical.md)."""
ROWS_A_COMPONENT = 16
"""Rows for each component, where their number is left to the rows. Measured on 229 plates: with
fewer rows a component, directions that are noise are blown up to the size of the others."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `fuse`."""

    made_by: ClassVar[str] = "embed"
    """Whose vectors are read: others have no blocks."""
    of: str = field(
        default="plates",
        metadata={
            "help": "Whose vectors are fused",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    space: str = field(
        default="",
        metadata={"help": "Classical space; empty for the only one among the inputs", "unit": ""},
    )
    blocks: str = field(
        default="gradients,energies,patterns,statistics",
        metadata={
            "help": "Blocks that are joined, of: gradients, energies, patterns, statistics, colours, "
            "shape",
            "unit": "",
        },
    )
    method: str = field(
        default="whitened",
        metadata={
            "help": "Fitted on all rows, or drawn from the seed",
            "unit": "",
            "choices": ("whitened", "random"),
        },
    )
    components: int = field(
        default=0,
        metadata={
            "minimum": 0,
            "help": "Numbers of each block at most; 0 for one in 16 rows, at most 64 "
            "(64 where they are drawn)",
            "unit": "1",
        },
    )
    seed: int = field(
        default=1337,
        metadata={
            "minimum": 0,
            "maximum": 4294967295,
            "help": "Seed of random axes; no part of whitened ones",
            "unit": "1",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """Vectors."""
    return ("embeddings",)


def variant(parameters: Parameters) -> str:
    """What is described, how, and from which blocks."""
    return "-".join([parameters.of, parameters.method, *names_of(parameters.blocks)])


def names_of(blocks: str) -> list[str]:
    """Names of blocks in the order of the vector. Raises `UsageError` for none, or another name."""
    from ledgerkit.imaging.descriptor import BLOCKS

    wanted = {name.strip() for name in blocks.split(",")}
    unknown = sorted(wanted - set(BLOCKS))
    if unknown:
        raise UsageError(
            f"fuse: no block {', '.join(map(repr, unknown))}", f"There are: {', '.join(BLOCKS)}"
        )
    return [name for name in BLOCKS if name in wanted]


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the file of the space, and one row of `embeddings` per vector in it."""
    from ledgerkit.clustering.fusion import content_id, file_of, joined
    from ledgerkit.clustering.vectors import gather

    vectors = gather(inputs.tables("embeddings"), parameters.of, parameters.space)
    blocks = blocks_of(vectors.matrix, names_of(parameters.blocks), vectors.space)
    bases = bases_of(blocks, parameters)
    made, lengths = joined(blocks, bases, vectors.subjects)
    space = f"{parameters.method}-{VERSION}-{content_id(bases)}"
    with outputs.open(f"{space}.npz", "space", "application/zip") as file:
        file.write(file_of(bases))
    outputs.table("embeddings", _table(vectors, made, lengths, space))
    told = ", ".join(f"{name} {basis.scale.size}" for name, basis in bases.items())
    count, numbers = made.shape
    outputs.gate("space", "numbers", True, float(numbers), f"{space}: {told}")
    enough = parameters.method == "random" or count >= ROWS_A_COMPONENT * max(
        basis.scale.size for basis in bases.values()
    )
    told = f"{count} rows; at least {ROWS_A_COMPONENT} for each component of a block wanted"
    outputs.gate("space", "rows", enough, float(count), told)


def blocks_of(
    matrix: NDArray[np.float32], names: list[str], space: str
) -> dict[str, NDArray[np.float32]]:
    """Blocks of classical vectors (n, d) by name, float32 (n, size), each row at length 1 or zero.

    Where they lie is told by the version of `embed` in the name of `space`. Raises `UsageError`
    where that is not known, has no such block, or leaves one out by a weight of 0.
    """
    import numpy as np

    from ledgerkit.imaging.descriptor import blocks_in

    layout = blocks_in(space)
    if layout is None or matrix.shape[1] != sum(layout.values()):
        raise UsageError(
            f"vectors of the space {space} have no known blocks",
            "Name a space that embed made with --space ID",
        )
    lacking = [name for name in names if name not in layout]
    if lacking:
        raise UsageError(
            f"vectors of the space {space} have no {', '.join(lacking)}: an older embed made them",
            "Leave the block out with --blocks, or make the vectors again: ledgerkit embed --stale",
        )
    found, start = {}, 0
    for name, size in layout.items():
        if name in names:
            block = matrix[:, start : start + size].astype(np.float64)
            lengths = np.linalg.norm(block, axis=1, keepdims=True)
            if not lengths.any():
                raise UsageError(
                    f"all {name} are zero in the space {space}: their weight was 0",
                    "Leave the block out with --blocks, or make vectors that have it.",
                )
            found[name] = (block / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        start += size
    return found


def bases_of(blocks: dict[str, NDArray[np.float32]], parameters: Parameters) -> dict[str, Basis]:
    """A basis for each block. Raises `InvalidRecord` for a block that is the same in all rows."""
    import numpy as np

    from ledgerkit.clustering.fusion import drawn, fitted
    from ledgerkit.imaging.descriptor import BLOCKS

    count = len(next(iter(blocks.values())))
    if parameters.method == "random":
        components, places = parameters.components or MOST, list(BLOCKS)
        seeds = {name: [parameters.seed, places.index(name)] for name in blocks}
        return {
            name: drawn(block.shape[1], components, np.random.default_rng(seeds[name]))
            for name, block in blocks.items()
        }
    components = parameters.components or max(2, min(MOST, count // ROWS_A_COMPONENT))
    if count < 3:
        raise InvalidRecord(f"{count} vectors are too few to whiten", "Try: --method random")
    return {name: fitted(block, components) for name, block in blocks.items()}


def _table(
    vectors: Vectors, made: NDArray[np.float32], lengths: NDArray[np.float64], space: str
) -> pa.Table:
    """Rows of `embeddings` as Arrow."""
    import numpy as np
    import pyarrow as pa

    count, dimension = made.shape
    if made.size >= 1 << 31:
        raise LimitExceeded(f"{count} vectors of {dimension} numbers are too many for one table")
    offsets = np.arange(count + 1, dtype=np.int32) * dimension
    return pa.table(
        {
            "subject_id": pa.array(vectors.subjects, pa.string()),
            "subject_kind": pa.array([vectors.kind] * count, pa.string()),
            "plate_id": pa.array(vectors.plates, pa.string()),
            "space_id": pa.array([space] * count, pa.string()),
            "dim": pa.array([dimension] * count, pa.int32()),
            "norm": pa.array(lengths, pa.float64()),
            "vector": pa.ListArray.from_arrays(pa.array(offsets), pa.array(made.ravel())),
        }
    )
