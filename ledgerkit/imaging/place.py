"""Where pixels of a derived image lie in the oriented source, and back.

The exact map follows from a tile's box and the size of the image that was read:
x_source = x0 + x_image * (x1 - x0) / width. Boxes are half-open. See docs/contract.md, "Geometry".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ledgerkit.errors import MissingInput

Box = tuple[int, int, int, int]
"""Left, top, right, bottom; half-open."""


def whole_tile(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of `tiles` for the whole plate. Raises `MissingInput` when there is none."""
    for row in rows:
        if row["kind"] == "whole":
            return row
    raise MissingInput("no image of the whole plate among the inputs", "run: ledgerkit normalize")


def scale_of(tile: Mapping[str, Any], width: int, height: int) -> tuple[float, float]:
    """Source pixels per image pixel along x and y, for an image of `width` x `height` of this
    tile.
    """
    return (tile["x1"] - tile["x0"]) / width, (tile["y1"] - tile["y0"]) / height


def to_source(tile: Mapping[str, Any], width: int, height: int, box: Box) -> Box:
    """The least box of whole source pixels around a box of image pixels, kept inside the frame."""
    across, down = scale_of(tile, width, height)
    left, top, right, bottom = box
    x0 = max(0, math.floor(tile["x0"] + left * across + 1e-9))
    y0 = max(0, math.floor(tile["y0"] + top * down + 1e-9))
    x1 = min(int(tile["frame_width"]), math.ceil(tile["x0"] + right * across - 1e-9))
    y1 = min(int(tile["frame_height"]), math.ceil(tile["y0"] + bottom * down - 1e-9))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def to_image(tile: Mapping[str, Any], width: int, height: int, box: Box) -> Box:
    """The box of image pixels nearest a source box, at least one pixel wide and high."""
    across, down = scale_of(tile, width, height)
    left = min(max(0, round((box[0] - tile["x0"]) / across)), width - 1)
    top = min(max(0, round((box[1] - tile["y0"]) / down)), height - 1)
    right = min(max(left + 1, round((box[2] - tile["x0"]) / across)), width)
    bottom = min(max(top + 1, round((box[3] - tile["y0"]) / down)), height)
    return left, top, right, bottom


def box_of(row: Mapping[str, Any]) -> Box:
    """The source box of a row of `tiles` or `segments`."""
    return int(row["x0"]), int(row["y0"]), int(row["x1"]), int(row["y1"])
