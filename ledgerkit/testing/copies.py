"""Near copies of a picture, as they come about in archives: five of each, made in memory.

Resized to 25 %, encoded again at quality 40, cropped to 90 % of each side, turned by one degree on
white, and given a yellow cast. Each is encoded as JPEG as a whole file.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = 90
CAST = (1.06, 1.0, 0.84)
"""Factors of red, green and blue, as of a lamp that is too warm."""
KEPT = 0.9
PLACES = ((0.17, 0.81), (0.62, 0.29), (0.91, 0.66), (0.33, 0.12), (0.74, 0.94), (0.08, 0.43))
"""Where the crops of successive pictures lie, none at a window that is hashed: the share of what is
cut off that is cut off left and above.
"""


def copies(image: Image, number: int) -> dict[str, bytes]:
    """JPEG files by the name of what was done to an RGB image; `number` chooses the place of the
    crop.
    """
    return {name: make(image, number) for name, make in MADE.items()}


def _resized(image: Image, _: int) -> bytes:
    from PIL.Image import Resampling

    size = max(1, image.width // 4), max(1, image.height // 4)
    return encoded(image.resize(size, Resampling.LANCZOS))


def _reencoded(image: Image, _: int) -> bytes:
    return encoded(image, 40)


def _cropped(image: Image, number: int) -> bytes:
    left, above = PLACES[number % len(PLACES)]
    width, height = round(image.width * KEPT), round(image.height * KEPT)
    x, y = round((image.width - width) * left), round((image.height - height) * above)
    return encoded(image.crop((x, y, x + width, y + height)))


def _turned(image: Image, _: int) -> bytes:
    from PIL.Image import Resampling

    return encoded(image.rotate(1.0, Resampling.BICUBIC, fillcolor=(255, 255, 255)))


def _cast(image: Image, _: int) -> bytes:
    levels = [min(255, round(level * factor)) for factor in CAST for level in range(256)]
    return encoded(image.point(levels))


def encoded(image: Image, quality: int = QUALITY) -> bytes:
    """An image as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


MADE: dict[str, Callable[[Image, int], bytes]] = {
    "resized": _resized,
    "re-encoded": _reencoded,
    "cropped": _cropped,
    "rotated": _turned,
    "colour cast": _cast,
}
