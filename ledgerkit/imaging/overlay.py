"""The regions of a plate drawn on its picture, for looking.

Each outline is a coloured line on a wider black one, so that it shows on white paper and on a black
scanner bed. Paper has no line of its own: its edge is that of the others. Same input, same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging.contact import GROUND, INK, LEGEND_ROW, TEXT
from ledgerkit.imaging.place import box_of, scale_of
from ledgerkit.palette import PURPLE, SKY, VERMILION, YELLOW

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from ledgerkit.handles import Row

COLOURS = {"background": PURPLE, "lettering": SKY, "figure": VERMILION, "part": YELLOW}
"""Kinds that are drawn, the later ones on top."""
CASING = (0, 0, 0)


def draw_regions(pixels: NDArray[np.uint8], tile: Row, segments: Iterable[Row]) -> Image:
    """A picture of the plate, uint8 (h, w, 3), with the outlines of its segments.

    `tile` is the row of `tiles` that the pixels show. Raises `InvalidRecord` for a broken mask.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    width = max(2, round(max(picture.size) / 500))
    by_kind: dict[str, list[Row]] = {kind: [] for kind in COLOURS}
    for segment in segments:
        by_kind.get(str(segment["kind"]), []).append(segment)
    for kind, rows in by_kind.items():
        lines = [line for row in rows for line in _lines(row, tile, picture.size)]
        for line in lines:
            draw.line(line, fill=CASING, width=width + 2, joint="curve")
        for line in lines:
            draw.line(line, fill=COLOURS[kind], width=width, joint="curve")
    return picture


def _lines(segment: Row, tile: Row, size: tuple[int, int]) -> list[list[tuple[float, float]]]:
    """The outlines of a segment in pixels of the picture."""
    from ledgerkit.imaging import outline, rle

    grid = (segment["mask_width"], segment["mask_height"])
    mask = rle.decode(segment["mask"], grid[1], grid[0])
    across, down = scale_of(tile, *size)
    found = []
    for ring in (ring for polygon in outline.outlines(mask) for ring in polygon):
        points = outline.placed(ring, box_of(segment), *grid)
        points = (points - (tile["x0"], tile["y0"])) / (across, down)
        found.append([(float(x), float(y)) for x, y in points])
    return found


def counted(segments: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many segments there are of each kind that is drawn."""
    count = dict.fromkeys(COLOURS, 0)
    for segment in segments:
        if segment["kind"] in count:
            count[segment["kind"]] += 1
    return count


def with_legend(picture: Image, title: str, counts: Mapping[str, int]) -> Image:
    """The picture with a title and the colours of the kinds below it; it widens to hold them."""
    from PIL import Image, ImageDraw
    from PIL.ImageFont import load_default

    font = load_default(TEXT)
    entries = [(kind, f"{kind} {count}") for kind, count in counts.items() if count]
    needed = 30 + font.getlength(title) + sum(font.getlength(text) + 32 for _, text in entries)
    width = max(picture.width, round(needed))
    canvas = Image.new("RGB", (width, picture.height + LEGEND_ROW + 8), GROUND)
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    x, y = 10.0, picture.height + 6
    draw.text((x, y), title, fill=INK, font=font)
    x += font.getlength(title) + 20
    for kind, text in entries:
        draw.rectangle((x, y, x + 13, y + 13), fill=COLOURS[kind], outline=CASING)
        draw.text((x + 18, y), text, fill=INK, font=font)
        x += font.getlength(text) + 32
    return canvas


def caption(name: str, counts: Mapping[str, int]) -> str:
    """A line below a small picture: the name, then figures and lines of lettering."""
    return f"{name}: {counts['figure']} figures, {counts['lettering']} lines"


def key_of(kinds: Sequence[str]) -> str:
    """What the colours mean, in words, for a sheet without room for a legend on each picture."""
    names = {
        "background": "purple",
        "lettering": "sky blue",
        "figure": "vermilion",
        "part": "yellow",
    }
    return ", ".join(f"{kind} {names[kind]}" for kind in kinds)
