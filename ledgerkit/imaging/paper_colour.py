"""The colour of the paper, from counts of the colours of a plate's border and of the rest.

Stored values are taken as sRGB: embedded profiles are not applied here, CMYK and CIELAB come through
their conversion to sRGB. Colours are counted in 64 x 64 x 64 bins (grey: 256 tones); a bin stands
for the value that repeats its bits, so that the first is black and the last white. Differences
are those of CIE 1976 (CIE 15:2004, 8.2.2.1), which a bin is about 1.5 wide.

A *peak* is found in 16 x 16 x 16 coarser bins: that pair of neighbours along each axis that holds
most pixels, then three times the mean of the colours within `REACH` of the last mean (mean shift:
Fukunaga and Hostetler 1975). The paper is

1. the peak of the border, if its colours within `REACH` hold at least `OF_BORDER` of the border
   and its lightness is at least `DARKEST` (a scanner's bed, felt and a printed ground are darker);
2. else the lightest peak of the whole image that holds at least `OF_IMAGE` of it and is as light;
3. else none: a plate printed to its edges, or darkness.

*Background* is what is within a tolerance of the paper or of what lies between it and white: paper
in stronger light is lighter and less coloured, as are the bare parts of a sheet that was retouched.

Keeps out: counting. `paper.py` models uneven paper for segmentation, at every place of an image in
memory; here there is one colour, and no places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REACH = 10.0
"""CIE 1976 difference from a peak up to which a colour belongs to it."""
OF_BORDER = 0.4
"""Share of the border that its peak must hold."""
OF_IMAGE = 0.15
"""Share of the image that its lightest peak must hold."""
DARKEST = 50.0
"""Lightness (CIELAB L) below which nothing is paper."""
STEPS = 4
"""How often a mean is taken on the way to a peak."""
WHITE_LAB = (100.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Paper:
    """The paper of one plate."""

    colour: tuple[float, float, float]
    """Encoded sRGB, each 0..1."""
    source: str
    """'border' or 'brightest area'."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours that occur: `rgb` uint8 (n, 3), `lab` float64 (n, 3), `counts` int64 (n,)."""

    rgb: NDArray[np.uint8]
    lab: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, bins: NDArray[np.int64]) -> Palette:
        """From counts of 256 tones of grey or 64 x 64 x 64 bins of colour, red slowest."""
        import numpy as np

        from ledgerkit.imaging.lab import to_fine_lab

        found = np.flatnonzero(bins)
        if len(bins) == 256:
            values = np.repeat(found[:, None], 3, axis=1)
        else:
            places = np.stack([found >> 12, found >> 6 & 63, found & 63], axis=1)
            values = places << 2 | places >> 4
        rgb = values.astype(np.uint8)
        return cls(rgb, to_fine_lab(rgb), bins[found])


def find_paper(border: NDArray[np.int64], inner: NDArray[np.int64]) -> Paper | None:
    """The paper of a plate whose border and remaining pixels have these counts of colours.

    int64 (256,) for grey, int64 (262144,) for colour, of which at least one of `border` is not 0.
    """
    edge, whole = Palette.of(border), Palette.of(border + inner)
    peak = _climb(edge, next(_coarse_peaks(edge)))
    if peak.lightness >= DARKEST and peak.pixels >= OF_BORDER * int(border.sum()):
        sheet = _climb(whole, _within_reach(whole, peak.middle))
        return Paper(sheet.colour, "border")
    needed = OF_IMAGE * int(whole.counts.sum())
    peaks = [_climb(whole, start) for start in _coarse_peaks(whole)]
    large = [one for one in peaks if one.lightness >= DARKEST and one.pixels >= needed]
    if not large:
        return None
    return Paper(max(large, key=lambda one: one.lightness).colour, "brightest area")


def share_of_paper(bins: NDArray[np.int64], paper: Paper, tolerance: float) -> float:
    """Share of the counted pixels within `tolerance` (CIE 1976) of the paper or lighter, 0..1."""
    import numpy as np

    palette = Palette.of(bins)
    colour = _lab_of(paper.colour)
    way = np.array(WHITE_LAB) - colour
    length = float(way @ way)
    along = (palette.lab - colour) @ way / length if length else np.zeros(len(palette.lab))
    nearest = colour + np.clip(along, 0, 1)[:, None] * way
    near = np.square(palette.lab - nearest).sum(axis=1) <= tolerance**2
    return int(palette.counts[near].sum()) / int(palette.counts.sum())


@dataclass(frozen=True, slots=True)
class _Peak:
    """A colour as encoded sRGB, 0..1, and as CIELAB, float64 (3,), and how many pixels it holds."""

    colour: tuple[float, float, float]
    middle: NDArray[np.float64]
    pixels: int

    @property
    def lightness(self) -> float:
        return float(self.middle[0])


def _coarse_peaks(palette: Palette) -> Iterator[NDArray[np.bool_]]:
    """Which colours lie in each well filled cube of 32 values a side, the fullest cube first.

    Cubes overlap by half. One that holds less than a 40th of the pixels starts no peak,
    unless it is the fullest.
    """
    import numpy as np

    place = palette.rgb >> 4
    coarse = np.zeros((17, 17, 17), np.int64)
    np.add.at(coarse, tuple(place.T), palette.counts)
    cubes = coarse
    for axis in range(3):
        cubes = cubes + np.roll(cubes, -1, axis)
    least = int(palette.counts.sum()) // 40
    order = np.argsort(-cubes.ravel(), kind="stable")
    for rank, corner in enumerate(np.column_stack(np.unravel_index(order, cubes.shape))):
        if rank and cubes[tuple(corner)] <= least:
            return
        yield np.asarray(((place - corner) % 17 <= 1).all(axis=1))


def _climb(palette: Palette, chosen: NDArray[np.bool_]) -> _Peak:
    """From the mean of the chosen colours, at least one, to a peak that they belong to."""
    for _ in range(STEPS):
        counts = palette.counts[chosen]
        pixels = int(counts.sum())
        red, green, blue = (
            int(total) / (pixels * 255) for total in counts @ palette.rgb[chosen].astype("int64")
        )
        middle = _lab_of((red, green, blue))
        near = _within_reach(palette, middle)
        if not near.any() or (near == chosen).all():
            break
        chosen = near
    return _Peak((red, green, blue), middle, int(palette.counts[chosen].sum()))


def _within_reach(palette: Palette, middle: NDArray[np.float64]) -> NDArray[np.bool_]:
    import numpy as np

    return np.asarray(np.square(palette.lab - middle).sum(axis=1) <= REACH**2)


def _lab_of(colour: tuple[float, float, float]) -> NDArray[np.float64]:
    import numpy as np

    from ledgerkit.imaging.lab import to_fine_lab

    return to_fine_lab(np.round(np.array(colour) * 255).astype(np.uint8))
