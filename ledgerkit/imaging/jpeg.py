"""Read what the markers of a JPEG say before its first scan, without a decoder.

Keeps out: entropy-coded data. Trailing EXIF or profiles behind the first scan are not read, as no
decoder reads them either.
Source: ITU-T T.81 (1992), annex B; T.871 (JFIF); ICC.1:2022, annex B.4 (profiles in chunks); CIPA
DC-007 (multi-picture format); Adobe technical note 5116 (APP14).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.bounded import BoundedBytes
from ledgerkit.imaging.tiff import Directory, read_exif

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_JPEG_LS = 0xF7
_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
STRAY_BLOCK = 64 * 1024
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_RATIOS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0"}
_RATIOS |= {(4, 1): "4:1:1", (4, 2): "4:1:0"}


@dataclass(frozen=True, slots=True)
class Jpeg:
    """Facts of one JPEG: sizes in pixels, resolution in dots an inch, `exif` as a directory."""

    width: int
    height: int
    precision: int
    sampling: tuple[tuple[int, int], ...]
    progressive: bool
    lossless: bool
    arithmetic: bool
    scans_in_one: bool
    adobe: bool
    dpi: tuple[float, float] | None
    profile: bytes | None
    exif: Directory | None
    has_exif: bool
    pictures: int

    @property
    def subsampling(self) -> str | None:
        """Chroma subsampling as 4:2:0, or the factors where it has no such name; None for grey."""
        if len(self.sampling) < 3:
            return None
        (first_h, first_v), (second_h, second_v), third = self.sampling[:3]
        uniform = third == (second_h, second_v)
        if uniform and first_h % second_h == 0 and first_v % second_v == 0:
            name = _RATIOS.get((first_h // second_h, first_v // second_v))
            if name is not None:
                return name
        return ",".join(f"{across}x{down}" for across, down in self.sampling)

    @property
    def coefficient_bytes(self) -> int:
        """Memory for all coefficients, two bytes each: what a decoder of many scans must hold."""
        across = max(h for h, _ in self.sampling)
        down = max(v for _, v in self.sampling)
        share = sum(h * v for h, v in self.sampling) / (across * down)
        return round(2 * self.width * self.height * share)


def read_jpeg(source: BoundedBytes) -> Jpeg:
    """Walk the markers up to the first scan. Raises `UnreadableImage` when there is no frame."""
    frame: tuple[int, bytes] | None = None
    found = _Segments()
    position = 2
    while True:
        code, position = _next_marker(source, position)
        if code in _ALONE:
            continue
        if code == 0xD9:
            raise UnreadableImage("the JPEG ends before its first scan")
        length = struct.unpack(">H", source.need(position, 2, "JPEG marker length"))[0]
        if length < 2:
            raise UnreadableImage(
                f"a JPEG marker 0xff{code:02x} has the impossible length {length}"
            )
        if code == 0xDA:
            scan = source.need(position + 2, 1, "JPEG scan header")[0]
            return _assemble(frame, found, scan)
        if code in _FRAMES:
            body = source.need(position + 2, length - 2, "JPEG frame header")
            frame = frame or (code, body)
        elif code == _JPEG_LS:
            raise UnreadableImage(
                "this is JPEG-LS (ITU-T T.87), which is not read here; convert it to TIFF or PNG"
            )
        elif 0xE0 <= code <= 0xEE:
            found.take(code, source.at(position + 2, length - 2))
        position += length


class _Segments:
    """Application segments gathered on the way."""

    def __init__(self) -> None:
        self.dpi: tuple[float, float] | None = None
        self.exif: Directory | None = None
        self.has_exif = False
        self.adobe = False
        self.indexed = False
        self.pictures = 1
        self.chunks: dict[int, bytes] = {}

    def take(self, code: int, body: bytes) -> None:
        if code == 0xE0 and body[:5] == b"JFIF\0" and len(body) >= 12:
            unit, across, down = struct.unpack(">BHH", body[7:12])
            scale = {1: 1.0, 2: 2.54}.get(unit)
            if scale and across and down:
                self.dpi = (across * scale, down * scale)
        elif code == 0xE1 and body[:6] == b"Exif\0\0" and not self.has_exif:
            self.has_exif = True
            self.exif = read_exif(body)
        elif code == 0xE2 and body[:12] == b"ICC_PROFILE\0" and len(body) > 14:
            self.chunks.setdefault(body[12], body[14:])
        elif code == 0xE2 and body[:4] == b"MPF\0" and not self.indexed:
            self.indexed = True
            directory = read_exif(body[4:])
            self.pictures = max(1, directory.number(0xB001, 1)) if directory else 1
        elif code == 0xEE and body[:5] == b"Adobe":
            self.adobe = True


def _next_marker(source: BoundedBytes, position: int) -> tuple[int, int]:
    """The next marker's code and the position behind it; stray bytes before it are passed over."""
    size = 16
    while True:
        block = source.at(position, size)
        if len(block) < 2:
            raise UnreadableImage("the JPEG ends before its first scan")
        found = _MARKER.search(block)
        if found is not None:
            return block[found.end() - 1], position + found.end()
        position += len(block) - 1
        size = STRAY_BLOCK


def _assemble(frame: tuple[int, bytes] | None, found: _Segments, scan: int) -> Jpeg:
    if frame is None:
        raise UnreadableImage("the JPEG has a scan before any frame header")
    code, body = frame
    if len(body) < 6 or len(body) < 6 + 3 * body[5] or not body[5]:
        raise UnreadableImage("the JPEG frame header is too short for its components")
    precision, height, width, components = struct.unpack(">BHHB", body[:6])
    factors = [body[7 + 3 * index] for index in range(components)]
    sampling = tuple((factor >> 4, factor & 15) for factor in factors)
    if not width or not height:
        raise UnreadableImage(f"the JPEG frame header claims {width} x {height} pixels")
    if any(not 0 < value <= 4 for pair in sampling for value in pair):
        raise UnreadableImage(f"the JPEG frame header claims sampling factors {sampling}")
    return Jpeg(
        width=width,
        height=height,
        precision=precision,
        sampling=sampling,
        progressive=code in _PROGRESSIVE,
        lossless=code in _LOSSLESS,
        arithmetic=code >= 0xC9,
        scans_in_one=scan == components,
        adobe=found.adobe,
        dpi=found.dpi,
        profile=_join(found.chunks),
        exif=found.exif,
        has_exif=found.has_exif,
        pictures=found.pictures,
    )


def _join(chunks: dict[int, bytes]) -> bytes | None:
    """The profile's chunks in their order; None where there are none, or one is missing."""
    if not chunks or sorted(chunks) != list(range(1, len(chunks) + 1)):
        return None
    return b"".join(chunks[number] for number in sorted(chunks))
