"""Read the tags of TIFF and BigTIFF directories (and of EXIF blocks), bounded and without pixels.

Keeps out: what the tags mean for a plate (`header.py`), and the pixels (`decode.py`).
Source: Adobe, TIFF Revision 6.0 (1992), section 2; BigTIFF design (libtiff); EXIF 2.32 (JEITA
CP-3451E), section 4.6.2.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.bounded import BoundedBytes

MAX_ENTRIES = 4096
MAX_PAGES = 65536
MAX_VALUES = 4096

_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
_NUMBERS |= {13: "I", 16: "Q", 17: "q", 18: "Q"}
_SIZES = {code: struct.calcsize(letter) for code, letter in _NUMBERS.items()}
_SIZES |= {2: 1, 5: 8, 7: 1, 10: 8}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag as it lies: its type code, its number of values, where the values begin."""

    type: int
    count: int
    offset: int


class Directory:
    """The tags of one image file directory; values are read when asked for."""

    def __init__(self, source: BoundedBytes, order: str, entries: dict[int, Entry]) -> None:
        self._source = source
        self._order = order
        self.entries = entries

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The numbers of `tag`, at most `MAX_VALUES`; empty when it is absent or not numeric."""
        entry = self.entries.get(tag)
        if entry is None:
            return ()
        count = min(entry.count, MAX_VALUES)
        if entry.type in (5, 10):
            letter = "I" if entry.type == 5 else "i"
            return self._rationals(entry.offset, count, letter)
        if entry.type not in _NUMBERS:
            return ()
        data = self._source.at(entry.offset, count * _SIZES[entry.type])
        count = len(data) // _SIZES[entry.type]
        usable = data[: count * _SIZES[entry.type]]
        return struct.unpack(f"{self._order}{count}{_NUMBERS[entry.type]}", usable)

    def _rationals(self, offset: int, count: int, letter: str) -> tuple[float, ...]:
        data = self._source.at(offset, count * 8)
        count = len(data) // 8
        parts = struct.unpack(f"{self._order}{2 * count}{letter}", data[: count * 8])
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return tuple(top / bottom if bottom else 0.0 for top, bottom in pairs)

    def number(self, tag: int, default: int) -> int:
        """The first value of `tag` as an integer, or `default`."""
        values = self.numbers(tag)
        if not values or values[0] != values[0] or abs(values[0]) > 2**63:
            return default
        return int(values[0])

    def data(self, tag: int) -> bytes | None:
        """The bytes of `tag` as they lie, or None when the tag is absent. Bounded by the source."""
        entry = self.entries.get(tag)
        if entry is None:
            return None
        return self._source.at(entry.offset, entry.count * _SIZES.get(entry.type, 1))


@dataclass(frozen=True, slots=True)
class Tiff:
    """The first directory of a TIFF and how many directories are chained to it."""

    first: Directory
    pages: int
    big: bool


def read_tiff(source: BoundedBytes) -> Tiff:
    """Read the first directory and count the others.

    A chain that loops, leaves the file or is longer than `MAX_PAGES` ends there: what came before
    counts. Raises `UnreadableImage` when there is no first directory.
    """
    order, big, offset = _read_start(source)
    first, following = _read_directory(source, order, big, offset)
    seen = {offset}
    pages = 1
    while following and following not in seen and pages < MAX_PAGES:
        seen.add(following)
        try:
            _, after = _read_directory(source, order, big, following, keep=False)
        except UnreadableImage:
            break
        pages += 1
        following = after
    return Tiff(Directory(source, order, first), pages, big)


def read_exif(data: bytes) -> Directory | None:
    """The first directory of an EXIF block (which is a small TIFF), or None when it is broken."""
    source = BoundedBytes(io.BytesIO(data.removeprefix(b"Exif\0\0")))
    try:
        order, big, offset = _read_start(source)
        entries, _ = _read_directory(source, order, big, offset)
    except UnreadableImage:
        return None
    return Directory(source, order, entries)


def _read_start(source: BoundedBytes) -> tuple[str, bool, int]:
    head = source.need(0, 8, "TIFF header")
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise UnreadableImage(f"expected a TIFF byte order II or MM, found {head[:2]!r}")
    magic = struct.unpack(order + "H", head[2:4])[0]
    if magic == 42:
        return order, False, struct.unpack(order + "I", head[4:8])[0]
    if magic != 43:
        raise UnreadableImage(f"expected the TIFF number 42 or 43, found {magic}")
    rest = source.need(8, 8, "BigTIFF header")
    return order, True, struct.unpack(order + "Q", rest)[0]


def _read_directory(
    source: BoundedBytes, order: str, big: bool, offset: int, keep: bool = True
) -> tuple[dict[int, Entry], int]:
    """Entries by tag (of equal tags the first), and the offset of the next directory or 0."""
    head, size = (8, 20) if big else (2, 12)
    raw = source.need(offset, head, "TIFF directory")
    count = struct.unpack(order + ("Q" if big else "H"), raw)[0]
    if not 0 < count <= MAX_ENTRIES:
        raise UnreadableImage(f"a TIFF directory at offset {offset} claims {count} entries")
    start = offset + head
    body = source.at(start, count * size)
    tail = source.at(start + count * size, 8 if big else 4)
    complete = len(tail) == (8 if big else 4)
    following = struct.unpack(order + ("Q" if big else "I"), tail)[0] if complete else 0
    if not keep:
        if len(body) < size:
            raise UnreadableImage(f"the TIFF directory at offset {offset} lies outside the file")
        return {}, following
    entries: dict[int, Entry] = {}
    for index in range(len(body) // size):
        _add_entry(
            entries, order, big, body[index * size : (index + 1) * size], start + index * size
        )
    if not entries:
        raise UnreadableImage(f"the TIFF directory at offset {offset} lies outside the file")
    return entries, following


def _add_entry(entries: dict[int, Entry], order: str, big: bool, raw: bytes, position: int) -> None:
    tag, kind, count, offset = struct.unpack(order + ("HHQQ" if big else "HHII"), raw)
    inline = 8 if big else 4
    if count * _SIZES.get(kind, 1) <= inline:
        offset = position + len(raw) - inline
    entries.setdefault(tag, Entry(kind, count, offset))
