"""Sweeps on record that no search made: trials around a known grouping, for tests of what shows them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkit.api import Repository
from ledgerkit.canonical import canonical_bytes
from ledgerkit.events import Event, staged_name
from ledgerkit.records import Input, Run
from ledgerkit.repository import Archive
from ledgerkit.schema import arrow_schema, columns
from ledgerkit.staged import write_staged
from ledgerkit.staging import JSON_LINES, PARQUET

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SPACE = "made-up"
DIMENSION = 8
GRID = {
    "min_cluster_size": (10, 12, 16, 20, 24, 28),
    "start_threshold": ("auto", 0.28, 0.26, 0.24),
    "merge_dist": (0.14, 0.16, 0.18, 0.2),
    "assign_threshold": (0.16, 0.18, 0.2, 0.22),
    "second_pass_start": (0.34, 0.32, 0.3, 0.28),
}
ALGORITHMS = ("agglomerative", "leiden", "umap-hdbscan", "kmeans")
Row = dict[str, Any]


def made_up(
    subjects: Sequence[str], clusters: int, trials: int, seed: int = 1, collection: str = "plates"
) -> tuple[list[Row], list[Row], NDArray[np.float32]]:
    """Rows of `sweep_trials` and `sweep_members` of plates, and vectors, float32 (n, 8), L2 norm 1.

    The consensus is the grouping that the vectors have, with each tenth subject in none; every trial
    moves some of the subjects. The fourth algorithm is the control; the second lacks measures at times.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    count = len(subjects)
    sizes = np.sort(np.bincount(draw.integers(0, clusters, count), minlength=clusters))[::-1]
    truth = np.repeat(np.arange(clusters), sizes)
    middles = draw.normal(size=(clusters, DIMENSION))
    vectors = middles[truth] + draw.normal(0, 0.25, (count, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    truth[9::10] = -1
    side = max(1, round(clusters**0.5))
    grid = np.array([(6 * (one % side), 6 * (one // side)) for one in range(clusters)])
    places = grid[truth] + draw.normal(size=(count, 2))
    labels = np.empty((count, trials), np.int32)
    rows = []
    for number in range(trials):
        wrong = draw.random(count) < (number % 7) / 14
        labels[:, number] = np.where(wrong, draw.integers(-1, clusters, count), truth)
        labels[draw.random(count) < number % 5 / 10, number] = -1
        rows.append(_trial(number, labels[:, number], draw, collection))
    _rank(rows)
    members = [
        {
            "collection": collection, "subject_id": subject, "plate_id": subject,
            "consensus_lifetime": int(truth[row]), "consensus_half": int(truth[row]),
            "consensus_probability": 0.0 if truth[row] < 0 else round(0.5 + row % 50 / 100, 2),
            "x": float(places[row, 0]), "y": float(places[row, 1]),
            "labels": labels[row].tolist(),
        }
        for row, subject in enumerate(subjects)
    ]  # fmt: skip
    return rows, members, vectors.astype(np.float32)


def _trial(number: int, labels: NDArray[np.int32], draw: Any, collection: str) -> Row:
    algorithm = ALGORITHMS[number % 4]
    setting = _setting(algorithm, draw)
    binned = setting | {
        name: round(value, 1) for name, value in setting.items() if name == "resolution"
    }
    signature = "|".join([algorithm, *(f"{name}={_said(value)}" for name, value in binned.items())])
    stability = min(1.0, 1 - (number % 7) / 10 + float(draw.normal(0, 0.02)))
    quality = float(0.5 - abs(number % 7 - 2) / 20 + draw.normal(0, 0.05))
    bare = algorithm == "leiden" and number % 3 == 0
    kept = labels[labels >= 0]
    return {
        "collection": collection, "of": "plates", "space_id": SPACE, "trial": number,
        "algorithm": algorithm, "parameters": canonical_bytes(setting).decode(),
        "signature": signature, "control": algorithm == "kmeans",
        "clusters": len(set(kept.tolist())), "coverage": len(kept) / len(labels),
        "singleton_rate": 0.0, "silhouette": None if bare else quality,
        "davies_bouldin": None if bare else 1 + number % 5 / 10, "calinski_harabasz": 80.0 + number,
        "modularity": 0.5 + number % 9 / 20, "dbcv": None, "dbcv_note": "not asked for", "bootstrap_ari": stability,
        "consensus_ari": stability, "stability_ari": None if bare else stability,
        "score_code": None, "score_code_z": None, "score_text": None, "score_text_z": None,
        "score": None, "rank": None, "ranked_down": number % 7 == 6, "in_consensus": False,
        "note": "",
    }  # fmt: skip


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def _setting(algorithm: str, draw: Any) -> Row:
    if algorithm == "agglomerative":
        return {name: values[draw.integers(len(values))] for name, values in GRID.items()}
    if algorithm == "leiden":
        temperature = (0.8, 1.0, 1.2)[draw.integers(3)]
        return {"resolution": float(draw.uniform(0.6, 2.4)), "temperature": temperature}
    if algorithm == "kmeans":
        return {"clusters": int(draw.integers(2, 40))}
    return {
        "neighbours": (10, 20, 50)[draw.integers(3)],
        "min_cluster_size": int(draw.integers(3, 30)),
        "min_samples": (None, 5, 10)[draw.integers(3)],
    }


def _rank(rows: list[Row]) -> None:
    import numpy as np

    chosen = [row for row in rows if not row["control"]]
    raw = np.array([(row["silhouette"] or -1) + (row["stability_ari"] or 0) for row in chosen])
    z = (raw - raw.mean()) / (raw.std() + 1e-9)
    order = sorted(range(len(chosen)), key=lambda at: (chosen[at]["ranked_down"], -z[at]))
    for rank, at in enumerate(order, start=1):
        row = chosen[at]
        row |= {"score_code": float(raw[at]), "score_text": float(raw[at])}
        row |= {"score_code_z": float(z[at]), "score_text_z": float(z[at]), "score": float(z[at])}
        row |= {"rank": rank, "in_consensus": rank <= max(1, len(chosen) // 4)}


def document_of(trials: Sequence[Row], members: Sequence[Row], seed: int = 1) -> Row:
    """`sweep.v1` of these rows."""
    best = min((row for row in trials if row["rank"]), key=lambda row: row["rank"], default=None)
    found = max((row["consensus_lifetime"] for row in members), default=-1) + 1
    return {
        "schema_version": "sweep.v1", "collection": trials[0]["collection"],
        "of": "plates", "space_id": SPACE, "rows": len(members), "search": "random", "seed": seed, "components": 32,
        "algorithms": sorted({row["algorithm"] for row in trials}), "formula": "w1.code",
        "weights": {"silhouette": 1.2, "coverage": 0.5},
        "consensus": {
            "method": "dense", "threshold": 0.5, "cut": "lifetime",
            "trials": [row["trial"] for row in trials if row["in_consensus"]],
            "clusters": {"lifetime": found, "half": found},
        },
        "winner": None if best is None else {
            "trial": best["trial"], "algorithm": best["algorithm"],
            "parameters": json.loads(best["parameters"]), "signature": best["signature"],
            "score": best["score"],
        },
    }  # fmt: skip


def put_sweep(
    repository: Repository,
    clusters: int,
    trials: int,
    seed: int = 1,
    collection: str = "plates",
    of: str = "plates",
) -> str:
    """Put made-up vectors of all plates and a sweep over them on record, as one of `of`; its run's id."""
    subjects = repository._archive.plate_ids()
    rows, members, vectors = made_up(subjects, clusters, trials, seed, collection)
    rows = [row | {"of": of} for row in rows]
    document = document_of(rows, members) | {"of": of}
    space = vectors_table(members, vectors)
    made = _put(repository, "fuse", collection, [_table("embeddings", space)], [])
    lines = b"".join(canonical_bytes(row) + b"\n" for row in rows)
    assert set(members[0]) == set(columns("sweep_members", stored=True))
    kinds = arrow_schema("sweep_members", stored=True)
    files = [
        ("sweep_trials.jsonl", "table:sweep_trials", JSON_LINES, lines),
        _table("sweep_members", _arrow(members, kinds)),
        ("sweep.json", "sweep", "application/json", canonical_bytes(document)),
    ]
    return _put(repository, "sweep", collection, files, [made]).run_id


def put_survey(repository: Repository, sweep: str) -> str:
    """Draw a sweep that is on record and put its figures on record, as `survey` does; the run's id."""
    from ledgerkit.operations import survey
    from ledgerkit.testing.handles import run_operation

    archive = repository._archive
    runs = {run.run_id: run for run in archive.runs("collection")}
    made = runs[runs[sweep].inputs[0].run_id or ""]
    tables: Row = {"embeddings": [_read(archive, made, "table:embeddings")]}
    tables["sweep_members"] = [_read(archive, runs[sweep], "table:sweep_members")]
    lines = _bytes(archive, runs[sweep], "table:sweep_trials").splitlines()
    tables["sweep_trials"] = [json.loads(line) for line in lines]
    name = tables["sweep_trials"][0]["collection"]
    produced = run_operation(survey, plate_id=None, tables=tables, collection=name, cut="lifetime")
    figures = b"".join(canonical_bytes(row) + b"\n" for row in produced.row_tables["figures"])
    files = [
        (file.name, file.role, file.media_type, file.data)
        for file in produced.file_outputs.values()
    ]
    files.append(("figures.jsonl", "table:figures", JSON_LINES, figures))
    return _put(repository, "survey", name, files, [runs[sweep], made]).run_id


File = tuple[str, str, str, bytes]
"""Name, role, media type and bytes of an output."""


def _put(
    repository: Repository, operation: str, name: str, files: list[File], inputs: list[Run]
) -> Run:
    """A run on record with these outputs, which read the outputs of `inputs`."""
    archive = repository._archive
    given = [
        Input(output.path, output.role, output.bytes, output.sha256, run.run_id, "full")
        for run in inputs
        for output in archive.outputs(run)
    ]
    with archive.job() as job:
        told = {
            "of": "plates",
            "collection": name,
            "cut": "lifetime",
            "made_before": len(archive.runs("collection")),
        }
        event = Event(operation, "made-up", told)
        folder = job.item(staged_name(operation))
        artifacts = [
            write_staged(archive.store, folder, f"outputs/{file}", role, media, data)
            for file, role, media, data in files
        ]
        staged = event.staged(
            folder, inputs=given, artifacts=artifacts, variant=f"plates-{operation}-{name}"
        )
        return archive.commit(job, [staged])[0]


def _table(name: str, data: pa.Table) -> File:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(data.cast(arrow_schema(name, stored=True)), buffer)
    return (f"{name}.parquet", f"table:{name}", PARQUET, buffer.getvalue())


def _read(archive: Archive, run: Run, role: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(_bytes(archive, run, role)))


def _bytes(archive: Archive, run: Run, role: str) -> bytes:
    (found,) = [one for one in archive.outputs(run) if one.role == role]
    return archive.tree.read_checked(found.path, found.sha256)


def _arrow(rows: Sequence[Row], kinds: Any) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), kinds)


def vectors_table(members: Sequence[Row], vectors: NDArray[np.float32]) -> pa.Table:
    """Rows of `embeddings` of these subjects, as an operation is given them."""
    from ledgerkit.clustering.vectors import table_of

    rows = [row | {"subject_kind": "plate"} for row in members]
    return table_of(rows, list(vectors), [1.0] * len(rows), SPACE)
