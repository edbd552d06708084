"""Turn an image of any size upright in bounded memory, and name what went wrong on the way.

Orientations 3 to 8 need pixels from all over the image before the first row can be given. Up to a
limit they are held in memory; above it they are put aside in an unnamed temporary file of
uncompressed tiles, which nobody can meet and no crash leaves behind. Tiles and not rows, because a
column of the stored image is then read without the rest of its rows: 234 MB of memory where rows
needed 1,600 MB for 500 megapixels.

Keeps out: which orientation, colours, encoding.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ledgerkit.errors import CommitFailed, UnreadableImage
from ledgerkit.imaging import geometry
from ledgerkit.imaging.decode import Limits
from ledgerkit.imaging.vips import decoding, load_vips

TILE = 512


@contextmanager
def upright(image: Any, orientation: int, limits: Limits) -> Iterator[Any]:
    """A pyvips image of 8 or 16 bits, grey or RGB, as it is to be seen; read it inside the block.

    `image` may be sequential, and its pixels are computed once. At most `limits.max_decode_bytes`
    are held in memory. Raises `UnreadableImage` where pixels are broken and `CommitFailed` when the
    disk for temporary files is full.
    """
    if orientation in (1, 2):
        yield geometry.upright(image, orientation)
        return
    with at_random(image, limits) as stored:
        yield geometry.upright(stored, orientation)


@contextmanager
def at_random(image: Any, limits: Limits) -> Iterator[Any]:
    """The pixels of a pyvips image of 8 or 16 bits, to be read in any order, many times over.

    Held and raised as by `upright`.
    """
    size = 2 if image.format == "ushort" else 1
    if image.width * image.height * image.bands * size <= limits.max_decode_bytes:
        with decoding():
            held = image.copy_memory()
        yield held
        return
    with tempfile.TemporaryFile() as file:
        with _spooling():
            image.tiffsave_target(
                _target_over(file),
                tile=True,
                tile_width=TILE,
                tile_height=TILE,
                compression="none",
                bigtiff=True,
                keep="none",
            )
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        source = load_vips().Source.new_from_descriptor(file.fileno())
        stored = load_vips().Image.new_from_source(source, "", access="random")
        yield stored.copy(interpretation=image.interpretation)


def _target_over(file: BinaryIO) -> Any:
    """A pyvips target that writes to an open file; the file itself stays open."""
    own = os.dup(file.fileno())
    try:
        return load_vips().Target.new_to_descriptor(own)
    finally:
        os.close(own)


@contextmanager
def _spooling() -> Iterator[None]:
    """As `vips.decoding`, for pixels on their way to a temporary file: a full disk is no bad image."""
    try:
        with decoding():
            yield
    except UnreadableImage as error:
        said = str(error).lower()
        if os.strerror(errno.ENOSPC).lower() in said or "write error" in said:
            raise CommitFailed(
                f"the temporary file in {tempfile.gettempdir()} cannot be written: {error.message}",
                "Free space there, or name another folder in TMPDIR.",
            ) from error
        raise
