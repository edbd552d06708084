"""A clustering as the Parquet that Apple's embedding-atlas opens unchanged.

Columns `projection_x`, `projection_y`; `neighbors`, a struct of `ids` (numbers of rows from 0) and
`distances` (cosine), nearest first, itself left out; `image`, a struct of `bytes` and `path` as
Hugging Face datasets have it; `cluster_l1`, `cluster_l1_name` and so on. What it is a view of stands
in the file's own metadata under `ledgerkit`.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes
from ledgerkit.export.clustered import Clustered
from ledgerkit.export.target import Digested
from ledgerkit.export.thumbnails import images_of, thumbnails
from ledgerkit.export.vectors import vectors_of
from ledgerkit.imaging.contact import to_jpeg
from ledgerkit.query import Ledgers
from ledgerkit.reading import Tree

if TYPE_CHECKING:
    import pyarrow as pa


def table(
    tree: Tree, ledgers: Ledgers, found: Clustered, *, side: int, neighbours: int
) -> tuple[pa.Table, int]:
    """The table, one row per subject in the order of ids, and how many have no picture.

    `side` is the long side of pictures in pixels, 0 for no column of pictures; `neighbours` how many
    are listed at most, 0 for no column.
    """
    import pyarrow as pa

    rows = found.subjects
    columns: dict[str, Any] = {
        "id": [one.subject_id for one in rows],
        "plate_id": [one.plate_id for one in rows],
        "title": [one.title for one in rows],
        "text": [one.content for one in rows],
        "projection_x": pa.array([one.x for one in rows], pa.float64()),
        "projection_y": pa.array([one.y for one in rows], pa.float64()),
    }
    for level in found.levels:
        names = {row["label"]: row["name"] for row in found.of_level(level)}
        labels = [one.labelled.get(level) for one in rows]
        columns[f"cluster_l{level}"] = pa.array(labels, pa.int32())
        called = [None if label is None else names[label] for label in labels]
        columns[f"cluster_l{level}_name"] = pa.array(called, pa.string())
    if neighbours:
        columns["neighbors"] = _neighbours(ledgers, found, neighbours)
    missing = 0
    if side:
        pictures = _pictures(tree, ledgers, found, side)
        missing = sum(one["bytes"] is None for one in pictures)
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns["image"] = pa.array(pictures, kind)
    return pa.table(columns), missing


def write(output: Digested, data: pa.Table, told: dict[str, Any]) -> None:
    """Write the table as Parquet with what it is a view of."""
    import pyarrow.parquet as pq

    told_bytes = canonical_bytes(told)
    buffer = io.BytesIO()
    pq.write_table(
        data.replace_schema_metadata({"ledgerkit": told_bytes}), buffer, compression="zstd"
    )
    output.write(buffer.getvalue())


def _neighbours(ledgers: Ledgers, found: Clustered, count: int) -> pa.Array:
    """By cosine in the vectors that were grouped. Raises `MissingInput` where they are not there."""
    import pyarrow as pa

    from ledgerkit.clustering.reduce import neighbours, normalise

    kind = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float64()))])
    matrix = vectors_of(
        ledgers,
        found.space,
        found.run_id,
        [one.subject_id for one in found.subjects],
        "Leave neighbours out with --neighbors 0.",
    )
    if len(matrix) < 2:
        return pa.array([{"ids": [], "distances": []}] * len(matrix), kind)
    near = neighbours(normalise(matrix), min(count + 1, len(matrix)))
    return pa.array(
        [
            {"ids": ids[1:], "distances": [round(max(0.0, one), 6) for one in distances[1:]]}
            for ids, distances in zip(near.indices.tolist(), near.distances.tolist(), strict=True)
        ],
        kind,
    )


def _pictures(tree: Tree, ledgers: Ledgers, found: Clustered, side: int) -> list[dict[str, Any]]:
    """A JPEG of each subject, or null bytes where no image can be had; each image is read once."""
    import numpy as np

    sources = {plate: row["source_path"] for plate, row in found.plates.items()}
    images = images_of(ledgers, found.of, sources)
    subjects = [(one.subject_id, one.plate_id) for one in found.subjects]
    made = {
        name: to_jpeg(np.asarray(one)) for name, one in thumbnails(tree, images, subjects, side)
    }
    return [{"bytes": made.get(name), "path": f"{name}.jpg"} for name, _ in subjects]
