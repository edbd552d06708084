"""Lines of lettering among small marks: captions, numbers, blocks of text.

Looks at shapes and their arrangement only; reads no letters. Grey or hair-thin letters, which the
level of a plate's figures leaves to the paper, are found by how much darker they are than the paper
right beside them (black top-hat: Soille, Morphological Image Analysis, 2003, 4.5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

LEAST_PIECES = 4
LEAST_ASPECT = 3.0
STROKE = 5
"""Greatest half width of a stroke in pixels, at a long side of 1536."""
DARKER = 6.0
"""Least difference in lightness (CIELAB L, 0..100) of a fine stroke to the paper beside it."""
LOWEST, FLATTEST, SPARSEST = 4, 35, 0.08
"""Of a line of fine strokes: least height in pixels at the same size, greatest ratio of width to height,
least share of its box that is strokes. What is lower, flatter or sparser was a frame, the edges of a
book's pages, or feathers, on the 24 scans of `docs/segments.md`.
"""
CLEAR = 8
"""Pixels, at the same size, that fine letters keep from the border of the sheet: shadows lie there."""


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


def find_fine_lines(
    light: NDArray[np.float32],
    free: NDArray[np.bool_],
    figures: Sequence[NDArray[np.bool_]],
    lines: Sequence[NDArray[np.bool_]],
    highest: float,
    scale: float,
) -> list[NDArray[np.bool_]]:
    """`lines` and what is found of finer ones, bool (h, w) each, from the top down.

    `light`: CIELAB L, float32 (h, w). `free`: where letters may be, bool (h, w). Looked for outside of
    the boxes of `figures` only, for inside of them fine strokes are feathers and hatching. A line of `lines` that a finer one touches
    becomes part of it. `scale`: long side by 1536.
    """
    import numpy as np
    from scipy import ndimage

    clear = max(1, round(CLEAR * scale))
    far = morphology.erode(np.pad(free, 1), clear + 1)[1:-1, 1:-1]
    for figure in figures:
        far[_box(figure)] = False
    known = np.logical_or.reduce([*lines, np.zeros_like(far)])
    fine = (far & (_top_hat(light, max(1, round(STROKE * scale))) > DARKER)) | known
    solid = morphology.closing(fine, max(1, round(3 * scale))) & (far | known)
    labels, count = morphology.label(solid)
    low = np.zeros(count + 1, dtype=bool)
    for index, (rows, _) in enumerate(ndimage.find_objects(labels), start=1):
        low[index] = rows.stop - rows.start <= highest
    found = [
        line
        for line in find_lines(low[labels] | known, fine, highest)
        if (line & known).any() or _of_letters(line & fine, LOWEST * scale)
    ]
    rest = ~np.logical_or.reduce([*found, np.zeros_like(far)])
    kept = [line for line in lines if (line & rest).any()]
    return sorted([*found, *kept], key=lambda line: [part.start for part in _box(line)])


def _top_hat(light: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """How much darker each pixel is than what surrounds a stroke up to twice `reach` wide, (h, w)."""
    import numpy as np
    from scipy import ndimage

    side = 2 * reach + 1
    around = ndimage.minimum_filter(ndimage.maximum_filter(light, side), side)
    return np.asarray(around - light, dtype=np.float32)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The least box around the pixels of a mask that has some."""
    import numpy as np
    from scipy import ndimage

    rows, columns = ndimage.find_objects(mask.astype(np.int8))[0]
    return rows, columns


def _of_letters(strokes: NDArray[np.bool_], lowest: float) -> bool:
    """Whether a line of fine strokes has the measures of letters, none of them half as long as all."""
    from scipy import ndimage

    inside = strokes[_box(strokes)]
    height, width = inside.shape
    boxes = ndimage.find_objects(morphology.label(inside)[0])
    longest = max(columns.stop - columns.start for _, columns in boxes)
    return (
        height >= lowest
        and width <= FLATTEST * height
        and bool(inside.mean() >= SPARSEST)
        and 2 * longest < width
    )
