"""How one number depends on each of several settings: a panel for each, all on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkit.palette import BLUE, VERMILION
from ledgerkit.plotting.canvas import (
    LONGEST_LINE,
    SMALL,
    as_written,
    by_default,
    fitted,
    hexadecimal,
    new_axes,
)

ACROSS = 3
MOST_STEPS = 12
"""Different values up to which each has a place of its own; more numbers are an axis."""
BINS = 8
SPREAD = 0.3
"""How far points of one value lie beside each other, of the step between values."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One setting: its value in each trial, a number or a word, and the number it is held against."""

    name: str
    settings: tuple[float | str, ...]
    heights: tuple[float, ...]


@by_default
def dependence(panels: Sequence[Panel], title: str, along: str) -> Any:
    """A panel for each setting with every trial a point, and the median of each value (or bin)."""
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure, axes = new_axes(title, max(6, 3.7 * across), 2.9 * down + 0.5, across, down)
    heights = [height for panel in panels for height in panel.heights]
    low, high = min(heights), max(heights)
    room = 0.06 * ((high - low) or 1.0)
    for one, panel in zip(axes, panels, strict=False):
        one.set_ylim(low - room, high + room)
        one.set_xlabel(fitted(panel.name), parse_math=False)
        if stepped(panel.settings):
            _steps(one, panel)
        else:
            _range(one, panel)
        one.tick_params(labelsize=SMALL)
    for one in axes[:: max(1, across)]:
        one.set_ylabel(fitted(along, LONGEST_LINE // 2), parse_math=False, fontsize=9)
    for one in axes[len(panels) :]:
        one.set_axis_off()
    return figure


def stepped(settings: Sequence[float | str]) -> bool:
    """Whether each value has a place of its own: a word among them, or few different ones."""
    return len(set(settings)) <= MOST_STEPS or any(isinstance(one, str) for one in settings)


def in_order(settings: Sequence[float | str]) -> list[float | str]:
    """The different values: words by name, then numbers by size."""
    return sorted(set(settings), key=lambda one: (not isinstance(one, str), one))


def _steps(axes: Any, panel: Panel) -> None:
    values = in_order(panel.settings)
    for place, value in enumerate(values):
        mine = _of(panel, value)
        last = max(1, len(mine) - 1)
        beside = [place + SPREAD * (2 * at / last - 1) * (len(mine) > 1) for at in range(len(mine))]
        _points(axes, beside, mine)
        _median(axes, place - 0.4, place + 0.4, mine)
    names = [one if isinstance(one, str) else f"{one:.4g}" for one in values]
    long = sum(len(name) for name in names) > 40 or len(names) > 8
    shown = [fitted(name, 16) for name in names]
    axes.set_xticks(range(len(values)), shown, rotation=90 if long else 0)
    as_written(axes.get_xticklabels())
    axes.set_xlim(-0.6, len(values) - 0.4)


def _range(axes: Any, panel: Panel) -> None:
    numbers = [float(one) for one in panel.settings]
    _points(axes, numbers, panel.heights)
    low, high = min(numbers), max(numbers)
    width = (high - low) / BINS
    for place in range(BINS):
        start, end = low + place * width, low + (place + 1) * width
        mine = [
            height
            for number, height in zip(numbers, panel.heights, strict=True)
            if start <= number < end or (place == BINS - 1 and number == high)
        ]
        if mine:
            _median(axes, start, end, mine)
    axes.xaxis.get_major_locator().set_params(nbins=6)


def _of(panel: Panel, value: float | str) -> list[float]:
    pairs = zip(panel.settings, panel.heights, strict=True)
    return [height for setting, height in pairs if setting == value]


def _points(axes: Any, places: Sequence[float], heights: Sequence[float]) -> None:
    colour = hexadecimal(BLUE)
    axes.scatter(places, heights, s=12, c=colour, alpha=0.6, linewidths=0, zorder=3)


def _median(axes: Any, start: float, end: float, heights: Sequence[float]) -> None:
    from statistics import median

    level = median(heights)
    axes.plot([start, end], [level, level], color=hexadecimal(VERMILION), linewidth=2)
