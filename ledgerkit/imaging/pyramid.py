"""Which files a pyramid has and what they show: IIIF Image API 3.0 at level 0, and Deep Zoom.

A level is the whole plate divided by a scale factor 1, 2, 4, ..., each side rounded up; the last
one fits into one tile. A tile is named by the pixels of the plate that it shows and by its own size,
so that a viewer can work out every name from `info.json`.

What viewers ask for differs, and a folder cannot answer what it does not hold. So the whole of a
level has two names where both are asked for: by its rectangle, as the formula of the specification
gives it, and as `full`, as the canonical form and OpenSeadragon have it. `sizes` lists levels and
nothing else, because OpenSeadragon takes a list that has as many entries as there are levels for
the levels themselves, and would then ask for tiles of sizes that are not there.

Keeps out: pixels, files.
Source: IIIF Image API 3.0, sections 4.7, 5.3 to 5.5 and "Calculating region and size requests for
tiles" of its implementation notes; Microsoft, Deep Zoom file format; OpenSeadragon 6,
`IIIFTileSource.getTileUrl`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ledgerkit.imaging.geometry import Box, fit_long_side

MAX_SIDE = 2048
"""Pixels of the long side of the largest image of the whole plate in one file."""
THUMBNAIL_SIDES = (256, 512, 1024)
"""Pixels of the long sides of the images for pages and montages."""
DEEP_ZOOM = "http://schemas.microsoft.com/deepzoom/2008"


@dataclass(frozen=True, slots=True)
class Level:
    """The whole plate at 1 / `factor`, `width` x `height` pixels."""

    factor: int
    width: int
    height: int

    @property
    def long_side(self) -> int:
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class PyramidTile:
    """One tile: its place in the grid of its level, what it shows of the plate, its own pixels."""

    level: Level
    column: int
    row: int
    region: Box
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The plan of a pyramid over an upright plate of `width` x `height` pixels."""

    width: int
    height: int
    tile_size: int

    def levels(self) -> list[Level]:
        """Largest first; the last one fits into a tile."""
        found = [Level(1, self.width, self.height)]
        while found[-1].long_side > self.tile_size:
            found.append(self._level(found[-1].factor * 2))
        return found

    def deep_zoom_levels(self) -> list[Level]:
        """Largest first, down to a single pixel, as Deep Zoom counts them from the other end."""
        found = [Level(1, self.width, self.height)]
        while found[-1].long_side > 1:
            found.append(self._level(found[-1].factor * 2))
        return found

    def _level(self, factor: int) -> Level:
        return Level(factor, -(-self.width // factor), -(-self.height // factor))

    def tiles(self, level: Level) -> Iterator[PyramidTile]:
        """All tiles of a level, row by row."""
        side, span = self.tile_size, self.tile_size * level.factor
        for row in range(-(-level.height // side)):
            for column in range(-(-level.width // side)):
                left, top = column * span, row * span
                region = Box(left, top, min(left + span, self.width), min(top + span, self.height))
                width = min(side, level.width - column * side)
                height = min(side, level.height - row * side)
                yield PyramidTile(level, column, row, region, width, height)

    def whole_levels(self) -> list[Level]:
        """Levels that are also one image of the whole plate, largest first: those of `sizes`."""
        return [level for level in self.levels() if level.long_side <= MAX_SIDE]

    def thumbnails(self) -> list[tuple[int, tuple[int, int]]]:
        """Long side, and width and height, of the images for pages; none that is a level already."""
        levels = {(level.width, level.height) for level in self.levels()}
        fitted = {
            fit_long_side(self.width, self.height, side): side for side in reversed(THUMBNAIL_SIDES)
        }
        return sorted((side, size) for size, side in fitted.items() if size not in levels)

    def level_for(self, long_side: int) -> Level:
        """The smallest level at least twice as large, from which an image is shrunk; or the plate."""
        large = [level for level in self.levels() if level.long_side >= 2 * long_side]
        return large[-1] if large else self.levels()[0]

    def names(self, tile: PyramidTile) -> list[str]:
        """The paths at which clients of the Image API look for a tile, `info.json` beside them."""
        size = (tile.width, tile.height)
        box = tile.region
        names = [image_path(f"{box.x0},{box.y0},{box.width},{box.height}", size)]
        if size == (tile.level.width, tile.level.height):
            names.append(image_path("full", size))
        return names

    def deep_zoom_name(self, tile: PyramidTile) -> str:
        """The path of a tile below `<name>_files/`."""
        highest = len(self.deep_zoom_levels()) - 1
        number = highest - (tile.level.factor.bit_length() - 1)
        return f"{number}/{tile.column}_{tile.row}.jpg"

    def info(self, identifier: str) -> dict[str, Any]:
        """`info.json`. `identifier` is the URI of the folder that it lies in, without a slash."""
        whole = self.whole_levels()
        document: dict[str, Any] = {
            "@context": "http://iiif.io/api/image/3/context.json",
            "id": identifier,
            "type": "ImageService3",
            "protocol": "http://iiif.io/api/image",
            "profile": "level0",
            "width": self.width,
            "height": self.height,
            "sizes": [{"width": one.width, "height": one.height} for one in reversed(whole)],
            "tiles": [
                {
                    "width": self.tile_size,
                    "height": self.tile_size,
                    "scaleFactors": [level.factor for level in self.levels()],
                }
            ],
        }
        if whole[0].factor > 1:
            # What `max` gives: without it, clients may take it for the plate at full resolution.
            document["maxWidth"] = whole[0].long_side
        return document

    def deep_zoom_descriptor(self) -> bytes:
        """The `.dzi` document."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Image xmlns="{DEEP_ZOOM}" Format="jpg" Overlap="0" TileSize="{self.tile_size}">\n'
            f'  <Size Width="{self.width}" Height="{self.height}"/>\n'
            "</Image>\n"
        ).encode()


def image_path(region: str, size: tuple[int, int] | None) -> str:
    """The path of an image request: `region` is `full` or `x,y,w,h`; without a size it is `max`."""
    return f"{region}/{'max' if size is None else f'{size[0]},{size[1]}'}/0/default.jpg"
