"""Read the chunks of a WebP that say what it is. Pillow and libvips would read the whole file.

Keeps out: the pixels.
Source: Google, WebP Container Specification (RFC 9649), sections 2.4 to 2.7.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.bounded import BoundedBytes
from ledgerkit.imaging.tiff import Directory, read_exif

MAX_CHUNKS = 100_000


@dataclass(frozen=True, slots=True)
class Webp:
    """Facts of one WebP; `frames` counts the frames of an animation."""

    width: int
    height: int
    alpha: bool
    lossless: bool
    profile: bytes | None
    exif: Directory | None
    has_exif: bool
    frames: int


def read_webp(source: BoundedBytes) -> Webp:
    """Walk the chunks of the container. Raises `UnreadableImage` when none gives a size."""
    size: tuple[int, int] | None = None
    alpha = lossless = False
    profile: bytes | None = None
    block: bytes | None = None
    frames = 0
    position = 12
    for _ in range(MAX_CHUNKS):
        head = source.at(position, 8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind in (b"VP8X", b"VP8 ", b"VP8L"):
            found, transparent = _size(kind, source.at(position + 8, min(length, 10)))
            size, alpha = size or found, alpha or transparent
            lossless = lossless or kind == b"VP8L"
        elif kind == b"ICCP":
            profile = source.at(position + 8, length)
        elif kind == b"EXIF":
            block = source.at(position + 8, length)
        elif kind == b"ANMF":
            frames += 1
        position += 8 + length + length % 2
    if size is None or not all(size):
        raise UnreadableImage("the WebP has no frame header that gives its size")
    exif = read_exif(block) if block else None
    return Webp(*size, alpha, lossless, profile, exif, block is not None, max(1, frames))


def _size(kind: bytes, body: bytes) -> tuple[tuple[int, int] | None, bool]:
    """Width and height in pixels, and whether there is alpha, from one of the three headers."""
    if len(body) < (5 if kind == b"VP8L" else 10):
        return None, False
    if kind == b"VP8X":
        width = 1 + int.from_bytes(body[4:7], "little")
        return (width, 1 + int.from_bytes(body[7:10], "little")), bool(body[0] & 0x10)
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)), bool(bits >> 28 & 1)
    width, height = struct.unpack("<HH", body[6:10])
    return (width & 0x3FFF, height & 0x3FFF), False
