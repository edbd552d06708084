"""Rows of the table `segments`: geometry in oriented source pixels, the mask as run lengths, the id.

Used by every operation that makes regions, so that all their rows mean the same.
Source: docs/contract.md, "Geometry"; run lengths as in COCO (Lin et al. 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes
from ledgerkit.imaging import rle
from ledgerkit.imaging.place import scale_of, to_source
from ledgerkit.imaging.scanbed import hull_area

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Place:
    """Where masks lie: on an image of `height` x `width` pixels of a row of `tiles`."""

    tile: Mapping[str, Any]
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured of a region beside its geometry."""

    mean_lab: Iterable[float]
    """Mean CIELAB colour (L, a, b)."""
    contrast: float
    """Mean CIEDE76 distance to the paper."""
    score: float | None = None
    """Confidence of a model, 0..1."""
    stability: float | None = None
    """IoU of the mask at a stricter and a laxer threshold, 0..1."""


def segment_row(
    place: Place,
    kind: str,
    left: int,
    top: int,
    mask: NDArray[np.bool_],
    measured: Measured,
    parent_id: str | None = None,
) -> dict[str, Any]:
    """A row of `segments` for a region, whose box bool (h, w) starts at pixel (left, top)."""
    row = {
        "plate_id": place.tile["plate_id"],
        "tile_id": place.tile["tile_id"],
        "kind": kind,
        "parent_id": parent_id,
        **_geometry(place, left, top, mask),
        "mean_lab": [round(float(value), 3) for value in measured.mean_lab],
        "contrast": round(float(measured.contrast), 3),
        "score": measured.score,
        "stability": measured.stability,
        "source_sha256": place.tile["source_sha256"],
    }
    return {"segment_id": segment_id(row), **row}


def _geometry(place: Place, left: int, top: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Box, area, centroid, mask and solidity; lengths are oriented source pixels."""
    import numpy as np

    tile = place.tile
    across, down = scale_of(tile, place.width, place.height)
    box = (left, top, left + mask.shape[1], top + mask.shape[0])
    x0, y0, x1, y1 = to_source(tile, place.width, place.height, box)
    columns, lines = (np.count_nonzero(mask, axis=axis) for axis in (0, 1))
    area = int(columns.sum())
    x = float(np.dot(columns, np.arange(columns.size))) / area
    y = float(np.dot(lines, np.arange(lines.size))) / area
    return {
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "area": area * across * down,
        "centroid_x": round(tile["x0"] + (left + x + 0.5) * across, 3),
        "centroid_y": round(tile["y0"] + (top + y + 0.5) * down, 3),
        "mask": rle.encode(mask),
        "mask_width": mask.shape[1],
        "mask_height": mask.shape[0],
        "solidity": round(area / hull_area(mask), 4),
    }


def segment_id(row: Mapping[str, Any]) -> str:
    """The identity of a region: from plate, source, kind and geometry alone, so a re-run gives it
    again.
    """
    box = [row["x0"], row["y0"], row["x1"], row["y1"]]
    size = [row["mask_width"], row["mask_height"]]
    identity = [row["plate_id"], row["source_sha256"], row["kind"], box, row["mask"], size]
    return "segment-" + hashlib.sha256(canonical_bytes(identity)).hexdigest()[:20]
