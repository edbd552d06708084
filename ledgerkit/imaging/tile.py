"""Cut an image into tiles in one pass from top to bottom, whatever its orientation.

Only one band of tiles is held at a time: width x tile height x bands bytes. For a turned image the
bands run along the stored rows, and each tile is turned for itself.

Keeps out: the grid (`geometry.py`), encoding, names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging import geometry
from ledgerkit.imaging.geometry import Box, GridTile
from ledgerkit.imaging.vips import from_array, strip_rows, strips

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def cut(image: Any, tiles: Iterable[GridTile], orientation: int) -> Iterator[tuple[GridTile, Any]]:
    """Each tile with its upright pixels (a pyvips image), in the order of the stored rows.

    `image` is a pyvips image in stored orientation that may be read once, top to bottom. A yielded
    image has pixels of its own. Raises `UnreadableImage` where broken.
    """
    width, height = image.width, image.height
    placed = [(geometry.to_stored(tile.box, width, height, orientation), tile) for tile in tiles]
    placed.sort(key=lambda pair: (pair[0].y0, pair[0].x0))
    window = _Window(image)
    for box, tile in placed:
        pixels = window.rows(box)
        yield tile, geometry.upright(from_array(pixels), orientation)


class _Window:
    """The rows of a stream that are still needed; rows above the last asked box are let go."""

    def __init__(self, image: Any) -> None:
        self._strips = strips(image, strip_rows(image.width, 1 << 20))
        self._parts: list[tuple[int, NDArray[np.generic]]] = []
        self._end = 0

    def rows(self, box: Box) -> NDArray[np.generic]:
        """The pixels of `box` as an array of their own; boxes must come sorted by their top."""
        import numpy as np

        self._parts = [part for part in self._parts if part[0] + len(part[1]) > box.y0]
        while self._end < box.y1:
            strip = next(self._strips)
            self._parts.append((self._end, strip))
            self._end += len(strip)
        pieces = []
        for top, strip in self._parts:
            first, last = max(box.y0 - top, 0), min(box.y1 - top, len(strip))
            if first < last:
                pieces.append(strip[first:last, box.x0 : box.x1])
        return np.concatenate(pieces)
