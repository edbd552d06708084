"""Ruled lines along the border of a sheet: printed frames, plate marks, the shadow of a gutter.

Looks for long straight thin runs near the border, and at nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RulingRule:
    """What counts as a ruled line; shares of the sheet's longer side unless said."""

    margin: float = 0.12
    """Depth of the border in which lines are looked for."""
    thickness: float = 0.005
    """Greatest thickness."""
    run: float = 0.03
    """Least length of an unbroken run."""
    gap: float = 0.06
    """Greatest gap between the runs of one line."""
    length: float = 0.12
    """Least length of a line, as a share of the sheet's side along it."""
    skew: float = 0.012
    """Greatest distance of a line's ends from being level."""


def ruled_lines(mark: Mask, sheet: Mask, rule: RulingRule) -> Mask:
    """Pixels of `mark` on ruled lines of the sheet, all bool (h, w).

    What crosses a line goes with it, for as long as the line is thick.
    """
    import numpy as np

    rows, columns = np.flatnonzero(sheet.any(axis=1)), np.flatnonzero(sheet.any(axis=0))
    found = np.zeros_like(mark)
    if rows.size < 32 or columns.size < 32:
        return found
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = mark[box]
    found[box] = _level(inside, rule, max(inside.shape))
    found[box] |= _level(inside.T, rule, max(inside.shape)).T
    return found


def _level(mark: Mask, rule: RulingRule, longest: int) -> Mask:
    """Pixels on lines along the second axis, near the first and last rows."""
    import numpy as np
    from scipy import ndimage

    margin = round(rule.margin * longest)
    thick = max(1, round(rule.thickness * longest))
    near = mark.copy()
    near[margin : max(margin, len(mark) - margin)] = False
    thin = near & ~_opened(near, 0, thick + 1)
    runs = _opened(thin, 1, max(3, round(rule.run * longest)))
    bridged = ndimage.maximum_filter1d(
        morphology.dilate(runs, 1).view(np.uint8), 2 * round(rule.gap * longest / 2) + 1, axis=1
    ).astype(bool)
    labels, _ = morphology.label(bridged)
    line = np.zeros_like(mark)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        own = runs[box] & (labels[box] == number)
        across = np.flatnonzero(own.any(axis=0))
        down = np.flatnonzero(own.any(axis=1))
        if not across.size or down[-1] - down[0] > rule.skew * longest:
            continue
        if across[-1] - across[0] >= rule.length * mark.shape[1]:
            line[box] |= own
    return line & mark


def _opened(mask: Mask, axis: int, length: int) -> Mask:
    """Pixels on runs of at least `length` along `axis`."""
    import numpy as np
    from scipy import ndimage

    kept = ndimage.minimum_filter1d(
        mask.view(np.uint8), length, axis=axis, mode="constant", origin=0
    )
    back = -1 if length % 2 == 0 else 0
    return np.asarray(
        ndimage.maximum_filter1d(kept, length, axis=axis, mode="constant", origin=back), dtype=bool
    )
