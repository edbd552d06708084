"""Binary masks as COCO run lengths in their compressed text form, and back.

Column-major runs, first run background, as in the COCO annotation format (Lin et al. 2014) and its
reference implementation `maskApi.c`. Pure functions on arrays; knows nothing of regions or plates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 13
"""Characters of 5 bits that a 64-bit number can take."""


def encode(mask: NDArray[np.bool_]) -> str:
    """Compressed run lengths of `mask`, bool (h, w) with h, w >= 1; ASCII characters '0' to 'o'."""
    import numpy as np

    flat = np.ascontiguousarray(mask.T, dtype=bool).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate(([0], edges)) if not flat[0] else np.concatenate(([0, 0], edges))
    return compress(np.diff(np.append(starts, flat.size)).astype(np.int64))


def compress(counts: NDArray[np.int64]) -> str:
    """The text of run lengths, int64 (n,), n >= 1, those of the background first and in between."""
    steps = counts.copy()
    steps[3:] -= counts[1:-2]
    return _to_text(steps)


def _to_text(steps: NDArray[np.int64]) -> str:
    """Signed numbers as groups of 5 bits, low bits first, bit 6 set when more follow, plus 48."""
    import numpy as np

    groups = np.zeros((steps.size, LONGEST), dtype=np.uint8)
    used = np.zeros((steps.size, LONGEST), dtype=bool)
    rest = steps.copy()
    open_ = np.ones(steps.size, dtype=bool)
    for place in range(LONGEST):
        bits = (rest & 31).astype(np.uint8)
        rest = rest >> 5
        more = np.where(bits & 16, rest != -1, rest != 0)
        groups[:, place] = bits | (more.astype(np.uint8) << 5)
        used[:, place] = open_
        open_ &= more
        if not open_.any():
            break
    return (groups[used] + 48).tobytes().decode("ascii")


def decode(text: str, height: int, width: int) -> NDArray[np.bool_]:
    """The mask bool (height, width) of compressed run lengths.

    Raises `InvalidRecord` where the text is no such code, a run is negative, or the runs do not add
    up to height * width (a wrong sum would otherwise shift every later column).
    """
    import numpy as np

    numbers, whole = _from_text(text), height * width
    if max(map(abs, numbers)) > whole:
        raise InvalidRecord(f"a run longer than the mask of {height} x {width}")
    counts = np.array(numbers, dtype=np.int64)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    if (counts < 0).any() or int(counts.sum()) != whole:
        raise InvalidRecord(
            f"runs add up to {int(counts.sum())}, expected {height} x {width} = {whole}",
            "the mask was cut or changed: run segment again for this plate",
        )
    values = np.arange(counts.size) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def _from_text(text: str) -> list[int]:
    """The signed numbers of `_to_text`, as Python integers, so that no shift can overflow."""
    numbers: list[int] = []
    value = shift = 0
    for code in text.encode("ascii", "replace"):
        bits = code - 48
        if not 0 <= bits < 64 or shift > 5 * LONGEST:
            raise InvalidRecord(f"{chr(code)!r} does not belong in compressed run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        numbers.append(value - (1 << shift) if bits & 16 else value)
        value = shift = 0
    if shift or not numbers:
        raise InvalidRecord("compressed run lengths that end in the middle of a number")
    return numbers
