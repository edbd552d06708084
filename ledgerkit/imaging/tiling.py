"""Cut an image into the tiles of all levels of a pyramid, in one pass from top to bottom.

libvips' dzsave shrinks and encodes while it reads, a few rows of tiles at a time, on threads of its
own. It writes a stored zip into a pipe, from which each tile is taken while the next ones are made: so
no file is made twice, none waits for the last, names are this project's own, and nothing of what
libvips says about its output (a date among it) is kept. Each level is the mean of 2 x 2 pixels of the
one before.

Keeps out: names and which levels there are (`pyramid.py`), where files lie.
Source: libvips, `vips_dzsave`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.pyramid import Level, Pyramid, PyramidTile
from ledgerkit.imaging.resize import resize
from ledgerkit.imaging.stored import members
from ledgerkit.imaging.vips import decoding, load_vips

_NAME = "p"
BUFFER = 1 << 20
"""Bytes that may wait between libvips and whoever takes the tiles."""


def tiled(
    image: Any, pyramid: Pyramid, quality: int, *, to_one_pixel: bool
) -> Generator[tuple[PyramidTile, bytes], None, None]:
    """Each tile of an upright 8-bit sRGB or grey pyvips image as JPEG, in no order to rely on.

    `image` may be sequential; it is read once. Levels go down to one that fits into a tile, and
    with `to_one_pixel` further, as Deep Zoom has them. `quality` is 1..100; colours are subsampled
    below 90. Close the iterator when not all of it is read. Raises `UnreadableImage` where pixels
    are broken or a tile is missing.
    """
    levels = pyramid.deep_zoom_levels() if to_one_pixel else pyramid.levels()
    missing = {
        f"{_NAME}_files/{number}/{tile.column}_{tile.row}.jpg": tile
        for number, level in enumerate(reversed(levels))
        for tile in pyramid.tiles(level)
    }
    with ThreadPoolExecutor(max_workers=1) as writer, _pipe() as (file, writing):
        saved = writer.submit(_save, image, writing, pyramid.tile_size, quality, to_one_pixel)
        for name, data in members(file):
            tile = missing.pop(name, None)
            if tile is not None:
                yield tile, data
            elif name.endswith(".jpg"):
                raise UnreadableImage(f"libvips made {name}, which is no tile of this pyramid")
        saved.result()
    if missing:
        raise UnreadableImage(f"libvips did not make {len(missing)} tiles, {min(missing)} first")


@contextmanager
def _pipe() -> Iterator[tuple[BinaryIO, socket.socket]]:
    """Two joined sockets, the first as a file. Left early, the writer's next write fails."""
    reading, writing = socket.socketpair()
    with writing:
        writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        with os.fdopen(reading.detach(), "rb", buffering=BUFFER) as file:
            yield file, writing


def _save(
    image: Any, writing: socket.socket, tile_size: int, quality: int, to_one_pixel: bool
) -> None:
    """Write all tiles into a pipe, and end it whatever happens."""
    target = load_vips().Target.new_to_descriptor(writing.fileno())
    try:
        with decoding():
            image.dzsave_target(
                target,
                basename=_NAME,
                layout="dz",
                tile_size=tile_size,
                overlap=0,
                depth="onepixel" if to_one_pixel else "onetile",
                container="zip",
                compression=0,
                suffix=f".jpg[Q={quality},keep=none]",  # its own option Q is not heeded
            )
    finally:
        # Closing would not do: libvips has a descriptor of its own until the target is collected,
        # which after an error is when nobody holds the traceback any more.
        writing.shutdown(socket.SHUT_WR)


def joined(pyramid: Pyramid, level: Level, tiles: Mapping[PyramidTile, bytes]) -> Any:
    """The pyvips image of a whole level, joined of its encoded tiles and held in memory."""
    vips, side = load_vips(), pyramid.tile_size
    with decoding():
        parts = [
            vips.Image.jpegload_buffer(tiles[tile]).copy_memory() for tile in pyramid.tiles(level)
        ]
        if len(parts) == 1:
            return parts[0]
        across = -(-level.width // side)
        whole = vips.Image.arrayjoin(parts, across=across, hspacing=side, vspacing=side)
        return whole.crop(0, 0, level.width, level.height).copy_memory()


def encoded(image: Any, width: int, height: int, quality: int) -> bytes:
    """An image as one JPEG of `width` x `height` pixels, encoded as the tiles are."""
    with decoding():
        data: bytes = resize(image, width, height).jpegsave_buffer(Q=quality, keep="none")
    return data
