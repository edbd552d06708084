"""What a descriptor looks at: the figures of a plate, a tile or one region, laid on even paper;
and what a learned model is shown of a region.

Cropped to what is not paper, captions and dark surround painted over, brought to a square. So that
layout, paper tone and lettering do not decide what is like what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging import rle
from ledgerkit.imaging.lab import to_lab, to_rgb
from ledgerkit.imaging.place import Box, box_of, to_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.regions import Scene

GREY = 128
"""Of samples 0..255: what lies around a region that is shown alone to a learned model."""
DESCRIBED = ("figure", "part")
"""Kinds of segments that get a vector: paper, surround and lettering get none."""

MARGIN = 4
"""Pixels of paper left on each side of the longer side of the square."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A square picture of something, and where in it that something is."""

    pixels: NDArray[np.uint8]
    """sRGB, uint8 (side, side, 3)."""
    cover: NDArray[np.float32]
    """How far each pixel belongs to the subject, float32 (side, side), 0..1."""


def figures_of(rgb: NDArray[np.uint8], scene: Scene, side: int) -> Subject:
    """The figures of a plate, uint8 (h, w, 3), whose scene was cut at the same or a smaller size.

    Where the scene has no figure the sheet as a whole is the subject; where it has no paper, the
    sheet is the figure and keeps its own pixels.
    """
    import numpy as np

    kinds = np.array(scene.kinds)
    rows = np.arange(rgb.shape[0]) * scene.labels.shape[0] // rgb.shape[0]
    columns = np.arange(rgb.shape[1]) * scene.labels.shape[1] // rgb.shape[1]
    figure = (kinds == "figure")[scene.labels][rows[:, None], columns]
    if not figure.any():
        figure = (kinds == "paper")[scene.labels][rows[:, None], columns]
    if not figure.any():
        figure = np.ones(rgb.shape[:2], dtype=bool)
    return lay_out(rgb, figure, scene.paper.lab, side)


def marks_of(
    rgb: NDArray[np.uint8], paper_lab: tuple[float, float, float], threshold: float, side: int
) -> Subject:
    """What is off the paper's colour on a tile, uint8 (h, w, 3), by the paper of its plate.

    The frame of the tile stays as it is: where a mark lies on a tile is part of what the tile
    shows.
    """
    import numpy as np

    distance = np.linalg.norm(to_lab(rgb) - np.array(paper_lab, dtype=np.float32), axis=-1)
    mark = distance > threshold
    mark = mark if mark.any() else np.ones_like(mark)
    return lay_out(rgb, mark, paper_lab, side, crop=False)


def lay_out(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    paper_lab: tuple[float, float, float],
    side: int,
    *,
    crop: bool = True,
) -> Subject:
    """`mask`, bool (h, w) with at least one True, cut out of `rgb` and laid on paper in a
    square.
    """
    import numpy as np
    from PIL import Image

    colour = to_rgb(np.array(paper_lab))
    clean = np.where(mask[..., None], rgb, colour)
    if crop:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        clean, mask = clean[box], mask[box]
    height, width = mask.shape
    scale = (side - 2 * MARGIN) / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    place = (side - size[0]) // 2, (side - size[1]) // 2
    picture = Image.new("RGB", (side, side), (int(colour[0]), int(colour[1]), int(colour[2])))
    picture.paste(Image.fromarray(clean).resize(size, Image.Resampling.LANCZOS), place)
    cover = Image.new("L", (side, side), 0)
    cover.paste(
        Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX), place
    )
    return Subject(np.asarray(picture), np.asarray(cover, dtype=np.float32) / np.float32(255))


def mask_in(segment: Mapping[str, Any], box: Box) -> NDArray[np.bool_]:
    """The mask of a row of `segments` at the size of `box`, its box in pixels of an image.

    bool (h, w). A mask too fine for the box is all of it. Raises `InvalidRecord`.
    """
    import numpy as np

    left, top, right, bottom = box
    mask = rle.decode(segment["mask"], segment["mask_height"], segment["mask_width"])
    rows = np.arange(bottom - top) * mask.shape[0] // (bottom - top)
    columns = np.arange(right - left) * mask.shape[1] // (right - left)
    fitted = mask[rows[:, None], columns]
    return fitted if fitted.any() else np.ones_like(fitted)


def shown(
    pixels: NDArray[np.uint8],
    tile: Mapping[str, Any],
    segment: Mapping[str, Any],
    margin: float,
    *,
    alone: bool,
) -> NDArray[np.uint8]:
    """A row of `segments` cut out of `pixels`, uint8 (h, w, 3), which show the row of `tiles` `tile`.

    With `margin` of the longer side of its box on each side, inside the image; `alone` has neutral
    grey wherever its mask is not.
    """
    import numpy as np

    height, width = pixels.shape[:2]
    box = left, top, right, bottom = to_image(tile, width, height, box_of(segment))
    more = round(margin * max(right - left, bottom - top))
    x0, y0 = max(0, left - more), max(0, top - more)
    x1, y1 = min(width, right + more), min(height, bottom + more)
    if not alone:
        return pixels[y0:y1, x0:x1]
    mask = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    mask[top - y0 : bottom - y0, left - x0 : right - x0] = mask_in(segment, box)
    return np.where(mask[..., None], pixels[y0:y1, x0:x1], np.uint8(GREY))
