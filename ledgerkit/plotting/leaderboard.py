"""A table as a picture: one line for each thing that was tried, with a bar below each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkit.palette import BLUE, SKY
from ledgerkit.plotting.canvas import INK, SMALL, by_default, fitted, hexadecimal, new_axes

LONGEST_SETTING = 140
"""Characters of a setting that are drawn."""
NUMBER_AT, FIRST_AT, STEP = 0.035, 0.62, 0.065
"""Where the setting begins and the first number ends, and what lies between numbers, of the width."""
MISSING = "–"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its place, what it is, and its numbers; None where there is none."""

    place: str
    what: str
    values: tuple[float | None, ...]
    marked: bool = False
    """Whether its place has a star."""


@by_default
def leaderboard(
    lines: Sequence[Line], heads: Sequence[str], title: str, foot: str, *, digits: Sequence[int]
) -> Any:
    """`lines` one below the other, the first on top; `heads` name the numbers, `foot` explains.

    `digits` are those after the point of each number. The bar below a number goes from the least to
    the greatest of its column.
    """
    down = len(lines) + 2
    figure, (axes,) = new_axes(title, 14, max(2.6, 0.27 * down + 0.9))
    axes.set_axis_off()
    axes.set_xlim(0, 1.02)
    axes.set_ylim(down - 0.2, -0.9)
    ends = [FIRST_AT + STEP * (column + 1) for column in range(len(heads))]
    _write(axes, NUMBER_AT, 0, "algorithm and setting", weight="bold")
    for end, head in zip(ends, heads, strict=True):
        _write(axes, end, 0, head, ha="right", weight="bold")
    axes.axhline(0.55, color=INK, linewidth=0.8)
    spans = [_span([line.values[column] for line in lines]) for column in range(len(heads))]
    for row, line in enumerate(lines, start=1):
        _write(axes, 0, row, f"{line.place} ★" if line.marked else line.place, weight="bold")
        _write(axes, NUMBER_AT, row, fitted(line.what, LONGEST_SETTING))
        for value, end, span, places in zip(line.values, ends, spans, digits, strict=True):
            _write(axes, end, row, told(value, places), ha="right")
            if value is not None:
                _bar(axes, end, row, value, span)
    _write(axes, 0, down - 1, fitted(foot, 200), color="#555555")
    return figure


def told(value: float | None, digits: int) -> str:
    """A number with so many digits after the point, or a dash where it is missing."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def _span(values: Sequence[float | None]) -> tuple[float, float]:
    there = [value for value in values if value is not None]
    return (min(there), max(there)) if there else (0.0, 0.0)


def _bar(axes: Any, end: float, row: int, value: float, span: tuple[float, float]) -> None:
    """A thin line below the number, over a pale one as long as the column's greatest."""
    low, high = span
    share = 1.0 if high <= low else (value - low) / (high - low)
    start, width = end - 0.85 * STEP, 0.85 * STEP
    axes.plot([start, end], [row + 0.42] * 2, color=hexadecimal(SKY), linewidth=0.8, alpha=0.5)
    axes.plot([start, start + share * width], [row + 0.42] * 2, color=hexadecimal(BLUE), lw=2)


def _write(axes: Any, x: float, row: float, text: str, **looks: Any) -> None:
    given = {"color": INK, "fontsize": SMALL, "va": "center", "parse_math": False} | looks
    axes.text(x, row, text, **given)
