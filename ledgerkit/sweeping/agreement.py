"""What many partitions agree on: evidence accumulation, cut by lifetime and at one half.

The co-association of two rows is the share of the partitions, of those in which both are in a cluster,
that have them in the same one. Average linkage of 1 - co-association is cut where the longest-lived
number of clusters lies, and at 0.5. Rows with equal labels throughout are one atom. Up to `DENSE`
atoms the linkage is that of all; beyond, atoms that nearly all partitions put together with a near
neighbour are one before, and the linkage is exact over the groups: all sums are those of contingency
tables, so no matrix of all rows is ever made. Memory: 8 bytes for each pair of at most `DENSE` groups, five
times over (360 MB).
Source: Fred & Jain 2005 (evidence accumulation, lifetime); Müllner 2013 (average linkage).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.consensus import belonging
from ledgerkit.clustering.density import NOISE
from ledgerkit.clustering.partition import by_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DENSE = 3000
"""Atoms up to which all pairs are counted."""
TOGETHER = (0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Co-associations of neighbours from which they are one group, the first that leaves few enough."""
MOST_NONE = 0.5
"""Rows that are in no cluster in more than this share of the partitions are in none."""
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Agreement:
    """The consensus of partitions of n rows."""

    lifetime: NDArray[np.int64]
    """int64 (n,), 0.. by falling size, -1 for none: the cut with the longest lifetime."""
    half: NDArray[np.int64]
    """The same at a co-association of one half."""
    threshold: float
    """Distance, 0..1, at which the cut by lifetime lies."""
    probability: NDArray[np.float64]
    """float64 (n,), 0..1: mean co-association with the others of the cluster by lifetime."""
    method: str
    """dense: all pairs were counted; pairs: those of near neighbours first."""


def consensus(votes: NDArray[np.int32], near: NDArray[np.int32]) -> Agreement:
    """The agreement of `votes`, int32 (partitions, n), -1 for none; `near`: int32 (n, k), the nearest
    rows of each, itself first. It depends on no order of partitions and on no label numbers; among equal
    heights the earlier rows are joined first.
    """
    import numpy as np

    _, first, groups = np.unique(votes.T, axis=0, return_index=True, return_inverse=True)
    groups = np.argsort(np.argsort(first))[groups.ravel()]
    method = "dense"
    if int(groups.max()) >= DENSE:
        groups, method = _grouped(votes, near, groups), "pairs"
    heights, tree = _linkage(votes, groups)
    threshold = _longest(heights)
    left_out = (votes < 0).mean(axis=0) > MOST_NONE
    lifetime, half = (_cut(tree, groups, at, left_out) for at in (threshold, HALF))
    return Agreement(lifetime, half, threshold, belonging(votes, lifetime), method)


def co_association(votes: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Of some rows (m) each pair's co-association, float32 (m, m), 0..1; 0 where never both."""
    import numpy as np

    together = np.zeros((len(rows), len(rows)), dtype=np.float32)
    both = np.zeros_like(together)
    for vote in votes[:, rows]:
        inside = vote >= 0
        clustered = np.outer(inside, inside)
        both += clustered
        together += clustered & (vote[:, None] == vote[None, :])
    shares = np.divide(together, both, out=np.zeros_like(together), where=both > 0)
    np.fill_diagonal(shares, 1)
    return shares


def _grouped(
    votes: NDArray[np.int32], near: NDArray[np.int32], atoms: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Groups of rows that are nearly always together with a near neighbour, int64 (n,), 0.. ."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = near.shape[0]
    rows, others = np.repeat(np.arange(count), near.shape[1] - 1), near[:, 1:].ravel()
    together, both = np.zeros(len(rows), np.int32), np.zeros(len(rows), np.int32)
    for vote in votes:
        clustered = (vote[rows] >= 0) & (vote[others] >= 0)
        both += clustered
        together += clustered & (vote[rows] == vote[others])
    share = together / np.maximum(both, 1)
    found = atoms
    for least in TOGETHER:
        kept = share >= least
        ends = np.concatenate([rows[kept], np.arange(count)])
        other_ends = np.concatenate([others[kept], count + atoms])
        size = count + int(atoms.max()) + 1
        joined = coo_array((np.ones(len(ends), np.int8), (ends, other_ends)), shape=(size, size))
        found = connected_components(joined, directed=False)[1][:count]
        if int(np.unique(found).size) <= DENSE:
            break
    kinds, sizes = np.unique(found, return_counts=True)
    if len(kinds) <= DENSE:
        return np.searchsorted(kinds, found)
    # Still too many: the largest stay apart, what is left over is one group of nothing in common.
    large = np.sort(kinds[np.lexsort((kinds, -sizes))[: DENSE - 1]])
    places = np.minimum(np.searchsorted(large, found), len(large) - 1)
    return np.where(large[places] == found, places, DENSE - 1)


def _linkage(
    votes: NDArray[np.int32], groups: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heights (m - 1,) and tree (m - 1, 4) of the average linkage over m groups, weighted by rows."""
    import numpy as np

    count = int(groups.max()) + 1
    together, both = np.zeros((count, count)), np.zeros((count, count))
    for vote in votes:
        inside = vote >= 0
        kinds = int(vote.max(initial=NOISE)) + 1
        places = vote[inside].astype(np.int64) * count + groups[inside]
        table = np.bincount(places, minlength=kinds * count).reshape(kinds, count).astype(float)
        together += table.T @ table
        sizes = table.sum(axis=0)
        both += np.outer(sizes, sizes)
    shares = np.divide(together, both, out=np.zeros_like(both), where=both > 0)
    tree = _average(1 - shares, np.bincount(groups).astype(np.float64))
    return tree[:, 2], tree


def _average(apart: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average linkage of groups that stand for `sizes` rows each, by the nearest-neighbour chain.

    float64 (m - 1, 4) as scipy has it: parts, height, rows. scipy's own counts every leaf once.
    Source: Murtagh 1983 (chain); Müllner 2013 (the update of average linkage is reducible).
    """
    import numpy as np

    count = len(sizes)
    apart, sizes = apart.copy(), sizes.copy()
    np.fill_diagonal(apart, np.inf)
    alive = np.ones(count, dtype=bool)
    merges: list[tuple[int, int, float]] = []
    chain: list[int] = []
    while len(merges) < count - 1:
        if not chain:
            chain.append(int(np.flatnonzero(alive)[0]))
        while True:
            tip = chain[-1]
            other = int(apart[tip].argmin())
            if len(chain) > 1 and apart[tip, chain[-2]] <= apart[tip, other]:
                other = chain[-2]
                break
            chain.append(other)
        del chain[-2:]
        one, other = sorted((tip, other))
        merges.append((one, other, float(apart[one, other])))
        joined = (sizes[one] * apart[one] + sizes[other] * apart[other]) / (
            sizes[one] + sizes[other]
        )
        apart[one], apart[:, one] = joined, joined
        apart[one, one] = np.inf
        apart[other], apart[:, other] = np.inf, np.inf
        sizes[one] += sizes[other]
        alive[other] = False
    return _as_tree(merges, count)


def _as_tree(merges: list[tuple[int, int, float]], count: int) -> NDArray[np.float64]:
    """Merges of representatives, in any order, as a linkage by rising height."""
    import numpy as np

    tree = np.zeros((len(merges), 4))
    number, size = list(range(count)), [1.0] * count
    root = list(range(count))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for place, (one, other, height) in enumerate(sorted(merges, key=lambda merge: merge[2])):
        first, second = find(one), find(other)
        rows = size[first] + size[second]
        tree[place] = (*sorted((number[first], number[second])), height, rows)
        root[second] = first
        number[first], size[first] = count + place, rows
    return tree


def _longest(heights: NDArray[np.float64]) -> float:
    """The distance in the middle of the longest range of `heights` in which no two groups merge.

    The range from the last merge to 1, where all is one cluster, takes part only where the majority
    puts all together (the last merge below 0.5): otherwise what most partitions keep apart would be
    one. Without it, two clusters on which one partition in twenty insists would be the longest-lived.
    0.5 where no two groups merge below it, as where all partitions are the same, or for one group.
    """
    import numpy as np

    known = np.clip(np.sort(heights), 0, 1)
    if not len(known) or known[0] >= HALF:
        return HALF
    ends = np.append(known, 1.0) if known[-1] < HALF else known
    longest = int(np.diff(ends).argmax())
    return float(ends[longest] + ends[longest + 1]) / 2


def _cut(
    tree: NDArray[np.float64],
    groups: NDArray[np.int64],
    at: float,
    left_out: NDArray[np.bool_],
) -> NDArray[np.int64]:
    import numpy as np
    from scipy.cluster.hierarchy import fcluster

    parts = np.ones(1, np.int64)
    if len(tree):
        tree = tree.copy()
        tree[:, 2] = np.maximum.accumulate(tree[:, 2])
        parts = fcluster(tree, at, criterion="distance").astype(np.int64)
    labels = parts[groups] - 1
    labels[left_out] = NOISE
    kinds, sizes = np.unique(labels, return_counts=True)
    labels[np.isin(labels, kinds[sizes < 2])] = NOISE
    return by_size(labels)
