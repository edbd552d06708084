"""The map: every subject a point, by category, with the largest categories in the legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.palette import SERIES
from ledgerkit.plotting.canvas import (
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
OTHERS, NONE = "#707070", "#c4c4c4"


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
        groups.append(Group(f"{len(others):,} others ({len(rest):,})", tuple(rest), OTHERS, "."))
    if bare:
        groups.append(Group(f"{without} ({len(bare):,})", tuple(bare), NONE, "x"))
    return groups


def _number(name: str) -> int:
    """Numbers of clusters in their own order; other names are alike."""
    return int(name) if name.isdecimal() and len(name) < 10 else -1


@by_default
def chart(points: NDArray[np.float64], groups: Sequence[Group], title: str) -> Any:
    """A map of `points`, float64 (n, 2), as `groups` say; those named last lie undermost.

    The axes have no ticks: their numbers mean nothing.
    """
    from matplotlib.lines import Line2D

    figure, (axes,) = new_axes(title, 10, 6.5)
    area = float(min(36.0, max(2.0, 16000 / max(1, len(points)))))
    for depth, group in enumerate(reversed(groups)):
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
    handles = [
        Line2D([], [], linestyle="", color=group.colour, marker=group.marker, markersize=5)
        for group in groups
    ]
    legend = figure.legend(
        handles,
        [str(place) for place in range(len(groups))],
        loc="outside right upper",
        fontsize=SMALL,
        frameon=False,
        handletextpad=0.2,
    )
    as_written(legend.get_texts())
    for text, group in zip(legend.get_texts(), groups, strict=True):
        text.set_text(group.name)
    return figure
