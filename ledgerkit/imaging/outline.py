"""Masks as polygons: outlines with holes, in continuous grid coordinates, and fewer vertices.

Outlines run through the middle between the centres of a pixel inside and its neighbour outside, so
straight edges lie exactly on pixel edges and each corner is cut by a triangle of 1/8 pixel. Rings
never cross or touch, and the area is that of the mask less half a pixel for each exterior and plus
half a pixel for each hole. Pixels that meet at a corner only are apart.

Keeps out: files, source coordinates beyond a scale.
Source: marching squares (contourpy); Douglas & Peucker 1973 (scikit-image) for fewer vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging.place import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ring = NDArray[np.float64]

MOST_VERTICES = 500
"""Vertices of one path above which viewers of annotations become slow."""


def outlines(mask: NDArray[np.bool_]) -> list[list[Ring]]:
    """The polygons of `mask`, bool (h, w): each its exterior ring, then its holes.

    A ring is float64 (n, 2) of x in 0..w and y in 0..h, its last point the first again, without
    points on a straight line between their neighbours. With x and y as they are written the sum of
    `ring_area` is positive for exteriors and negative for holes.
    """
    import numpy as np
    from contourpy import FillType, contour_generator

    height, width = mask.shape
    generator = contour_generator(
        np.arange(-1, width + 1) + 0.5,
        np.arange(-1, height + 1) + 0.5,
        np.pad(mask, 1).astype(np.float64),
        name="serial",
        fill_type=FillType.OuterOffset,
    )
    found: Any = generator.filled(0.5, 2.0)  # its type depends on fill_type
    points, offsets = found
    return [
        [_without_straight(ring) for ring in np.split(part, place[1:-1].astype(np.int64))]
        for part, place in zip(points, offsets, strict=True)
    ]


def _without_straight(ring: Ring) -> Ring:
    import numpy as np

    around = ring[:-1]
    before, after = np.roll(around, 1, axis=0), np.roll(around, -1, axis=0)
    one, two = around - before, after - around
    turns = around[one[:, 0] * two[:, 1] != one[:, 1] * two[:, 0]]
    return np.concatenate((turns, turns[:1]))


def ring_area(ring: Ring) -> float:
    """Signed area of a closed ring (n, 2), by the shoelace formula: half of sum(x_i * y_i+1 - ...)."""
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def placed(ring: Ring, box: Box, width: int, height: int) -> Ring:
    """A ring over a grid of `width` x `height` that spans `box`, in the coordinates of the box."""
    import numpy as np

    x0, y0, x1, y1 = box
    scale = np.array(((x1 - x0) / width, (y1 - y0) / height))
    moved: Ring = ring * scale + np.array((x0, y0), dtype=np.float64)
    return moved


def simplified(rings: Sequence[Ring], most: int = MOST_VERTICES) -> list[Ring]:
    """The rings with at most `most` (4 or more) vertices together, the largest first.

    As they are where they are few enough. Else by Douglas and Peucker with a tolerance that doubles;
    rings that shrink to a line are left out. Holes stay holes in an even-odd filling.
    """
    import numpy as np
    from skimage import measure

    approximate: Any = measure.approximate_polygon
    kept = sorted(rings, key=lambda ring: -abs(ring_area(ring)))
    if _vertices(kept) > most:
        del kept[most // 3 :]  # each needs three vertices
    # A smaller one would be in vain: sides are then shorter than they can be on average.
    tolerance = max(0.5, sum(map(_length, kept)) / (16 * most))
    while kept and _vertices(kept) > most:
        fewer = [approximate(ring, tolerance) for ring in kept]
        fewer = [ring for ring in fewer if len(ring) > 3]
        if not fewer:  # nothing but specks: as many as there is room for
            break
        kept, tolerance = fewer, tolerance * 2
    chosen: list[Ring] = []
    for ring in kept:
        if _vertices([*chosen, ring]) <= most:
            chosen.append(ring)
    if chosen or not rings:
        return chosen
    points = np.concatenate(list(rings))
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    return [np.array(corners, dtype=np.float64)]


def _length(ring: Ring) -> float:
    import numpy as np

    return float(np.hypot(*np.diff(ring, axis=0).T).sum())


def _vertices(rings: Sequence[Ring]) -> int:
    return sum(len(ring) - 1 for ring in rings)
