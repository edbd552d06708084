"""The inner loops of `tally`: what is counted of the pixels of one strip, compiled by numba.

Everything is counted in integers that cannot overflow within one call on fewer than 2^27 pixels
(a squared Laplacian of 16 bits has up to 2^36), so neither the order of the work nor its division
among threads can change a digit. All functions leave the interpreter's lock. Rows are worked on in
runs of `RUN` pixels: a run and what is made of it stay in the first cache, and a run's sums of
8-bit samples fit 32 bits, which is quicker.

Numba compiles when a type of sample is first met (about 3 s each) and keeps the machine code beside
this file, else in the user's cache folder; where neither can be written, each process compiles for
itself. This module loads numba (about 0.5 s) and must be imported late.

Keeps out: decoding, threads, and the figures made of the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
int32: Any = np.int32
int64: Any = np.int64

RUN = 1024
SUM, SQUARES, LOWEST, HIGHEST, GREYS, LAPLACIAN, LAPLACIAN_SQUARES, EDGES, TOTALS = (
    0,
    3,
    6,
    9,
    12,
    13,
    14,
    15,
    16,
)
"""Places in an array of totals; the first four have one for each of R, G and B."""


def compiled(function: Function) -> Function:
    """`function` as machine code, kept on disk where there is a folder for it.

    numba raises `RuntimeError` when it finds none (read-only installation, no home).
    """
    try:
        quick = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        quick = numba.njit(nogil=True)(function)
    return cast(Function, quick)


def new_totals() -> NDArray[np.int64]:
    """Totals of nothing: int64 (TOTALS,), the extremes turned inside out."""
    totals = np.zeros(TOTALS, np.int64)
    totals[LOWEST : LOWEST + 3] = np.iinfo(np.int64).max
    totals[HIGHEST : HIGHEST + 3] = -1
    return totals


@compiled
def read_rgb(
    samples: NDArray[Any],
    shift: int,
    grey_limit: int,
    totals: NDArray[np.int64],
    light: NDArray[Any],
    bins: NDArray[np.uint32],
) -> None:
    """Sums of a run of interleaved R, G, B; its luma goes to `light`, its colours to `bins`."""
    sum_r = sum_g = sum_b = greys = int32(0)
    square_r = square_g = square_b = int64(0)
    low_r = low_g = low_b = int32(65535)
    high_r = high_g = high_b = int32(0)
    for x in range(light.size):
        r, g, b = int32(samples[3 * x]), int32(samples[3 * x + 1]), int32(samples[3 * x + 2])
        sum_r, sum_g, sum_b = int32(sum_r + r), int32(sum_g + g), int32(sum_b + b)
        square_r += int64(np.uint32(r * r))
        square_g += int64(np.uint32(g * g))
        square_b += int64(np.uint32(b * b))
        low_r, low_g, low_b = min(low_r, r), min(low_g, g), min(low_b, b)
        high_r, high_g, high_b = max(high_r, r), max(high_g, g), max(high_b, b)
        spread = int32(max(max(r, g), b) - min(min(r, g), b))
        greys = int32(greys + int32(spread <= grey_limit))
        light[x] = int32(int32(54 * r + 183 * g + 19 * b + 128) >> 8)
        red, green, blue = min(r >> shift, 63), min(g >> shift, 63), min(b >> shift, 63)
        bins[x] = int32(red * 4096 + green * 64 + blue)
    for band, (total, square, low, high) in enumerate(
        (
            (sum_r, square_r, low_r, high_r),
            (sum_g, square_g, low_g, high_g),
            (sum_b, square_b, low_b, high_b),
        )
    ):
        totals[SUM + band] += total
        totals[SQUARES + band] += square
        totals[LOWEST + band] = min(totals[LOWEST + band], low)
        totals[HIGHEST + band] = max(totals[HIGHEST + band], high)
    totals[GREYS] += greys


@compiled
def read_grey(
    samples: NDArray[Any], shift: int, light: NDArray[Any], bins: NDArray[np.uint32]
) -> None:
    """A run of grey is its own luma; its tone among 256 goes to `bins`."""
    for x in range(light.size):
        light[x] = samples[x]
        bins[x] = min(int32(samples[x]) >> shift, 255)


@compiled
def count(
    light: NDArray[Any],
    bins: NDArray[np.uint32],
    tones: NDArray[np.int64],
    colours: NDArray[np.int64],
) -> None:
    """Count a run: its luma in `tones`, its bins in `colours`."""
    for x in range(light.size):
        tones[light[x]] += 1
        colours[bins[x]] += 1


@compiled
def read_rows(
    strip: NDArray[Any],
    border_rows: tuple[int, int],
    border: int,
    shift: int,
    grey_limit: int,
    totals: NDArray[np.int64],
    tones: NDArray[np.int64],
    colours: NDArray[np.int64],
    light: NDArray[Any],
) -> None:
    """Count the rows of `strip`, uint8 or uint16 (rows, width * bands), of 1 or 3 bands.

    Rows before the first and from the second of `border_rows` on are border, and so are `border`
    columns on either side. `tones`, int64 (n,), counts luma; `colours`, int64 (2, m), counts
    colours: those of the border in its first row, the others in its second. Luma is written to
    `light` (rows, width + 2), its first and last columns repeated.
    """
    width = light.shape[1] - 2
    bands = strip.shape[1] // width
    bins = np.empty(RUN, np.uint32)
    for row in range(strip.shape[0]):
        inner = border_rows[0] <= row < border_rows[1]
        left = border if inner else width
        right = max(left, width - border)
        for start, stop, place in ((0, left, 0), (left, right, 1), (right, width, 0)):
            for x in range(start, stop, RUN):
                end = min(stop, x + RUN)
                samples = strip[row, x * bands : end * bands]
                seen, found = light[row, x + 1 : end + 1], bins[: end - x]
                if bands == 3:
                    read_rgb(samples, shift, grey_limit, totals, seen, found)
                else:
                    read_grey(samples, shift, seen, found)
                count(seen, found, tones, colours[place])
        light[row, 0] = light[row, 1]
        light[row, width + 1] = light[row, width]


def _differentiator(wide: Any) -> Callable[..., tuple[int, int, int]]:
    """Sums of Laplacians and their squares and count of edges in a run, counted in type `wide`."""

    def differentiate(
        above: NDArray[Any], here: NDArray[Any], below: NDArray[Any], limit: int
    ) -> tuple[int, int, int]:
        total = squares = edges = wide(0)
        edge = wide(limit)
        for x in range(1, here.size - 1):
            a, b, c = wide(above[x - 1]), wide(above[x]), wide(above[x + 1])
            d, e, f = wide(here[x - 1]), wide(here[x]), wide(here[x + 1])
            g, h, i = wide(below[x - 1]), wide(below[x]), wide(below[x + 1])
            laplacian = wide(b + h + d + f - 4 * e)
            total = wide(total + laplacian)
            squares = wide(squares + laplacian * laplacian)
            across = wide(c + 2 * f + i - a - 2 * d - g)
            down = wide(g + 2 * h + i - a - 2 * b - c)
            edges = wide(edges + wide(wide(across * across + down * down) > edge))
        return int64(total), int64(squares), int64(edges)

    return compiled(differentiate)


differentiate_bytes = _differentiator(np.int32)
differentiate_words = _differentiator(np.int64)


@compiled
def differentiate_rows(light: NDArray[Any], limit: int, totals: NDArray[np.int64]) -> None:
    """Laplacian and Sobel for all rows but the first and last, all columns but the outer two.

    `light`: uint8 or uint16 (rows, width + 2); `limit`: squared gradient above which is an edge.
    """
    last = light.shape[1] - 1
    for row in range(1, light.shape[0] - 1):
        for x in range(1, last, RUN):
            end = min(last, x + RUN) + 1
            above, here = light[row - 1, x - 1 : end], light[row, x - 1 : end]
            below = light[row + 1, x - 1 : end]
            if light.itemsize == 1:
                found = differentiate_bytes(above, here, below, limit)
            else:
                found = differentiate_words(above, here, below, limit)
            totals[LAPLACIAN] += found[0]
            totals[LAPLACIAN_SQUARES] += found[1]
            totals[EDGES] += found[2]
