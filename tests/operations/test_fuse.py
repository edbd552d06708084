"""`fuse`: a derived space named by its content, from blocks of classical vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ledgerkit.clustering.fusion import content_id, joined, read_file
from ledgerkit.errors import InvalidRecord, UsageError
from ledgerkit.imaging.descriptor import BLOCKS, DIMENSION, blocks_in
from ledgerkit.operations import embed, fuse
from ledgerkit.testing.handles import Produced, run_operation

SPACE = f"classical-{embed.VERSION}-00000000"
OLD_SPACE = "classical-2-00000000"
OLD = 1274
"""Numbers of a vector before it had a shape."""


def classical(count: int, seed: int = 3) -> np.ndarray:
    """Vectors whose first block shows one of two patterns, float32 (n, 2298), L2 norm 1."""
    generator = np.random.default_rng(seed)
    made = generator.normal(size=(count, DIMENSION))
    made[:, :20] += 6 * np.where(np.arange(count) % 2, 1, -1)[:, None]
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def table(vectors: np.ndarray, first: int = 0, space: str = SPACE) -> pa.Table:
    names = [f"plate-{1000 + first + row}" for row in range(len(vectors))]
    return pa.table(
        {
            "subject_id": names,
            "subject_kind": ["plate"] * len(vectors),
            "plate_id": names,
            "space_id": [space] * len(vectors),
            "dim": pa.array([vectors.shape[1]] * len(vectors), pa.int32()),
            "vector": pa.array(list(vectors), pa.list_(pa.float32())),
        }
    )


def unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def run(*tables: pa.Table, **parameters: Any) -> Produced:
    return run_operation(fuse, plate_id=None, tables={"embeddings": list(tables)}, **parameters)


def vectors_of(produced: Produced) -> np.ndarray:
    return np.array(produced.arrow_tables["embeddings"]["vector"].to_pylist(), np.float32)


def space_of(produced: Produced) -> str:
    (space,) = set(produced.arrow_tables["embeddings"]["space_id"].to_pylist())
    return str(space)


def test_rows_are_unit_vectors_in_a_space_that_is_kept_beside_them(check_columns: Any) -> None:
    given = classical(64)
    produced = run(table(given), components=4)
    made = produced.arrow_tables["embeddings"]
    check_columns("embeddings", made.column_names)
    assert set(made["dim"].to_pylist()) == {16}
    assert np.linalg.norm(vectors_of(produced), axis=1) == pytest.approx(1, abs=1e-6)
    assert made["norm"].to_pylist() == pytest.approx([2.0] * 64)
    (file,) = produced.file_outputs.values()
    bases = read_file(file.data)
    assert file.name == f"{space_of(produced)}.npz"
    assert content_id(bases) in file.name
    blocks = fuse.blocks_of(given, list(bases), SPACE)
    again, _ = joined(blocks, bases, [str(row) for row in range(64)])
    assert np.array_equal(again, vectors_of(produced))


def test_components_of_a_block_are_uncorrelated_and_of_one_variance() -> None:
    blocks = fuse.blocks_of(classical(300), ["gradients"], SPACE)
    basis = fuse.bases_of(blocks, fuse.Parameters(components=5))["gradients"]
    points = (blocks["gradients"].astype(np.float64) - basis.mean) @ basis.axes / basis.scale
    assert np.cov(points.T) == pytest.approx(np.eye(5), abs=1e-4)


def test_the_order_of_files_changes_no_byte() -> None:
    given = classical(40)
    whole = run(table(given))
    parts = run(table(given[25:], 25), table(given[:25]))
    assert whole.arrow_tables["embeddings"].equals(parts.arrow_tables["embeddings"])
    assert next(iter(whole.file_outputs.values())).data == (
        next(iter(parts.file_outputs.values())).data
    )


def test_one_more_plate_is_another_whitened_space_and_the_same_random_one() -> None:
    few, more = table(classical(40)), table(classical(41))
    assert space_of(run(few)) != space_of(run(more))
    random = run(few, method="random"), run(more, method="random")
    assert space_of(random[0]) == space_of(random[1])
    assert space_of(random[0]) != space_of(run(few, method="random", seed=1))
    assert vectors_of(random[0]).shape == (40, 4 * 64)


def test_each_block_weighs_the_same_whatever_its_weight_was() -> None:
    given = classical(40)
    weighted = given.copy()
    weighted[:, : BLOCKS["gradients"]] *= 0.2
    assert np.abs(vectors_of(run(table(given))) - vectors_of(run(table(weighted)))).max() < 1e-3


def test_few_rows_get_few_components_and_a_gate_says_when_they_are_too_few() -> None:
    produced = run(table(classical(64)))
    assert vectors_of(produced).shape[1] == 4 * 4
    assert [passed for _, _, passed, _, _ in produced.gates] == [True, True]
    produced = run(table(classical(64)), components=20)
    assert [passed for _, _, passed, _, _ in produced.gates] == [True, False]


def test_blocks_are_found_where_the_version_that_made_the_vectors_put_them() -> None:
    assert sum(BLOCKS.values()) == DIMENSION
    assert blocks_in(SPACE) == BLOCKS
    given = classical(20)
    new = fuse.blocks_of(given, list(BLOCKS), SPACE)
    old = fuse.blocks_of(given[:, :OLD], list(BLOCKS)[:-1], OLD_SPACE)
    for name, block in old.items():
        assert np.array_equal(block, new[name])
    assert np.allclose(new["shape"], unit(given[:, OLD:]), atol=1e-6)
    assert np.allclose(new["colours"], unit(given[:, OLD - BLOCKS["colours"] : OLD]), atol=1e-6)


def test_vectors_of_an_older_version_can_be_fused_but_for_the_block_they_lack() -> None:
    old = table(classical(20)[:, :OLD], space=OLD_SPACE)
    assert vectors_of(run(old, components=3)).shape == (20, 4 * 3)
    with pytest.raises(UsageError, match=f"{OLD_SPACE} have no shape: an older embed") as refused:
        run(old, blocks="patterns,shape")
    assert "ledgerkit embed --stale" in str(refused.value.hint)


@pytest.mark.parametrize("space", ["clip-1", "classical-", "classical-99-00000000", OLD_SPACE])
def test_vectors_whose_blocks_are_not_known_are_refused(space: str) -> None:
    with pytest.raises(UsageError, match="no known blocks"):
        run(table(classical(20), space=space))


def test_what_cannot_be_fused_is_refused() -> None:
    given = classical(20)
    with pytest.raises(UsageError, match="no block 'outline'"):
        run(table(given), blocks="outline")
    without = given.copy()
    without[:, OLD - BLOCKS["colours"] : OLD] = 0
    with pytest.raises(UsageError, match="their weight was 0"):
        run(table(without), blocks="colours,patterns")
    with pytest.raises(InvalidRecord, match="same in all vectors"):
        run(table(np.repeat(given[:1], 20, axis=0)))
    with pytest.raises(InvalidRecord, match="too few to whiten"):
        run(table(given[:2]))
