"""Pictures made of many small pictures: a contact sheet, and a map of thumbnails.

Draws only; what is drawn, and in which order, is the caller's. Same input, same bytes: Pillow's own
font, fixed PNG settings, no metadata.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.palette import GREY, SERIES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

INK = (30, 30, 30)
GROUND = (250, 250, 248)
TEXT = 12
LEGEND_ROW = 20
MOST_NAMED = 30
QUALITY = 85

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """One thing on a map."""

    x: float
    y: float
    label: int
    """Number of its cluster, -1 for noise."""
    picture: Image | None
    """Its thumbnail, RGB; None for a dot only."""


def colour_of(label: int) -> tuple[int, int, int]:
    """The frame colour of a cluster; grey for noise. Repeats after seven: the number tells them
    apart.
    """
    return GREY if label < 0 else SERIES[label % len(SERIES)]


def to_png(image: Image) -> bytes:
    """PNG bytes without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def to_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Baseline JPEG without metadata, of uint8 (h, w, 3): equal bytes for equal pixels of one Pillow."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def draw_sheet(
    title: str, pictures: Sequence[tuple[str, Image]], label: int, *, cell: int, columns: int
) -> Image:
    """A contact sheet: captioned `pictures` in reading order, framed in the cluster's colour."""
    from PIL import Image, ImageDraw

    across = max(1, min(columns, len(pictures)))
    down = -(-len(pictures) // across)
    width = max(across * cell, 20 + round(_font().getlength(title)))
    sheet = Image.new("RGB", (width, 2 * LEGEND_ROW + down * (cell + LEGEND_ROW)), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((10, 10), title, fill=INK, font=_font())
    for place, (caption, picture) in enumerate(pictures):
        left, top = place % across * cell, 2 * LEGEND_ROW + place // across * (cell + LEGEND_ROW)
        x, y = left + (cell - picture.width) // 2, top + (cell - picture.height) // 2
        draw.rectangle(
            (x - 3, y - 3, x + picture.width + 2, y + picture.height + 2), fill=colour_of(label)
        )
        sheet.paste(picture, (x, y))
        draw.text(
            (left + cell // 2, top + cell + 2),
            _fitted(caption, cell - 6),
            fill=INK,
            font=_font(),
            anchor="ma",
        )
    return sheet


def stacked(sheets: Sequence[Image]) -> Image:
    """Sheets one below the other."""
    from PIL import Image

    width = max(sheet.width for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)), GROUND)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def _font() -> FreeTypeFont | ImageFont:
    from PIL.ImageFont import load_default

    return load_default(TEXT)


def _fitted(text: str, width: int) -> str:
    """`text`, cut in the middle with an ellipsis where it is wider than `width` pixels."""
    font = _font()
    keep = len(text)
    shown = text
    while font.getlength(shown) > width and keep > 2:
        keep -= 1
        shown = text[: (keep + 1) // 2] + "…" + text[len(text) - keep // 2 :]
    return shown


def draw_map(title: str, points: Sequence[Point], sizes: Sequence[int], *, side: int) -> Image:
    """A map, `side` pixels square, with its legend on the right.

    Every point is drawn: those without a thumbnail as dots underneath. The number of each cluster
    lies at the median of its members, moved away where it would lie on another; `sizes[label]`
    stand in the legend, the largest 30.
    """
    from PIL import Image, ImageDraw

    legend = 190
    canvas = Image.new("RGB", (side + legend, side), GROUND)
    draw = ImageDraw.Draw(canvas)
    places = _places(points, side)
    for point, (x, y) in zip(points, places, strict=True):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour_of(point.label))
    for point, (x, y) in zip(points, places, strict=True):
        if point.picture is not None:
            _stamp(canvas, draw, point, x, y)
    _numbers(draw, points, places, len(sizes), side)
    _legend(draw, title, sizes, sum(point.label < 0 for point in points), side)
    return canvas


def _places(points: Sequence[Point], side: int) -> list[tuple[float, float]]:
    """Pixel positions, y upwards: on each axis half by value, half by rank.

    Distances between far islands of a UMAP mean nothing, and would leave most of the picture empty.
    Order along both axes is kept; the coordinates in the ledger stay as they are.
    """
    edge = 50
    spans = []
    for values in ([point.x for point in points], [-point.y for point in points]):
        low, high = min(values), max(values)
        rank = {value: place for place, value in enumerate(sorted(set(values)))}
        last = max(1, len(rank) - 1)
        spans.append(
            [
                0.5 * (value - low) / ((high - low) or 1.0) + 0.5 * rank[value] / last
                for value in values
            ]
        )
    return [
        (edge + (side - 2 * edge) * x, edge + (side - 2 * edge) * y)
        for x, y in zip(*spans, strict=True)
    ]


def _stamp(canvas: Image, draw: ImageDraw, point: Point, x: float, y: float) -> None:
    assert point.picture is not None
    left, top = round(x - point.picture.width / 2), round(y - point.picture.height / 2)
    frame = (left - 2, top - 2, left + point.picture.width + 1, top + point.picture.height + 1)
    draw.rectangle(frame, fill=colour_of(point.label))
    canvas.paste(point.picture, (left, top))


def _numbers(
    draw: ImageDraw,
    points: Sequence[Point],
    places: Sequence[tuple[float, float]],
    clusters: int,
    side: int,
) -> None:
    """The numbers of the clusters on plates of their own colour, none on another."""
    from statistics import median

    taken: list[Box] = []
    for label in range(min(clusters, MOST_NAMED)):
        mine = [place for point, place in zip(points, places, strict=True) if point.label == label]
        if not mine:
            continue
        text = str(label)
        half = _font().getlength(text) / 2 + 6
        x, y = median(place[0] for place in mine), median(place[1] for place in mine)
        box = _free((x - half, y - 11, x + half, y + 11), taken, side)
        taken.append(box)
        draw.rounded_rectangle(box, radius=6, fill=INK, outline=colour_of(label), width=2)
        draw.text(
            ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
            text,
            fill="white",
            font=_font(),
            anchor="mm",
        )


def _free(box: Box, taken: Sequence[Box], side: int) -> Box:
    """The nearest place to `box` on growing rings that touches none of `taken` and stays on the
    map.
    """
    import math

    for ring in range(60):
        for turn in range(max(1, 6 * ring)):
            angle = 2 * math.pi * turn / max(1, 6 * ring)
            x, y = 13 * ring * math.cos(angle), 13 * ring * math.sin(angle)
            moved = (box[0] + x, box[1] + y, box[2] + x, box[3] + y)
            inside = moved[0] >= 0 and moved[1] >= 0 and moved[2] <= side and moved[3] <= side
            if inside and not any(_overlap(moved, other) for other in taken):
                return moved
    return box


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _legend(draw: ImageDraw, title: str, sizes: Sequence[int], noise: int, side: int) -> None:
    """Title, cluster numbers with their sizes, noise, and how many are not listed; what fits the
    height.
    """
    x, y = side + 10, 12
    draw.text((x, y), _fitted(title, 175), fill=INK, font=_font())
    lines = [(label, f"{label}: {size}") for label, size in enumerate(sizes)][
        : min(MOST_NAMED, side // LEGEND_ROW - 5)
    ]
    if noise:
        lines.append((-1, f"noise: {noise}"))
    for label, text in lines:
        y += LEGEND_ROW
        draw.rectangle((x, y, x + 13, y + 13), fill=colour_of(label), outline=INK)
        draw.text((x + 20, y), text, fill=INK, font=_font())
    if len(sizes) > MOST_NAMED:
        draw.text(
            (x, y + LEGEND_ROW), f"and {len(sizes) - MOST_NAMED} more", fill=INK, font=_font()
        )
