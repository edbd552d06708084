"""Read what the boxes and the first marker of a JPEG 2000 file say, without a decoder.

Pillow's parser stands at 8 bits for every colour image, whatever its depth.

Keeps out: the code blocks. Of a JPX only the first codestream is looked at.
Source: ITU-T T.800 (2019), annexes A.5.1 (SIZ) and I.5.3 (header boxes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.bounded import BoundedBytes
from ledgerkit.imaging.boxes import Box, body, boxes

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
SRGB, GREY, SYCC, CMYK = 16, 17, 18, 12
_MODES = {SRGB: ("RGB", 3), GREY: ("L", 1), SYCC: ("RGB", 3), CMYK: ("CMYK", 4), 14: ("LAB", 3)}


@dataclass(frozen=True, slots=True)
class Jp2:
    """Facts of one JPEG 2000. `depths` are signed where the samples are: -8; `dpi` dots an inch."""

    width: int
    height: int
    depths: tuple[int, ...]
    subsampled: bool
    mode: str
    colours: int
    alpha: bool
    palette: bool
    dpi: tuple[float, float] | None
    profile: bytes | None

    @property
    def refusal(self) -> str | None:
        """Why no decoder here gives these pixels rightly; None when one does."""
        if self.palette:
            return "JPEG 2000 with a palette is not read here"
        if self.mode == "LAB":
            return "JPEG 2000 in CIELAB is not read here"
        if len(set(self.depths)) > 1:
            return f"JPEG 2000 with samples of {self.depths} bits in one pixel is not read here"
        if self.depths[0] < 0 or self.depths[0] > 16:
            kind = "signed" if self.depths[0] < 0 else "unsigned"
            return f"JPEG 2000 with {kind} samples of {abs(self.depths[0])} bits is not read here"
        if self.subsampled and (self.mode != "RGB" or len(self.depths) != 3):
            return "JPEG 2000 with samples of unlike resolution is read in three colours only"
        return None


@dataclass(slots=True)
class _Found:
    """What the boxes said so far."""

    space: int | None = None
    profile: bytes | None = None
    palette: bool = False
    opacity: bool | None = None
    dpi: tuple[float, float] | None = None
    codestream: int | None = None
    resolutions: dict[bytes, tuple[float, float]] = field(default_factory=dict)


def read_jp2(source: BoundedBytes) -> Jp2:
    """Facts from the boxes and the SIZ marker. Raises `UnreadableImage` when there is no SIZ."""
    found = _Found()
    if source.first[:4] == CODESTREAM:
        found.codestream = 0
    else:
        for box in boxes(source, 0, source.size):
            if box.kind == b"jp2h":
                _read_header_box(source, box, found)
            elif box.kind == b"jp2c":
                found.codestream = box.start
                break
    if found.codestream is None:
        raise UnreadableImage("the JPEG 2000 has no codestream")
    return _assemble(source, found.codestream, found)


def _read_header_box(source: BoundedBytes, header: Box, found: _Found) -> None:
    for box in boxes(source, header.start, header.end):
        if box.kind == b"colr" and found.space is None and found.profile is None:
            _read_colour(body(source, box), found)
        elif box.kind == b"pclr":
            found.palette = True
        elif box.kind == b"cdef":
            data = body(source, box)[: 6 * 256]
            kinds = [struct.unpack_from(">H", data, at)[0] for at in range(4, len(data) - 5, 6)]
            found.opacity = any(kind in (1, 2) for kind in kinds)
        elif box.kind == b"res ":
            for inner in boxes(source, box.start, box.end):
                _read_resolution(inner.kind, body(source, inner), found)


def _read_colour(data: bytes, found: _Found) -> None:
    """An enumerated space (method 1) or a profile (2 and 3); others are passed over."""
    if len(data) >= 7 and data[0] == 1:
        found.space = struct.unpack(">I", data[3:7])[0]
    elif len(data) > 3 and data[0] in (2, 3):
        found.profile = data[3:]


def _read_resolution(kind: bytes, data: bytes, found: _Found) -> None:
    """Samples a metre as fraction and power of ten: of the capture, else of the display."""
    if kind not in (b"resc", b"resd") or len(data) < 10:
        return
    down, down_by, across, across_by, down_ten, across_ten = struct.unpack(">HHHHbb", data[:10])
    if not (down_by and across_by and down and across):
        return
    values = (across / across_by * 10.0**across_ten, down / down_by * 10.0**down_ten)
    dpi = (values[0] * 0.0254, values[1] * 0.0254)
    if all(0 < value < 1e9 for value in dpi):
        found.resolutions[kind] = dpi
        found.dpi = found.resolutions.get(b"resc", dpi)


def _assemble(source: BoundedBytes, start: int, found: _Found) -> Jp2:
    head = source.need(start, 42, "JPEG 2000 SIZ marker")
    if head[:4] != CODESTREAM:
        raise UnreadableImage(f"expected the JPEG 2000 markers SOC and SIZ, found {head[:4]!r}")
    right, bottom, left, top = struct.unpack(">IIII", head[8:24])
    (count,) = struct.unpack(">H", head[40:42])
    if right <= left or bottom <= top or not 0 < count <= 16384:
        raise UnreadableImage(
            f"the JPEG 2000 header claims {right - left} x {bottom - top} pixels of {count} samples"
        )
    parts = source.need(start + 42, 3 * count, "JPEG 2000 components")
    depths = tuple((part & 0x7F) + 1 if part < 128 else -(part & 0x7F) - 1 for part in parts[::3])
    mode, colours = _MODES.get(found.space or 0, ("", 0))
    if not mode:
        mode, colours = ("L", 1) if count <= 2 else ("RGB", 3)
        if found.profile is not None and found.profile[16:20] == b"CMYK":
            mode, colours = "CMYK", 4
    if count < colours and not found.palette:
        raise UnreadableImage(f"expected {colours} samples of {mode}, the JPEG 2000 has {count}")
    alpha = count == colours + 1 and found.opacity is not False
    subsampled = any(step != 1 for step in (*parts[1::3], *parts[2::3]))
    return Jp2(
        right - left,
        bottom - top,
        depths,
        subsampled,
        mode,
        colours,
        alpha,
        found.palette,
        found.dpi,
        found.profile,
    )
