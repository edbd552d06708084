"""The colour of the paper over a sheet, and how far every pixel is from it.

One model per plate, never per tile: a tile without paper would invent one. Special cases are named:
digital white (no spread at all), uneven light and yellow edges (a smooth surface), full bleed (no paper).
Source: distances are CIEDE76, CIE 15:2004, 8.2.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology
from ledgerkit.imaging.geometry import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEP = 4
FLAT = 0.3
"""Spread of the ring (CIEDE76) below which the paper is taken as digitally flat."""
REACH = 15
"""How far the paper's surface may leave the median of its border, per channel of CIELAB."""


@dataclass(frozen=True, slots=True)
class PaperRule:
    """How the paper is found."""

    ring: float = 0.015
    """Width of the border ring as a share of the longer side."""
    full_bleed: float = 25.0
    """Spread of the ring (upper quartile of CIEDE76 to its median) above which there is no
    paper.
    """
    darkest: float = 35.0
    """Lightness (CIELAB L) below which a ring is not paper."""


@dataclass(frozen=True, slots=True, eq=False)
class PaperModel:
    """The colour of the paper at every place of a plate."""

    lab: tuple[float, float, float]
    """Median colour of the border ring (CIELAB)."""
    coefficients: NDArray[np.float64] | None
    """(8, 3) of a smooth surface over -1..1, see `_terms`; None where the paper is `lab` everywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Paper:
    """The paper of one plate."""

    found: bool
    """False for a full-bleed plate: the model is then only the median of its border."""
    kind: str
    """'flat', 'surface' or 'none'."""
    model: PaperModel
    spread: float
    """Upper quartile of the ring's CIEDE76 distance to its median."""
    noise: float
    """90th percentile of `distance` in the border ring: what the model leaves unexplained."""
    distance: NDArray[np.float32]
    """CIEDE76 distance of every pixel to the paper at its place, float32 (h, w)."""

    @property
    def lab(self) -> tuple[float, float, float]:
        """Median colour of the border ring (CIELAB)."""
        return self.model.lab


def model_paper(lab: NDArray[np.float32], sheet: NDArray[np.bool_], rule: PaperRule) -> Paper:
    """The paper of a smoothed image `lab`, float32 (h, w, 3), inside `sheet`, bool (h, w)."""
    import numpy as np

    small, inside = lab[::STEP, ::STEP], sheet[::STEP, ::STEP]
    ring = _ring(inside, max(1, round(rule.ring * max(inside.shape))))
    colour = np.median(small[ring], axis=0)
    off = np.linalg.norm(small[ring] - colour, axis=1)
    spread = float(np.percentile(off, 75))
    found = spread <= rule.full_bleed and float(colour[0]) >= rule.darkest
    even = not found or float(np.percentile(off, 90)) <= FLAT
    height, width = sheet.shape
    coefficients = None if even else _fit(small, inside, colour, spread, (height, width))
    model = PaperModel((float(colour[0]), float(colour[1]), float(colour[2])), coefficients)
    distance = distance_to(model, lab, Box(0, 0, width, height), width, height)
    kind = "none" if not found else "flat" if even else "surface"
    return Paper(found, kind, model, spread, _noise(distance, ring), distance)


def _noise(distance: NDArray[np.float32], ring: NDArray[np.bool_]) -> float:
    import numpy as np

    return float(np.percentile(distance[::STEP, ::STEP][ring], 90))


def _ring(inside: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Pixels of the sheet less than `width` from its border or from the border of the image."""
    import numpy as np

    framed = np.pad(inside, 1)
    core = morphology.erode(framed, width + 1)[1:-1, 1:-1]
    ring = inside & ~core
    return ring if ring.any() else np.ones_like(inside)


def _terms(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """1, x, y, x^2, x y, y^2, x^6, y^6 for coordinates scaled to -1..1: old paper is yellow within
    a few hundredths of its edges, which no term of second order follows.
    """
    import numpy as np

    across, down = columns * columns, rows * rows
    return [np.ones_like(rows), columns, rows, across, columns * rows, down, across**3, down**3]


def _line(start: int, stop: int, length: int, step: int = 1) -> NDArray[np.float32]:
    """Centres of every `step`-th pixel from `start` to `stop`, on a scale of -1..1 over `length`."""
    import numpy as np

    return ((np.arange(start, stop, step) + 0.5) * 2 / length - 1).astype(np.float32)


def _fit(
    small: NDArray[np.float32],
    inside: NDArray[np.bool_],
    colour: NDArray[np.floating],
    spread: float,
    size: tuple[int, int],
) -> NDArray[np.float64]:
    """Coefficients (8, 3) of the paper's surface, fitted twice to the pixels that look like paper.

    `<=` and not `<`: on a sheet whose median distance is 0 the strict form selects nothing and the
    fit collapses. The bound by the ring's own spread keeps a figure that covers most of the sheet
    from being taken for paper. `size`: height and width of the image that `small` was taken from.
    """
    import numpy as np

    distance = np.linalg.norm(small - colour, axis=-1)
    bound = min(float(np.median(distance[inside])), max(3 * spread, 6.0))
    chosen = inside & (distance <= max(bound, spread))
    lines = _line(0, size[0], size[0], STEP)[:, None], _line(0, size[1], size[1], STEP)[None, :]
    rows, columns = (np.broadcast_to(part, inside.shape) for part in lines)
    for _ in range(2):
        terms = np.column_stack(_terms(rows[chosen], columns[chosen])).astype(np.float64)
        coefficients = np.linalg.lstsq(terms, small[chosen].astype(np.float64), rcond=None)[0]
        surface = np.stack(_terms(rows, columns), axis=-1) @ coefficients
        off = np.linalg.norm(small - surface, axis=-1)
        chosen = inside & (off <= max(float(np.median(off[chosen])) * 2, FLAT))
    return np.asarray(coefficients, dtype=np.float64)


def distance_to(
    model: PaperModel, lab: NDArray[np.float32], box: Box, width: int, height: int
) -> NDArray[np.float32]:
    """CIEDE76 of `lab`, float32 (h, w, 3), to the paper: float32 (h, w).

    `lab` shows `box` of a frame of `width` x `height`, at any scale. The paper's surface may not
    leave the ring's colour by more than `REACH` per channel.
    """
    import numpy as np

    if model.coefficients is None:
        return np.asarray(
            np.sqrt(np.square(lab - np.array(model.lab, dtype=np.float32)).sum(axis=-1))
        )
    rows = _line(box.y0, box.y1, height)[:, None]
    columns = _line(box.x0, box.x1, width)[None, :]
    total = np.zeros(lab.shape[:2], dtype=np.float32)
    factors = model.coefficients.astype(np.float32)
    for channel in range(3):
        c = factors[:, channel]
        line = c[0] + c[1] * columns + c[3] * columns**2 + c[6] * columns**6
        surface = line + rows * (c[2] + c[4] * columns) + c[5] * rows**2 + c[7] * rows**6
        middle = np.float32(model.lab[channel])
        np.clip(surface, middle - REACH, middle + REACH, out=surface)
        total += np.square(lab[..., channel] - surface)
    return np.asarray(np.sqrt(total), dtype=np.float32)
