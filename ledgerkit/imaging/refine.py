"""A large plate cut tile by tile, by the paper, the levels and the regions of the plate seen small.

What decides on a plate is looked at once, on an image of it that fits (`regions.cut`): where the sheet
lies, the paper's colour, the level of a mark, which marks are figures, lettering, frame or nothing.
Tiles then say where the borders run. Each is cut with the plate's levels, its connected marks are
joined with those of its neighbours (`join.py`), and each joined mark goes to the region of the small
image that most of it lies in. So a tile without paper invents none, and a plate has the same regions
at every size. Memory: the masks of the frame, one byte a pixel and mask, and one tile at work.
Levels of a tile's own would invent regions in blank tiles: docs/segments.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology
from ledgerkit.imaging.bridges import label_within
from ledgerkit.imaging.found import Found, Frame, covered, enlarged, measured
from ledgerkit.imaging.geometry import Box
from ledgerkit.imaging.join import Conservation, JoinRule, Piece, Region, Window, join
from ledgerkit.imaging.lab import to_lab
from ledgerkit.imaging.marks import fill_holes, smoothed, touched
from ledgerkit.imaging.paper import distance_to
from ledgerkit.imaging.pieces import trim
from ledgerkit.imaging.regions import (
    BACKGROUND,
    LETTERING,
    PAPER,
    REFERENCE,
    RegionRule,
    Scene,
    pixels,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SPECK = 3
"""Side in pixels, at the reference size, of a square than which a lone mark is not smaller."""


@dataclass(frozen=True, slots=True)
class Refined:
    """Regions of a plate that was cut in tiles."""

    regions: list[Found]
    """In the order of the scene's; they cover the frame once."""
    conservation: Conservation
    tiles: int


def least_halo(frame: Frame, rule: RegionRule) -> int:
    """Pixels around a tile that its cut depends on: smoothing (4 sigma), closing (twice its radius)."""
    scale = max(frame.width, frame.height) / REFERENCE
    return int(4 * rule.smoothing * scale) + 2 * pixels(rule.closing, scale) + 2


def refine(
    scene: Scene,
    tiles: Iterable[tuple[int, NDArray[np.uint8]]],
    windows: Sequence[Window],
    frame: Frame,
    rule: RegionRule,
) -> Refined:
    """`tiles`: place of the window and its sRGB pixels, uint8 (h, w, 3), each once, in any order."""
    pieces: list[Piece] = []
    sure: list[bool] = []
    for index, rgb in tiles if scene.paper.found else ():
        for piece, is_sure in _cut_tile(scene, index, rgb, windows[index], frame, rule):
            pieces.append(piece)
            sure.append(is_sure)
    joined = join(pieces, windows, JoinRule(partition=True))
    owned = _owned(scene, joined.regions, sure, frame)
    return Refined(list(_painted(scene, owned, frame)), joined.conservation, len(windows))


def _cut_tile(
    scene: Scene,
    index: int,
    rgb: NDArray[np.uint8],
    window: Window,
    frame: Frame,
    rule: RegionRule,
) -> Iterator[tuple[Piece, bool]]:
    """Connected marks of a tile, and whether any pixel of each is over the sure level.

    Faint marks that the window cuts off may hang together with sure ones outside; they are kept.
    """
    import numpy as np
    from scipy import ndimage

    scale = max(frame.width, frame.height) / REFERENCE
    box = Box(window.x0, window.y0, window.x1, window.y1)
    lab = smoothed(to_lab(rgb), rule.smoothing * scale)
    distance = distance_to(scene.paper.model, lab, box, frame.width, frame.height)
    sheet = np.asarray(enlarged(scene.sheet, box, frame), dtype=bool)
    sure = distance > scene.levels.sure
    mark = _marks(distance, sure, scene, window, frame) & sheet
    solid = morphology.closing(mark, pixels(rule.closing, scale)) & sheet
    solid |= np.asarray(enlarged(scene.pale, box, frame), dtype=bool) & sheet
    solid = _filled(solid, distance, scene, box, frame, rule)
    labels, count = label_within(solid, np.asarray(enlarged(scene.zones, box, frame)))
    area = np.bincount(labels.ravel(), minlength=count + 1)
    keep = area >= (SPECK * scale) ** 2
    keep[_at_border(labels, window, frame)] = True
    is_sure = touched(labels, count, sure)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if keep[number]:
            mask = labels[place] == number
            x0, y0 = box.x0 + place[1].start, box.y0 + place[0].start
            yield Piece(x0, y0, mask, None, index), bool(is_sure[number])


def _marks(
    distance: NDArray[np.float32], sure: Mask, scene: Scene, window: Window, frame: Frame
) -> Mask:
    """`grow`, but that faint marks at a border inside the frame stay."""
    import numpy as np

    labels, count = morphology.label(distance > scene.levels.faint)
    kept = touched(labels, count, sure)
    kept[_at_border(labels, window, frame)] = True
    kept[0] = False
    return np.asarray(kept[labels], dtype=bool)


def _at_border(labels: NDArray[np.int32], window: Window, frame: Frame) -> NDArray[np.integer]:
    """Labels that touch a border of the window inside the frame."""
    import numpy as np

    sides = [
        (window.x0 > 0, labels[:, 0]),
        (window.x1 < frame.width, labels[:, -1]),
        (window.y0 > 0, labels[0]),
        (window.y1 < frame.height, labels[-1]),
    ]
    return np.unique(np.concatenate([labels[:0, 0], *(side for inner, side in sides if inner)]))


def _filled(
    solid: Mask,
    distance: NDArray[np.float32],
    scene: Scene,
    box: Box,
    frame: Frame,
    rule: RegionRule,
) -> Mask:
    """`solid` with its holes filled, those inside the tile by their own colour, those that the tile
    cuts off where the small image has them filled.
    """
    import numpy as np

    filled = fill_holes(solid, distance, rule.hole)
    labels, count = morphology.label(~filled, diagonal=False)
    marked = np.array([kind not in (PAPER, BACKGROUND) for kind in scene.kinds])
    inside = marked[np.asarray(enlarged(scene.labels, box, frame))]
    size = np.bincount(labels.ravel(), minlength=count + 1)
    share = np.bincount(labels[inside], minlength=count + 1)
    total = np.bincount(labels.ravel(), weights=distance.ravel(), minlength=count + 1)
    fill = (share >= 0.9 * size) & (total >= rule.hole * np.maximum(size, 1))
    fill[0] = True
    return np.asarray(fill[labels], dtype=bool)


def _owned(
    scene: Scene, regions: Sequence[Region], sure: Sequence[bool], frame: Frame
) -> dict[int, list[Region]]:
    """For each region of the scene the joined marks that lie mostly in marked regions, in it most."""
    import numpy as np

    count = len(scene.kinds)
    marked = np.array([kind not in (PAPER, BACKGROUND) for kind in scene.kinds])
    owned: dict[int, list[Region]] = {}
    for region in regions:
        if not any(sure[place] for place in region.members):
            continue
        area, weights = covered(region.box, region.mask, frame, scene.labels.shape)
        labels = scene.labels[area.y0 : area.y1, area.x0 : area.x1]
        votes = np.bincount(labels.ravel(), weights=weights.ravel(), minlength=count)
        if votes[marked].sum() >= 0.5 * votes.sum():
            owned.setdefault(int(np.argmax(np.where(marked, votes, -1))), []).append(region)
    return owned


def _painted(scene: Scene, owned: dict[int, list[Region]], frame: Frame) -> Iterator[Found]:
    """The scene's regions at the frame's size; paper and surround are what is left.

    A marked region that no tile confirms keeps its mask of the small image; so does a line of
    lettering of which tiles confirm less than half, for its strokes may be finer than the plate's level.
    """
    import numpy as np

    taken = np.zeros((frame.height, frame.width), dtype=bool)
    marked = []
    for label, kind in enumerate(scene.kinds):
        if kind in (PAPER, BACKGROUND):
            continue
        box, mask = _united(owned[label]) if label in owned else _upscaled(scene, label, frame)
        if kind == LETTERING and label in owned:
            small = _upscaled(scene, label, frame)
            box, mask = small if 2 * mask.sum() < small[1].sum() else (box, mask)
        place = slice(box.y0, box.y1), slice(box.x0, box.x1)
        mask = mask & ~taken[place]
        taken[place] |= mask
        fitted = trim(box.x0, box.y0, mask)
        if fitted is not None:
            marked.append(measured(scene, label, *fitted, frame))
    whole = Box(0, 0, frame.width, frame.height)
    around = np.asarray(enlarged(_background(scene), whole, frame), dtype=bool)
    for label, kind in enumerate(scene.kinds):
        if kind in (PAPER, BACKGROUND):
            fitted = trim(0, 0, ~taken & (around if kind == BACKGROUND else ~around))
            if fitted is not None:
                yield measured(scene, label, *fitted, frame)
    yield from marked


def _background(scene: Scene) -> Mask:
    import numpy as np

    return np.asarray(np.array([kind == BACKGROUND for kind in scene.kinds])[scene.labels])


def _united(regions: Sequence[Region]) -> tuple[Box, Mask]:
    """The union of joined marks."""
    import numpy as np

    boxes = [region.box for region in regions]
    x0, y0 = min(box.x0 for box in boxes), min(box.y0 for box in boxes)
    box = Box(x0, y0, max(box.x1 for box in boxes), max(box.y1 for box in boxes))
    mask = np.zeros((box.height, box.width), dtype=bool)
    for region in regions:
        own = region.box
        mask[own.y0 - y0 : own.y1 - y0, own.x0 - x0 : own.x1 - x0] |= region.mask
    return box, mask


def _upscaled(scene: Scene, label: int, frame: Frame) -> tuple[Box, Mask]:
    """The mask of a region of the small image in pixels of the frame."""
    import numpy as np

    height, width = scene.labels.shape
    fitted = trim(0, 0, scene.labels == label)
    if fitted is None:
        return Box(0, 0, 1, 1), np.zeros((1, 1), dtype=bool)
    small = fitted[0]
    box = Box(
        small.x0 * frame.width // width,
        small.y0 * frame.height // height,
        min(frame.width, -(-small.x1 * frame.width // width)),
        min(frame.height, -(-small.y1 * frame.height // height)),
    )
    return box, np.asarray(enlarged(scene.labels, box, frame) == label)
