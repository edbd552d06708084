"""TIFF files written by hand, tag by tag, for what no library writes. One strip, classic TIFF."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tags = dict[int, tuple[int, list[Any]]]
LETTERS = {1: "B", 3: "H", 4: "I", 5: "I", 11: "f", 12: "d"}


def written(tags: Tags, data: bytes, order: str = "<") -> bytes:
    """A TIFF of `tags` (tag: (type, values); rationals as two values each) and one strip."""
    every = tags | {273: (4, [8]), 279: (4, [len(data)])}
    start = 8 + len(data) + len(data) % 2
    beyond = start + 2 + 12 * len(every) + 4
    entries, values = b"", b""
    for tag in sorted(every):
        kind, numbers = every[tag]
        raw = struct.pack(f"{order}{len(numbers)}{LETTERS[kind]}", *numbers)
        count = len(numbers) // (2 if kind == 5 else 1)
        head = struct.pack(order + "HHI", tag, kind, count)
        if len(raw) <= 4:
            entries += head + raw.ljust(4, b"\0")
        else:
            entries += head + struct.pack(order + "I", beyond + len(values))
            values += raw + b"\0" * (len(raw) % 2)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", len(every)) + entries + bytes(4) + values
    return magic + struct.pack(order + "I", start) + data.ljust(start - 8, b"\0") + directory


def basic(width: int, height: int, bits: int, bands: int, photometric: int) -> Tags:
    """The tags that every baseline TIFF has."""
    return {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [bits] * bands),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [bands]),
        278: (3, [height]),
    }


def packed(samples: NDArray[Any], bits: int, order: str = "<") -> bytes:
    """Rows (height, samples) of `bits` bits, each row padded to whole bytes; 16 bits in `order`."""
    if bits == 16:
        return samples.astype(order + "u2").tobytes()
    steps = np.arange(bits - 1, -1, -1)
    rows = (((row[:, None].astype(np.int64) >> steps) & 1).astype(np.uint8) for row in samples)
    return b"".join(np.packbits(row.ravel()).tobytes() for row in rows)
