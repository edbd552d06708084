"""Clusters of two runs against each other, and maps turned onto one another."""

import numpy as np
import pytest

from ledgerkit.clustering.identity import Match, match
from ledgerkit.clustering.reduce import normalise
from ledgerkit.clustering.register import onto, place


def members(**clusters: str) -> dict[str, frozenset[str]]:
    """Clusters with one member for each letter."""
    return {name: frozenset(letters) for name, letters in clusters.items()}


@pytest.mark.parametrize(
    ("now", "before", "kinds"),
    [
        (members(a="abcd"), members(p="abcd"), {("a", "p"): "same"}),
        (members(a="abcdefghijk"), members(p="abc"), {("a", "p"): "grown"}),
        (members(a="abc"), members(p="abcd"), {("a", "p"): "same"}),
        (members(a="abc", b="de"), members(p="abcde"), {("a", "p"): "split", ("b", "p"): "split"}),
        (
            members(a="abcde"),
            members(p="abc", q="de"),
            {("a", "p"): "merged", ("a", "q"): "merged"},
        ),
        (members(a="xyz"), members(p="abc"), {("a", None): "new", (None, "p"): "gone"}),
        (members(), members(p="abc"), {(None, "p"): "gone"}),
        (members(a="abc"), members(), {("a", None): "new"}),
    ],
)
def test_what_became_of_clusters(
    now: dict[str, frozenset[str]],
    before: dict[str, frozenset[str]],
    kinds: dict[tuple[str | None, str | None], str],
) -> None:
    assert {(one.cluster_id, one.former_id): one.kind for one in match(now, before)} == kinds


def test_the_overlap_is_that_of_jaccard() -> None:
    (one,) = match(members(a="abcdx"), members(p="abcde"))
    assert one == Match("a", "p", 4 / 6, 4, "same")


def test_the_assignment_is_the_best_for_all_and_not_the_first_that_fits() -> None:
    now = members(a="abcdef", b="ghijkl")
    before = members(p="abcghu", q="ijkdew")  # no pair shares more than half of either
    found = {(one.cluster_id, one.former_id): one.kind for one in match(now, before)}
    assert found == {("a", "p"): "same", ("b", "q"): "same"}


def test_a_mirrored_scaled_and_turned_map_is_found_again() -> None:
    points = np.random.default_rng(1).normal(size=(30, 2))
    wanted = 3 * points @ np.array([[0.6, 0.8], [0.8, -0.6]]) + np.array([5, -2])
    found = onto(points, wanted)
    assert found.residual == pytest.approx(0, abs=1e-12)
    assert found.move(points) == pytest.approx(wanted)
    unrelated = onto(points, np.random.default_rng(2).normal(size=(30, 2)))
    assert 0.7 < unrelated.residual <= 1


def test_a_placed_row_depends_on_the_seed_and_the_rows_alone() -> None:
    unit = normalise(np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32))
    chart = np.random.default_rng(4).normal(size=(30, 2))
    first, again = (
        place(unit[:30], chart, unit[30:], count=10, min_dist=0.1, seed=1) for _ in range(2)
    )
    assert (first == again).all()
    assert np.isfinite(first).all()
