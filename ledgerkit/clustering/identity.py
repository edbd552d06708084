"""What became of the clusters of one run in another: the same, grown, split, merged, new or gone.

Members decide, nothing else: so names can be carried over a new clustering, and what cannot be
carried is said. Source: Jaccard 1912 (overlap); Kuhn 1955 (assignment, by scipy).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

Members = Mapping[str, frozenset[str]]
"""Subject ids by cluster id."""
LEAST_OVERLAP = 1 / 3
"""Jaccard index from which two assigned clusters count as one: two of equal size then share half."""


@dataclass(frozen=True, slots=True)
class Match:
    """One cluster now, one before, or one of them alone."""

    cluster_id: str | None
    former_id: str | None
    overlap: float
    """Jaccard index of the members, 0..1."""
    shared: int
    kind: str
    """same, grown, split, merged, new or gone."""


def members_by_level(tables: Iterable[pa.Table], kind: str) -> dict[int, dict[str, frozenset[str]]]:
    """Members of each cluster at each level, of subjects of one kind, from rows of
    `cluster_members`; noise is left out.
    """
    found: dict[int, dict[str, set[str]]] = {}
    for table in tables:
        columns = ("level", "cluster_id", "subject_id", "subject_kind")
        for level, cluster, subject, of in zip(
            *(table[name].to_pylist() for name in columns), strict=True
        ):
            if of == kind:
                level_members = found.setdefault(level, {})
                if cluster is not None:
                    level_members.setdefault(cluster, set()).add(subject)
    return {
        level: {cluster: frozenset(names) for cluster, names in clusters.items()}
        for level, clusters in found.items()
    }


def match(now: Members, before: Members) -> list[Match]:
    """The clusters of `now` against those of `before`, sorted by both ids.

    Two clusters are related when the assignment of greatest total overlap joins them with an overlap
    of a third, or when more than half of one lies in the other. A former cluster with several
    related ones now is split, a cluster now with several related former ones is merged; one to one
    it is grown when it has become larger, else the same. Of the parts of a split the one with the
    greatest overlap carries the name.
    """
    shared = _shared(now, before)
    assigned = _assigned(now, before, shared)
    related = {
        (new, old): count
        for (new, old), count in shared.items()
        if (new, old) in assigned or 2 * count > len(before[old]) or 2 * count > len(now[new])
    }
    into: dict[str, int] = {}
    out_of: dict[str, int] = {}
    for new, old in related:
        into[new] = into.get(new, 0) + 1
        out_of[old] = out_of.get(old, 0) + 1
    found = [
        Match(
            new,
            old,
            _overlap(now[new], before[old], count),
            count,
            _kind(into[new], out_of[old], len(now[new]) > len(before[old])),
        )
        for (new, old), count in related.items()
    ]
    found += [Match(new, None, 0.0, 0, "new") for new in now if new not in into]
    found += [Match(None, old, 0.0, 0, "gone") for old in before if old not in out_of]
    return sorted(found, key=lambda one: (one.cluster_id or "~", one.former_id or "~"))


def _shared(now: Members, before: Members) -> dict[tuple[str, str], int]:
    """How many members each pair of clusters has in common, pairs without any left out."""
    home = {subject: old for old, subjects in sorted(before.items()) for subject in subjects}
    counts: dict[tuple[str, str], int] = {}
    for new, subjects in sorted(now.items()):
        for subject in subjects:
            if subject in home:
                counts[new, home[subject]] = counts.get((new, home[subject]), 0) + 1
    return dict(sorted(counts.items()))


def _overlap(new: frozenset[str], old: frozenset[str], shared: int) -> float:
    return shared / (len(new) + len(old) - shared)


def _assigned(
    now: Members, before: Members, shared: Mapping[tuple[str, str], int]
) -> set[tuple[str, str]]:
    """The one-to-one pairs of greatest total overlap, those of at least a third."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix

    if not shared:
        return set()
    rows, columns = sorted(now), sorted(before)
    row_of = {new: row for row, new in enumerate(rows)}
    column_of = {old: column for column, old in enumerate(columns)}
    places = [(row_of[new], column_of[old]) for new, old in shared]
    values = [_overlap(now[new], before[old], count) for (new, old), count in shared.items()]
    matrix = coo_matrix((values, tuple(zip(*places, strict=True))), (len(rows), len(columns)))
    pairs = zip(*linear_sum_assignment(matrix.toarray(), maximize=True), strict=True)
    dense = dict(zip(shared, values, strict=True))
    joined = {(rows[row], columns[column]) for row, column in pairs}
    return {pair for pair in joined if dense.get(pair, 0.0) >= LEAST_OVERLAP}


def _kind(into: int, out_of: int, larger: bool) -> str:
    """A cluster that is both a part of one and a sum of several is called merged."""
    if into > 1:
        return "merged"
    if out_of > 1:
        return "split"
    return "grown" if larger else "same"
