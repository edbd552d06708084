"""Distributions side by side, one for each group, all on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkit.palette import BLUE, SKY, VERMILION
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST = 5
"""Values from which a density is drawn; of fewer every one is a dot."""


@by_default
def violins(
    groups: Sequence[tuple[str, NDArray[np.float64]]],
    title: str,
    along: str,
    across: str,
    *,
    span: tuple[float, float],
    line: tuple[str, float] | None = None,
) -> Any:
    """Groups from left to right: density, quartiles and median; `line` is drawn through all.

    `across` names the axis of the groups, `along` that of the values, which goes over `span`.
    """
    import numpy as np

    figure, (axes,) = new_axes(title, max(6, 0.36 * len(groups) + 2.5), 5)
    for place, (_, values) in enumerate(groups):
        if len(values) >= FEWEST and float(np.ptp(values)) > 1e-6:
            drawn = axes.violinplot([values], [place], widths=0.85, showextrema=False)
            for body in drawn["bodies"]:
                body.set(facecolor=hexadecimal(SKY), edgecolor=hexadecimal(BLUE), alpha=0.9)
            low, high = np.percentile(values, (25, 75))
            axes.plot([place, place], [low, high], color=INK, linewidth=3, solid_capstyle="butt")
        else:
            axes.plot([place] * len(values), values, ".", color=hexadecimal(BLUE), markersize=5)
        middle = float(np.median(values))
        axes.plot([place], [middle], "o", color="white", markeredgecolor=INK, markersize=5)
    if line is not None:
        name, height = line
        axes.axhline(height, color=hexadecimal(VERMILION), linestyle="--", lw=1.5, label=name)
        legend = figure.legend(loc="outside lower center", frameon=False, fontsize=SMALL)
        as_written(legend.get_texts())
    axes.axhline(0, color=INK, linewidth=0.6, zorder=0)
    names = [fitted(name) for name, _ in groups]
    axes.set_xticks(range(len(groups)), names, rotation=90, fontsize=SMALL)
    as_written(axes.get_xticklabels())
    axes.set_xlim(-0.7, len(groups) - 0.3)
    axes.set_ylim(*span)
    axes.set_xlabel(fitted(across, LONGEST_LINE), parse_math=False)
    axes.set_ylabel(fitted(along, LONGEST_LINE), parse_math=False)
    return figure
