"""Shrink a stream of pixels to an exact size.

libvips shrinks by whole boxes, then reduces by Lanczos 3, on encoded values, with pixel centres
kept: centre i of the result lies at (i + 0.5) * source / size of the source. Nothing is enlarged.

Keeps out: which size (`geometry.py`), colours.
Source: libvips, `vips_resize`; Turkowski, "Filters for common resampling tasks" (1990).
"""

from __future__ import annotations

from typing import Any


def resize(image: Any, width: int, height: int) -> Any:
    """A pyvips image to exactly `width` x `height` pixels; the image itself when it has that size.

    Raises `ValueError` when either side would grow.
    """
    if (image.width, image.height) == (width, height):
        return image
    if width > image.width or height > image.height:
        raise ValueError(f"expected at most {image.width} x {image.height}, got {width} x {height}")
    small = image.resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    if (small.width, small.height) != (width, height):
        small = small.crop(0, 0, min(width, small.width), min(height, small.height))
        small = small.gravity("north-west", width, height, extend="copy")
    return small
