"""Regions cut out of a plate at full resolution: on white, on nothing, or with their surroundings.

Streams: neither the plate nor a crop has to be an array. Pixels are those of the source upright in
8-bit sRGB, or grey for a grey source; the box is exact. A mask covers its box by the rule of
`frame.py`, so a crop on white shows the very pixels that an export as COCO names.

Keeps out: which regions, names of files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.imaging.aside import at_random
from ledgerkit.imaging.decode import Limits, decode
from ledgerkit.imaging.encode import Encoding
from ledgerkit.imaging.geometry import upright
from ledgerkit.imaging.place import Box
from ledgerkit.imaging.vips import from_array, load_vips

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHITE, TRANSPARENT, CONTEXT = "white", "transparent", "context"
HELD = 256 << 20
"""Bytes of decoded pixels held in memory; above it they are put aside in an unnamed file."""
JPEG_SIDE = 65500


@contextmanager
def opened(file: BinaryIO) -> Iterator[Any]:
    """The plate in `file` upright, a pyvips image of 1 or 3 bands, decoded once; read in any order.

    Raises as `decode.decode` and `aside.at_random` do.
    """
    decoded = decode(file)
    limits = Limits(max_decode_bytes=HELD)
    with at_random(decoded.to_srgb(decoded.flat()), limits) as stored:
        yield upright(stored, decoded.header.orientation)


def cut_out(plate: Any, mask: NDArray[np.bool_], box: Box, background: str) -> Any:
    """The pyvips image of `box` of a plate, with what lies outside of `mask`, bool (h, w), as
    `background` says; `transparent` adds a band of alpha, 0 or 255.
    """
    x0, y0, x1, y1 = box
    pixels = plate.crop(x0, y0, x1 - x0, y1 - y0)
    if background == CONTEXT:
        return pixels
    inside = _enlarged(mask, x1 - x0, y1 - y0)
    if background == TRANSPARENT:
        return pixels.bandjoin(inside)
    return inside.ifthenelse(pixels, [255] * pixels.bands).copy(
        interpretation=pixels.interpretation
    )


def _enlarged(mask: NDArray[np.bool_], width: int, height: int) -> Any:
    """A mask as a pyvips image of `width` x `height`, 0 or 255, computed as it is read."""
    import numpy as np

    grid = from_array((mask[:, :, None] * np.uint8(255)).astype(np.uint8))
    pyvips = load_vips()
    index = pyvips.Image.xyz(width, height).cast("double") * 2 + 1
    index = (index * [mask.shape[1], mask.shape[0]] / [2 * width, 2 * height]).floor()
    return grid.mapim(index, interpolate=pyvips.Interpolate.new("nearest"))


def encoding(background: str, box: Box) -> Encoding:
    """How a crop is written: PNG where alpha or its size asks for it, else JPEG of quality 90."""
    x0, y0, x1, y1 = box
    as_jpeg = background != TRANSPARENT and max(x1 - x0, y1 - y0) <= JPEG_SIDE
    return Encoding("jpeg" if as_jpeg else "png", 90)
