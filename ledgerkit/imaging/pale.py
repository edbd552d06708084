"""Pale parts of figures: white feathers, shells and skies that have the colour of the paper.

What tells them from paper is that a figure encloses them, and that something is drawn on them: fine
strokes make lightness rougher than it is on the bare sheet. A figure encloses what its outline goes
round, with gaps of some pixels, and, where it is a picture painted up to a straight border, its box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PaleRule:
    """What is filled; lengths are pixels of an image with a long side of 1536."""

    bridge: int = 10
    """Radius over which gaps in an outline are closed to find what it encloses."""
    rough: float = 1.6
    """Roughness of a pale part, as a multiple of that of the bare sheet."""
    least: float = 0.2
    """Least roughness of a pale part (CIELAB L), for a sheet of digital white has none."""
    margin: int = 3
    """How far from a mark roughness is measured, for the mark's own softness does not count."""
    smallest: float = 0.0002
    """Least area that is looked at, as a share of the image."""
    straight: float = 0.6
    """Share of a side of its box that a picture reaches, on at least three sides."""
    skew: int = 15
    """How far from the side of its box a picture's border may run."""
    picture: float = 0.05
    """Least area of the box of a picture, as a share of the image."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What candidates are measured on."""

    solid: Mask
    sheet: Mask
    rough: NDArray[np.float32]
    inner: Mask
    """Where no mark is near."""
    limit: float
    """Roughness from which something is drawn."""
    smallest: float


def roughness(lightness: NDArray[np.float32], smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far lightness (CIELAB L, unsmoothed) is from its local mean, float32 (h, w)."""
    import numpy as np

    return np.asarray(np.abs(lightness - smooth), dtype=np.float32)


def fill_pale(
    solid: Mask, sheet: Mask, rough: NDArray[np.float32], scale: float, large: float, rule: PaleRule
) -> Mask:
    """`solid`, bool (h, w), with what its figures enclose and what is drawn on.

    `scale`: pixels of this image to one of the rule's. Components of at least `large` pixels are
    figures; what two of them enclose only together is paper.
    """
    import numpy as np
    from scipy import ndimage

    radius, margin = (max(1, round(length * scale)) for length in (rule.bridge, rule.margin))
    bare = sheet & ~morphology.dilate(solid, 2 * radius)
    if not bare.any():
        return solid
    limit = max(rule.rough * float(rough[bare].mean()), rule.least)
    inner = ~morphology.dilate(solid, margin)
    ground = _Ground(solid, sheet, rough, inner, limit, rule.smallest * solid.size)
    filled = solid.copy()
    labels, count = morphology.label(solid)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[number] >= large:
            own = labels[box] == number
            enclosed = _enclosed(own, radius)
            if _is_picture(own, max(1, round(rule.skew * scale)), rule, solid.size):
                enclosed[:] = True
            filled[box] |= _drawn_on(enclosed, box, ground)
    return filled


def _enclosed(own: Mask, radius: int) -> Mask:
    """What an outline goes round, gaps of up to twice `radius` closed."""
    import numpy as np
    from scipy import ndimage

    padded = np.pad(own, radius)
    closed = morphology.closing(padded, radius) | padded
    filled = np.asarray(ndimage.binary_fill_holes(closed), dtype=bool)
    return filled[radius:-radius, radius:-radius]


def _is_picture(own: Mask, skew: int, rule: PaleRule, size: int) -> bool:
    """Whether a mask runs along at least three sides of its box."""
    if own.size < rule.picture * size or min(own.shape) <= 2 * skew:
        return False
    sides = (own[:skew].any(axis=0), own[-skew:].any(axis=0))
    ends = (own[:, :skew].any(axis=1), own[:, -skew:].any(axis=1))
    return sum(float(side.mean()) >= rule.straight for side in (*sides, *ends)) >= 3


def _drawn_on(enclosed: Mask, box: tuple[slice, slice], ground: _Ground) -> Mask:
    """The parts of `enclosed`, which lies in `box`, that are as rough as something drawn."""
    import numpy as np

    labels, count = morphology.label(
        enclosed & ~ground.solid[box] & ground.sheet[box], diagonal=False
    )
    size = np.bincount(labels.ravel(), minlength=count + 1)
    inner, rough = ground.inner[box], ground.rough[box]
    measured = np.bincount(labels[inner], minlength=count + 1)
    total = np.bincount(labels[inner], weights=rough[inner], minlength=count + 1)
    fill = (measured > 0) & (total >= ground.limit * np.maximum(measured, 1))
    fill &= size >= ground.smallest
    fill[0] = False
    return np.asarray(fill[labels], dtype=bool)
