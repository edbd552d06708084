"""Exact geometry in integers: orientations, target sizes, grids of tiles, boxes and affine maps.

One frame holds for everything that is stored: pixels of the oriented source, x to the right, y
down, boxes half open [x0, y0, x1, y1). Pixel i covers the interval [i, i + 1), its centre is
i + 0.5; affine maps work on these continuous coordinates.

Keeps out: pixels.
Source: EXIF 2.32, section 4.6.4 (orientation 1..8).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ledgerkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels, half open."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


@dataclass(frozen=True, slots=True)
class GridTile:
    """One tile: `box` with its halo, `core` the part that no other tile has as its core."""

    column: int
    row: int
    box: Box
    core: Box


def oriented_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height after an EXIF orientation is applied."""
    return (height, width) if orientation >= 5 else (width, height)


def to_stored(box: Box, width: int, height: int, orientation: int) -> Box:
    """The stored pixels that an oriented `box` shows, of an image stored `width` x `height`."""
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    if orientation >= 5:
        x0, y0, x1, y1 = y0, x0, y1, x1
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    return Box(x0, y0, x1, y1)


def upright(image: Any, orientation: int) -> Any:
    """A pyvips image turned upright. Only orientations 1 and 2 stream from top to bottom."""
    if orientation == 2:
        return image.fliphor()
    if orientation == 3:
        return image.rot180()
    if orientation == 4:
        return image.flipver()
    if orientation == 5:
        return image.rot90().fliphor()
    if orientation == 6:
        return image.rot90()
    if orientation == 7:
        return image.rot270().fliphor()
    if orientation == 8:
        return image.rot270()
    return image


def fit_long_side(width: int, height: int, long_side: int) -> tuple[int, int]:
    """The size whose long side is `long_side`, the other rounded half up; never larger, never 0."""
    longest = max(width, height)
    if longest <= long_side:
        return width, height
    across = max(1, (2 * width * long_side + longest) // (2 * longest))
    down = max(1, (2 * height * long_side + longest) // (2 * longest))
    return across, down


def fit_pixels(width: int, height: int, pixels: int) -> tuple[int, int]:
    """The largest size of this shape with at most `pixels` pixels; never larger, never 0.

    Both sides are rounded down, so that the budget holds; a side of less than 1 is 1.
    """
    if width * height <= pixels:
        return width, height
    across = max(1, min(pixels, math.isqrt(pixels * width // height)))
    down = max(1, min(height, height * across // width, pixels // across))
    return min(width, across), down


def affine(box: Box, width: int, height: int) -> list[float]:
    """a, b, c, d, e, f of the map to the source from a `width` x `height` image of `box`."""
    return [box.width / width, 0.0, float(box.x0), 0.0, box.height / height, float(box.y0)]


def grid(width: int, height: int, size: int, overlap: int) -> list[GridTile]:
    """Tiles of `size` pixels that share `overlap` with their neighbours, row by row.

    The last column and row are moved back so that they end with the image and have full size; they
    overlap their neighbours by more. An image that is smaller than a tile has one tile of its size.
    Cores meet in the middle of each overlap and divide the image exactly. Raises `UsageError`
    unless 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise UsageError(f"expected 0 <= tile_overlap < tile_size, got {overlap} and {size}")
    across, down = _spans(width, size, overlap), _spans(height, size, overlap)
    tiles = []
    for row, (y0, y1, top, bottom) in enumerate(down):
        for column, (x0, x1, left, right) in enumerate(across):
            core = Box(left, top, right, bottom)
            tiles.append(GridTile(column, row, Box(x0, y0, x1, y1), core))
    return tiles


def _spans(length: int, size: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Start, end, and start and end of the core, of each tile along one axis."""
    if length <= size:
        return [(0, length, 0, length)]
    step = size - overlap
    count = -(-(length - overlap) // step)
    starts = [min(index * step, length - size) for index in range(count)]
    middles = [(following + start + size) // 2 for start, following in pairwise(starts)]
    cuts = [0, *middles, length]
    return [
        (start, start + size, cuts[index], cuts[index + 1]) for index, start in enumerate(starts)
    ]


def tile_id(plate_id: str, source_sha256: str, box: Box, width: int, height: int) -> str:
    """The identity of an image of a plate: `tile-` and 20 hex digits from what it shows."""
    from ledgerkit.canonical import canonical_bytes

    parts = [plate_id, source_sha256, box.x0, box.y0, box.x1, box.y1, width, height]
    return "tile-" + hashlib.sha256(canonical_bytes(parts)).hexdigest()[:20]
