"""The colour of the paper, from counts of the colours of a plate's border and of the rest.

Stored values are taken as sRGB: embedded profiles are not applied here, CMYK and CIELAB come through
their conversion to sRGB. Colours are counted in 64 x 64 x 64 bins (grey: 256 tones); a bin stands
for the value that repeats its bits, so that the first is black and the last white. Differences
are those of CIE 1976 (CIE 15:2004, 8.2.2.1), which a bin is about 1.5 wide.

A *peak* begins with a cube of 32 x 32 x 32 values that holds at least a 40th of the pixels; from its
mean colour, four times, the mean of the colours within a difference of 10 is taken (mean shift:
Fukunaga and Hostetler 1975). Colours of less than a 20,000th of the pixels are left out of that.
The border is a 32nd of the shorter side wide. The paper is

1. the peak of the border, if the colours within 10 of it hold at least 40 % of the border and its
   lightness L is at least 50 (a scanner's bed, felt or a black ground is darker), then moved to the
   peak of the whole image next to it, because edges are browner;
2. else the lightest peak of the whole image that holds at least 15 % of it and has such an L;
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
RAREST = 20_000
"""A colour that holds less than this part of the pixels is left out while peaks are sought."""
FEWEST = 40
"""A cube that holds less than this part of the pixels starts no peak."""
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
    """The colours that occur: `rgb` uint8 (n, 3), `lab` float64 (n, 3), `counts` int64 (n,).

    `pixels` is how many pixels were counted, those of rare colours included.
    """

    rgb: NDArray[np.uint8]
    lab: NDArray[np.float64]
    counts: NDArray[np.int64]
    pixels: int

    @classmethod
    def of(cls, bins: NDArray[np.int64]) -> Palette:
        """From counts, int64: (256,) tones of grey or (262144,) bins of colour, red slowest."""
        import numpy as np

        from ledgerkit.imaging.lab import to_fine_lab

        found = np.flatnonzero(bins)
        if len(bins) == 256:
            values = np.repeat(found[:, None], 3, axis=1)
        else:
            places = np.stack([found >> 12, found >> 6 & 63, found & 63], axis=1)
            values = places << 2 | places >> 4
        rgb = values.astype(np.uint8)
        return cls(rgb, to_fine_lab(rgb), bins[found], int(bins.sum()))

    def common(self) -> Palette:
        """Without the many colours of few pixels, which move no peak and take most of the time."""
        kept = self.counts * RAREST >= self.pixels
        if not kept.any():
            return self
        return Palette(self.rgb[kept], self.lab[kept], self.counts[kept], self.pixels)


def find_paper(border: Palette, whole: Palette) -> Paper | None:
    """The paper of a plate with these colours in its border and on the whole; neither is empty."""
    border, whole = border.common(), whole.common()
    peak = _climb(border, next(_coarse_peaks(border)))
    if peak.lightness >= DARKEST and peak.pixels >= OF_BORDER * border.pixels:
        sheet = _climb(whole, _within_reach(whole, peak.middle))
        return Paper(sheet.colour, "border")
    large = [
        one
        for one in _peaks(whole)
        if one.lightness >= DARKEST and one.pixels >= OF_IMAGE * whole.pixels
    ]
    if not large:
        return None
    return Paper(max(large, key=lambda one: one.lightness).colour, "brightest area")


def share_of_paper(palette: Palette, paper: Paper, tolerance: float) -> float:
    """Share of the pixels within `tolerance` (CIE 1976) of the paper or lighter, 0..1."""
    import numpy as np

    colour = _lab_of(paper.colour)
    way = np.array(WHITE_LAB) - colour
    length = float(way @ way)
    along = (palette.lab - colour) @ way / length if length else np.zeros(len(palette.lab))
    nearest = colour + np.clip(along, 0, 1)[:, None] * way
    near = _squared(palette.lab - nearest) <= tolerance**2
    return int(palette.counts[near].sum()) / palette.pixels


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

    Cubes overlap by half; the last along each axis is padded. The fullest is always given.
    """
    import numpy as np

    shape = (17, 17, 17)
    cells = np.ravel_multi_index(tuple((palette.rgb >> 4).T.astype(np.intp)), shape)
    cubes = np.zeros(shape, np.int64)
    np.add.at(cubes.reshape(-1), cells, palette.counts)
    for axis in range(3):
        cubes = cubes + np.roll(cubes, -1, axis)
    order = np.argsort(-cubes.ravel(), kind="stable")
    for rank, corner in enumerate(np.column_stack(np.unravel_index(order, shape))):
        if rank and int(cubes[tuple(corner)]) * FEWEST < palette.pixels:
            return
        inside = np.zeros(shape, bool)
        inside[np.ix_(*((at, (at + 1) % 17) for at in corner))] = True
        yield inside.ravel()[cells]


def _peaks(palette: Palette) -> Iterator[_Peak]:
    """The peaks, each once: cubes whose pixels mostly belong to earlier ones are passed over."""
    import numpy as np

    taken = np.zeros(len(palette.counts), bool)
    for start in _coarse_peaks(palette):
        if 2 * int(palette.counts[start & taken].sum()) >= int(palette.counts[start].sum()):
            continue
        peak = _climb(palette, start)
        taken |= _within_reach(palette, peak.middle)
        yield peak


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

    return np.asarray(_squared(palette.lab - middle) <= REACH**2)


def _squared(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared lengths, float64 (n,), of the rows of (n, 3)."""
    light, green_red, blue_yellow = difference.T
    squares: NDArray[np.float64] = light**2 + green_red**2 + blue_yellow**2
    return squares


def _lab_of(colour: tuple[float, float, float]) -> NDArray[np.float64]:
    import numpy as np

    from ledgerkit.imaging.lab import to_fine_lab

    return to_fine_lab(np.round(np.array(colour) * 255).astype(np.uint8))
