"""The map in two dimensions: the chosen trial's own, or one that stays with an earlier run's.

Old coordinates are kept as they are recorded, to the last bit, or a new map is turned onto them; the
residual says how well that went. Source: workflow W0 (whose map came from other settings than its
clusters: here they are the same); docs/clustering.md, "Map".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.identity import members_by_level
from ledgerkit.clustering.reduce import Layout, first, lay_out
from ledgerkit.clustering.register import LEAST_SHARED, onto, place
from ledgerkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.clustering.grid import Setting
    from ledgerkit.clustering.sweep import Sweep
    from ledgerkit.clustering.vectors import Vectors
    from ledgerkit.handles import Inputs


@dataclass(frozen=True, slots=True)
class Chart:
    """Coordinates of all rows and how they came about."""

    points: NDArray[np.float64]
    """float64 (n, 2)."""
    method: str
    """'umap', 'pca', or 'kept' for the coordinates of an earlier run."""
    reason: str
    """Why UMAP was not used; empty when it was."""
    neighbours: int
    min_dist: float
    kept: int = 0
    """Rows whose coordinates are those of the earlier run."""
    placed: int = 0
    """Rows placed among them."""
    shared: int = 0
    """Rows that both runs have."""
    residual: float | None = None
    """Of the registration of a new map; None without one."""
    turned: bool = False
    """Whether a registration was asked for."""

    def document(self, onto_run: str, trial: int | None) -> dict[str, Any]:
        """What is recorded of the map."""
        return {
            "method": self.method,
            "neighbours": self.neighbours,
            "min_dist": self.min_dist,
            "trial": trial,
            "onto": onto_run or None,
            "kept": self.kept,
            "placed": self.placed,
            "residual": self.residual,
        }


@dataclass(frozen=True, slots=True)
class Former:
    """What an earlier clustering says: the map, its settings, and who was in which cluster."""

    run_id: str
    space: str
    """Its vector space."""
    coordinates: Mapping[str, tuple[float, float]]
    neighbours: int
    min_dist: float
    members: dict[int, dict[str, frozenset[str]]]
    """Members by cluster, by level."""


def former_of(inputs: Inputs, run_id: str, kind: str) -> Former:
    """The clustering of the run `run_id` among the inputs. Raises `UsageError` when it grouped
    something else than subjects of `kind`.
    """
    tables = list(inputs.tables(f"cluster_members@{run_id}"))
    coordinates = {}
    for table in tables:
        columns = ("subject_id", "subject_kind", "level", "x", "y")
        for subject, of, level, x, y in zip(
            *(table[name].to_pylist() for name in columns), strict=True
        ):
            if of == kind and level == 1:
                coordinates[subject] = (x, y)
    if not coordinates:
        raise UsageError(f"{run_id} grouped no {kind}s", "Name a clustering of the same kind")
    with inputs.file(f"clustering@{run_id}").open() as file:
        told = json.load(file)
    return Former(
        run_id,
        str(told["space_id"]),
        coordinates,
        int(told["map"]["neighbours"]),
        float(told["map"]["min_dist"]),
        members_by_level(tables, kind),
    )


def draw(reduced: NDArray[np.float32], swept: Sweep, setting: Setting, seed: int) -> Chart:
    """The map with the chosen trial's neighbourhood: its own layout where that has two dimensions,
    else another of the same graph. `reduced`: float32 (n, d), L2 norm 1, as the sweep got it.
    """
    layout: Layout = swept.layout
    if layout.points.shape[1] != 2:
        layout = lay_out(
            reduced,
            first(swept.near, setting.neighbours),
            dimensions=2,
            count=setting.neighbours,
            min_dist=setting.min_dist,
            seed=seed,
        )
    return Chart(layout.points, layout.method, layout.reason, setting.neighbours, setting.min_dist)


def keep(reduced: NDArray[np.float32], vectors: Vectors, former: Former, seed: int) -> Chart:
    """The earlier map, its coordinates untouched, with the rows it lacks placed on it.

    Raises `UsageError` when it was of another space, or shares fewer than three subjects.
    """
    import numpy as np

    if former.space != vectors.space:
        raise UsageError(
            f"the map of {former.run_id} is of the space {former.space}, not {vectors.space}",
            "Draw a new one and turn it onto that with: --map refit",
        )
    known = np.array([subject in former.coordinates for subject in vectors.subjects])
    shared = int(known.sum())
    if shared < LEAST_SHARED:
        raise UsageError(
            f"{former.run_id} has {shared} of the {vectors.kind}s, at least {LEAST_SHARED} wanted",
            "Draw a new map, without --onto",
        )
    points = np.empty((len(known), 2))
    points[known] = [
        former.coordinates[name] for name in vectors.subjects if name in former.coordinates
    ]
    if not known.all():
        points[~known] = place(
            reduced[known],
            points[known],
            reduced[~known],
            count=former.neighbours,
            min_dist=former.min_dist,
            seed=seed,
        )
    added = len(known) - shared
    return Chart(points, "kept", "", former.neighbours, former.min_dist, shared, added, shared)


def turned(chart: Chart, subjects: list[str], former: Former) -> Chart:
    """A new map brought onto the earlier one by the subjects that both have; as it is where these
    are fewer than three.
    """
    from dataclasses import replace

    import numpy as np

    rows = [row for row, name in enumerate(subjects) if name in former.coordinates]
    if len(rows) < LEAST_SHARED:
        return replace(chart, shared=len(rows), turned=True)
    wanted = np.array([former.coordinates[subjects[row]] for row in rows])
    found = onto(chart.points[rows], wanted)
    moved = found.move(chart.points)
    return replace(chart, points=moved, shared=len(rows), residual=found.residual, turned=True)
