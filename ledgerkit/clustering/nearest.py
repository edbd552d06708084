"""The vectors nearest to one vector by cosine, exactly, fed block after block.

A block is first compared in float32; what may be among the nearest is compared again, its products
summed without rounding. So the answer depends neither on how rows were cut into blocks nor on the
library that multiplies matrices, and only the nearest and one block are in memory.
Source: Shewchuk 1997, "Adaptive precision floating-point arithmetic" (`math.fsum`); Higham 2002,
"Accuracy and stability of numerical algorithms", 3.1 (the bound on a dot product's error).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from ledgerkit.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = TypeVar("Row")
ROUNDING = 2.0**-24
"""Relative rounding of one float32 operation."""


class Nearest(Generic[Row]):
    """The `count` rows nearest to `query`, float32 (d,), not zero; among equals by name."""

    def __init__(self, query: NDArray[np.float32], count: int) -> None:
        import numpy as np

        self._exact = np.asarray(query, dtype=np.float64)
        self._length = math.sqrt(math.fsum((self._exact * self._exact).tolist()))
        if not math.isfinite(self._length) or self._length == 0:
            raise InvalidRecord(
                "the vector searched with is zero or not finite",
                "Make it again with: ledgerkit embed --force",
            )
        self._unit = (self._exact / self._length).astype(np.float32)
        self._margin = 4 * (len(query) + 2) * ROUNDING
        self._count = count
        self._best: list[tuple[float, str, Row]] = []
        self.seen = 0
        """Rows fed so far."""

    def feed(self, matrix: NDArray[np.float32], name_of: Callable[[int], tuple[str, Row]]) -> None:
        """Look at a block, float32 (n, d); `name_of` gives name and row of one of its rows.

        Raises `InvalidRecord` that names a row whose vector is zero or not finite.
        """
        import numpy as np

        self.seen += len(matrix)
        squares = np.einsum("ij,ij->i", matrix, matrix)
        wrong = np.flatnonzero(~np.isfinite(squares) | (squares == 0))
        if wrong.size:
            raise InvalidRecord(
                f"the vector of {name_of(int(wrong[0]))[0]} is zero or not finite",
                "Make it again with: ledgerkit embed --force, then: ledgerkit consolidate",
            )
        # One thread: what reads the next block needs the others, and waiting costs more than adding.
        near = np.einsum("ij,j->i", matrix, self._unit) / np.sqrt(squares)
        for row in self._candidates(near):
            name, value = name_of(int(row))
            self._best.append((-self._cosine(matrix[row]), name, value))
        self._best = sorted(self._best, key=lambda one: one[:2])[: self._count]

    def _candidates(self, near: NDArray[np.float32]) -> NDArray[np.intp]:
        """Rows that rounding leaves a chance of being among the nearest."""
        import numpy as np

        floor = -self._best[-1][0] if len(self._best) == self._count else -math.inf
        if len(near) > self._count:
            own = np.partition(near, len(near) - self._count)[len(near) - self._count]
            floor = max(floor, float(own) - self._margin)
        return np.flatnonzero(near >= floor - self._margin)

    def _cosine(self, vector: NDArray[np.float32]) -> float:
        """Cosine to the query, summed without rounding."""
        import numpy as np

        exact = vector.astype(np.float64)
        length = math.sqrt(math.fsum((exact * exact).tolist()))
        return math.fsum((exact * self._exact).tolist()) / (length * self._length)

    def found(self) -> list[tuple[str, float, Row]]:
        """Name, cosine (-1..1) and row of the nearest, nearest first, equals by name."""
        return [(name, -distance, row) for distance, name, row in self._best]
