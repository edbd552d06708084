"""Figures that only the closing joined are told apart again.

Closing mends strokes that are broken, and on a crowded plate it also bridges the strip of bare paper
between two drawings. Those that do not hang together before it are separate where the border between
them is short and runs over paper; the patches of a sky or a ground, which border each other at length
or over a tint, stay one figure. The limits were found on the 24 scans of `docs/segments.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BridgeRule:
    """What a border between two drawings is like."""

    longest: float = 0.5
    """Greatest length, by the square root of the lesser area of the two."""
    bare: float = 0.5
    """Below this share of the faint level a pixel is bare paper."""
    least_bare: float = 1 / 3
    """Least share of the border's pixels that are bare."""


def separate(
    figures: Sequence[Mask],
    mark: Mask,
    distance: NDArray[np.float32],
    faint: float,
    least: float,
    rule: BridgeRule,
) -> list[Mask]:
    """`figures`, bool (h, w) each, those that bridges join taken apart; by falling area.

    `mark`: marks before the closing, bool (h, w). `distance` to the paper and its `faint` level are
    CIEDE76. `least`: fewest pixels of a drawing, holes included. The parts of a figure cover it once.
    """
    import numpy as np
    from scipy import ndimage

    found: list[Mask] = []
    for figure in figures:
        box = ndimage.find_objects(figure.astype(np.int8))[0]
        own, bare = figure[box], distance[box] < rule.bare * faint
        drawings, count = _drawings(mark[box] & own, least)
        if count < 2:
            found.append(figure)
            continue
        parts = np.where(own, nearest(drawings), 0)
        parts = _without_long_borders(parts, count, bare, rule)[parts]
        for number in np.unique(parts[own]):
            part = np.zeros_like(figure)
            part[box] = parts == number
            found.append(part)
    return sorted(found, key=lambda part: -int(part.sum()))


def nearest(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each pixel of `labels`, int32 (h, w), the label other than 0 that is nearest to it."""
    import numpy as np
    from scipy import ndimage

    places = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return np.asarray(labels[tuple(places)])


def zones_of(labels: NDArray[np.int32], kinds: Sequence[str], kind: str) -> NDArray[np.int32]:
    """For each pixel the nearest region of `kind`, int32 (h, w); 0 where that was not taken apart.

    `labels`: index into `kinds`, int32 (h, w). Regions that touch were taken apart; others are
    separate components.
    """
    import numpy as np

    alike = np.array([one == kind for one in kinds])
    own = np.where(alike[labels], labels, 0).astype(np.int32)
    apart = np.zeros(len(kinds), dtype=bool)
    for one, other, _ in _borders(own):
        apart[one] = apart[other] = True
    if not apart.any():
        return np.zeros_like(labels)
    return np.where(apart, np.arange(len(kinds)), 0).astype(np.int32)[nearest(own)]


def label_within(mask: Mask, zones: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """`morphology.label`, but what lies in two zones, int32 (h, w), does not hang together."""
    import numpy as np

    labels, count = np.zeros(mask.shape, dtype=np.int32), 0
    for zone in np.unique(zones):
        inside = mask & (zones == zone)
        own, number = morphology.label(inside)
        labels[inside] = own[inside] + count
        count += number
    return labels, count


def _drawings(mark: Mask, least: float) -> tuple[NDArray[np.int32], int]:
    """Components of `mark` with their holes, of at least `least` pixels, as labels and their number.

    One that lies in a hole of a larger one is part of it.
    """
    import numpy as np
    from scipy import ndimage

    labels, _ = morphology.label(mark)
    filled = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if (box[0].stop - box[0].start) * (box[1].stop - box[1].start) >= least:
            mask = ndimage.binary_fill_holes(labels[box] == number)
            filled.append((int(mask.sum()), box, mask))
    drawings, count = np.zeros(mark.shape, dtype=np.int32), 0
    for area, box, mask in sorted(filled, key=lambda one: -one[0]):
        if area >= least:
            count += 1
            inside = drawings[box]
            inside[mask & (inside == 0)] = count
    return drawings, count


def _without_long_borders(
    parts: NDArray[np.int32], count: int, bare: Mask, rule: BridgeRule
) -> NDArray[np.int32]:
    """For each label 0..count of `parts` the one that it is part of."""
    import numpy as np

    area = np.bincount(parts.ravel(), minlength=count + 1)
    root = np.arange(count + 1, dtype=np.int32)
    for one, other, places in _borders(parts):
        length = rule.longest * float(np.sqrt(min(area[one], area[other])))
        if len(places) > length or bare.ravel()[places].mean() < rule.least_bare:
            root[root == root[other]] = root[one]
    return root


def _borders(labels: NDArray[np.int32]) -> list[tuple[int, int, NDArray[np.intp]]]:
    """Pairs of labels other than 0 that touch, and where: flat places of pixels left of or above the
    border, one for each pair of pixels across it.
    """
    import numpy as np

    places = np.arange(labels.size).reshape(labels.shape)
    pairs = []
    for one, other, place in (
        (labels[:-1], labels[1:], places[:-1]),
        (labels[:, :-1], labels[:, 1:], places[:, :-1]),
    ):
        across = (one != other) & (one > 0) & (other > 0)
        low, high = np.minimum(one, other)[across], np.maximum(one, other)[across]
        pairs.append(np.stack([low, high, place[across]], axis=1))
    rows = np.concatenate(pairs)
    return [
        (int(one), int(other), rows[(rows[:, 0] == one) & (rows[:, 1] == other), 2])
        for one, other in np.unique(rows[:, :2], axis=0)
    ]
