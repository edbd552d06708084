"""Where the sheet lies on a scanner bed, an easel or black felt: the dark surround of a
photographed page.

Works on lightness alone and only ever answers with a convex sheet, so that dark engravings inside
the page stay inside. Knows nothing of paper colour or figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEP = 4
"""Every fourth pixel is enough to find a sheet."""


@dataclass(frozen=True, slots=True)
class SurroundRule:
    """What counts as a dark surround."""

    darkest: float = 35.0
    """Lightness (CIELAB L) below which a pixel may be surround."""
    smallest: float = 0.005
    """Share of the image below which a surround is not worth a region."""
    uniform: float = 0.85
    """Share of what lies outside the sheet that must be dark."""
    sheet: float = 0.25
    """Share of the image that the sheet must have at least."""
    trim: float = 0.004
    """Width of the frayed edge given to the surround, as a share of the longer side."""
    wedge: float = 0.08
    """How far dark wedges may reach into the sheet's hull, as a share of the longer side."""


def find_sheet(lightness: NDArray[np.float32], rule: SurroundRule) -> NDArray[np.bool_] | None:
    """The sheet as bool (h, w), or None where the image has no dark surround.

    `lightness`: float32 (h, w), CIELAB L 0..100, slightly smoothed.
    """
    import numpy as np

    small = lightness[::STEP, ::STEP]
    bright = morphology.opening(small >= rule.darkest, 2)
    labels, count = morphology.label(bright)
    if count == 0 or min(small.shape) < 8:
        return None
    biggest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    sheet = fill_convex(biggest)
    outside = ~sheet
    share = float(outside.mean())
    if not rule.smallest <= share <= 1 - rule.sheet:
        return None
    if float((small[outside] < rule.darkest).mean()) < rule.uniform or not _is_page(sheet):
        return None
    sheet &= ~_wedges(small < rule.darkest, sheet, round(rule.wedge * max(sheet.shape)))
    whole = np.repeat(np.repeat(sheet, STEP, axis=0), STEP, axis=1)[
        : lightness.shape[0], : lightness.shape[1]
    ]
    return morphology.erode(whole, max(STEP, round(rule.trim * max(lightness.shape))))


def _wedges(dark: NDArray[np.bool_], sheet: NDArray[np.bool_], depth: int) -> NDArray[np.bool_]:
    """Dark pixels near the hull's border that hang together with the surround.

    The hull of a page and of the sliver of its neighbour beyond the gutter spans wedges of felt.
    """
    import numpy as np

    rim = sheet & ~morphology.erode(np.pad(sheet, 1), depth + 1)[1:-1, 1:-1]
    labels, _ = morphology.label((dark & rim) | ~sheet)
    reached = np.zeros(int(labels.max()) + 1, dtype=bool)
    reached[labels[~sheet]] = True
    reached[0] = False
    return np.asarray(morphology.dilate(reached[labels] & sheet, 2), dtype=bool)


def fill_convex(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The convex hull of a bool (h, w) mask with at least one True, rasterised; covers the mask."""
    import numpy as np
    from skimage.draw import polygon

    corners = hull_corners(mask)
    filled = mask.copy()
    edges = corners - 0.5
    rows, columns = polygon(edges[:, 1], edges[:, 0], mask.shape)  # type: ignore[no-untyped-call]
    filled[rows, columns] = True
    return np.asarray(filled, dtype=bool)


def hull_area(mask: NDArray[np.bool_]) -> float:
    """Area in pixels of the convex hull of a bool (h, w) mask with at least one True; at least its
    count.
    """
    corners = hull_corners(mask)
    x, y = corners[:, 0], corners[:, 1]
    return float(abs((x * _next(y) - y * _next(x)).sum()) / 2)


def _next(values: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.roll(values, -1)


def hull_corners(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Corners (k, 2) as x, y of the convex hull of the pixels' squares, in pixel edges 0..w,
    0..h.
    """
    import numpy as np
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(mask.any(axis=1))
    inked = mask[rows]
    left = inked.argmax(axis=1)
    right = mask.shape[1] - inked[:, ::-1].argmax(axis=1)
    points = np.concatenate(
        [np.column_stack([x, y]) for x in (left, right) for y in (rows, rows + 1)]
    )
    return np.asarray(points[ConvexHull(points).vertices], dtype=np.float64)


def _is_page(sheet: NDArray[np.bool_]) -> bool:
    """Whether the sheet nearly fills the upright rectangle around it."""
    import numpy as np

    rows, columns = np.flatnonzero(sheet.any(axis=1)), np.flatnonzero(sheet.any(axis=0))
    around = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return bool(sheet.sum() >= 0.85 * around)
