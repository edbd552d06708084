"""Where things go on a sheet: nothing touches, and a gap is kept round everything.

Works on a coarse grid of cells, each taken if any of its pixels is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Layout:
    """The free room of a sheet of (height, width) pixels inside a box."""

    def __init__(self, size: tuple[int, int], box: tuple[int, int, int, int], gap: float) -> None:
        """`gap` is the least distance in pixels between any two things placed."""
        self.step = max(1, round(max(size) / 200))
        rows, columns = -(-size[0] // self.step), -(-size[1] // self.step)
        left, top, right, bottom = (value / self.step for value in box)
        self.outside = np.ones((rows, columns), bool)
        self.outside[int(np.ceil(top)) : int(bottom), int(np.ceil(left)) : int(right)] = False
        self.taken = np.zeros((rows, columns), bool)
        # Two cells more than the gap: a pixel may lie anywhere in its cell, at either end.
        reach = int(np.ceil(gap / self.step)) + 2
        down = np.minimum(np.arange(rows), rows - np.arange(rows))[:, None]
        across = np.minimum(np.arange(columns), columns - np.arange(columns))[None, :]
        self._disc = np.fft.rfft2(down**2 + across**2 <= reach**2)
        self._blocked = np.fft.rfft2(self.outside)

    def place(self, mask: Mask, target: tuple[float, float]) -> tuple[int, int] | None:
        """Take the free place nearest to `target` and return its upper left pixel (x, y).

        `mask` is bool (height, width); `target` the wanted centre (x, y) in pixels. None where
        the thing fits nowhere.
        """
        thing = self._cells(mask)
        at = self._free(thing, (target[0] / self.step, target[1] / self.step))
        if at is None:
            return None
        row, column = at
        self._take(thing, row, column)
        return column * self.step, row * self.step

    def fits(self, mask: Mask) -> bool:
        """True where the thing has some free place."""
        return self._free(self._cells(mask), (0.0, 0.0)) is not None

    def _cells(self, mask: Mask) -> Mask:
        rows, columns = (-(-length // self.step) for length in mask.shape)
        padded = np.zeros((rows * self.step, columns * self.step), bool)
        padded[: mask.shape[0], : mask.shape[1]] = mask
        blocks = padded.reshape(rows, self.step, columns, self.step)
        return np.asarray(blocks.any(axis=(1, 3)), bool)

    def _take(self, thing: Mask, row: int, column: int) -> None:
        self.taken[row : row + thing.shape[0], column : column + thing.shape[1]] |= thing
        near = np.fft.irfft2(np.fft.rfft2(self.taken) * self._disc, self.taken.shape) > 0.5
        self._blocked = np.fft.rfft2(near | self.outside)

    def _free(self, thing: Mask, target: tuple[float, float]) -> tuple[int, int] | None:
        """Row and column of the free place whose middle is nearest to `target` (x, y), in cells."""
        rows, columns = thing.shape
        if rows > self.taken.shape[0] or columns > self.taken.shape[1]:
            return None
        # Places that would wrap round the sheet are cut off, so no padding is needed.
        spectrum = np.conj(np.fft.rfft2(thing, self.taken.shape))
        hits = np.fft.irfft2(self._blocked * spectrum, self.taken.shape)
        free = hits[: self.taken.shape[0] - rows + 1, : self.taken.shape[1] - columns + 1] < 0.5
        at = np.argwhere(free)
        if not len(at):
            return None
        middle = at + np.array([rows, columns]) / 2
        away = (middle[:, 0] - target[1]) ** 2 + (middle[:, 1] - target[0]) ** 2
        best = at[int(np.argmin(away))]
        return int(best[0]), int(best[1])


def targets(
    count: int, box: tuple[float, float, float, float], aspect: float
) -> Sequence[tuple[float, float, float, float]]:
    """`count` cells (x, y, width, height) in a box, arranged to suit things of one aspect.

    `aspect` is width to height; x and y are the centre of the cell.
    """
    left, top, right, bottom = box

    def misfit(columns: int) -> float:
        rows = -(-count // columns)
        shape = ((right - left) / columns) / ((bottom - top) / rows)
        return abs(float(np.log(shape / aspect))) + 0.15 * (rows * columns - count)

    columns = min(range(1, count + 1), key=misfit)
    rows = -(-count // columns)
    height = (bottom - top) / rows
    cells = []
    for row in range(rows):
        here = count // rows + (1 if row < count % rows else 0)
        width = (right - left) / here
        for column in range(here):
            cells.append((left + width * (column + 0.5), top + height * (row + 0.5), width, height))
    return cells
