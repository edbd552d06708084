"""Pairs that the trials leave open: which are chosen, how they are spread, and that seeds decide."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ledgerkit.clustering.consensus import belonging
from ledgerkit.clustering.reduce import neighbours, normalise
from ledgerkit.sweeping.ambiguous import Pair, association, choose


class World:
    """Rows in overlapping groups on a sphere, and trials that cut them with errors of their own."""

    def __init__(self, rows: int = 700, groups: int = 8, trials: int = 20, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        centres = generator.normal(size=(groups, 16))
        truth = generator.integers(groups, size=rows)
        spread = generator.normal(size=(rows, 16)) * 0.8
        self.unit = normalise((centres[truth] + spread).astype(np.float32))
        near_to = self.unit @ normalise(centres.astype(np.float32)).T
        votes = []
        for _ in range(trials):
            vote = (near_to + generator.normal(size=near_to.shape) * 0.08).argmax(axis=1)
            vote[generator.random(rows) < 0.05] = -1
            votes.append(vote)
        self.votes = np.array(votes, dtype=np.int32)
        self.labels = near_to.argmax(axis=1).astype(np.int64)
        self.near = neighbours(self.unit, 15).indices

    def choose(self, **given: int | float) -> list[Pair]:
        return choose(self.votes, self.labels, self.unit, self.near, **{"seed": 1, **given})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_a_third_of_each_kind_no_pair_twice_and_no_row_too_often(world: World) -> None:
    pairs = world.choose()
    assert Counter(pair.reason for pair in pairs) == {"merge": 50, "across": 50, "weak": 50}
    assert len({frozenset((pair.left, pair.right)) for pair in pairs}) == 150
    assert all(pair.left != pair.right for pair in pairs)
    assert max(Counter(row for pair in pairs for row in (pair.left, pair.right)).values()) <= 3


def test_each_kind_is_what_it_is_called_and_tells_its_evidence(world: World) -> None:
    share = belonging(world.votes, world.labels)
    for pair in world.choose():
        one, other = world.labels[pair.left], world.labels[pair.right]
        first, second = world.votes[:, pair.left], world.votes[:, pair.right]
        for trial in range(len(world.votes)):
            both = first[trial] >= 0 and second[trial] >= 0
            assert (trial in pair.together) == (both and first[trial] == second[trial])
            assert (trial in pair.apart) == (both and first[trial] != second[trial])
        assert pair.association == len(pair.together) / len(pair.together + pair.apart)
        assert pair.cosine == pytest.approx(world.unit[pair.left] @ world.unit[pair.right])
        if pair.reason == "merge":
            assert pair.together
            assert pair.apart
        elif pair.reason == "across":
            assert one != other
        else:
            assert one == other
            members = np.sort(share[world.labels == one])[::-1]
            core = members[max(1, round(len(members) / 4)) - 1]
            assert max(share[pair.left], share[pair.right]) >= core


def test_merges_are_those_nearest_to_the_cut(world: World) -> None:
    rows, others = np.repeat(np.arange(700), 14), world.near[:, 1:].ravel().astype(np.int64)
    together, both = association(world.votes, rows, others)
    open_ = (together > 0) & (together < both)
    share = together[open_] / both[open_]
    for cut in (0.3, 0.7):
        found = [one.association or 0 for one in world.choose(cut=cut) if one.reason == "merge"]
        assert np.mean(np.abs(np.array(found) - cut)) < 0.5 * np.mean(np.abs(share - cut))


def test_no_cluster_fills_the_list(world: World) -> None:
    seen = Counter(world.labels[row] for pair in world.choose() for row in (pair.left, pair.right))
    assert len(seen) == 8
    assert min(seen.values()) >= 10


def test_the_seed_decides_order_and_sides(world: World) -> None:
    first = world.choose()
    assert world.choose() == first
    other = world.choose(seed=2)
    assert [(one.left, one.right) for one in other] != [(one.left, one.right) for one in first]
    reasons = [pair.reason for pair in first]
    assert reasons != sorted(reasons)
    turned = sum(pair.left > pair.right for pair in first)
    assert 40 < turned < 110


def test_one_kind_makes_up_for_what_another_lacks() -> None:
    world = World()
    world.votes = np.repeat(world.labels[None], 20, axis=0).astype(np.int32)
    pairs = world.choose()  # no trial differs: nothing is between, nobody is doubtful
    assert {pair.reason for pair in pairs} == {"across"}
    assert len(pairs) > 50


def test_there_are_no_pairs_where_nothing_is_open() -> None:
    world = World(rows=20)
    world.votes = np.zeros((5, 20), dtype=np.int32)
    world.labels = np.zeros(20, dtype=np.int64)
    assert world.choose() == []
    world.votes[:] = -1
    world.labels[:] = -1
    assert world.choose() == []
