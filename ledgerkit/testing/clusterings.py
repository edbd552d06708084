"""Judge a clustering by labels: do its groups agree with what the pictures are known to show?

    python -m ledgerkit.testing.clusterings FOLDER [LABELS.tsv] [--by COLUMN ...] [--fused]
        [--set NAME=VALUE ...]

FOLDER holds images; LABELS.tsv (by default FOLDER/SOURCES.tsv) has a column `file` and columns of
labels. The images are described as `embed` does at its defaults and grouped by the operation
`cluster` at its defaults or with the parameters set, values as JSON; with --fused in the space that
`fuse` derives from those vectors. Labels have no part in it. A row of the table is one level, one column of labels and one way to count noise:
as a class of its own, removed (coverage says what is left), or each as a cluster of one; without
noise there is one row. The level `finest` gives every image the deepest cluster it is a member of.
ARI and AMI are 0 in expectation for groups that have nothing to do with the labels, 1 where both
agree. Purity is the share of images that have the most frequent label of their cluster; clusters of
one are pure by definition, so read it in the first two ways.
Source: Hubert & Arabie 1985 (ARI); Vinh, Epps & Bailey 2010 (AMI); Manning, Raghavan & Schütze 2008,
16.3 (purity).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.density import NOISE
from ledgerkit.testing.handles import Produced, run_operation
from ledgerkit.testing.neighbours import counted, fused, line_of, parser_of, read_folder
from ledgerkit.testing.segmentation import settings_of

if TYPE_CHECKING:
    import pyarrow as pa

FINEST = "finest"
OWN, REMOVED, SINGLE, NONE = "its own class", "removed", "clusters of one", "none"


@dataclass(frozen=True, slots=True)
class Judged:
    """How one grouping of n images agrees with one column of labels."""

    noise_is: str
    coverage: float
    """Share of the labelled images that were compared, 0..1."""
    ari: float | None
    ami: float | None
    purity: float | None
    """None where nothing is left to compare."""


def judge(clusters: Sequence[int], labels: Sequence[str]) -> list[Judged]:
    """Numbers of clusters, -1 for noise, against labels, n of each, in the three ways.

    Without noise they are one.
    """
    if NOISE not in clusters:
        return [_compared(NONE, clusters, labels, 1.0)]
    members = [place for place, cluster in enumerate(clusters) if cluster != NOISE]
    single = [
        cluster if cluster != NOISE else NOISE - place for place, cluster in enumerate(clusters)
    ]
    return [
        _compared(OWN, clusters, labels, 1.0),
        _compared(
            REMOVED,
            [clusters[place] for place in members],
            [labels[place] for place in members],
            len(members) / len(labels),
        ),
        _compared(SINGLE, single, labels, 1.0),
    ]


def _compared(
    noise_is: str, clusters: Sequence[int], labels: Sequence[str], coverage: float
) -> Judged:
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
    from sklearn.metrics.cluster import contingency_matrix

    if not clusters:
        return Judged(noise_is, coverage, None, None, None)
    most = contingency_matrix(labels, clusters).max(axis=0).sum()
    return Judged(
        noise_is,
        coverage,
        float(adjusted_rand_score(labels, clusters)),
        float(adjusted_mutual_info_score(labels, clusters)),
        float(most / len(clusters)),
    )


def levels_of(produced: Produced) -> dict[str, dict[str, int]]:
    """By level, then `finest`: the cluster of each image by file name, -1 for noise."""
    found: dict[str, dict[str, int]] = {}
    deepest: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for row in sorted(
        produced.arrow_tables["cluster_members"].to_pylist(), key=lambda row: int(row["level"])
    ):
        name, home = row["subject_id"], row["cluster_id"]
        found.setdefault(str(row["level"]), {})[name] = row["label"]
        if home is not None:
            deepest[name] = numbers.setdefault(home, len(numbers))
    everyone = next(iter(found.values()))
    found[FINEST] = {name: deepest.get(name, NOISE) for name in everyone}
    return found


def embeddings_of(paths: Sequence[Path], *, derived: bool = False) -> pa.Table:
    """Rows of `embeddings`, one an image, its id the file name; `derived`: in the fused space."""
    import numpy as np

    from ledgerkit.clustering.vectors import table_of
    from ledgerkit.operations import embed

    parameters = embed.Parameters()
    vectors = []
    for path in paths:
        with path.open("rb") as file:
            vectors.append(embed.describe_image(file, parameters))
    space = embed.space_id(parameters)
    if derived:
        space, vectors = "fused", list(fused(np.array(vectors))["fused"])
    rows = [
        {"subject_id": path.name, "subject_kind": "plate", "plate_id": path.name} for path in paths
    ]
    return table_of(rows, vectors, [1.0] * len(rows), space)


def table(
    levels: Mapping[str, Mapping[str, int]], labels: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Markdown lines: levels by columns of labels by ways to count noise.

    Clusters and noise are those among the images that have a label of the column.
    """
    head = ["level", "labels", "clusters", "noise", "noise is", "coverage", "ARI", "AMI", "purity"]
    yield line_of(head)
    yield "|" + " --- |" * len(head)
    for level, homes in levels.items():
        for scheme, named in labels.items():
            files = [name for name in homes if name in named]
            clusters = [homes[name] for name in files]
            noise = clusters.count(NOISE) / len(files)
            start = [level, scheme, str(len(set(clusters) - {NOISE})), f"{noise:.3f}"]
            for one in judge(clusters, [named[name] for name in files]):
                measures = (one.coverage, one.ari, one.ami, one.purity)
                yield line_of([*start, one.noise_is, *(_told(value) for value in measures)])


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def said(produced: Produced) -> Iterator[str]:
    """What the clustering says of itself: how it was found, and each check that failed."""
    document: dict[str, Any] = produced.documents["clustering.json"]
    chosen = next((row for row in produced.row_tables["trials"] if row["chosen"]), None)
    yield f"{document['method']} by the rule {document['rule']}" + (
        f", trial {chosen['trial']}: {chosen['parameters']}" if chosen else ""
    )
    for gate, check, passed, _, told in produced.gates:
        if not passed:
            yield f"failed {gate}/{check}: {told}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Describe and cluster the images, and print the table."""
    from ledgerkit.operations import cluster

    parser = parser_of(__doc__ or "")
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    paths, labels = read_folder(given)
    made = embeddings_of(paths, derived=given.fused)
    produced = run_operation(
        cluster, plate_id=None, tables={"embeddings": made}, **settings_of(given.set)
    )
    print(counted(paths, labels))
    print("\n".join(said(produced)), end="\n\n")
    print("\n".join(table(levels_of(produced), labels)))


if __name__ == "__main__":
    main()
