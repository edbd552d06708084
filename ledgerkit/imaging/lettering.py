"""Lines of lettering among small marks: captions, numbers, blocks of text.

Looks at shapes and their arrangement only; reads no letters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_PIECES = 4
LEAST_ASPECT = 3.0


def find_lines(
    low: NDArray[np.bool_], mark: NDArray[np.bool_], highest: float
) -> list[NDArray[np.bool_]]:
    """Masks bool (h, w) of the lines of lettering, from the top down.

    `low`: bool (h, w), the closed components no higher than `highest` pixels. `mark`: bool (h, w),
    the same before closing, where letters are still apart. Marks whose gap is less than `highest`
    lie on one line; it is lettering when it is at least three times as wide as high and of at least
    four pieces.
    """
    import numpy as np
    from scipy import ndimage

    reach = max(1, round(highest / 2))
    joined = ndimage.maximum_filter1d(
        low.view(np.uint8), 2 * reach + 1, axis=1, mode="constant"
    ).astype(bool)
    groups, count = morphology.label(joined)
    groups[~low] = 0
    pieces, _ = morphology.label(mark & low)
    lines = []
    for index, box in enumerate(ndimage.find_objects(groups, max_label=count), start=1):
        if box is None:
            continue
        height, width = (part.stop - part.start for part in box)
        if height > 2.7 * highest or width < LEAST_ASPECT * height:
            continue
        within = groups[box] == index
        if np.unique(pieces[box][within & mark[box]]).size < LEAST_PIECES:
            continue
        line = np.zeros(low.shape, dtype=bool)
        line[box] = within
        lines.append((box[0].start, box[1].start, line))
    return [line for _, _, line in sorted(lines, key=lambda entry: entry[:2])]
