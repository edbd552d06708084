"""Group plates, tiles or segments by their vectors, and lay them out on a map.

Rows in the order of their ids; principal components if asked for; UMAP into a few dimensions,
HDBSCAN
there; a map in two dimensions from the same neighbours. Where UMAP cannot run, principal
components;
where HDBSCAN finds too little, KMeans; the reason is a gate. Noise stays noise.
Source: McInnes, Healy & Melville 2018; Campello, Moulavi & Sander 2013; workflow W0; imaging notes
C.6-C.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ledgerkit.clustering.partition import Partition
    from ledgerkit.clustering.reduce import Layout
    from ledgerkit.clustering.summary import Cluster
    from ledgerkit.clustering.vectors import Vectors
    from ledgerkit.handles import Inputs, Outputs

VERSION = "1"
EVENT_TYPE = "clustering"
SUBJECT = "collection"
LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "umap-learn",
    "pynndescent",
    "numba",
    "hdbscan",
    "pyarrow",
)
MAKES = ("clusters", "cluster_members")
LEVEL = 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `cluster`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What is grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    space: str = field(
        default="",
        metadata={"help": "Vector space; empty for the only one among the inputs", "unit": ""},
    )
    components: int = field(
        default=32,
        metadata={
            "minimum": 1,
            "help": "Principal components taken before UMAP; 0 for none",
            "unit": "1",
        },
    )
    whiten: bool = field(
        default=False,
        metadata={"help": "Bring the principal components to equal variance", "unit": ""},
    )
    neighbours: int = field(
        default=15,
        metadata={"minimum": 2, "help": "Neighbours of a point, itself included", "unit": "1"},
    )
    dimensions: int = field(
        default=5,
        metadata={"minimum": 1, "help": "Dimensions in which clusters are found", "unit": "1"},
    )
    map_distance: float = field(
        default=0.1,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Least distance of points on the map (UMAP min_dist)",
            "unit": "1",
        },
    )
    min_cluster_size: int = field(
        default=0,
        metadata={
            "minimum": 0,
            "help": "Least members of a cluster; 0 for max(5, 3 % of all)",
            "unit": "1",
        },
    )
    min_samples: int = field(
        default=0,
        metadata={
            "minimum": 0,
            "help": "HDBSCAN min_samples; 0 for the least members of a cluster",
            "unit": "1",
        },
    )
    selection: str = field(
        default="eom",
        metadata={"help": "How HDBSCAN picks clusters", "unit": "", "choices": ("eom", "leaf")},
    )
    max_noise: float = field(
        default=0.4,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Greatest share of noise before KMeans takes over",
            "unit": "1",
        },
    )
    k: int = field(
        default=9,
        metadata={"minimum": 1, "help": "Clusters of the KMeans fall-back, at most", "unit": "1"},
    )
    seed: int = field(
        default=1337,
        metadata={
            "minimum": 0,
            "maximum": 4294967295,
            "help": "Seed of everything random",
            "unit": "1",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """Vectors."""
    return ("embeddings",)


def variant(parameters: Parameters) -> str:
    """What is grouped, in which space if one is named, and the rule of levels."""
    return "-".join(part for part in (parameters.of, parameters.space, "flat") if part)


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write `clusters` and `cluster_members`. Raises `MissingInput` when there is no vector at
    all.
    """
    from ledgerkit.clustering.reduce import normalise, principal
    from ledgerkit.clustering.summary import clusters_of
    from ledgerkit.clustering.vectors import gather

    vectors = gather(inputs.tables("embeddings"), parameters.of, parameters.space)
    unit = normalise(vectors.matrix)
    reduced = unit
    if parameters.components and len(unit) > 1:
        parts = principal(unit, parameters.components, parameters.whiten)
        reduced = _directions(parts) if parts.shape[1] else unit
    layout, chart = _lay_out(reduced, parameters)
    found = _partition(layout.points, reduced, parameters)
    clusters = clusters_of(vectors.matrix, unit, found.labels, vectors.subjects, LEVEL)
    outputs.table("clusters", _clusters_table(clusters, found, vectors.space))
    outputs.table("cluster_members", _members_table(vectors, unit, clusters, found, chart.points))
    _check_method(unit, {"layout": layout, "map": chart}, found, parameters, outputs)
    _check_result(unit, found, clusters, parameters, outputs)


def _directions(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows at length 1; a row at the very mean of all has no direction and gets the first axis."""
    import numpy as np

    from ledgerkit.clustering.reduce import normalise

    lost = np.linalg.norm(parts, axis=1) < 1e-7
    parts[lost] = 0
    parts[lost, 0] = 1
    return normalise(parts)


def _lay_out(unit: NDArray[np.float32], parameters: Parameters) -> tuple[Layout, Layout]:
    """The layout for clustering and the two-dimensional map, from one neighbour graph."""
    from ledgerkit.clustering.reduce import LARGEST_EXACT, lay_out, neighbours

    count = max(2, min(parameters.neighbours, len(unit) - 1))
    near = neighbours(unit, count) if 4 <= len(unit) <= LARGEST_EXACT else None
    dimensions = max(2, min(parameters.dimensions, len(unit) - 2, unit.shape[1]))
    layout = lay_out(
        unit, near, dimensions=dimensions, count=count, min_dist=0.0, seed=parameters.seed
    )
    distance = parameters.map_distance
    chart = lay_out(unit, near, dimensions=2, count=count, min_dist=distance, seed=parameters.seed)
    return layout, chart


def _partition(
    points: NDArray[np.float64], unit: NDArray[np.float32], parameters: Parameters
) -> Partition:
    from ledgerkit.clustering.partition import least_size, partition

    return partition(
        points,
        unit,
        min_cluster_size=max(2, least_size(len(points), parameters.min_cluster_size)),
        min_samples=parameters.min_samples,
        selection=parameters.selection,
        max_noise=parameters.max_noise,
        k=parameters.k,
        seed=parameters.seed,
    )


def _clusters_table(clusters: list[Cluster], found: Partition, space: str) -> pa.Table:
    """Rows of `clusters` as Arrow."""
    import pyarrow as pa

    return pa.table(
        {
            "cluster_id": pa.array([one.cluster_id for one in clusters], pa.string()),
            "level": pa.array([LEVEL] * len(clusters), pa.int32()),
            "label": pa.array([one.label for one in clusters], pa.int32()),
            "parent_id": pa.nulls(len(clusters), pa.string()),
            "size": pa.array([one.size for one in clusters], pa.int64()),
            "space_id": pa.array([space] * len(clusters), pa.string()),
            "centroid": pa.array([one.centroid for one in clusters], pa.list_(pa.float32())),
            "mean": pa.array([one.mean for one in clusters], pa.list_(pa.float32())),
            "medoid_id": pa.array([one.nearest[0] for one in clusters], pa.string()),
            "representatives": pa.array([one.nearest for one in clusters], pa.list_(pa.string())),
            "persistence": pa.array(found.persistence or [None] * len(clusters), pa.float64()),
            "descriptive_name": pa.array([""] * len(clusters), pa.string()),
            "name": pa.nulls(len(clusters), pa.string()),
        }
    )


def _members_table(
    vectors: Vectors,
    unit: NDArray[np.float32],
    clusters: list[Cluster],
    found: Partition,
    points: NDArray[np.float64],
) -> pa.Table:
    """Rows of `cluster_members` as Arrow, noise included."""
    import pyarrow as pa

    from ledgerkit.clustering.summary import nearest_centroid

    near, distances = nearest_centroid(unit, found.labels, clusters)

    names = [one.cluster_id for one in clusters]
    count = len(vectors.subjects)
    return pa.table(
        {
            "level": pa.array([LEVEL] * count, pa.int32()),
            "subject_id": pa.array(vectors.subjects, pa.string()),
            "subject_kind": pa.array([vectors.kind] * count, pa.string()),
            "plate_id": pa.array(vectors.plates, pa.string()),
            "cluster_id": pa.array(
                [names[label] if label >= 0 else None for label in found.labels], pa.string()
            ),
            "label": pa.array(found.labels, pa.int32()),
            "probability": pa.array(found.probabilities, pa.float64()),
            "outlier_score": pa.nulls(count, pa.float64())
            if found.outliers is None
            else pa.array(found.outliers, pa.float64()),
            "nearest_cluster_id": pa.array(
                [names[place] if place >= 0 else None for place in near], pa.string()
            ),
            "nearest_distance": pa.array(distances, pa.float64(), mask=near < 0),
            "x": pa.array(points[:, 0], pa.float64()),
            "y": pa.array(points[:, 1], pa.float64()),
        }
    )


def _check_method(
    unit: NDArray[np.float32],
    layouts: Mapping[str, Layout],
    found: Partition,
    parameters: Parameters,
    outputs: Outputs,
) -> None:
    """Gates on what the rules can give for so many rows, and on the methods that gave it."""
    from ledgerkit.clustering.partition import least_size

    count = len(unit)
    least = least_size(count, parameters.min_cluster_size)
    able = f"{count} {parameters.of} can hold {count // least} clusters of {least}, the least size"
    outputs.gate("before", "rows", count >= 2 * least, float(count), able)
    told = "all vectors are finite, of one length, not zero"
    outputs.gate("before", "vectors", True, float(unit.shape[1]), told)
    for name, layout in layouts.items():
        outputs.gate("method", name, layout.method == "umap", None, layout.reason or "by UMAP")
    by_density = found.method == "hdbscan"
    outputs.gate("method", "partition", by_density, None, found.reason or "by HDBSCAN")


def _check_result(
    unit: NDArray[np.float32],
    found: Partition,
    clusters: list[Cluster],
    parameters: Parameters,
    outputs: Outputs,
) -> None:
    """Gates on the clusters: number, noise, the largest, silhouette, evenness."""
    from ledgerkit.clustering.summary import gini, silhouette

    told = f"{len(clusters)} clusters"
    outputs.gate("after", "clusters", len(clusters) >= 2, float(len(clusters)), told)
    noise = float((found.labels < 0).mean())
    told = f"{noise:.2f} of the rows are noise, at most {parameters.max_noise:.2f} wanted"
    outputs.gate("after", "noise", noise <= parameters.max_noise, noise, told)
    largest = max((one.size for one in clusters), default=0) / len(unit)
    told = f"the largest cluster holds {largest:.2f} of the rows, less than 0.95 wanted"
    outputs.gate("after", "largest", largest < 0.95, largest, told)
    value = silhouette(unit, found.labels, parameters.seed)
    told = "not defined" if value is None else f"{value:.3f}, by cosine in the original space"
    outputs.gate("after", "silhouette", value is not None and value > 0, value, f"mean {told}")
    uneven = gini([one.size for one in clusters])
    told = "imbalance of cluster sizes (Gini), at most 0.60 wanted"
    outputs.gate("after", "gini", uneven is not None and uneven <= 0.6, uneven, told)
