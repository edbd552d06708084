"""What a clustering writes, as Arrow tables and rows: clusters, members, trials, matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes
from ledgerkit.clustering.summary import nearest_centroid

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ledgerkit.clustering.identity import Match
    from ledgerkit.clustering.partition import Partition
    from ledgerkit.clustering.quality import Quality
    from ledgerkit.clustering.summary import Cluster
    from ledgerkit.clustering.sweep import Trial
    from ledgerkit.clustering.vectors import Vectors

    Described = Sequence[tuple[Partition, list[Cluster]]]
    """Each level with its clusters described, the coarsest first."""


def clusters_table(levels: Described, space: str) -> pa.Table:
    """Rows of `clusters`, level after level, by label."""
    import pyarrow as pa

    rows = [
        {
            "cluster_id": one.cluster_id,
            "level": number,
            "label": one.label,
            "parent_id": levels[number - 2][1][found.parents[one.label]].cluster_id
            if found.parents
            else None,
            "size": one.size,
            "space_id": space,
            "centroid": one.centroid,
            "mean": one.mean,
            "medoid_id": one.nearest[0],
            "representatives": one.nearest,
            "persistence": found.persistence[one.label],
            "descriptive_name": "",
            "name": None,
        }
        for number, (found, clusters) in enumerate(levels, 1)
        for one in clusters
    ]
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], kind)
            for name, kind in _cluster_types().items()
        }
    )


def _cluster_types() -> dict[str, Any]:
    """Arrow types by the columns of `clusters`."""
    import pyarrow as pa

    text, vector = pa.string(), pa.list_(pa.float32())
    return {
        "cluster_id": text,
        "level": pa.int32(),
        "label": pa.int32(),
        "parent_id": text,
        "size": pa.int64(),
        "space_id": text,
        "centroid": vector,
        "mean": vector,
        "medoid_id": text,
        "representatives": pa.list_(text),
        "persistence": pa.float64(),
        "descriptive_name": text,
        "name": text,
    }


def members_table(
    vectors: Vectors,
    unit: NDArray[np.float32],
    levels: Described,
    chart: NDArray[np.float64],
) -> pa.Table:
    """Rows of `cluster_members`, noise included: every subject once at every level.

    `unit`: float32 (n, d), L2 norm 1; `chart`: float64 (n, 2), the map.
    """
    import pyarrow as pa

    return pa.concat_tables(
        [
            _members(vectors, unit, number, found, clusters, chart)
            for number, (found, clusters) in enumerate(levels, 1)
        ]
    ).combine_chunks()


def _members(
    vectors: Vectors,
    unit: NDArray[np.float32],
    level: int,
    found: Partition,
    clusters: list[Cluster],
    chart: NDArray[np.float64],
) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    names = [one.cluster_id for one in clusters]
    near, distances = nearest_centroid(unit, found.labels, clusters)
    count = len(vectors.subjects)

    def named(labels: NDArray[np.int64]) -> pa.Array:
        return pa.array([names[label] if label >= 0 else None for label in labels], pa.string())

    return pa.table(
        {
            "level": pa.array([level] * count, pa.int32()),
            "subject_id": pa.array(vectors.subjects, pa.string()),
            "subject_kind": pa.array([vectors.kind] * count, pa.string()),
            "plate_id": pa.array(vectors.plates, pa.string()),
            "cluster_id": named(found.labels),
            "label": pa.array(found.labels, pa.int32()),
            "probability": pa.array(found.probabilities, pa.float64()),
            "outlier_score": pa.array(found.outliers, pa.float64(), mask=np.isnan(found.outliers)),
            "nearest_cluster_id": named(near),
            "nearest_distance": pa.array(distances, pa.float64(), mask=near < 0),
            "x": pa.array(chart[:, 0], pa.float64()),
            "y": pa.array(chart[:, 1], pa.float64()),
        }
    )


def trial_row(trial: Trial, dimensions: int, selection: str, chosen: bool) -> dict[str, Any]:
    """The row of `trials` of one setting of UMAP and HDBSCAN."""
    setting = trial.setting
    settings = {
        "layout": trial.space,
        "n_neighbors": setting.neighbours,
        "min_dist": setting.min_dist,
        "n_components": dimensions,
        "min_cluster_size": setting.min_cluster_size,
        "min_samples": setting.min_samples,
        "min_samples_used": setting.samples,
        "cluster_selection_method": selection,
    }
    return {
        "trial": trial.number,
        "algorithm": f"{trial.space}-hdbscan",
        "parameters": canonical_bytes(settings).decode(),
        "clusters": trial.clusters,
        "noise": trial.noise,
        **_measured(trial.quality),
        "persistence": trial.persistence,
        "relative_validity": trial.relative_validity,
        "chosen": chosen,
        "note": trial.note,
    }


def other_row(
    number: int,
    algorithm: str,
    settings: dict[str, Any],
    found: Partition,
    quality: Quality,
    note: str = "",
) -> dict[str, Any]:
    """The row of `trials` of a method beside the grid, which is then the chosen one."""
    return {
        "trial": number,
        "algorithm": algorithm,
        "parameters": canonical_bytes(settings).decode(),
        "clusters": found.clusters,
        "noise": float((found.labels < 0).mean()),
        **_measured(quality),
        "persistence": None,
        "relative_validity": None,
        "chosen": True,
        "note": note,
    }


def _measured(quality: Quality) -> dict[str, float | None]:
    return {
        "silhouette": quality.silhouette,
        "davies_bouldin": quality.davies_bouldin,
        "calinski_harabasz": quality.calinski_harabasz,
    }


def match_rows(level: int, former_run: str, matches: Sequence[Match]) -> list[dict[str, Any]]:
    """Rows of `cluster_matches` of one level."""
    return [
        {
            "level": level,
            "cluster_id": one.cluster_id,
            "former_run_id": former_run,
            "former_cluster_id": one.former_id,
            "overlap": one.overlap,
            "shared": one.shared,
            "kind": one.kind,
        }
        for one in matches
    ]
