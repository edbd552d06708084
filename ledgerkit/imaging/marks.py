"""Which pixels are marks on paper, from their distance to it: levels, growing, holes.

Local but for what hangs together; the levels and the paper are the whole plate's. Used for a plate at
once (`regions.py`) and tile by tile (`refine.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Levels:
    """Distances to the paper (CIEDE76) that make a mark."""

    sure: float
    """Above it a pixel is no paper."""
    faint: float
    """Above it a pixel is no paper where it hangs together with one that surely is none."""

    def moved(self, offset: float) -> Levels:
        """Both levels moved, never below 0."""
        return Levels(max(0.0, self.sure + offset), max(0.0, self.faint + offset))


def smoothed(lab: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Each channel of `lab`, float32 (h, w, 3), under a Gaussian of `sigma` pixels."""
    import numpy as np
    from scipy import ndimage

    return np.stack([ndimage.gaussian_filter(lab[..., i], sigma) for i in range(3)], axis=-1)


def grow(distance: NDArray[np.float32], levels: Levels) -> NDArray[np.bool_]:
    """Pixels over the sure level, and over the faint one where they hang together with such pixels."""
    import numpy as np

    labels, count = morphology.label(distance > levels.faint)
    return np.asarray(touched(labels, count, distance > levels.sure)[labels], dtype=bool)


def fill_holes(
    solid: NDArray[np.bool_], distance: NDArray[np.float32], least: float
) -> NDArray[np.bool_]:
    """`solid` with its enclosed holes filled, but for those whose mean distance to paper is under
    `least`.
    """
    import numpy as np

    labels, count = morphology.label(~solid, diagonal=False)
    size = np.bincount(labels.ravel(), minlength=count + 1)
    total = np.bincount(labels.ravel(), weights=distance.ravel(), minlength=count + 1)
    fill = total >= least * np.maximum(size, 1)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    fill[edge] = False
    fill[0] = True
    return np.asarray(fill[labels], dtype=bool)


def touched(labels: NDArray[np.int32], count: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each label 0..count whether `mask` has a pixel of it."""
    import numpy as np

    touched = np.zeros(count + 1, dtype=bool)
    touched[labels[mask]] = True
    return touched
