"""Which rows were put together how often: a square of shares, ordered by cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit.plotting.canvas import LONGEST_LINE, SMALL, by_default, fitted, new_axes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROOM = 0.024
"""Share of the side that a block has at least to get its number: below, numbers would touch."""
MOST_LINES = 60
"""Clusters up to which lines are drawn between them."""


@by_default
def together(
    shares: NDArray[np.float64], numbers: NDArray[np.int64], title: str, colours: str, along: str
) -> Any:
    """`shares`, float64 (m, m), 0..1, NaN for none (grey); `numbers`, int64 (m,), -1 for no cluster.

    Rows of one cluster lie side by side. A number stands beside its block where it has the room.
    """
    import matplotlib as mpl
    import numpy as np

    figure, (axes,) = new_axes(title, 9, 8)
    palette = mpl.colormaps["cividis"].with_extremes(bad="#b8b8b8")
    image = axes.imshow(shares, cmap=palette, vmin=0, vmax=1, interpolation="nearest")
    changes = np.flatnonzero(np.diff(numbers)) + 1
    starts = np.concatenate([[0], changes])
    ends = np.concatenate([changes, [len(numbers)]])
    wide = ends - starts >= ROOM * len(numbers)
    middles = (starts + ends - 1) / 2
    names = ["none" if number < 0 else str(number) for number in numbers[starts].tolist()]
    kept = [(at, name) for at, name, room in zip(middles, names, wide, strict=True) if room]
    places, said = [at for at, _ in kept], [name for _, name in kept]
    axes.set_yticks(places, said, fontsize=SMALL)
    axes.set_xticks(places, said, fontsize=SMALL, rotation=90)
    axes.tick_params(length=2)
    if len(starts) <= MOST_LINES:
        for change in changes:
            axes.axhline(change - 0.5, color="white", linewidth=0.5)
            axes.axvline(change - 0.5, color="white", linewidth=0.5)
    axes.set_xlabel(fitted(along, 100), fontsize=SMALL, parse_math=False)
    figure.colorbar(image, ax=axes, label=fitted(colours, LONGEST_LINE), shrink=0.8)
    return figure
