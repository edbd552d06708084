"""Pairs of near hashes in blocks, and the groups that they make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit.clustering import pairs
from ledgerkit.clustering.pairs import Hashed, distances, groups, near_pairs
from ledgerkit.errors import LimitExceeded


def drawn(count: int, seed: int = 1, windows: int = 3) -> Hashed:
    words = np.random.default_rng(seed).integers(0, 2**64, (count, windows, 4), np.uint64)
    return Hashed(words, np.ones((count, windows), dtype=bool))


def slowly(one: np.ndarray, other: np.ndarray) -> int:
    """Bits in which two pictures differ, by counting digits."""

    def bits(first: np.ndarray, second: np.ndarray) -> int:
        words = zip(first.tolist(), second.tolist(), strict=True)
        return sum(bin(a ^ b).count("1") for a, b in words)

    return min(
        min(bits(one[0], window) for window in other), min(bits(other[0], window) for window in one)
    )


def test_the_distance_is_that_of_one_whole_to_the_nearest_window_of_the_other() -> None:
    hashed = drawn(7)
    hashed.words[4, 2] = hashed.words[1, 0] ^ np.uint64(5)
    found = distances(hashed, hashed)
    wanted = [[slowly(one, other) for other in hashed.words] for one in hashed.words]
    assert found.tolist() == wanted
    assert found[1, 4] == found[4, 1] == 8


def test_what_has_no_hash_is_far_from_everything() -> None:
    hashed = drawn(3)
    hashed.words[:] = 0
    hashed.known[1] = False
    hashed.known[2, 0] = False
    found = distances(hashed, hashed)
    assert found[0, 0] == 0
    assert (found[1] == hashed.none).all()
    assert found[0, 2] == 0, "the whole of one is compared with a window of the other"
    assert found[2, 2] == hashed.none, "windows are not compared with windows"


@given(seed=st.integers(0, 1000), block=st.integers(1, 30))
def test_blocks_of_any_size_give_the_same_pairs(seed: int, block: int) -> None:
    hashed = drawn(25, seed)
    hashed.words[13:18] = hashed.words[2:7]
    wanted = list(near_pairs(hashed, 100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "BLOCK", block)
        assert sorted(near_pairs(hashed, 100)) == sorted(wanted)
    far = distances(hashed, hashed)
    assert {(one, two) for one, two, bits in wanted if bits == 0} >= {
        (2 + n, 13 + n) for n in range(5)
    }
    assert all(one < two and far[one, two] == bits <= 100 for one, two, bits in wanted)
    assert len(wanted) == np.triu(far <= 100, 1).sum()


def test_too_many_pairs_are_refused_with_the_setting() -> None:
    hashed = drawn(12)
    hashed.words[:] = 7
    assert len(list(near_pairs(hashed, 0, max_pairs=66))) == 66
    with pytest.raises(LimitExceeded, match="max_pairs") as refused:
        list(near_pairs(hashed, 0, max_pairs=65))
    assert "--max-distance" in str(refused.value.hint)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40), st.randoms())
def test_groups_are_the_connected_parts_in_any_order(joined, random) -> None:  # type: ignore[no-untyped-def]
    found = groups(joined)
    assert sorted(row for group in found for row in group) == sorted({*sum(joined, ())})
    place = {row: number for number, group in enumerate(found) for row in group}
    assert all(place[one] == place[other] for one, other in joined)
    parts = len({*place})  # each pair that joins two parts leaves one part fewer
    seen: list[set[int]] = [{row} for row in place]
    for one, other in joined:
        first = next(part for part in seen if one in part)
        second = next(part for part in seen if other in part)
        if first is not second:
            first |= second
            seen.remove(second)
            parts -= 1
    assert len(found) == parts
    assert found == sorted(sorted(group) for group in found)
    random.shuffle(joined)
    assert groups(joined) == found
