"""Regions of a plate as they are recorded: masks in their boxes, with colours from a smaller scene.

The frame is the working image; the scene may be a smaller one of the same plate (`refine.py`), then a
region's colours are those of the scene's pixels, weighted by how much of each the region covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging.geometry import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.regions import Scene

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A region of the frame."""

    kind: str
    box: Box
    """The tight box of the mask, in pixels of the frame."""
    mask: Mask
    """bool (h, w)."""
    mean_lab: tuple[float, float, float]
    contrast: float
    """Mean CIEDE76 distance to the paper at its place."""
    stability: float | None
    label: int
    """Index of the scene's region that it is of."""
    parent: int | None = None
    """Place in the list of the region that it is part of."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of the working image, in pixels."""

    width: int
    height: int


def found_in(scene: Scene) -> list[Found]:
    """Regions of a scene that is itself the frame, in its order; empty ones are left out."""
    from scipy import ndimage

    height, width = scene.labels.shape
    boxes = ndimage.find_objects(scene.labels + 1, max_label=len(scene.kinds))
    return [
        measured(
            scene,
            index,
            Box(box[1].start, box[0].start, box[1].stop, box[0].stop),
            scene.labels[box] == index,
            Frame(width, height),
        )
        for index, box in enumerate(boxes)
        if box is not None
    ]


def measured(scene: Scene, label: int, box: Box, mask: Mask, frame: Frame) -> Found:
    """A region of the scene's kind `label`, its mask, bool (h, w), in `box` of the frame."""
    import numpy as np

    area, weights = covered(box, mask, frame, scene.labels.shape)
    inside = slice(area.y0, area.y1), slice(area.x0, area.x1)
    total = float(weights.sum())
    light, red, blue = (
        float(np.vdot(scene.lab[(*inside, channel)], weights)) / total for channel in range(3)
    )
    contrast = float(np.vdot(scene.paper.distance[inside], weights)) / total
    kind, stability = scene.kinds[label], scene.stability[label]
    return Found(kind, box, mask, (light, red, blue), contrast, stability, label)


def covered(
    box: Box, mask: Mask, frame: Frame, shape: tuple[int, ...]
) -> tuple[Box, NDArray[np.float64]]:
    """How many pixels of a mask each pixel of a smaller image of the frame has, float64 (h, w), and
    the box of that image, height and width `shape`, which these are.
    """
    import numpy as np

    rows = np.arange(box.y0, box.y1) * shape[0] // frame.height
    columns = np.arange(box.x0, box.x1) * shape[1] // frame.width
    area = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    starts = np.searchsorted(rows, np.arange(area.y0, area.y1))
    counts = np.add.reduceat(mask, starts, axis=0, dtype=np.int32)
    starts = np.searchsorted(columns, np.arange(area.x0, area.x1))
    counts = np.add.reduceat(counts, starts, axis=1)
    return area, counts.astype(np.float64)


def enlarged(small: NDArray[Any], box: Box, frame: Frame) -> NDArray[Any]:
    """What an image (h, w) of the whole frame shows of `box`, each pixel the nearest of `small`."""
    import numpy as np

    rows = np.arange(box.y0, box.y1) * small.shape[0] // frame.height
    columns = np.arange(box.x0, box.x1) * small.shape[1] // frame.width
    return np.asarray(small[rows[:, None], columns])
