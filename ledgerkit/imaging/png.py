"""Read the chunks of a PNG that say what it is, passing over its image data.

Keeps out: the pixels. Colour statements other than a profile (gAMA, cHRM, sRGB) are not used, as
`colour.py` says.
Source: W3C, PNG Specification (third edition, 2025), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.bounded import MAX_HEADER_BYTES, BoundedBytes
from ledgerkit.imaging.tiff import Directory, read_exif

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@dataclass(frozen=True, slots=True)
class Png:
    """Facts of one PNG. `colour_type` is the specification's; resolution in dots an inch."""

    width: int
    height: int
    bit_depth: int
    colour_type: int
    interlaced: bool
    transparency: bool
    dpi: tuple[float, float] | None
    profile: bytes | None
    exif: Directory | None
    has_exif: bool
    frames: int


def read_png(source: BoundedBytes) -> Png:
    """Read the header chunk and the small chunks anywhere in the file.

    A file that ends early or has broken chunks behind the image data still has a header. Raises
    `UnreadableImage` when the header chunk is absent or impossible.
    """
    head = source.need(8, 25, "PNG header chunk")
    if head[4:8] != b"IHDR":
        raise UnreadableImage(f"expected the PNG chunk IHDR first, found {head[4:8]!r}")
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", head[8:21])
    if not width or not height or depth not in _DEPTHS.get(colour, ()):
        raise UnreadableImage(
            f"the PNG header claims {width} x {height} pixels, colour type {colour}, depth {depth}"
        )
    found = _read_chunks(source)
    return Png(
        width=width,
        height=height,
        bit_depth=depth,
        colour_type=colour,
        interlaced=interlace != 0,
        transparency=found.transparency,
        dpi=found.dpi,
        profile=found.profile,
        exif=found.exif,
        has_exif=found.has_exif,
        frames=found.frames,
    )


class _Chunks:
    """What the chunks behind the header said."""

    def __init__(self) -> None:
        self.dpi: tuple[float, float] | None = None
        self.profile: bytes | None = None
        self.exif: Directory | None = None
        self.has_exif = False
        self.transparency = False
        self.frames = 1
        self._inflatable = MAX_HEADER_BYTES

    def take(self, kind: bytes, body: bytes) -> None:
        if kind == b"pHYs" and len(body) == 9:
            across, down, unit = struct.unpack(">IIB", body)
            if unit == 1 and across and down:
                self.dpi = (across * 0.0254, down * 0.0254)
        elif kind == b"iCCP" and self.profile is None:
            self.profile = self._inflate(body.partition(b"\0")[2][1:])
        elif kind == b"eXIf":
            self._take_exif(body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            self._take_text(kind, body)
        elif kind == b"tRNS":
            self.transparency = True
        elif kind == b"acTL" and len(body) >= 4:
            self.frames = max(1, struct.unpack(">I", body[:4])[0])

    def _take_text(self, kind: bytes, body: bytes) -> None:
        """EXIF as ImageMagick writes it: hexadecimal lines in a text chunk of a known name."""
        name, _, rest = body.partition(b"\0")
        if self.has_exif or name not in (b"Raw profile type exif", b"Raw profile type APP1"):
            return
        if kind == b"zTXt":
            rest = self._inflate(rest[1:]) or b""
        if kind == b"iTXt":
            rest = rest[2:].split(b"\0", 2)[-1]
        lines = rest.split(b"\n")
        try:
            block = bytes.fromhex(b"".join(lines[3:]).decode("ascii"))
        except ValueError:
            return
        if block[:6] == b"Exif\0\0" or block[:2] in (b"II", b"MM"):
            self._take_exif(block)

    def _inflate(self, data: bytes) -> bytes | None:
        """Decompress; None when the data are broken, or the chunks of this file exceed the limit."""
        worker = zlib.decompressobj()
        try:
            plain = worker.decompress(data, max(1, self._inflatable))
        except zlib.error:
            return None
        self._inflatable -= len(plain)
        return plain if worker.eof and self._inflatable >= 0 else None

    def _take_exif(self, block: bytes) -> None:
        if not self.has_exif:
            self.has_exif = True
            self.exif = read_exif(block)


_WANTED = frozenset({b"pHYs", b"iCCP", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tRNS", b"acTL"})


def _read_chunks(source: BoundedBytes) -> _Chunks:
    found = _Chunks()
    position = 33
    while True:  # the source bounds how often
        head = source.at(position, 8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND" or length > 2**31 - 1:
            break
        if kind in _WANTED:
            found.take(kind, source.at(position + 8, length))
        position += length + 12
    return found
