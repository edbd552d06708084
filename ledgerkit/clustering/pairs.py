"""All pairs of pictures whose hashes are near, and the groups that pairs make.

Every picture has one hash of the whole and several of windows on it. Two pictures are as far apart
as the whole of one is from the nearest of all hashes of the other: a cropped copy is near the window
that it shows. Blocks of pairs are compared at once, so memory is bounded; time grows with the square
of the number of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.errors import LimitExceeded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1024
MAX_PAIRS = 1_000_000


def distances(first: Hashed, second: Hashed) -> NDArray[np.int16]:
    """Bits in which pictures differ, int16 (n, m); `Hashed.none` where either has no hash."""
    import numpy as np

    nearest = np.full((len(first.words), len(second.words)), first.none, dtype=np.int16)
    for window in range(first.words.shape[1]):
        for left, right in {(0, window), (window, 0)}:
            bits = np.zeros(nearest.shape, dtype=np.int16)
            for word in range(first.words.shape[2]):
                one, other = first.words[:, left, word], second.words[:, right, word]
                bits += np.bitwise_count(one[:, None] ^ other[None])
            bits[~first.known[:, left]] = first.none
            bits[:, ~second.known[:, right]] = first.none
            np.minimum(nearest, bits, out=nearest)
    return nearest


@dataclass(frozen=True, slots=True)
class Hashed:
    """Hashes of pictures and of windows on them."""

    words: NDArray[np.uint64]
    """uint64 (n, windows, words of a hash), the whole picture first."""
    known: NDArray[np.bool_]
    """bool (n, windows), False where there is no hash."""

    @property
    def none(self) -> int:
        """More than two hashes can differ in: stands for a distance that is not known."""
        return 64 * int(self.words.shape[2]) + 1

    def part(self, rows: slice) -> Hashed:
        """Some of the pictures."""
        return Hashed(self.words[rows], self.known[rows])


def near_pairs(
    hashed: Hashed, most: int, max_pairs: int = MAX_PAIRS
) -> Iterator[tuple[int, int, int]]:
    """Rows and distance of all pairs that differ in at most `most` bits, first row the smaller.

    Raises `LimitExceeded` for more than `max_pairs` of them.
    """
    import numpy as np

    count = 0
    for top in range(0, len(hashed.words), BLOCK):
        for left in range(top, len(hashed.words), BLOCK):
            rows, columns = slice(top, top + BLOCK), slice(left, left + BLOCK)
            far = distances(hashed.part(rows), hashed.part(columns))
            found = np.argwhere(far <= most) + np.array((top, left))
            for first, second in found[found[:, 0] < found[:, 1]]:
                count += 1
                if count > max_pairs:
                    raise LimitExceeded(
                        f"more than {max_pairs} pairs of plates differ in at most {most} bits "
                        "(setting: max_pairs)",
                        "Lower the limits, as: --max-distance 16",
                    )
                yield int(first), int(second), int(far[first - top, second - left])


def groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Rows that pairs join, directly or by others: each group sorted, groups by their first rows.

    The smaller row is the root, so the order of the pairs changes nothing.
    Source: Tarjan 1975, "Efficiency of a good but not linear set union algorithm"; path halving.
    """
    root: dict[int, int] = {}

    def find(row: int) -> int:
        root.setdefault(row, row)
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for one, other in pairs:
        first, second = sorted((find(one), find(other)))
        root[second] = first
    found: dict[int, list[int]] = {}
    for row in sorted(root):
        found.setdefault(find(row), []).append(row)
    return [found[row] for row in sorted(found)]
