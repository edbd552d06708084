"""The digest of decoded pixels: equal for equal pictures, whatever file they lie in.

SHA-256 over an ASCII line `<width> <height> <bands> <format>\\n` (format `uchar` or `ushort`), then
the decoded rows from top to bottom, samples interleaved, 16 bits little endian, in stored
orientation and stored colour space, alpha included.

Keeps out: digests of files, which are taken while writing.
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from ledgerkit.imaging.decode import DEFAULT_LIMITS, Limits, decode
from ledgerkit.imaging.vips import strip_rows, strips, to_array

AT_ONCE = 1 << 24
"""Samples up to which an image is decoded in one piece: faster than strip by strip."""


def pixels_sha256(file: BinaryIO, *, limits: Limits = DEFAULT_LIMITS) -> str:
    """64 hex digits for the pixels of page 0 of an open image file, decoded in a stream.

    Raises `UnreadableImage` and `LimitExceeded` as `decode.decode` does.
    """
    image = decode(file, limits=limits).image
    digest = hashlib.sha256(f"{image.width} {image.height} {image.bands} {image.format}\n".encode())
    small = image.width * image.height * image.bands <= AT_ONCE
    for part in [to_array(image)] if small else strips(image, strip_rows(image.width)):
        digest.update(part.astype(part.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()
