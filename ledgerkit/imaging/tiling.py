"""Cut an image into the tiles of all levels of a pyramid, in one pass from top to bottom.

libvips' dzsave shrinks and encodes while it reads, a few rows of tiles at a time. It writes into one
unnamed temporary file, a stored zip, from which each tile is then taken by its place in the grid: so
no file is made twice, names are this project's own, and nothing of what libvips says about its
output (a date among it) is kept. Each level is the mean of 2 x 2 pixels of the one before.

Keeps out: names and which levels there are (`pyramid.py`), where files lie.
Source: libvips, `vips_dzsave`.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.aside import spooling, target_over
from ledgerkit.imaging.pyramid import Level, Pyramid, PyramidTile
from ledgerkit.imaging.resize import resize
from ledgerkit.imaging.vips import decoding, load_vips

_NAME = "p"


class Tiles:
    """The encoded tiles of a pyramid, read by their place."""

    def __init__(self, pyramid: Pyramid, archive: zipfile.ZipFile, quality: int) -> None:
        self.pyramid = pyramid
        self.quality = quality
        self._archive = archive
        self._names = frozenset(archive.namelist())
        numbers = {int(name.split("/")[1]) for name in self._names if name.endswith(".jpg")}
        self._highest = max(numbers)

    def read(self, tile: PyramidTile) -> bytes:
        """A tile as JPEG. Raises `UnreadableImage` where libvips made none of that place."""
        number = self._highest - (tile.level.factor.bit_length() - 1)
        name = f"{_NAME}_files/{number}/{tile.column}_{tile.row}.jpg"
        if name not in self._names:
            raise UnreadableImage(
                f"libvips made no tile {tile.column}, {tile.row} at scale factor "
                f"{tile.level.factor} of {self.pyramid.width} x {self.pyramid.height} pixels"
            )
        return self._archive.read(name)

    def level(self, level: Level) -> Any:
        """The pyvips image of a whole level, joined of its tiles and held in memory."""
        vips, side = load_vips(), self.pyramid.tile_size
        with decoding():
            parts = [
                vips.Image.jpegload_buffer(self.read(tile)).copy_memory()
                for tile in self.pyramid.tiles(level)
            ]
            across = -(-level.width // side)
            if len(parts) == 1:
                return parts[0]
            joined = vips.Image.arrayjoin(parts, across=across, hspacing=side, vspacing=side)
            return joined.crop(0, 0, level.width, level.height).copy_memory()

    def whole(self, width: int, height: int, level: Level) -> bytes:
        """The whole plate as one JPEG of `width` x `height` pixels, shrunk from a level."""
        with decoding():
            return self.encode(resize(self.level(level), width, height))

    def encode(self, image: Any) -> bytes:
        """An 8-bit sRGB or grey image as JPEG, of the tiles' own quality and without metadata."""
        data: bytes = image.jpegsave_buffer(Q=self.quality, keep="none")
        return data


@contextmanager
def tiled(image: Any, tile_size: int, quality: int, *, to_one_pixel: bool) -> Iterator[Tiles]:
    """The tiles of an upright 8-bit sRGB or grey pyvips image; read them inside the block.

    `image` may be sequential; it is read once. Levels go down to one that fits into a tile, and
    with `to_one_pixel` further, as Deep Zoom has them. `quality` is 1..100; colours are subsampled
    below 90. Raises `UnreadableImage` where pixels are broken, `CommitFailed` for a full disk.
    """
    pyramid = Pyramid(image.width, image.height, tile_size)
    with tempfile.TemporaryFile() as file:
        with spooling():
            image.dzsave_target(
                target_over(file),
                basename=_NAME,
                layout="dz",
                tile_size=tile_size,
                overlap=0,
                depth="onepixel" if to_one_pixel else "onetile",
                container="zip",
                compression=0,
                suffix=f".jpg[Q={quality},keep=none]",  # its own option Q is not heeded
            )
        with zipfile.ZipFile(file) as archive:
            yield Tiles(pyramid, archive, quality)
