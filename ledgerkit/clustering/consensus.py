"""One partition from many trials, over the graph of nearest neighbours that they share.

Trials that made the very same clusters count once: many settings of one sweep give the same few large
ones, and their number is a matter of the grid, not evidence. The co-association of two rows is the
share of those partitions, of the ones in which neither is noise, that have them in the same cluster. Each row is joined to its nearest neighbours with that weight, and the
communities of the greatest modularity are found; communities that most trials put together are then
merged, so that no cluster on which the trials agree stays split. Only pairs of neighbours are looked
at: memory is 8 bytes for each row and trial and some hundred for each row and neighbour.
Source: Fred & Jain 2005 (evidence accumulation); Blondel et al. 2008 (Louvain).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ledgerkit.clustering.density import NOISE
from ledgerkit.clustering.partition import Partition, by_size, renumbered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE = "consensus-v2"
"""All trials that qualify (two clusters or more, no more noise than allowed), `FEWEST` at least, equal
partitions once; the `NEIGHBOURS` nearest, weighted by co-association; Louvain at resolution 1;
communities with a mean co-association above `MAJORITY` merged. Rows that are noise in more than
`MAJORITY` of the partitions are noise, as are clusters smaller than the least size of those trials.
"""
FEWEST = 10
"""Trials below which there is no consensus: a majority of a few may be of one layout alone."""
MOST_ROWS = 200_000
"""Rows beyond which there is none: the communities take about a kilobyte for each pair of neighbours."""
NEIGHBOURS = 15
"""Neighbours of a row in the graph, itself included; fewer where the sweep's graph has fewer."""
MAJORITY = 0.5


def agreed(
    votes: NDArray[np.int32],
    near: NDArray[np.int32],
    outliers: NDArray[np.float64],
    least: int,
    seed: int,
) -> Partition:
    """The clusters on which partitions agree: `votes`, int32 (partitions, n), -1 for noise.

    `near`: int32 (n, k), the nearest rows of each, itself first. Clusters have `least` rows or more;
    there may be none. The probability of a row is its mean co-association with the others of its
    cluster. `outliers`, float64 (n,), are taken over. `seed` is that of Louvain's order.
    """

    labels = _communities(votes, near[:, :NEIGHBOURS], seed)
    labels[(votes < 0).mean(axis=0) > MAJORITY] = NOISE
    labels = _large(_merged(votes, _large(labels, 1)), least)
    clusters = int(labels.max(initial=NOISE)) + 1
    persistence: list[float | None] = [None] * clusters
    return renumbered(labels, belonging(votes, labels), outliers, persistence, [])


def distinct(given: Iterable[NDArray[np.int32]]) -> list[int]:
    """Places of the partitions, int32 (n,), that none before them equals, however numbered."""
    import numpy as np

    found: dict[bytes, int] = {}
    for place, labels in enumerate(given):
        found.setdefault(by_size(labels.astype(np.int64)).tobytes(), place)
    return list(found.values())


def _communities(votes: NDArray[np.int32], near: NDArray[np.int32], seed: int) -> NDArray[np.int64]:
    """The community of each row, int64 (n,), 0.. ."""
    import networkx
    import numpy as np

    count = len(near)
    rows, others = np.repeat(np.arange(count), near.shape[1] - 1), near[:, 1:].ravel()
    pairs = np.unique(np.minimum(rows, others) * count + np.maximum(rows, others))
    left, right = np.divmod(pairs, count)
    together, both = np.zeros(len(pairs)), np.zeros(len(pairs))
    for vote in votes:
        clustered = (vote[left] >= 0) & (vote[right] >= 0)
        both += clustered
        together += clustered & (vote[left] == vote[right])
    kept = together > 0
    weights = together[kept] / both[kept]
    graph = networkx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_weighted_edges_from(
        zip(left[kept].tolist(), right[kept].tolist(), weights.tolist(), strict=True)
    )
    labels = np.empty(count, dtype=np.int64)
    for number, found in enumerate(networkx.community.louvain_communities(graph, seed=seed)):
        labels[list(found)] = number
    return labels


def _merged(votes: NDArray[np.int32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """`labels` (0.., -1 noise) with the two clusters that are together most merged, while these are
    together in the majority.
    """
    import numpy as np
    from scipy.sparse import csr_array

    clusters = int(labels.max(initial=NOISE)) + 1
    together, both = np.zeros((clusters, clusters)), np.zeros((clusters, clusters))
    for vote in votes:
        table = _table(vote, labels, clusters)
        sizes, shared = table.sum(axis=0), csr_array(table)
        together += (shared.T @ shared).toarray()
        both += np.outer(sizes, sizes)
    labels = labels.copy()
    while clusters > 1:
        shares = np.divide(together, both, out=np.zeros_like(both), where=both > 0)
        np.fill_diagonal(shares, 0)
        one, other = sorted(np.unravel_index(shares.argmax(), shares.shape))
        if shares[one, other] <= MAJORITY:
            break
        labels[labels == other] = one
        for sums in (together, both):
            sums[one] += sums[other]
            sums[:, one] += sums[:, other]
            sums[other] = sums[:, other] = 0
    return labels


def belonging(votes: NDArray[np.int32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean co-association of each row with the other rows of its cluster, float64 (n,), 0..1.

    Of all trials and other rows where neither is noise, the share that are together; 0 for noise.
    """
    import numpy as np

    inside = np.flatnonzero(labels >= 0)
    together, both = np.zeros(len(inside)), np.zeros(len(inside))
    clusters = int(labels.max(initial=NOISE)) + 1
    for vote in votes:
        table = _table(vote, labels, clusters)
        own, home = vote[inside], labels[inside]
        # Without the row itself where it is clustered; where it is noise nothing counts.
        together += np.where(own >= 0, table[own, home] - 1, 0)
        both += np.where(own >= 0, table.sum(axis=0)[home] - 1, 0)
    shares = np.zeros(len(labels))
    shares[inside] = np.divide(together, both, out=np.zeros_like(both), where=both > 0)
    return shares


def _table(vote: NDArray[np.int32], labels: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    """Rows in each cluster of a trial (one more than there are) and each of `labels` (columns)."""
    import numpy as np

    kinds = int(vote.max(initial=NOISE)) + 2
    both = (vote >= 0) & (labels >= 0)
    places = vote[both].astype(np.int64) * clusters + labels[both]
    return np.bincount(places, minlength=kinds * clusters).reshape(kinds, clusters)


def _large(labels: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Clusters of at least `least` rows, numbered 0.. in their order; other rows are noise."""
    import numpy as np

    kinds, places, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    kept = (kinds != NOISE) & (sizes >= least)
    numbers = np.where(kept, np.cumsum(kept) - 1, NOISE)
    return np.asarray(numbers[places], dtype=np.int64)
