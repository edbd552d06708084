"""How far the pixels of two image files lie apart, in a stream.

Samples are compared as they are stored: in stored orientation, colour space and depth, alpha
included, as `pixels.py` digests them.

Keeps out: which difference is tolerable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from ledgerkit.imaging.decode import DEFAULT_LIMITS, Limits, decode
from ledgerkit.imaging.vips import strip_rows, strips


@dataclass(frozen=True, slots=True)
class PixelDifference:
    """The greatest difference of a sample, and where it is.

    `maximum` is in units of the stored samples (0..255 or 0..65535), 0 for equal pixels and None
    when the images have no samples in common, for another size, number of bands or type; `message`
    says in words what there is.
    """

    maximum: float | None
    message: str


def pixel_difference(
    first: BinaryIO, second: BinaryIO, *, limits: Limits = DEFAULT_LIMITS
) -> PixelDifference:
    """Compare page 0 of two open image files, strip by strip.

    Raises `UnreadableImage` and `LimitExceeded` as `decode.decode` does.
    """
    import numpy as np

    one, other = decode(first, limits=limits).image, decode(second, limits=limits).image
    shapes = [
        f"{image.width} x {image.height} x {image.bands} {image.format}" for image in (one, other)
    ]
    if shapes[0] != shapes[1]:
        return PixelDifference(None, f"{shapes[0]} recorded, {shapes[1]} now")
    maximum, place, top = 0, (0, 0, 0), 0
    rows = strip_rows(one.width)
    for old, new in zip(strips(one, rows), strips(other, rows), strict=True):
        apart = np.abs(old.astype(np.int32) - new.astype(np.int32))
        if int(apart.max()) > maximum:
            maximum = int(apart.max())
            row, column, band = np.unravel_index(int(apart.argmax()), apart.shape)
            place = (int(column), top + int(row), int(band))
        top += len(old)
    if not maximum:
        return PixelDifference(0.0, "all samples are equal")
    message = f"by {maximum} at most, first at x {place[0]}, y {place[1]}, band {place[2]}"
    return PixelDifference(float(maximum), message)
