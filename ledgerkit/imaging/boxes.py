"""Walk the boxes that JP2 and HEIF files are made of, without following a length out of its parent.

Keeps out: what is in the boxes (`jp2.py`, `heif.py`).
Source: ISO/IEC 14496-12:2022, section 4.2 (box headers); ITU-T T.800 (2019), annex I.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ledgerkit.imaging.bounded import BoundedBytes

MAX_BOXES = 4096


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its four-letter kind, and where its contents begin and end in the file."""

    kind: bytes
    start: int
    end: int


def boxes(source: BoundedBytes, start: int, end: int) -> Iterator[Box]:
    """The boxes from `start` to `end`, at most `MAX_BOXES`.

    Length 0 reaches to `end`, length 1 has 64 bits behind it. A box that is shorter than its own
    header ends the walk; one that is longer than its parent is cut to it.
    """
    position = start
    for _ in range(MAX_BOXES):
        head = source.at(position, 8)
        if position + 8 > end or len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        body = position + 8
        if length == 1:
            wide = source.at(body, 8)
            if len(wide) < 8:
                return
            length, body = struct.unpack(">Q", wide)[0], body + 8
        stop = end if length == 0 else position + length
        if stop < body:
            return
        yield Box(kind, body, min(stop, end))
        position = stop


def body(source: BoundedBytes, box: Box) -> bytes:
    """The contents of a box, fewer bytes where the file ends. Bounded by the source."""
    return source.at(box.start, box.end - box.start)
