"""Put a clustering that no run made into ledgers, for tests and benchmarks of the atlas.

Points lie in blobs, a tenth of them in no cluster; each cluster of the first level is halved on the
second. More plates than there are show the images of those that there are, by turns. The records know
nothing of it: `consolidate --rebuild` takes it away.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, schema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN = "run-20260101-000000Z-000000000000"
NOISE = 10
"""Every tenth point is in no cluster."""
DIMENSION = 8
COLOURS = ("madder", "ochre", "verdigris", "smalt")
Row = dict[str, Any]


_RUN: Row = {
    "run_id": RUN,
    "subject": "collection",
    "plate_id": None,
    "operation": "cluster",
    "variant": "plates-made-up",
    "status": "complete",
    "current": True,
    "parameters": "{}",
    "person": "A. Curator",
}


def put_map(root: Path, points: int, clusters: int, seed: int = 1, name: str = "") -> None:
    """Rewrite the ledgers of a consolidated repository at `root` so that they hold the map.

    `name` is what a person calls the second cluster of the first level.
    """
    ledger = root / layout.LEDGER
    document = json.loads((ledger / "ledger.json").read_bytes())
    plates = _plates(_read(ledger, "plates"), points)
    runs = _read(ledger, "runs")
    runs.append(runs[0] | _RUN)
    label, x, y = _blobs(points, clusters, seed)
    written = {
        "plates": plates,
        "runs": runs,
        "clusters": _clusters(plates, label, clusters),
        "cluster_members": _members(plates, label, x, y),
        "descriptions": [_description(name)] if name else [],
        "labels": [*_read(ledger, "labels"), *_labels(plates)],
    }
    for name, rows in written.items():
        document["tables"][name] |= _write(ledger, name, rows)
    (ledger / "ledger.json").unlink()
    (ledger / "ledger.json").write_text(json.dumps(document))


def _plates(rows: list[Row], points: int) -> list[Row]:
    found = rows[:points]
    for number in range(len(rows) + 1, points + 1):
        like = rows[(number - 1) % len(rows)]
        plate = layout.plate_id(number)
        title = f"{like['title']} {number}"
        found.append(like | {"plate_id": plate, "plate_number": number, "title": title})
    return found


def _blobs(
    points: int, clusters: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Number of the cluster, -1 for noise, and place of each point."""
    import numpy as np

    generator = np.random.default_rng(seed)
    side = math.ceil(math.sqrt(clusters))
    number = np.arange(points) % clusters
    x = 5.0 * (number % side) + generator.normal(size=points)
    y = 5.0 * (number // side) + generator.normal(size=points)
    label = np.where(np.arange(points) % NOISE == NOISE - 1, -1, number)
    return label, x, y


def cluster_id(level: int, label: int) -> str:
    """The id of a cluster of the map."""
    return f"cluster-{hashlib.sha256(f'{level} {label}'.encode()).hexdigest()[:20]}"


def _clusters(plates: list[Row], label: NDArray[np.int64], clusters: int) -> list[Row]:
    import numpy as np

    rows = []
    for level, fine in ((1, label), (2, _halved(label))):
        for one in range(clusters * level):
            members = np.flatnonzero(fine == one).tolist()
            if not members:
                continue
            angle = one / (clusters * level)
            centroid = [math.cos(angle), math.sin(angle), *[0.0] * (DIMENSION - 2)]
            named = [plates[at]["plate_id"] for at in members[:5]]
            row = {
                "run_id": RUN,
                "cluster_id": cluster_id(level, one),
                "level": level,
                "label": one,
                "parent_id": None if level == 1 else cluster_id(1, one // 2),
                "size": len(members),
                "space_id": "made-up",
                "centroid": centroid,
                "mean": centroid,
                "medoid_id": named[0],
                "representatives": named,
                "persistence": 0.5,
                "descriptive_name": f"Blob {one} of level {level}",
                "name": None,
            }
            rows.append(row)
    return rows


def _description(name: str) -> Row:
    return {
        "run_id": RUN,
        "cluster_id": cluster_id(1, 1),
        "subject_run_id": RUN,
        "source": "person",
        "name": name,
        "description": f"Said of {name}",
    }


def _halved(label: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    half = np.arange(len(label)) // max(1, int(label.max()) + 1) % 2
    halved: NDArray[np.int64] = np.where(label < 0, -1, 2 * label + half)
    return halved


def _members(
    plates: list[Row], label: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> list[Row]:
    rows = []
    for level, fine in ((1, label), (2, _halved(label))):
        for at, one in enumerate(fine.tolist()):
            row = {
                "run_id": RUN,
                "level": level,
                "subject_id": plates[at]["plate_id"],
                "subject_kind": "plate",
                "subject_run_id": None,
                "plate_id": plates[at]["plate_id"],
                "cluster_id": None if one < 0 else cluster_id(level, one),
                "label": one,
                "probability": 0.0 if one < 0 else 1.0,
                "outlier_score": None,
                "nearest_cluster_id": cluster_id(level, 0) if one < 0 else None,
                "nearest_distance": 0.5 if one < 0 else None,
                "x": float(x[at]),
                "y": float(y[at]),
            }
            rows.append(row)
    return rows


def _labels(plates: list[Row]) -> list[Row]:
    return [
        {
            "subject_id": row["plate_id"],
            "subject_kind": "plate",
            "scheme": "colour",
            "value": COLOURS[at % len(COLOURS)],
            "run_id": RUN,
        }
        for at, row in enumerate(plates)
    ]


def _read(ledger: Path, name: str) -> list[Row]:
    import pyarrow.parquet as pq

    rows: list[Row] = pq.read_table(ledger / f"{name}.parquet").to_pylist()
    return rows


def _write(ledger: Path, name: str, rows: list[Row]) -> Row:
    """Write one table; its entry in `ledger.json`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = ledger / f"{name}.parquet"
    path.unlink()
    kinds = schema.arrow_schema(name)
    whole = [{column: row.get(column) for column in kinds.names} for row in rows]
    pq.write_table(pa.Table.from_pylist(whole, schema=kinds), path)
    data = path.read_bytes()
    return {"rows": len(rows), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
