"""A table of shares as colours, from dark for none to bright for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkit.plotting.canvas import SMALL, as_written, by_default, fitted, new_axes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIGHT = 0.6
"""Share from which a number is written in black."""


@by_default
def heatmap(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    colours: str,
) -> Any:
    """`shares`, float64 (rows, columns), 0..1, with named rows and columns; `colours` names the bar.

    Colours: cividis, whose brightness alone tells values apart (Nunez, Anderton & Renslow 2018).
    """
    figure, (axes,) = new_axes(
        title, max(8, 0.36 * len(columns) + 4), max(4, 0.3 * len(rows) + 3.2)
    )
    image = axes.imshow(shares, aspect="auto", cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(
        range(len(columns)), [fitted(one) for one in columns], rotation=90, fontsize=SMALL
    )
    axes.set_yticks(range(len(rows)), [fitted(one) for one in rows], fontsize=SMALL)
    as_written([*axes.get_xticklabels(), *axes.get_yticklabels()])
    for row, column in zip(*shares.nonzero(), strict=True):
        value = float(shares[row, column])
        axes.text(
            column,
            row,
            f"{value:.2f}".removeprefix("0"),
            ha="center",
            va="center",
            fontsize=6,
            color="black" if value >= LIGHT else "white",
        )
    figure.colorbar(image, ax=axes, label=colours)
    return figure
