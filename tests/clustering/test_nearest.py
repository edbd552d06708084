"""Exact neighbours: those of a plain sort in float64, whatever the blocks, equals by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit.clustering.nearest import Nearest
from ledgerkit.errors import InvalidRecord


def fed(query: np.ndarray, matrix: np.ndarray, count: int, block: int) -> list[tuple[str, float]]:
    nearest: Nearest[int] = Nearest(query, count)
    for start in range(0, len(matrix), block):
        part = matrix[start : start + block]
        nearest.feed(part, lambda row, start=start: (f"subject-{start + row:05d}", start + row))
    assert nearest.seen == len(matrix)
    assert [int(name[8:]) for name, _, _ in nearest.found()] == [row for *_, row in nearest.found()]
    return [(name, cosine) for name, cosine, _ in nearest.found()]


def test_the_neighbours_are_those_of_a_full_sort() -> None:
    matrix = np.random.default_rng(7).normal(size=(3000, 96)).astype(np.float32)
    query = matrix[17] + np.float32(0.1)
    exact = matrix.astype(np.float64)
    cosines = exact @ query / np.linalg.norm(exact, axis=1) / np.linalg.norm(query)
    order = np.argsort(-cosines)[:25]
    found = fed(query, matrix, 25, 700)
    assert [name for name, _ in found] == [f"subject-{row:05d}" for row in order]
    assert [cosine for _, cosine in found] == pytest.approx(list(cosines[order]), abs=1e-7)


@given(seed=st.integers(0, 10_000), block=st.integers(1, 70), count=st.integers(1, 40))
def test_blocks_of_any_size_give_the_same_to_the_last_bit(
    seed: int, block: int, count: int
) -> None:
    matrix = np.random.default_rng(seed).normal(size=(60, 33)).astype(np.float32)
    matrix[20:40] = matrix[:20]
    query = matrix[3]
    assert fed(query, matrix, count, block) == fed(query, matrix, count, 60)


def test_equals_are_ordered_by_name_and_nearly_equals_by_their_true_cosine() -> None:
    query = np.ones(512, np.float32)
    matrix = np.ones((300, 512), np.float32)
    matrix[:200, 0] += np.float32(2**-12)
    found = fed(query, matrix, 120, 64)
    assert [name for name, _ in found] == [
        *(f"subject-{row:05d}" for row in range(200, 300)),
        *(f"subject-{row:05d}" for row in range(20)),
    ]


def test_length_does_not_matter() -> None:
    query = np.array([1, 0], np.float32)
    matrix = np.array([[0.001, 0], [500, 500], [-3, 0]], np.float32)
    assert [cosine for _, cosine in fed(query, matrix, 3, 2)] == pytest.approx([1, 0.5**0.5, -1])


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_refuses_a_vector_without_direction_and_names_it(bad: float) -> None:
    matrix = np.ones((5, 4), np.float32)
    matrix[3] = bad
    with pytest.raises(InvalidRecord, match="subject-00003"):
        fed(np.ones(4, np.float32), matrix, 2, 5)
    with pytest.raises(InvalidRecord, match="searched with"):
        Nearest(matrix[3], 2)
