"""How little a region changes when the level of a mark is moved.

The IoU of the region's mask at a stricter and at a laxer level, as the stability score of SAM
(Kirillov et al. 2023, B) with distances to the paper in place of logits. The levels are moved by
`OFFSET` both ways, the just noticeable difference of CIEDE76 (Mahy et al. 1994: 2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology
from ledgerkit.imaging.bridges import label_within
from ledgerkit.imaging.marks import Levels, fill_holes, grow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.paper import Paper

OFFSET = 2.3
MEASURED = ("figure", "lettering")


def stability(
    labels: NDArray[np.int32],
    kinds: tuple[str, ...],
    zones: NDArray[np.int32],
    paper: Paper,
    levels: Levels,
    sheet: NDArray[np.bool_],
    closing: int,
    hole: float,
) -> tuple[float | None, ...]:
    """For each kind of the label map its region's stability, 0..1; None for what is no mark.

    What the laxer level adds counts for every region that it hangs together with within its
    zone (`bridges.zones_of`), but for pixels that another region has.
    """
    import numpy as np

    strict, lax = (
        _solid(paper.distance, levels.moved(offset), sheet, closing, hole)
        for offset in (OFFSET, -OFFSET)
    )
    count = len(kinds)
    marked = np.array([kind in MEASURED for kind in kinds])
    kept = np.bincount(labels[strict], minlength=count)
    had = np.bincount(labels[lax | strict], minlength=count)
    parts, number = label_within(lax, zones)
    free = lax & ~marked[labels]
    added = np.bincount(parts[free], minlength=number + 1)
    pairs = np.unique(parts[lax].astype(np.int64) * count + labels[lax])
    gained = np.bincount(pairs % count, weights=added[pairs // count], minlength=count)
    return tuple(
        round(float(kept[index] / max(1.0, had[index] + gained[index])), 4) if is_mark else None
        for index, is_mark in enumerate(marked)
    )


def _solid(
    distance: NDArray[np.float32],
    levels: Levels,
    sheet: NDArray[np.bool_],
    closing: int,
    hole: float,
) -> NDArray[np.bool_]:
    mark = grow(distance, levels) & sheet
    return fill_holes(morphology.closing(mark, closing) & sheet, distance, hole)
