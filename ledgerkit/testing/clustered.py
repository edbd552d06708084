"""Clusterings on record without vectors: groups of plates as letters, for tests of what reads them."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from ledgerkit.api import Repository
from ledgerkit.clustering.summary import cluster_id
from ledgerkit.events import Event, staged_name
from ledgerkit.schema import arrow_schema
from ledgerkit.staged import write_staged
from ledgerkit.staging import PARQUET

LETTERS = "abcdefghijkl"
PLATES = [f"plate-{number:03d}" for number in range(1, 13)]


def clustered(repository: Repository, *groups: str, operation: str = "cluster") -> dict[str, str]:
    """A clustering on record whose groups are letters of plates a to l; cluster ids by group.

    Plates that are in no group are noise. `repository` has twelve sealed plates.
    """
    named = {group: [PLATES[LETTERS.index(one)] for one in group] for group in groups}
    ids = {group: cluster_id(members, 1) for group, members in named.items()}
    archive = repository._archive
    with archive.job() as job:
        made_before = len(archive.runs("collection"))
        event = Event(operation, "clustering", {"of": "plates", "made_before": made_before})
        folder = job.item(staged_name(operation))
        tables = {"clusters": _clusters(named, ids), "cluster_members": _members(groups, ids)}
        artifacts = [
            write_staged(
                archive.store, folder, f"outputs/{name}.parquet", f"table:{name}", PARQUET,
                _parquet(name, rows),
            )
            for name, rows in tables.items()
        ]  # fmt: skip
        staged = replace(event.staged(folder, artifacts=artifacts), variant="plates-flat")
        archive.commit(job, [staged])
    return ids


def _clusters(named: dict[str, list[str]], ids: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "cluster_id": ids[group], "level": 1, "label": label, "parent_id": None,
            "size": len(group), "space_id": "test", "centroid": [1.0], "mean": [1.0],
            "medoid_id": members[0], "representatives": members, "persistence": None,
            "descriptive_name": "", "name": None,
        }
        for label, (group, members) in enumerate(named.items())
    ]  # fmt: skip


def _members(groups: tuple[str, ...], ids: dict[str, str]) -> list[dict[str, Any]]:
    place = {one: (ids[group], label) for label, group in enumerate(groups) for one in group}
    return [
        {
            "level": 1, "subject_id": plate, "subject_kind": "plate", "plate_id": plate,
            "cluster_id": place.get(letter, (None, -1))[0], "label": place.get(letter, (0, -1))[1],
            "probability": 1.0 if letter in place else 0.0, "outlier_score": None,
            "nearest_cluster_id": None, "nearest_distance": None,
            "x": float(number), "y": 0.123456,
        }
        for number, (letter, plate) in enumerate(zip(LETTERS, PLATES, strict=True))
    ]  # fmt: skip


def _parquet(name: str, rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, arrow_schema(name, stored=True)), buffer)
    return buffer.getvalue()
