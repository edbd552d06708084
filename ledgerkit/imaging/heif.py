"""Read what the `meta` box of a HEIF file (AVIF, HEIC) says of its primary picture.

Pillow's parser hands the whole file to a decoder and stands at 8 bits; here only the boxes are read.
Turning and mirroring (`irot`, `imir`) and cropping (`clap`) are part of the picture in HEIF, and
every decoder applies them: width and height are those after them, and the orientation is 1.

Keeps out: coded pictures, EXIF (its presence is told; HEIF forbids it to turn the picture).
Source: ISO/IEC 23008-12:2022, sections 6.5 and 9.3; ISO/IEC 14496-12:2022, section 8.11; AV1 Image
File Format 1.1.0.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.bounded import BoundedBytes
from ledgerkit.imaging.boxes import Box, body, boxes

MAX_PROPERTIES = 1024
MAX_BYTES = 1 << 20
"""The longest table of associations that is looked at: some 200,000 items."""
_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"})


@dataclass(frozen=True, slots=True)
class Heif:
    """Facts of the primary picture. `coding` is `av01`, `hvc1` or another four letters."""

    width: int
    height: int
    bit_depth: int
    monochrome: bool
    alpha: bool
    coding: str
    sequence: bool
    profile: bytes | None
    has_exif: bool


@dataclass(slots=True)
class _Meta:
    """What the `meta` box says: items by number, properties in order, which belong to which."""

    primary: int = 0
    items: dict[int, bytes] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    belongs: dict[int, list[int]] = field(default_factory=dict)
    refers: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)

    def of(self, item: int) -> list[tuple[bytes, bytes]]:
        """The properties of an item, in the order in which they apply."""
        places = self.belongs.get(item, [])
        return [self.properties[at - 1] for at in places if 0 < at <= len(self.properties)]


def is_heif(first: bytes) -> bool:
    """Whether a file begins as HEIF does: an `ftyp` box with a brand that is known here."""
    if first[4:8] != b"ftyp":
        return False
    end = max(16, min(int.from_bytes(first[:4], "big"), 256))
    brands = {first[8:12], *(first[at : at + 4] for at in range(16, end, 4))}
    return bool(brands & _BRANDS)


def read_heif(source: BoundedBytes) -> Heif:
    """Facts of the primary picture. Raises `UnreadableImage` when the boxes give no size."""
    meta: _Meta | None = None
    sequence = source.first[8:12] in (b"avis", b"hevc", b"hevx", b"msf1")
    for box in boxes(source, 0, source.size):
        if box.kind == b"meta":
            meta = _read_meta(source, box)
            break
    if meta is None:
        raise UnreadableImage("the HEIF file has no meta box, so no still picture")
    found = meta.of(meta.primary)
    size = _size(found)
    if size is None or not all(size):
        raise UnreadableImage("the HEIF file states no size for its primary picture")
    coded = _coded_item(meta)
    depth, monochrome = _depth(found + meta.of(coded))
    profile = next((data[4:] for kind, data in found if _is_profile(kind, data)), None)
    return Heif(
        *size,
        depth,
        monochrome,
        any(_is_alpha(meta, *one) for one in meta.refers),
        meta.items.get(coded, b"none").decode("latin-1"),
        sequence,
        profile,
        b"Exif" in meta.items.values(),
    )


def _read_meta(source: BoundedBytes, meta: Box) -> _Meta:
    found = _Meta()
    for box in boxes(source, meta.start + 4, meta.end):
        data = source.at(box.start, min(8, box.end - box.start))
        try:
            if box.kind == b"pitm":
                found.primary = int.from_bytes(data[4 : 8 if data[0] else 6], "big")
            elif box.kind == b"iinf":
                _read_items(source, box, data, found)
            elif box.kind == b"iref":
                _read_references(source, box, data, found)
            elif box.kind == b"iprp":
                _read_properties(source, box, found)
        except (struct.error, IndexError) as error:
            raise UnreadableImage(f"the HEIF box {box.kind!r} is cut short") from error
    return found


def _read_items(source: BoundedBytes, box: Box, data: bytes, found: _Meta) -> None:
    start = box.start + (6 if data[0] == 0 else 8)
    for entry in boxes(source, start, box.end):
        if entry.kind == b"infe":
            info = body(source, entry)
            wide = info[0] >= 3
            number = int.from_bytes(info[4 : 8 if wide else 6], "big")
            found.items[number] = info[10:14] if wide else info[8:12]


def _read_references(source: BoundedBytes, box: Box, data: bytes, found: _Meta) -> None:
    letter, size = ("H", 2) if data[0] == 0 else ("I", 4)
    for entry in boxes(source, box.start + 4, box.end):
        info = body(source, entry)
        number, count = struct.unpack_from(f">{letter}H", info)
        count = min(count, (len(info) - size - 2) // size)
        targets = struct.unpack_from(f">{count}{letter}", info, size + 2)
        found.refers.append((entry.kind, number, targets))


def _read_properties(source: BoundedBytes, box: Box, found: _Meta) -> None:
    for part in boxes(source, box.start, box.end):
        if part.kind == b"ipco":
            for entry in boxes(source, part.start, part.end):
                if len(found.properties) >= MAX_PROPERTIES:
                    raise UnreadableImage(
                        f"the HEIF file has more than {MAX_PROPERTIES} properties"
                    )
                found.properties.append((entry.kind, body(source, entry)))
        elif part.kind == b"ipma":
            _read_associations(source.at(part.start, min(MAX_BYTES, part.end - part.start)), found)


def _read_associations(data: bytes, found: _Meta) -> None:
    """Which properties belong to which item: numbers from 1, 7 or 15 bits wide."""
    wide_item, wide_place = data[0] >= 1, data[3] & 1
    (entries,) = struct.unpack_from(">I", data, 4)
    at = 8
    for _ in range(min(entries, len(data))):
        number, count = struct.unpack_from(">IB" if wide_item else ">HB", data, at)
        at += 5 if wide_item else 3
        step = 2 if wide_place else 1
        places = [
            int.from_bytes(data[at + step * i : at + step * (i + 1)], "big") for i in range(count)
        ]
        found.belongs[number] = [place & (0x7FFF if wide_place else 0x7F) for place in places]
        at += step * count


def _size(found: list[tuple[bytes, bytes]]) -> tuple[int, int] | None:
    """Width and height after cropping and turning; None when no size is stated."""
    size: tuple[int, int] | None = None
    for kind, data in found:
        if kind == b"ispe" and len(data) >= 12:
            size = struct.unpack(">II", data[4:12])
        elif kind == b"clap" and len(data) >= 16 and size is not None:
            across, across_by, down, down_by = struct.unpack(">IIII", data[:16])
            if across_by and down_by:
                size = (across // across_by, down // down_by)
        elif kind == b"irot" and data and size is not None and data[0] & 1:
            size = (size[1], size[0])
    return size


def _coded_item(meta: _Meta) -> int:
    """The primary item, or of one that is a grid or another derivation its first part."""
    for kind, number, targets in meta.refers:
        if kind == b"dimg" and number == meta.primary and targets:
            return targets[0]
    return meta.primary


def _depth(found: list[tuple[bytes, bytes]]) -> tuple[int, bool]:
    """Bits a sample and whether there is only light, from `av1C`, `hvcC` or `pixi`; 8 unless said."""
    depth, monochrome = 8, False
    for kind, data in found:
        if kind == b"pixi" and len(data) > 5 and data[4]:
            depth, monochrome = data[5], data[4] == 1
    for kind, data in found:
        if kind == b"av1C" and len(data) >= 3:
            depth = 8 if not data[2] & 0x40 else 12 if data[2] & 0x20 else 10
            monochrome = bool(data[2] & 0x10)
        elif kind == b"hvcC" and len(data) >= 18:
            depth, monochrome = (data[17] & 7) + 8, not data[16] & 3
    return depth, monochrome


def _is_profile(kind: bytes, data: bytes) -> bool:
    return kind == b"colr" and data[:4] in (b"prof", b"rICC")


def _is_alpha(meta: _Meta, kind: bytes, number: int, targets: tuple[int, ...]) -> bool:
    """Whether a reference makes an auxiliary picture the opacity of the primary one."""
    if kind != b"auxl" or meta.primary not in targets:
        return False
    kinds = [data[4:].split(b"\0")[0] for name, data in meta.of(number) if name == b"auxC"]
    return any(b"alpha" in one or one.endswith(b"auxid:1") for one in kinds)
