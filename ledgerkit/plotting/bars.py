"""Bars by category: names to the left, however long or many, and the number at the end of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledgerkit.palette import BLUE
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


@by_default
def bars(
    names: Sequence[str],
    values: Sequence[float],
    title: str,
    along: str,
    *,
    told: Sequence[str],
    span: float | None = None,
) -> Any:
    """Horizontal bars, the first on top; `told` stands at the end of each, `along` names the axis.

    `span` is the end of the axis; without it, it follows the longest bar.
    """
    figure, (axes,) = new_axes(title, 9, max(2.4, 0.21 * len(names) + 1.3))
    places = range(len(names))
    axes.barh(places, values, color=hexadecimal(BLUE), height=0.75)
    axes.set_yticks(places, [fitted(name) for name in names], fontsize=SMALL)
    as_written(axes.get_yticklabels())
    axes.set_ylim(len(names) - 0.4, -0.6)
    longest = span if span is not None else max([*values, 1e-9])
    axes.set_xlim(0, 1.14 * longest)
    axes.xaxis.get_major_locator().set_params(integer=span is None)
    axes.set_xlabel(fitted(along, LONGEST_LINE), parse_math=False)
    for place, value, text in zip(places, values, told, strict=True):
        axes.text(
            value + 0.008 * longest,
            place,
            fitted(text),
            va="center",
            fontsize=SMALL,
            color=INK,
            parse_math=False,
        )
    return figure
