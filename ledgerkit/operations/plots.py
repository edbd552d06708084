"""Plot a clustering: sizes, maps, labels, silhouettes, what is missing and what was tried.

The figures of workflow W0's core, each with how it is read and what should make one doubt. Labels
are those of the catalogue, read from the sealed manifests. All subjects are drawn, however many
clusters there are. Where a figure has nothing to show, it says why. Montages are `montage`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.shown import (
    NO_LABEL,
    Shown,
    aligned,
    check_vectors,
    judge_labels,
    labelled,
    manifests,
    unit_vectors,
)
from ledgerkit.errors import MissingInput

if TYPE_CHECKING:
    from ledgerkit.clustering.overview import Column
    from ledgerkit.clustering.vectors import Vectors
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.plotting.album import Album

VERSION = "1"
EVENT_TYPE = "visualization"
SUBJECT = "collection"
LIBRARIES = ("matplotlib", "numpy", "pyarrow")
MAKES = ("figures",)

TOP_COLUMNS, TOP_LABELS, TOP_CLUSTERS = 25, 30, 30
HEAT_ROWS, HEAT_COLUMNS = 15, 30
PURITY_BINS, SILHOUETTE_BINS = 20, 30


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `plots`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What was grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    level: int = field(
        default=1,
        metadata={"minimum": 1, "help": "Level of the clusters, 1 the coarsest", "unit": "1"},
    )
    label: str = field(
        default="",
        metadata={
            "help": "Field of the catalogue that serves as label; empty for the one that speaks of "
            "most plates and repeats its values",
            "unit": "",
        },
    )
    space: str = field(
        default="",
        metadata={"help": "Vector space; empty for that of the clusters", "unit": ""},
    )
    made_by: str = field(
        default="",
        metadata={"help": "Operation that made the vectors; empty for any", "unit": ""},
    )
    sample: int = field(
        default=0,
        metadata={
            "minimum": 0,
            "help": "Subjects in a sample for the silhouettes, as 2000 or 8000; 0 for all",
            "unit": "1",
        },
    )
    seed: int = field(
        default=1337,
        metadata={
            "minimum": 0,
            "maximum": 4294967295,
            "help": "Seed of the sample",
            "unit": "1",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The clustering, its trials, the vectors it was made from, and the manifests for labels."""
    return ("cluster_members", "clusters", "trials?", "embeddings?", "manifest")


def variant(parameters: Parameters) -> str:
    """What was grouped, the level below the first, and the label where one is named."""
    level = f"level-{parameters.level}" if parameters.level > 1 else ""
    label = re.sub(r"[^\w.]+", "-", f"by-{parameters.label}") if parameters.label else ""
    return "-".join(part for part in (parameters.of, level, label) if part)


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the figures, `peep_overview.csv`, `post_overview.csv` and `cluster_size_gini.json`.

    Raises `MissingInput` without a clustering, or for a label that the catalogue has not.
    """
    from ledgerkit.clustering.composition import said_of
    from ledgerkit.plotting.album import Album

    entries = manifests(inputs)
    schemes = said_of({plate: entry.get("metadata") for plate, entry in entries.items()})
    shown = _shown(inputs, parameters, schemes, outputs)
    album = Album(outputs)
    _draw_tables(shown, entries, schemes, album, outputs)
    _draw_sizes(shown, album, outputs)
    _draw_maps(shown, album)
    _draw_labels(shown, album)
    _draw_silhouettes(shown, parameters, album)
    _draw_trials(inputs, album, outputs)
    outputs.rows("figures", album.rows)


def _shown(
    inputs: Inputs,
    parameters: Parameters,
    schemes: dict[str, dict[str, str]],
    outputs: Outputs,
) -> Shown:
    import numpy as np

    from ledgerkit.clustering.members import members_and_clusters

    members, clusters = members_and_clusters(inputs, parameters.of, parameters.level)
    plates = [str(row["plate_id"]) for row in members]
    scheme, labels = labelled(schemes, parameters.label, plates)
    numbers = np.array([row["label"] for row in members], dtype=np.int64)
    vectors = _vectors(inputs, parameters, clusters, outputs)
    shown = Shown(parameters.of, members, clusters, numbers, scheme, labels, vectors)
    for check, passed, value, told in judge_labels(scheme, labels, shown.what):
        outputs.gate("labels", check, passed, value, told)
    check_vectors(shown, outputs)
    return shown


def _vectors(
    inputs: Inputs, parameters: Parameters, clusters: list[dict[str, Any]], outputs: Outputs
) -> Vectors | None:
    """The vectors of the space of the clusters; None where there are none, which is a gate."""
    from ledgerkit.clustering.vectors import gather

    space = parameters.space or (str(clusters[0]["space_id"]) if clusters else "")
    try:
        return gather(inputs.tables("embeddings"), parameters.of, space)
    except MissingInput as error:
        outputs.gate("vectors", "found", False, None, error.message)
        return None


def _draw_tables(
    shown: Shown,
    entries: dict[str, dict[str, Any]],
    schemes: dict[str, dict[str, str]],
    album: Album,
    outputs: Outputs,
) -> None:
    """PEEP and POST: each column in a line, and the columns with most values missing."""
    from ledgerkit.clustering.overview import overview, to_csv

    vector = shown.vectors
    there = dict.fromkeys(vector.subjects if vector else ())
    if shown.of == "plates":
        there |= dict.fromkeys(entries)
    of_plate = dict(zip(vector.subjects, vector.plates, strict=True)) if vector else {}
    before = [(subject, of_plate.get(subject, subject)) for subject in sorted(there)]
    after = [(str(row["subject_id"]), str(row["plate_id"])) for row in shown.members]
    grouped = {name: [row[name] for row in shown.members] for name in shown.members[0]}
    for stage, when, subjects, more in (
        ("peep", "before clustering", before, {}),
        ("post", "after clustering", after, grouped),
    ):
        columns = {
            "subject_id": [subject for subject, _ in subjects],
            "plate_id": [plate for _, plate in subjects],
            **more,
            "image": [entries.get(plate, {}).get("source_image") for _, plate in subjects],
            "vector": [True if one in of_plate else None for one, _ in subjects],
        }
        for scheme, values in schemes.items():
            columns[f"catalogue {scheme}"] = [values.get(plate) for _, plate in subjects]
        kind = f"float32[{vector.matrix.shape[1]}]" if vector else ""
        lines = overview(columns, opaque={"vector": kind})
        with outputs.open(f"{stage}_overview.csv", "overview", "text/csv") as file:
            file.write(to_csv(lines))
        title = f"Values missing of {len(subjects):,} {shown.of}, {when}"
        album.keep(f"{stage}-missingness-top25", title, _missingness(lines, title))


def _missingness(lines: list[Column], title: str) -> Any:
    """The columns with most values missing, or why there are none."""
    from ledgerkit.clustering.overview import missing_most
    from ledgerkit.plotting.bars import bars

    chosen = missing_most(lines, TOP_COLUMNS)
    if not chosen[0].rows:
        return "There is nothing that values could be missing of."
    return bars(
        [line.column for line in chosen],
        [100 * line.missing_share for line in chosen],
        title,
        f"missing, % ({len(lines)} columns, those with most first)",
        told=[f"{line.missing:,}" for line in chosen],
        span=100,
    )


def _draw_sizes(shown: Shown, album: Album, outputs: Outputs) -> None:
    from ledgerkit.clustering.quality import gini
    from ledgerkit.plotting.bars import bars
    from ledgerkit.plotting.histogram import histogram

    sizes = shown.sizes
    uneven = gini(sizes)
    outputs.document("cluster_size_gini.json", "gini", {"gini": uneven})
    none = "There is no cluster: every subject is noise."
    title = f"Sizes of {len(sizes):,} clusters of {shown.what}"
    title += "" if uneven is None else f", Gini {uneven:.2f}"
    bins = min(30, max(5, len(sizes)))
    figure = histogram(sizes, title, "members", "clusters", bins=bins) if sizes else none
    album.keep("cluster-size-hist-excluding-noise", title, figure)
    largest = sorted(shown.clusters, key=lambda row: (-row["size"], row["label"]))[:TOP_CLUSTERS]
    title = f"The largest {len(largest)} of {len(sizes):,} clusters of {shown.what}"
    figure = none
    if largest:
        figure = bars(
            [shown.called(row["label"]) for row in largest],
            [row["size"] for row in largest],
            title,
            "members",
            told=[f"{row['size']:,}" for row in largest],
        )
    album.keep("cluster-sizes-top30", title, figure)


def _draw_maps(shown: Shown, album: Album) -> None:
    import numpy as np

    from ledgerkit.plotting.chart import chart, grouped, middles

    points = np.array([(row["x"], row["y"]) for row in shown.members], dtype=np.float64)
    title = f"Map of {shown.what} by {shown.scheme or 'label'}"
    figure: Any = NO_LABEL
    if shown.scheme:
        figure = chart(points, grouped(shown.labels, "no label"), title)
    album.keep("map2d-by-label", title, figure)
    title = f"Map of {shown.what} in {len(shown.clusters):,} clusters"
    names = [None if number < 0 else f"{number}" for number in shown.numbers]
    drawn = chart(points, grouped(names, "noise"), title, marks=middles(points, shown.numbers))
    album.keep("map2d-by-cluster", title, drawn)


def _draw_labels(shown: Shown, album: Album) -> None:
    """The labels by themselves, within the largest clusters, and how pure the clusters are."""
    from ledgerkit.clustering.composition import by_count
    from ledgerkit.plotting.bars import bars

    counts = by_count(shown.labels)
    scheme = shown.scheme or "label"
    title = (
        f"The most frequent {min(TOP_LABELS, len(counts))} of {len(counts):,} values of {scheme}"
    )
    figure: Any = NO_LABEL
    if counts:
        figure = bars(
            [name for name, _ in counts[:TOP_LABELS]],
            [count for _, count in counts[:TOP_LABELS]],
            title,
            f"{shown.of} ({len(shown.labels) - sum(dict(counts).values()):,} have none)",
            told=[f"{count:,}" for _, count in counts[:TOP_LABELS]],
        )
    album.keep("peep-label-distribution-top30", title, figure)
    _draw_clusters_by_label(shown, counts, scheme, album)


def _draw_clusters_by_label(
    shown: Shown, counts: list[tuple[str, int]], scheme: str, album: Album
) -> None:
    from ledgerkit.clustering.composition import purity, shares
    from ledgerkit.plotting.heatmap import heatmap
    from ledgerkit.plotting.histogram import histogram

    numbers = shown.numbers.tolist()
    pure = purity(numbers, shown.labels)
    figure: Any = NO_LABEL if not counts else "No member of a cluster has a label."
    title = f"Values of {scheme} within the largest clusters of {shown.what}"
    if pure:
        table, rows, columns = shares(numbers, shown.labels, most=HEAT_ROWS, columns=HEAT_COLUMNS)
        members = Counter(numbers)
        names = [f"{shown.called(number)} ({members[number]:,})" for number in rows]
        figure = heatmap(table, names, columns, title, "fraction within cluster")
    album.keep("cluster-label-heatmap-top", title, figure)
    title = f"Purity of {len(pure):,} clusters by {scheme}"
    if pure:
        mean = sum(pure.values()) / len(pure)
        chance = counts[0][1] / sum(count for _, count in counts)
        figure = histogram(
            list(pure.values()),
            title,
            f"share of the most frequent value of {scheme}",
            f"clusters ({len(shown.clusters) - len(pure)} without a label)",
            bins=PURITY_BINS,
            span=(0, 1),
            lines={
                f"mean {mean:.2f}": mean,
                f"most frequent of all {shown.of} {chance:.2f}": chance,
            },
        )
    album.keep("cluster-label-purity-hist", title, figure)


def _draw_silhouettes(shown: Shown, parameters: Parameters, album: Album) -> None:
    """As workflow W0 wrote it, noise as a cluster; and without noise."""
    from ledgerkit.clustering.composition import silhouettes
    from ledgerkit.plotting.histogram import histogram

    for name, told, with_noise in (
        ("silhouette-hist-sampled", "noise as a cluster", True),
        ("silhouette-hist-without-noise", "noise left out", False),
    ):
        title = f"Silhouettes of {shown.what}, {told}"
        figure: Any = "There are no vectors of these clusters among the inputs."
        if shown.vectors is not None:
            rows, places = aligned(shown)
            numbers = shown.numbers[rows]
            kept = numbers >= (-1 if with_noise else 0)
            values = silhouettes(
                unit_vectors(shown.vectors)[places[kept]],
                numbers[kept],
                most=parameters.sample,
                seed=parameters.seed,
            )
            figure = "Not defined: it needs two clusters, and more members than clusters."
            if values is not None:
                mean = float(values.mean())
                figure = histogram(
                    values.tolist(),
                    title,
                    "cosine silhouette in the original vectors",
                    f"{shown.of} ({len(values):,} of {int(kept.sum()):,})",
                    bins=SILHOUETTE_BINS,
                    span=(-1, 1),
                    lines={f"mean {mean:.2f}": mean},
                )
        album.keep(name, title, figure)


def _draw_trials(inputs: Inputs, album: Album, outputs: Outputs) -> None:
    from ledgerkit.plotting.trials import Tried, trials_overview

    try:
        rows = sorted(inputs.rows("trials"), key=lambda row: int(row["trial"]))
    except MissingInput:
        rows = []
    title = "1 setting tried" if len(rows) == 1 else f"{len(rows):,} settings tried"
    told = title if rows else "this clustering recorded no trials"
    outputs.gate("trials", "found", bool(rows), float(len(rows)), told)
    figure: Any = "This clustering recorded no trials."
    if rows:
        tried = [
            Tried(
                row["noise"],
                row["silhouette"],
                row["persistence"],
                eligible=not row["note"],
                chosen=row["chosen"],
            )
            for row in rows
        ]
        figure = trials_overview(tried, title)
    album.keep("trials-overview", title, figure)
