"""What is counted of an image while its strips go by: exact integers, whoever counts them.

A strip is divided by rows among threads, each with tables of its own; tables and totals are added
up at the end, and sums of integers know no order. Light is kept for the strip and the two rows
above it, because the operators of 3 x 3 pixels reach over the seams.

Keeps out: decoding, and the figures made of the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import UnreadableImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BORDER_SHARE = 32
"""The border is this part of the shorter side wide, and at least one pixel."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a tally must know of its image: size in pixels, 1 (grey) or 3 (R, G, B) bands.

    `maximum` is the value of white, 2^k - 1 >= 255. `edge_limit` is the squared Sobel gradient
    above which a pixel is an edge, `grey_limit` the greatest spread of the bands of a grey pixel,
    both in units of the samples.
    """

    width: int
    height: int
    bands: int
    maximum: int
    edge_limit: int
    grey_limit: int

    @property
    def border(self) -> int:
        """Width of the border in pixels."""
        return max(1, min(self.width, self.height) // BORDER_SHARE)


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums over the samples of one channel, and its extremes, in units of the samples."""

    total: int
    squares: int
    lowest: int
    highest: int

    @classmethod
    def of(cls, histogram: NDArray[np.int64]) -> Sums:
        """From counts of the values 0, 1, 2 ..., of which at least one is not 0."""
        import numpy as np

        values = np.flatnonzero(histogram)
        counted = [(int(value), int(histogram[value])) for value in values]
        total = sum(value * count for value, count in counted)
        squares = sum(value * value * count for value, count in counted)
        return cls(total, squares, counted[0][0], counted[-1][0])


@dataclass(frozen=True, slots=True)
class Counts:
    """What a tally found. `tones`: how many pixels have each luma, int64 (maximum + 1,).

    `border` and `inner` count the colours of the border and of the rest: of grey 256 tones, int64
    (256,); of colour 64 x 64 x 64 bins, int64 (262144,), red slowest. `channels`: sums of each
    band. `greys`: pixels whose bands differ by no more than the limit. `laplacian`,
    `laplacian_squares`: sums over all pixels. `edges`: pixels above the limit.
    """

    tones: NDArray[np.int64]
    border: NDArray[np.int64]
    inner: NDArray[np.int64]
    channels: list[Sums]
    greys: int
    laplacian: int
    laplacian_squares: int
    edges: int


class Tally:
    """Counts over the strips seen so far: give all rows from the top, then `finish`.

    Memory: tables of tones and colours for each thread (some 5 MB), and the luma
    of one strip. Close it (`with`) to end its threads.
    """

    def __init__(self, frame: Frame, threads: int = 1) -> None:
        from ledgerkit.imaging import strip_kernel

        self.frame, self.kernel = frame, strip_kernel
        self.tables = [self._new_tables() for _ in range(max(1, threads))]
        self.pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self.totals = strip_kernel.new_totals().tolist()
        self.light: NDArray[Any] | None = None
        self.rows = 0

    def __enter__(self) -> Tally:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.pool:
            self.pool.shutdown()

    def _new_tables(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tones and colours; as many tones as 16 bits can name, so that no sample lies outside."""
        import numpy as np

        bins = 64**3 if self.frame.bands == 3 else 256
        return np.zeros(65536, np.int64), np.zeros((2, bins), np.int64)

    def add(self, strip: NDArray[Any]) -> None:
        """Take the next strip: uint8 or uint16 (rows, width, bands), contiguous."""
        rows = len(strip)
        light = self._make_room(rows, strip.dtype)
        flat = strip.reshape(rows, -1)
        flat.flags.writeable = False  # numba compiles once more for arrays that may be written
        self._read(flat, light[2 : rows + 2])
        if self.rows == 0:
            light[1] = light[2]
        self._differentiate(light[0 if self.rows else 1 : rows + 2])
        light[:2] = light[rows : rows + 2].copy()
        self.rows += rows

    def _make_room(self, rows: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Luma of the two rows above and of `rows` more, with a column on either side."""
        import numpy as np

        if self.light is None or len(self.light) < rows + 2:
            grown = np.zeros((rows + 2, self.frame.width + 2), dtype)
            if self.light is not None:
                grown[:2] = self.light[:2]
            self.light = grown
        return self.light

    def _read(self, strip: NDArray[Any], light: NDArray[Any]) -> None:
        frame, kernel = self.frame, self.kernel
        shift = frame.maximum.bit_length() - (6 if frame.bands == 3 else 8)

        def read(part: slice, tables: tuple[NDArray[np.int64], NDArray[np.int64]]) -> list[int]:
            totals = kernel.new_totals()
            above = self.rows + part.start
            inner = (frame.border - above, frame.height - frame.border - above)
            limits = (inner, frame.border, shift, frame.grey_limit)
            kernel.read_rows(strip[part], *limits, totals, *tables, light[part])
            found: list[int] = totals.tolist()
            return found

        self._share(read, len(strip))

    def _differentiate(self, light: NDArray[Any]) -> None:
        """Add up all rows of `light` but the first and the last."""
        steepest = 2 * (4 * self.frame.maximum) ** 2
        limit = min(self.frame.edge_limit, steepest)

        def differentiate(part: slice, tables: object) -> list[int]:
            totals = self.kernel.new_totals()
            self.kernel.differentiate_rows(light[part.start : part.stop + 2], limit, totals)
            found: list[int] = totals.tolist()
            return found

        self._share(differentiate, len(light) - 2)

    def _share(self, work: Callable[[slice, Any], list[int]], rows: int) -> None:
        """`work` on all of `rows` rows, divided among the threads; their totals are added."""
        ways = len(self.tables)
        bounds = [rows * way // ways for way in range(ways + 1)]
        parts = [slice(start, stop) for start, stop in pairwise(bounds)]
        others = [
            self.pool.submit(work, part, tables)
            for part, tables in zip(parts[1:], self.tables[1:], strict=True)
            if self.pool
        ]
        for found in [work(parts[0], self.tables[0]), *(other.result() for other in others)]:
            self._merge(found)

    def _merge(self, found: list[int]) -> None:
        lowest, highest = self.kernel.LOWEST, self.kernel.HIGHEST
        for place, value in enumerate(found):
            own = self.totals[place]
            if lowest <= place < lowest + 3:
                self.totals[place] = min(own, value)
            elif highest <= place < highest + 3:
                self.totals[place] = max(own, value)
            else:
                self.totals[place] = own + value

    def finish(self) -> Counts:
        """The counts, once all rows were added.

        Raises `UnreadableImage` where a sample was above `maximum`.
        """
        import numpy as np

        assert self.light is not None
        self._differentiate(np.concatenate([self.light[:2], self.light[1:2]]))
        kernel, totals = self.kernel, self.totals
        tones, (border, inner) = self.tables[0]
        for more_tones, (more_border, more_inner) in self.tables[1:]:
            tones, border, inner = tones + more_tones, border + more_border, inner + more_inner
        starts = (kernel.SUM, kernel.SQUARES, kernel.LOWEST, kernel.HIGHEST)
        channels = [Sums(*(totals[start + band] for start in starts)) for band in range(3)]
        if self.frame.bands == 1:
            channels, totals[kernel.GREYS] = [Sums.of(tones)], int(tones.sum())
        self._refuse_over(max(channel.highest for channel in channels))
        return Counts(
            tones=tones[: self.frame.maximum + 1],
            border=border,
            inner=inner,
            channels=channels,
            greys=totals[kernel.GREYS],
            laplacian=totals[kernel.LAPLACIAN],
            laplacian_squares=totals[kernel.LAPLACIAN_SQUARES],
            edges=totals[kernel.EDGES],
        )

    def _refuse_over(self, highest: int) -> None:
        if highest > self.frame.maximum:
            raise UnreadableImage(
                f"a sample of {highest} is above {self.frame.maximum}, the white of "
                f"{self.frame.maximum.bit_length()} bits that the header states"
            )
