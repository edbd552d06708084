"""Evidence accumulation: what partitions agree on, in any order, with and without all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from ledgerkit.sweeping import agreement
from ledgerkit.sweeping.agreement import co_association, consensus


def ring(count: int, width: int = 5) -> np.ndarray:
    """Each row with those beside it, itself first."""
    return ((np.arange(count)[:, None] + np.arange(width)) % count).astype(np.int32)


def noisy(count: int, groups: int, partitions: int, wrong: float, seed: int = 0) -> np.ndarray:
    """Partitions of the same groups of neighbouring rows, each with some rows elsewhere."""
    draw = np.random.default_rng(seed)
    truth = np.arange(count) * groups // count
    votes = np.tile(truth, (partitions, 1))
    moved = draw.random(votes.shape) < wrong
    votes[moved] = draw.integers(0, groups, moved.sum())
    return votes.astype(np.int32)


def test_co_association_is_the_share_of_partitions_that_have_both_and_have_them_together() -> None:
    votes = np.array([[0, 0, 1], [0, 1, 1], [0, 0, -1]], dtype=np.int32)
    assert co_association(votes, np.arange(3)).tolist() == pytest.approx(
        np.array([[1, 2 / 3, 0], [2 / 3, 1, 1 / 2], [0, 1 / 2, 1]])
    )


def test_what_all_say_is_found_and_what_half_says_is_cut_at_one_half() -> None:
    same = np.array([[0] * 4 + [1] * 3] * 5, dtype=np.int32)
    found = consensus(same, ring(7))
    assert found.half.tolist() == found.lifetime.tolist() == [0] * 4 + [1] * 3
    assert found.probability.tolist() == [1.0] * 7
    split = np.array([[0] * 4 + [1] * 3] * 2 + [[0] * 7] * 3, dtype=np.int32)
    assert consensus(split, ring(7)).half.tolist() == [0] * 7


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_what_all_say_are_the_groups_by_either_cut(groups: int) -> None:
    truth = np.repeat(np.arange(groups), 4)
    same = np.tile(truth, (6, 1)).astype(np.int32)
    one_elsewhere = same.copy()
    one_elsewhere[0, 0] = groups - 1
    for votes in (same, one_elsewhere):
        found = consensus(votes, ring(len(truth)))
        assert found.half.tolist() == found.lifetime.tolist() == truth.tolist()


def test_a_row_that_most_leave_out_is_in_none() -> None:
    votes = np.array([[0, 0, 0, 1, 1, -1]] * 3 + [[0, 0, 0, 1, 1, 1]], dtype=np.int32)
    assert consensus(votes, ring(6)).half.tolist() == [0, 0, 0, 1, 1, -1]


def test_the_linkage_is_average_linkage_of_all_rows() -> None:
    votes = noisy(60, 4, 9, 0.3)
    apart = 1 - co_association(votes, np.arange(60)).astype(float)
    wanted = fcluster(linkage(squareform(apart, checks=False), "average"), 0.5, "distance")
    kinds, sizes = np.unique(wanted, return_counts=True)
    kept = np.isin(wanted, kinds[sizes > 1])
    found = consensus(votes, ring(60)).half
    assert (found[~kept] == -1).all()
    assert adjusted_rand_score(wanted[kept], found[kept]) == 1


@given(st.integers(0, 10_000))
def test_no_order_of_partitions_and_no_numbers_matter(seed: int) -> None:
    votes = noisy(40, 3, 7, 0.25, seed)
    order = np.random.default_rng(seed).permutation(7)
    other = (votes.max() - votes)[order].astype(np.int32)
    one, two = consensus(votes, ring(40)), consensus(other, ring(40))
    assert one.threshold == two.threshold
    assert one.half.tolist() == two.half.tolist()
    assert one.lifetime.tolist() == two.lifetime.tolist()


def test_many_rows_are_grouped_by_their_neighbours_first_and_agree_with_all_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    votes = noisy(900, 6, 15, 0.1)
    whole = consensus(votes, ring(900))
    monkeypatch.setattr(agreement, "DENSE", 100)
    grouped = consensus(votes, ring(900))
    assert (whole.method, grouped.method) == ("dense", "pairs")
    assert adjusted_rand_score(whole.half, grouped.half) > 0.95
    assert max(len(np.unique(grouped.half)), 0) <= 100


def test_what_one_in_twenty_parts_is_one_cluster_by_either_cut() -> None:
    votes = np.array([[0] * 6] * 19 + [[0, 0, 0, 1, 1, 1]], dtype=np.int32)
    found = consensus(votes, ring(6))
    assert found.lifetime.tolist() == found.half.tolist() == [0] * 6


def test_what_the_majority_parts_stays_apart_by_the_longest_lifetime() -> None:
    votes = np.array([[0, 0, 0, 1, 1, 1]] * 12 + [[0] * 6] * 8, dtype=np.int32)
    assert consensus(votes, ring(6)).lifetime.tolist() == [0, 0, 0, 1, 1, 1]
