"""What clusters are made of, held against labels, and how well each subject sits in its own.

Source: P. J. Rousseeuw, Silhouettes, 1987; workflow W0 (purity, shares within the largest clusters).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ledgerkit.labelling import labels_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Values = dict[str, str]


def said_of(entries: Mapping[str, Mapping[str, object] | None]) -> dict[str, Values]:
    """By scheme, what the catalogue entries (by plate) say of each plate.

    Several values of one plate are one text, joined by a semicolon.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for plate, entry in sorted(entries.items()):
        for scheme, value in labels_of(entry):
            found.setdefault(scheme, {}).setdefault(plate, []).append(value)
    return {
        scheme: {plate: "; ".join(values) for plate, values in by_plate.items()}
        for scheme, by_plate in sorted(found.items())
    }


def best_scheme(schemes: Mapping[str, Values], plates: Iterable[str]) -> str | None:
    """The scheme to hold clusters against where nobody names one; None without any that can tell.

    It has two values at least, and on average two plates a value; of those the one that speaks of
    most of `plates`, then with most values, then the first by name.
    """
    wanted = set(plates)
    ranked = []
    for scheme, values in schemes.items():
        mine = [value for plate, value in values.items() if plate in wanted]
        different = len(set(mine))
        if 2 <= different <= len(mine) / 2:
            ranked.append((-len(mine), -different, scheme))
    return min(ranked)[2] if ranked else None


def by_count(values: Iterable[str | None]) -> list[tuple[str, int]]:
    """Each value and how often it is there, the most frequent first, ties by name; None left out."""
    counts = Counter(value for value in values if value is not None)
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def purity(clusters: Sequence[int], labels: Sequence[str | None]) -> dict[int, float]:
    """By cluster (-1, noise, left out) the share of its most frequent label, 0..1.

    Of the members that carry a label; a cluster without any is left out.
    """
    found: dict[int, Counter[str]] = {}
    for cluster, label in zip(clusters, labels, strict=True):
        if cluster >= 0 and label is not None:
            found.setdefault(cluster, Counter())[label] += 1
    return {
        cluster: max(counts.values()) / counts.total() for cluster, counts in sorted(found.items())
    }


def shares(
    clusters: Sequence[int], labels: Sequence[str | None], *, most: int, columns: int
) -> tuple[NDArray[np.float64], list[int], list[str]]:
    """Of each of the `most` largest clusters the share with each label, 0..1, rows adding up to 1.

    Float64 (rows, columns), the numbers of the clusters and the labels. Members without a label do
    not count, clusters without any are left out. Labels beyond `columns` are one, `n others`.
    """
    import numpy as np

    sizes = by_count(None if cluster < 0 else f"{cluster:012d}" for cluster in clusters)
    wanted = [int(name) for name, _ in sizes[:most]]
    among = set(wanted)
    pairs = [
        (cluster, label)
        for cluster, label in zip(clusters, labels, strict=True)
        if label is not None and cluster in among
    ]
    order = [name for name, _ in by_count(label for _, label in pairs)]
    named = order if len(order) <= columns else order[: columns - 1]
    place = {name: min(index, len(named)) for index, name in enumerate(order)}
    labelled = {cluster for cluster, _ in pairs}
    rows = [cluster for cluster in wanted if cluster in labelled]
    counts = np.zeros((len(rows), len(named) + (len(order) > len(named))))
    row_of = {cluster: row for row, cluster in enumerate(rows)}
    for cluster, label in pairs:
        counts[row_of[cluster], place[label]] += 1
    rest = [f"{len(order) - len(named)} others"] if len(order) > len(named) else []
    return counts / counts.sum(axis=1, keepdims=True), rows, [*named, *rest]


def silhouettes(
    unit: NDArray[np.float32], labels: NDArray[np.int64], *, most: int, seed: int
) -> NDArray[np.float64] | None:
    """The cosine silhouette of each row, -1..1, float64; 0 for an only member.

    `unit` float32 (n, d), L2 norm 1; every value of `labels`, int64 (n,), is a cluster, -1 too.
    Beyond `most` rows (0 for any number) they are those of a sample among itself, drawn by
    `default_rng(seed).choice` without replacement and kept in the order of the rows. None where it
    is not defined: it needs two clusters, and more rows than clusters.
    """
    import numpy as np

    from ledgerkit.clustering.quality import silhouette_values

    rows = np.arange(len(labels))
    if 0 < most < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    return silhouette_values(unit[rows], labels[rows] + 1)
