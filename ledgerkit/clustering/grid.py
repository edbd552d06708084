"""The settings of a sweep: read from comma lists, and fitted to the number of rows.

Source: workflow W0 (the grid of 108 points, and the one point of its safe mode).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ledgerkit.errors import UsageError

SMALL = 100
"""Rows below which one setting is tried: 108 settings of so few rows would choose by chance."""
MOST_SAMPLES = 50
"""`min_samples` where none is given: the least size, but never more, for its cost grows with it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of the grid, as it is used."""

    neighbours: int
    """Neighbours of a point in UMAP's graph, itself included."""
    min_dist: float
    """Least distance of points in the layout, 0..1."""
    min_cluster_size: int
    min_samples: int | None
    """None: the least size of a cluster, at most 50."""

    @property
    def samples(self) -> int:
        """The `min_samples` that HDBSCAN gets."""
        return self.min_samples or min(self.min_cluster_size, MOST_SAMPLES)


@dataclass(frozen=True, slots=True)
class Grid:
    """Values whose combinations are tried, in the order in which they are numbered."""

    neighbours: tuple[int, ...]
    min_dist: tuple[float, ...]
    min_cluster_size: tuple[int, ...]
    min_samples: tuple[int | None, ...]


SAFE = Grid((15,), (0.1,), (8,), (None,))
"""W0's safe mode."""


def grid_of(neighbours: str, min_dist: str, min_cluster_size: str, min_samples: str) -> Grid:
    """The grid of four comma lists. Raises `UsageError` for one that is empty, or whose values are
    no numbers or out of bounds.
    """
    distances = [_number("min_dist", part) for part in _parts("min_dist", min_dist)]
    if not all(0 <= one <= 1 for one in distances):
        raise UsageError(f"min_dist is {min_dist!r}", "Give numbers from 0 to 1")
    samples = _parts("min_samples", min_samples)
    return Grid(
        tuple(_whole("neighbours", part, 2) for part in _parts("neighbours", neighbours)),
        tuple(distances),
        tuple(
            _whole("min_cluster_size", part, 2)
            for part in _parts("min_cluster_size", min_cluster_size)
        ),
        tuple(None if part == "none" else _whole("min_samples", part, 1) for part in samples),
    )


def _parts(name: str, text: str) -> list[str]:
    """The items of a comma list, each once, in its order."""
    parts = [part.strip().lower() for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"{name} is empty", "Give one or more values, with commas between them")
    return list(dict.fromkeys(parts))


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{name}: {text!r} is no number", "Give numbers, as 0.0,0.1") from error


def _whole(name: str, text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise UsageError(f"{name}: {text!r} is no whole number from {least} on")
    return int(text)


def settings_of(grid: Grid, rows: int, grow_from: int) -> list[Setting]:
    """The grid for so many rows, each setting once, in the order in which trials are numbered.

    Neighbours are at most rows - 1. Beyond `grow_from` rows (0 for never) least sizes grow in
    proportion to the rows: 15 for 2,000 rows are 375 for 50,000.
    """
    scale = rows / grow_from if 0 < grow_from < rows else 1.0
    near = [max(2, min(one, rows - 1)) for one in grid.neighbours]
    sizes = [round(size * scale) for size in grid.min_cluster_size]
    points: Sequence[tuple[int, float, int, int | None]] = list(
        product(near, grid.min_dist, sizes, grid.min_samples)
    )
    return [Setting(*point) for point in dict.fromkeys(points)]
