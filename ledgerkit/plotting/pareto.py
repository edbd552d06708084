"""Two measures of each trial against each other, and those that no other exceeds in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkit.palette import SERIES, VERMILION
from ledgerkit.plotting.canvas import (
    INK,
    LONGEST_LINE,
    SMALL,
    as_written,
    by_default,
    fitted,
    hexadecimal,
    new_axes,
)
from ledgerkit.plotting.chart import MARKERS, write_apart

LEAST_AREA, MOST_AREA = 8.0, 130.0
"""Areas of points of size 0 and 1, in square points."""
SHOWN_SIZES = (0.25, 0.5, 1.0)
LIFT = 11
"""Points above its place at which the name of a point on the front stands."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One trial."""

    name: str
    group: str
    x: float
    y: float
    size: float
    """0..1."""
    best: bool = False
    """The one that was chosen: drawn as a star."""


@by_default
def pareto(
    spots: Sequence[Spot], front: Sequence[int], title: str, axes_named: tuple[str, str], size: str
) -> Any:
    """`spots` by group; a line through those at the places `front`, named as far as there is room.

    `axes_named` are the names of x and y, `size` that of the areas.
    """
    import numpy as np

    figure, (axes,) = new_axes(title, 10, 6)
    groups = sorted({spot.group for spot in spots})
    for place, group in enumerate(groups):
        mine = [spot for spot in spots if spot.group == group and not spot.best]
        axes.scatter(
            [spot.x for spot in mine],
            [spot.y for spot in mine],
            s=[area_of(spot.size) for spot in mine],
            c=_colour(place),
            marker=MARKERS[place % len(MARKERS)],
            alpha=0.65,
            linewidths=0.3,
            edgecolors="black",
            zorder=2,
        )
    for spot in (spot for spot in spots if spot.best):
        place = groups.index(spot.group)
        axes.scatter([spot.x], [spot.y], s=260, c=_colour(place), marker="*", ec="black", zorder=4)
    points = np.array([(spot.x, spot.y) for spot in spots], dtype=np.float64)
    line = points[sorted(front, key=lambda place: points[place, 0])]
    axes.plot(line[:, 0], line[:, 1], "-", color=hexadecimal(VERMILION), linewidth=1.2, zorder=3)
    axes.margins(0.08)
    axes.set_xlabel(fitted(axes_named[0], LONGEST_LINE), parse_math=False)
    axes.set_ylabel(fitted(axes_named[1], LONGEST_LINE), parse_math=False)
    _add_legend(figure, groups, size, any(spot.best for spot in spots))
    ordered = sorted(front, key=lambda place: not spots[place].best)
    marks = {spots[place].name: place for place in ordered}
    write_apart(figure, axes, points, marks, lift=LIFT)
    return figure


def area_of(size: float) -> float:
    """Area of a point of a size 0..1, in square points."""
    return LEAST_AREA + (MOST_AREA - LEAST_AREA) * size


def _colour(place: int) -> str:
    return hexadecimal(SERIES[place % len(SERIES)])


def _add_legend(figure: Any, groups: Sequence[str], size: str, starred: bool) -> None:
    from matplotlib.lines import Line2D

    def dot(colour: str, marker: str, area: float) -> Any:
        return Line2D([], [], linestyle="", color=colour, marker=marker, markersize=area**0.5)

    shown = [
        (dot(_colour(place), MARKERS[place % len(MARKERS)], 40), fitted(group))
        for place, group in enumerate(groups)
    ]
    grey = [(dot("#808080", "o", area_of(one)), f"{size} {one:.0%}") for one in SHOWN_SIZES]
    more: list[tuple[Any, str]] = [(Line2D([], [], color=hexadecimal(VERMILION)), "front")]
    more += [(dot("#808080", "*", 200), "rank 1")] if starred else []
    handles, names = zip(*[*shown, *grey, *more], strict=True)
    legend = figure.legend(
        handles, names, loc="outside right center", fontsize=SMALL, frameon=False, labelspacing=0.9
    )
    as_written(legend.get_texts())
    for text in legend.get_texts():
        text.set_color(INK)
