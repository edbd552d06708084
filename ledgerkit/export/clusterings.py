"""`export clusters`, `items`, `curated`, `embedding-atlas`, `csv`: one clustering for other tools.

The ledgers say what is written; each export names the clustering's run, and the checkpoint and
tables that it is a view of. Forms are those of workflows W2 (clusters, curated) and W4 (items), and
of Apple's embedding-atlas. Files of JSON have a schema in `schemas/`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledgerkit.errors import UsageError
from ledgerkit.export import curated, embedding_atlas
from ledgerkit.export.clustered import Clustered, Picked, load
from ledgerkit.export.ledgers import Basis, ledgers_at
from ledgerkit.export.lines import write_list, write_object
from ledgerkit.export.spreadsheet import csv_table
from ledgerkit.export.target import new_file, new_folder, put, put_json, refuse
from ledgerkit.query import Ledgers, Limits
from ledgerkit.repository import Archive

FORMS = ("clusters", "items", "curated", "embedding-atlas", "csv")
TABLES = (
    "plates", "runs", "tiles", "segments", "embeddings", "clusters", "cluster_members", "labels",
    "descriptions",
)  # fmt: skip
LONGEST_CONTENT = 500


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is exported of a clustering, beside which one."""

    picked: Picked = field(default_factory=Picked)
    level: int = 1
    """Level of `clusters` and `curated`, 1 the coarsest."""
    category: str | None = None
    """`category` of the form `clusters`; None for what was grouped."""
    facet: str = "country"
    """Field by which `curated` groups members: a label of the catalogue, or a column of plates."""
    all_named: bool = False
    """Whether `curated` holds also what only a model or the rule named."""
    side: int = 128
    """Pixels of the long side of pictures in `embedding-atlas`; 0 for none."""
    neighbours: int = 10


@dataclass(frozen=True)
class ClusterExportView:
    """A clustering that was exported, and the checkpoint and ledgers that it is a view of.

    `missing` pictures could not be had. `sha256` is as in `views.ExportView`.
    """

    form: str
    target: str
    clustering: str
    clusters: int
    items: int
    missing: int
    bytes: int
    sha256: str
    origin: str
    log_size: int
    log_root: str
    ledger_sha256: str


def export_clusters(
    archive: Archive,
    form: str,
    target: Path,
    chosen: Chosen | None = None,
    *,
    at: str | None = None,
    limits: Limits | None = None,
) -> ClusterExportView:
    """Write a current clustering to a new file, or for `items` and `csv` to a new folder.

    Raises `UsageError`, `MissingInput` without ledgers or such a clustering, `InvalidRecord`,
    `DigestMismatch`, `CommitFailed`; nothing is left behind then.
    """
    if form not in FORMS:
        raise UsageError(f"no format {form!r}", f"There are: {', '.join(FORMS)}")
    refuse(target)
    wanted = chosen or Chosen()
    with ledgers_at(archive, at, limits, TABLES) as (ledgers, basis):
        found = load(ledgers, wanted.picked)
        level = wanted.level
        if level not in found.levels:
            listed = ", ".join(map(str, found.levels))
            raise UsageError(f"{found.run_id} has no level {level}", f"It has: {listed}")
        told = basis.document({"clustering": found.run_id, "of": found.of, "form": form})
        if form in ("items", "csv"):
            counts = _folder(form, target, found, told)
        elif form == "embedding-atlas":
            counts = _parquet(archive, ledgers, target, found, wanted, told)
        else:
            counts = _json(form, target, ledgers, found, level, wanted, told)
    return _view(form, target, found, basis, *counts)


def _view(
    form: str, target: Path, found: Clustered, basis: Basis, size: int, sha256: str, missing: int
) -> ClusterExportView:
    return ClusterExportView(
        form,
        str(target),
        found.run_id,
        len(found.clusters),
        len(found.subjects),
        missing,
        size,
        sha256,
        basis.origin,
        basis.log_size,
        basis.log_root,
        basis.ledger_sha256,
    )


Counts = tuple[int, str, int]
"""Bytes, SHA-256 of the file or of `export.json`, and pictures that could not be had."""


def _json(
    form: str,
    target: Path,
    ledgers: Ledgers,
    found: Clustered,
    level: int,
    wanted: Chosen,
    told: dict[str, Any],
) -> Counts:
    if form == "clusters":
        document = w2_clusters(found, level, wanted.category) | {"ledgerkit": told}
        last = "unclustered"
    else:
        document = curated.types(found, level, wanted.facet, wanted.all_named)
        document |= {"ledgerkit": told}
        last = "types"
    ordered = {key: document[key] for key in document if key != last} | {last: document[last]}
    with new_file(target) as output:
        write_object(output, ordered)
    return output.bytes, output.sha256, 0


def w2_clusters(found: Clustered, level: int, category: str | None) -> dict[str, Any]:
    """W2's `clusters.json`: sorted by label, images by their ids, noise as `unclustered`."""
    members = found.members(level)
    clusters = []
    for row in found.of_level(level):
        images = members.get(row["cluster_id"], [])
        clusters.append(
            {
                "id": f"cluster-{row['label']}",
                "representativeImage": row["representative_id"],
                "images": images,
                "size": len(images),
                "cluster_id": row["cluster_id"],
                "name": row["name"],
            }
        )
    return {
        "category": category or found.of,
        "model": found.space,
        "clusters": clusters,
        "unclustered": members.get(None, []),
    }


def w4_items(found: Clustered) -> Iterator[dict[str, Any]]:
    """W4's `items.json`: one object per subject that has coordinates, by id."""
    for subject in found.subjects:
        plate = found.plates[subject.plate_id]
        yield {
            "id": subject.subject_id,
            "content": subject.content[:LONGEST_CONTENT],
            "metadata": {
                "plate_id": subject.plate_id,
                "plate_number": plate["plate_number"],
                "slug": plate["slug"],
                "source_path": plate["source_path"],
                "license": plate["license"],
                "labels": subject.labels,
            },
            "created_at": plate["created_at"],
            "x": round(subject.x, 4),
            "y": round(subject.y, 4),
            **{f"cluster_l{level}": subject.labelled.get(level) for level in (1, 2, 3)},
        }


def w4_clusters(found: Clustered) -> list[dict[str, Any]]:
    """W4's `clusters.json`: by level, the largest first; `name` is L{level}_{label}."""
    rows = sorted(found.clusters, key=lambda row: (row["level"], -row["size"], row["label"]))
    return [
        {
            "id": row["cluster_id"],
            "cluster_type": "embedding",
            "level": row["level"],
            "name": f"L{row['level']}_{row['label']}",
            "parent_id": row["parent_id"],
            "comment_count": row["size"],
            "description": row["description"],
            "pattern_name": row["name"],
            "category": row["category"],
            "strength": row["strength"],
        }
        for row in rows
    ]


def _folder(form: str, target: Path, found: Clustered, told: dict[str, Any]) -> Counts:
    with new_folder(target) as folder:
        if form == "items":
            clusters = w4_clusters(found)
            listed = [
                put(folder, "items.json", _listed(w4_items(found))),
                put(folder, "clusters.json", _indented(clusters)),
            ]
        else:
            listed = [
                put(folder, "clusters.csv", csv_table(CLUSTER_COLUMNS, found.clusters)),
                put(folder, "members.csv", csv_table(MEMBER_COLUMNS, found.member_rows())),
            ]
        listing = put_json(folder, "export.json", {"ledgerkit": told, "files": listed})
    return sum(one["bytes"] for one in [*listed, listing]), listing["sha256"], 0


def _listed(values: Iterator[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    write_list(buffer, values)
    return buffer.getvalue() + b"\n"


def _indented(value: Any) -> bytes:
    import json

    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


CLUSTER_COLUMNS = (
    "run_id", "cluster_id", "level", "label", "parent_id", "size", "name", "source", "description",
    "category", "strength", "representative_id", "medoid_id", "since_run_id", "named_by", "overlap",
)  # fmt: skip
MEMBER_COLUMNS = (
    "subject_id", "plate_id", "title", "level", "cluster_id", "label", "cluster_name",
    "probability", "x", "y",
)  # fmt: skip


def _parquet(
    archive: Archive,
    ledgers: Ledgers,
    target: Path,
    found: Clustered,
    wanted: Chosen,
    told: dict[str, Any],
) -> Counts:
    table, missing = embedding_atlas.table(
        archive.tree, ledgers, found, side=wanted.side, neighbours=wanted.neighbours
    )
    with new_file(target) as output:
        embedding_atlas.write(output, table, told)
    return output.bytes, output.sha256, missing
