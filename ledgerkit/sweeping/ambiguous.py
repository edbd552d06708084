"""Pairs of rows of which a person is asked whether they belong together: those the trials leave open.

Three kinds, a third of the pairs each, and one kind makes up for what another lacks. `merge`: near
neighbours that some trials have together and others apart, their co-association nearest to the cut.
`across`: nearest neighbours in different clusters of the consensus. `weak`: the rows that belong
least to their cluster, each with one of its core. Within a kind no cluster has more than twice its
even share while others have pairs to offer, and ties are broken by lot: neither a large cluster nor a
low number fills the list.
Source: Fred & Jain 2005 (co-association); workflow W1, its human layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.clustering.consensus import belonging

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REASONS = ("merge", "across", "weak")
COUNT = 150
MOST = 3
"""Pairs that one row may be in: who sees a picture often begins to judge it by memory."""
BORDER = 0.25
"""How far from the cut the co-association of a borderline merge may be."""
CORE = 0.25
"""Share of a cluster's rows, the surest, that are its core."""
PARTNERS = 5
"""Rows of the core among which the partner of a weak row is found, the nearest first."""
SAMPLED = 5000
"""Rows whose nearest row of another cluster is looked for, at most; a sample by lot beyond."""
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows to be shown, and why: the two halves are never shown together."""

    left: int
    right: int
    reason: str
    """merge, across or weak."""
    cosine: float
    """Of the two vectors, -1..1."""
    association: float | None
    """Share of the trials that have them together, of those with both in a cluster; None without."""
    together: tuple[int, ...]
    """Places in `votes` of the trials that have them in one cluster."""
    apart: tuple[int, ...]
    """Places of those that have them in two; in the others one of them is in none."""


def pair_id(one: str, other: str) -> str:
    """The identity of a pair: its two subjects, in whatever order and space they were compared."""
    return "pair-" + sha256_hex(canonical_bytes(["pair", *sorted((one, other))]))[:20]


def choose(
    votes: NDArray[np.int32],
    labels: NDArray[np.int64],
    unit: NDArray[np.float32],
    near: NDArray[np.int32],
    *,
    cut: float = 0.5,
    count: int = COUNT,
    most: int = MOST,
    seed: int,
) -> list[Pair]:
    """At most `count` pairs in the order in which they are asked, each row in at most `most`.

    `votes`: int32 (t, n), labels of the best trials, -1 for none. `labels`: int64 (n,), those of the
    consensus, whose clusters were cut at the co-association `cut`. `unit`: float32 (n, d), L2 norm 1.
    `near`: int32 (n, k), the nearest rows of each, itself first. Order and sides are by `seed`. There
    are fewer pairs, or none, where the trials agree on nearly everything.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    spread = _Spread(generator.permutation(len(labels)), -(-count // 3))
    offered = {
        "merge": iter(_merges(votes, labels, near, cut, spread)),
        "across": iter(_across(labels, unit, generator, spread)),
        "weak": _weak(votes, labels, unit, spread),
    }
    taken = _Taken(most)
    for place, reason in enumerate(REASONS):
        taken.add(reason, offered[reason], count // 3 + (place < count % 3))
    before = -1
    while before < len(taken.pairs) < count:
        before = len(taken.pairs)
        for reason in REASONS:
            taken.add(reason, offered[reason], min(1, count - len(taken.pairs)))
    order = generator.permutation(len(taken.pairs))
    turned = generator.integers(2, size=len(order))
    found = []
    for place, turn in zip(order.tolist(), turned.tolist(), strict=True):
        reason, one, other = taken.pairs[place]
        left, right = (other, one) if turn else (one, other)
        found.append(_described(votes, unit, left, right, reason))
    return found


class _Taken:
    """Pairs that are chosen: none twice, no row too often, one of each weak row."""

    def __init__(self, most: int) -> None:
        self.pairs: list[tuple[str, int, int]] = []
        self._most = most
        self._seen: set[tuple[int, int]] = set()
        self._times: Counter[int] = Counter()
        self._weak: set[int] = set()

    def add(self, reason: str, offered: Iterator[tuple[int, int]], wanted: int) -> None:
        """Take the next `wanted` pairs that may be taken."""
        while wanted > 0 and (pair := next(offered, None)) is not None:
            one, other = pair
            key = (min(pair), max(pair))
            again = reason == "weak" and one in self._weak
            full = max(self._times[one], self._times[other]) >= self._most
            if key in self._seen or full or again:
                continue
            self.pairs.append((reason, one, other))
            self._seen.add(key)
            self._times.update(pair)
            if reason == "weak":
                self._weak.add(one)
            wanted -= 1


class _Spread:
    """Best first, but so that clusters share what is `wanted`; `lot`: int64 (n,), breaks ties."""

    def __init__(self, lot: NDArray[np.int64], wanted: int) -> None:
        self.lot = lot
        self._wanted = wanted

    def order(
        self, score: NDArray[np.float64], owner: NDArray[np.int64], row: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Places by rising score; what a cluster has beyond twice its even share comes last.

        `owner`: the cluster of each, `row` that by whose lot equal scores are ordered.
        """
        import numpy as np

        lot = self.lot[row]
        _, clusters, sizes = np.unique(owner, return_inverse=True, return_counts=True)
        grouped = np.lexsort((lot, score, clusters))
        starts = np.cumsum(sizes) - sizes
        turn = np.empty(len(score), dtype=np.int64)
        turn[grouped] = np.arange(len(score)) - np.repeat(starts, sizes)
        share = -(-2 * self._wanted // max(1, len(sizes)))
        return np.lexsort((lot, score, turn >= share))


def association(
    votes: NDArray[np.int32], left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each pair the trials that have both in one cluster, and those with both in any; int64 (p,)."""
    import numpy as np

    together = np.zeros(len(left), dtype=np.int64)
    both = np.zeros(len(left), dtype=np.int64)
    for vote in votes:
        clustered = (vote[left] >= 0) & (vote[right] >= 0)
        both += clustered
        together += clustered & (vote[left] == vote[right])
    return together, both


def _merges(
    votes: NDArray[np.int32],
    labels: NDArray[np.int64],
    near: NDArray[np.int32],
    cut: float,
    spread: _Spread,
) -> list[tuple[int, int]]:
    """Near neighbours on which the trials are divided, nearest to the cut first.

    Pairs that fewer than a quarter of the trials have an opinion of are left out.
    """
    import numpy as np

    count = len(near)
    rows, others = np.repeat(np.arange(count), near.shape[1] - 1), near[:, 1:].ravel()
    edges = np.unique(np.minimum(rows, others) * np.int64(count) + np.maximum(rows, others))
    left, right = np.divmod(edges, count)
    together, both = association(votes, left, right)
    score = np.abs(together / np.maximum(both, 1) - cut)
    open_ = (together > 0) & (together < both) & (4 * both >= len(votes)) & (score <= BORDER)
    left, right, score = left[open_], right[open_], score[open_]
    lot = spread.lot
    owner = np.where(lot[left] < lot[right], labels[left], labels[right])
    order = spread.order(score, owner, left)
    return list(zip(left[order].tolist(), right[order].tolist(), strict=True))


def _across(
    labels: NDArray[np.int64],
    unit: NDArray[np.float32],
    generator: np.random.Generator,
    spread: _Spread,
) -> list[tuple[int, int]]:
    """Rows with the nearest row of another cluster, the most alike first."""
    import numpy as np

    inside = np.flatnonzero(labels >= 0)
    if len(np.unique(labels[inside])) < 2:
        return []
    asked = inside
    if len(inside) > SAMPLED:
        asked = np.sort(generator.choice(inside, SAMPLED, replace=False))
    nearest = np.empty(len(asked), dtype=np.int64)
    cosine = np.empty(len(asked))
    for start in range(0, len(asked), BLOCK):
        block = asked[start : start + BLOCK]
        alike = unit[block] @ unit[inside].T
        alike[labels[block][:, None] == labels[inside][None]] = -np.inf
        best = alike.argmax(axis=1)
        nearest[start : start + BLOCK] = inside[best]
        cosine[start : start + BLOCK] = alike[np.arange(len(block)), best]
    order = spread.order(-cosine, labels[asked], asked)
    return list(zip(asked[order].tolist(), nearest[order].tolist(), strict=True))


def _weak(
    votes: NDArray[np.int32],
    labels: NDArray[np.int64],
    unit: NDArray[np.float32],
    spread: _Spread,
) -> Iterator[tuple[int, int]]:
    """Rows of doubtful membership, the most doubtful first, each with some of the core that are
    nearest to it.

    A row belongs by its mean co-association with the rest of its cluster; 1 leaves nothing open.
    """
    import numpy as np

    share = belonging(votes, labels)
    rows = np.flatnonzero((labels >= 0) & (share < 1))
    rows = rows[spread.order(share[rows], labels[rows], rows)]
    cores: dict[int, NDArray[np.int64]] = {}
    for row in rows.tolist():
        label = int(labels[row])
        if label not in cores:
            members = np.flatnonzero(labels == label)
            kept = max(1, round(CORE * len(members)))
            cores[label] = members[np.argsort(-share[members], kind="stable")[:kept]]
        core = cores[label][cores[label] != row]
        nearest = np.argsort(-(unit[core] @ unit[row]), kind="stable")[:PARTNERS]
        for other in core[nearest].tolist():
            yield row, other


def _described(
    votes: NDArray[np.int32], unit: NDArray[np.float32], left: int, right: int, reason: str
) -> Pair:
    import numpy as np

    one, other = votes[:, left], votes[:, right]
    both = (one >= 0) & (other >= 0)
    together = np.flatnonzero(both & (one == other))
    apart = np.flatnonzero(both & (one != other))
    return Pair(
        left,
        right,
        reason,
        float(np.dot(unit[left].astype(np.float64), unit[right].astype(np.float64))),
        len(together) / int(both.sum()) if both.any() else None,
        tuple(together.tolist()),
        tuple(apart.tolist()),
    )
