"""The map: every subject a point, by category, with the largest categories in the legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.palette import SERIES
from ledgerkit.plotting.canvas import (
    INK,
    SMALL,
    as_written,
    by_default,
    fitted,
    hexadecimal,
    new_axes,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_NAMED = 30
"""Entries of the legend, those for the rest among them."""
MARKERS = "os^Dv"
"""Shapes beside the colours: with seven of these, 35 categories are told apart."""
OTHERS, NONE = "#9a9a9a", "#b8b8b8"


@dataclass(frozen=True, slots=True)
class Group:
    """Points that are drawn alike."""

    name: str
    rows: tuple[int, ...]
    colour: str
    marker: str


def grouped(categories: Sequence[str | None], without: str) -> list[Group]:
    """At most 30 groups that hold every row once: those with most rows first, ties by number or name.

    Beyond, one group of all other categories; rows without a category last, called `without`.
    """
    rows: dict[str | None, list[int]] = {}
    for row, category in enumerate(categories):
        rows.setdefault(category, []).append(row)
    bare = rows.pop(None, [])
    counts = Counter({name: len(found) for name, found in rows.items() if name is not None})
    order = sorted(counts, key=lambda name: (-counts[name], _number(name), name))
    room = MOST_NAMED - bool(bare)
    named = order if len(order) <= room else order[: room - 1]
    groups = [
        Group(
            f"{fitted(name)} ({counts[name]:,})",
            tuple(rows[name]),
            hexadecimal(SERIES[place % len(SERIES)]),
            MARKERS[place // len(SERIES) % len(MARKERS)],
        )
        for place, name in enumerate(named)
    ]
    others = order[len(named) :]
    if others:
        rest = sorted(row for name in others for row in rows[name])
        groups.append(Group(f"{len(others):,} others ({len(rest):,})", tuple(rest), OTHERS, "o"))
    if bare:
        groups.append(Group(f"{without} ({len(bare):,})", tuple(bare), NONE, "x"))
    return groups


def _number(name: str) -> int:
    """Numbers of clusters in their own order; other names are alike."""
    return int(name) if name.isdecimal() and len(name) < 10 else -1


def middles(points: NDArray[np.float64], numbers: NDArray[np.int64]) -> dict[str, int]:
    """For each of the first 30 clusters, by number, the row of the member in the midst of it."""
    import numpy as np

    found = {}
    for number in range(min(MOST_NAMED, int(numbers.max(initial=-1)) + 1)):
        rows = np.flatnonzero(numbers == number)
        if rows.size:
            apart = np.abs(points[rows] - np.median(points[rows], axis=0)).sum(axis=1)
            found[str(number)] = int(rows[apart.argmin()])
    return found


@by_default
def chart(
    points: NDArray[np.float64],
    groups: Sequence[Group],
    title: str,
    *,
    marks: Mapping[str, int] | None = None,
) -> Any:
    """A map of `points`, float64 (n, 2), as `groups` say; of those with a colour the first is undermost.

    `marks` are short texts, each at the row of a point, as far as they do not touch one another.
    The axes have no ticks: their numbers mean nothing.
    """
    figure, (axes,) = new_axes(title, 9.6, 6.5)
    area = float(min(36.0, max(3.0, 60000 / max(1, len(points)))))
    under = [group for group in groups if group.colour in (OTHERS, NONE)]
    named = [group for group in groups if group not in under]
    for depth, group in enumerate([*reversed(under), *named]):
        marked = {} if group.marker == "x" else {"edgecolors": "black"}
        axes.scatter(
            points[list(group.rows), 0],
            points[list(group.rows), 1],
            s=area,
            c=group.colour,
            marker=group.marker,
            alpha=0.8,
            linewidths=0.6 if group.marker == "x" else 0.3 if area > 4 else 0,
            zorder=2 + depth / 100,
            **marked,
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(NONE)
    _add_legend(figure, groups)
    write_apart(figure, axes, points, marks or {})
    return figure


def _add_legend(figure: Any, groups: Sequence[Group]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", color=group.colour, marker=group.marker, markersize=5)
        for group in groups
    ]
    legend = figure.legend(
        handles,
        [str(place) for place in range(len(groups))],
        loc="outside right center",
        fontsize=SMALL,
        frameon=False,
        handletextpad=0.2,
    )
    as_written(legend.get_texts())
    for text, group in zip(legend.get_texts(), groups, strict=True):
        text.set_text(group.name)


def write_apart(
    figure: Any,
    axes: Any,
    points: NDArray[np.float64],
    marks: Mapping[str, int],
    lift: float = 0.0,
) -> None:
    """Write texts at rows of `points` in their order, and take away each that touches one before.

    `lift` is how far above its point a text stands, in points of 1/72 inch.
    """
    from matplotlib.transforms import offset_copy

    raised = offset_copy(axes.transData, figure, 0, lift, "points") if lift else axes.transData
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    taken: list[Any] = []
    for name, row in marks.items():
        text = axes.text(
            points[row, 0],
            points[row, 1],
            name,
            ha="center",
            va="center",
            transform=raised,
            fontsize=SMALL,
            weight="bold",
            zorder=4,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": INK, "lw": 0.6, "alpha": 0.85},
        )
        box = text.get_window_extent(renderer).padded(4)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 <= box.y1
        if not inside or box.y1 > frame.y1 or any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)
