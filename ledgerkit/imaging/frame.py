"""A mask over its box laid into the whole frame as run lengths, without an array of the frame.

A source pixel of the box takes the value of the grid cell in which its centre lies: column x of
`across` is column floor((2x + 1) * width / (2 * across)) of a grid `width` cells wide, rows alike.
Integers only, so that everybody who follows the rule gets the same pixels.

Keeps out: records, formats of files.
Source: run lengths as in COCO (Lin et al. 2014), column by column, background first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.imaging.place import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def cells(length: int, grid: int) -> NDArray[np.int64]:
    """Cell of a grid of `grid` cells for each of `length` pixels over the same span, int64 (length,)."""
    import numpy as np

    return (2 * np.arange(length, dtype=np.int64) + 1) * grid // (2 * length)


def first_pixels(length: int, grid: int) -> NDArray[np.int64]:
    """First pixel of each cell and the end of the last, int64 (grid + 1,): the inverse of `cells`."""
    import numpy as np

    edges = np.arange(grid + 1, dtype=np.int64)
    return np.clip(-((grid - 2 * length * edges) // (2 * grid)), 0, length)


def spread(mask: NDArray[np.bool_], box: Box, width: int, height: int) -> NDArray[np.int64]:
    """Run lengths of `mask`, bool (h, w), over `box` in a frame of `width` x `height`: int64 (n,).

    They add up to width * height and none but the first is 0. Memory grows with the outline of the
    mask times the enlargement, never with the frame.
    """
    import numpy as np

    x0, y0, x1, y1 = box
    column, begins, ends = _column_runs(mask)
    each = np.bincount(column, minlength=mask.shape[1])
    first = np.cumsum(each) - each
    taken = cells(x1 - x0, mask.shape[1])
    count = each[taken]
    run = np.repeat(first[taken] - (np.cumsum(count) - count), count) + np.arange(count.sum())
    corner = np.repeat(np.arange(x0, x1, dtype=np.int64) * height + y0, count)
    rows = first_pixels(y1 - y0, mask.shape[0])
    starts, stops = corner + rows[begins[run]], corner + rows[ends[run]]
    seen = stops > starts  # a box smaller than its grid can leave a run without a pixel
    return _counts(starts[seen], stops[seen], width * height)


def _column_runs(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Column, first row and row behind the last of each vertical run, from left to right."""
    import numpy as np

    padded = np.zeros((mask.shape[1], mask.shape[0] + 2), dtype=np.int8)
    padded[:, 1:-1] = mask.T
    steps = np.diff(padded, axis=1)
    column, begins = np.nonzero(steps == 1)
    return column, begins, np.nonzero(steps == -1)[1]


def _counts(starts: NDArray[np.int64], stops: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Alternating lengths of background and mask, runs that touch joined."""
    import numpy as np

    if starts.size == 0:
        return np.array([total], dtype=np.int64)
    apart = starts[1:] != stops[:-1]
    starts = starts[np.concatenate(([True], apart))]
    stops = stops[np.concatenate((apart, [True]))]
    edges = np.stack((starts, stops), axis=1).ravel()
    counts = np.diff(np.concatenate(([0], edges, [total])))
    return counts if counts[-1] else counts[:-1]
