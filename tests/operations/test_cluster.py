"""`cluster`: known groups, any order of rows, few rows, and fall-backs that say so."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.operations import cluster
from ledgerkit.testing.handles import Produced, run_operation


def groups(sizes: tuple[int, ...], dimension: int = 24, spread: float = 0.12) -> np.ndarray:
    """Points around as many directions as there are sizes."""
    generator = np.random.default_rng(11)
    middles = generator.normal(size=(len(sizes), dimension))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    parts = [
        middle + spread * generator.normal(size=(size, dimension)) / np.sqrt(dimension) * 3
        for middle, size in zip(middles, sizes, strict=True)
    ]
    return unit(np.concatenate(parts))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows at length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def table(vectors: np.ndarray, first: int = 0, space: str = "test-1", **columns: Any) -> pa.Table:
    count = len(vectors)
    names = [f"plate-{1000 + first + row}" for row in range(count)]
    made = {
        "subject_id": names,
        "subject_kind": ["plate"] * count,
        "plate_id": names,
        "space_id": [space] * count,
        "dim": pa.array([vectors.shape[1]] * count, pa.int32()),
        "vector": pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32())),
    }
    return pa.table({**made, **columns})


SMALL_GRID = {"neighbours": "10", "min_dist": "0.0", "min_samples": "none"}


def run(*tables: pa.Table, **parameters: Any) -> Produced:
    given = {"embeddings": list(tables)}
    return run_operation(cluster, plate_id=None, tables=given, **(SMALL_GRID | parameters))


def gates(produced: Produced) -> dict[str, tuple[bool, float | None, str]]:
    return {check: (passed, value, told) for _, check, passed, value, told in produced.gates}


def first_level(produced: Produced) -> tuple[pa.Table, pa.Table]:
    """Members and clusters of the first level."""
    tables = (produced.arrow_tables[name] for name in ("cluster_members", "clusters"))
    members, clusters = (table.filter(pc.equal(table["level"], 1)) for table in tables)
    return members, clusters


def test_finds_three_groups_numbers_them_by_size_and_describes_them(
    check_columns: Callable[[str, Any], None],
) -> None:
    vectors = groups((30, 50, 40))
    produced = run(table(vectors))
    members, clusters = first_level(produced)
    check_columns("cluster_members", members.column_names)
    check_columns("clusters", clusters.column_names)
    assert members["label"].to_pylist() == [2] * 30 + [0] * 50 + [1] * 40
    assert clusters["size"].to_pylist() == [50, 40, 30]
    mean = (vectors[30:80] / np.linalg.norm(vectors[30:80], axis=1, keepdims=True)).mean(axis=0)
    centroid = np.array(clusters["centroid"][0].as_py())
    assert np.allclose(centroid, mean / np.linalg.norm(mean), atol=1e-5)
    nearest = clusters["representatives"][0].as_py()
    assert len(nearest) == 9
    assert clusters["medoid_id"][0].as_py() == nearest[0]
    assert all(passed for passed, _, _ in gates(produced).values())


def test_the_identity_of_a_cluster_comes_from_its_members_alone() -> None:
    produced = run(table(groups((30, 50, 40))))
    members = [f"plate-{1030 + row}" for row in range(50)]
    text = '[1,["' + '","'.join(members) + '"]]'
    expected = "cluster-" + hashlib.sha256(text.encode()).hexdigest()[:20]
    assert produced.arrow_tables["clusters"]["cluster_id"][0].as_py() == expected


def test_any_order_of_files_and_rows_gives_the_identical_result() -> None:
    vectors = groups((25, 30), spread=0.3)
    plain = run(table(vectors))
    order = np.random.default_rng(2).permutation(55)
    pieces = [table(vectors[row : row + 1], first=int(row)) for row in order]
    shuffled = run(*pieces)
    for name in ("clusters", "cluster_members"):
        assert shuffled.arrow_tables[name].equals(plain.arrow_tables[name])
    assert shuffled.gates == plain.gates


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 10, 12, 20])
def test_few_rows_give_a_sound_result_that_says_what_it_could_not_do(count: int) -> None:
    produced = run(table(np.random.default_rng(4).normal(size=(count, 16))))
    members = produced.arrow_tables["cluster_members"]
    assert members.num_rows == count
    assert np.isfinite(np.array(members["x"])).all()
    told = gates(produced)
    if count < 4:
        assert not told["layout"][0]
        assert "too few for UMAP" in told["layout"][2]
    if count < 10:
        assert not told["rows"][0]
        assert not told["partition"][0]
        assert "cannot hold two clusters" in told["partition"][2]


def test_no_rows_say_which_command_makes_them() -> None:
    with pytest.raises(MissingInput) as error:
        run(table(np.zeros((0, 4), np.float32)), of="segments")
    assert error.value.hint == "run: ledgerkit embed --of segments"


def test_equal_vectors_fall_back_twice_and_make_one_cluster() -> None:
    produced = run(table(np.ones((40, 8))))
    assert produced.arrow_tables["clusters"]["size"].to_pylist() == [40]
    told = gates(produced)
    assert "span 0 dimensions" in told["map"][2]
    assert not told["largest"][0]


def test_duplicates_among_vectors_do_no_harm() -> None:
    produced = run(table(np.repeat(groups((1, 1, 1, 1, 1, 1)), 12, axis=0)))
    labels = np.array(first_level(produced)[0]["label"]).reshape(6, 12)
    assert (labels == labels[:, :1]).all()


def test_noise_stays_noise() -> None:
    scattered = unit(np.random.default_rng(8).normal(size=(12, 24)))
    produced = run(
        table(np.concatenate([groups((40, 40)), scattered])), sweep="grid", min_cluster_size="15"
    )
    members = first_level(produced)[0].to_pylist()
    noise = [row for row in members if row["label"] == -1]
    assert gates(produced)["partition"][0]
    assert noise
    for row in noise:
        assert row["cluster_id"] is None
        assert row["probability"] == 0
        assert row["nearest_cluster_id"] in {one["cluster_id"] for one in members}
        assert 0 <= row["nearest_distance"] <= 2
    assert all(row["nearest_cluster_id"] is None for row in members if row["label"] >= 0)
    assert gates(produced)["noise"][1] == pytest.approx(len(noise) / 92)


def test_too_much_noise_hands_over_to_kmeans_with_the_reason() -> None:
    produced = run(table(groups((30, 30, 30), spread=0.4)), max_noise=-0.1, k=3)
    passed, _, told = gates(produced)["partition"]
    assert not passed
    assert "noise, more than -0.10" in told
    assert len(produced.arrow_tables["clusters"]) == 3
    assert min(produced.arrow_tables["cluster_members"]["label"].to_pylist()) == 0


def test_refuses_two_spaces_until_one_is_named() -> None:
    first, second = table(groups((12, 12))), table(groups((12, 12)), space="other-1")
    with pytest.raises(UsageError, match="other-1, test-1"):
        run(first, second)
    produced = run(first, second, space="test-1")
    assert produced.arrow_tables["cluster_members"].num_rows == 24


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_refuses_a_vector_that_is_not_finite_or_zero_and_names_it(bad: float) -> None:
    vectors = groups((12, 12))
    vectors[3] = bad
    with pytest.raises(InvalidRecord, match="plate-1003"):
        run(table(vectors))


def test_refuses_a_subject_with_two_vectors() -> None:
    with pytest.raises(InvalidRecord, match="plate-1000"):
        run(table(groups((12,))), table(groups((1,))))


def test_refuses_vectors_of_two_lengths() -> None:
    with pytest.raises(InvalidRecord):
        run(table(groups((12,))), table(groups((1,), dimension=8), first=50))
