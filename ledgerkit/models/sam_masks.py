"""Masks of everything in an image, from a grid of point prompts; and of what a person points at.

One generator for every `Network`: grid, predicted IoU, stability, suppression by boxes, crops. On
the same network and settings it gives the masks of `SamAutomaticMaskGenerator` (segment_anything)
and, without crops, of the mask-generation pipeline of transformers, in the same order. Only a few
masks at a time are ever held at full size in floating point.
Source: Kirillov et al. 2023, Segment Anything, appendix B; segment_anything 1.0,
`automatic_mask_generator.py` and `utils/amg.py`, whose default settings these are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from ledgerkit.models.sam_boxes import suppress
from ledgerkit.models.sam_network import MASK_THRESHOLD, Embedded, Frame, Network, Prompts, enlarge

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

QUALITY = {"sam": 0.88, "sam_hq": 0.88, "sam2": 0.8, "edgetam": 0.8, "sam3_tracker": 0.8}
"""Least predicted IoU by family: `pred_iou_thresh` of the mask generators published with SAM, SAM-HQ
and SAM 2. EdgeTAM took over that of SAM 2; SAM 3 has none of its own and gets that of SAM 2.
"""
NEAR_CROP_EDGE = 20.0
"""Pixels within which a box touches the edge of its crop: `is_box_near_crop_edge`."""
AT_FULL_SIZE = 128 << 20
"""Bytes of logits at full size that are held at once."""
MARGIN = 1e-3
"""Logits by which rounding can lift an interpolated value above its neighbours, and far more."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Settings of the generator; the defaults are those of `SamAutomaticMaskGenerator`."""

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """One mask."""

    x0: int
    y0: int
    mask: NDArray[np.bool_]
    """bool (h, w): the least box around the mask, whose top left corner is (x0, y0)."""
    score: float
    """IoU with the true mask as the network predicts it; about 0..1, and may exceed 1."""
    stability: float
    """IoU of the masks at a stricter and a laxer threshold, 0..1."""


@dataclass(slots=True)
class _Candidates:
    """Masks on their way: boxes in pixels of the whole image, right and bottom inclusive."""

    masks: list[tuple[bytes, tuple[int, int]]]
    boxes: list[Box]
    scores: list[torch.Tensor]
    stabilities: list[float]

    def take(self, other: _Candidates) -> None:
        self.masks += other.masks
        self.boxes += other.boxes
        self.scores += other.scores
        self.stabilities += other.stabilities

    def keep(self, indices: Sequence[int]) -> _Candidates:
        return _Candidates(
            [self.masks[at] for at in indices],
            [self.boxes[at] for at in indices],
            [self.scores[at] for at in indices],
            [self.stabilities[at] for at in indices],
        )


def everything(
    network: Network, images: Sequence[NDArray[np.uint8]], rule: MaskRule
) -> list[list[Found]]:
    """Masks of everything in each image, sRGB uint8 (h, w, 3), best first.

    The images, and the crops of each, go through the encoder in batches of their number. No mask
    is empty. Raises `RuntimeError` of torch when memory runs out.
    """
    if rule.crop_n_layers == 0:
        embedded = network.embed(images)
        return [
            _finish(_of_crop(network, one, image.shape, None, rule, 0), rule, image.shape)
            for one, image in zip(embedded, images, strict=True)
        ]
    return [_of_all_crops(network, image, rule) for image in images]


def _of_all_crops(network: Network, image: NDArray[np.uint8], rule: MaskRule) -> list[Found]:
    """Masks of an image and of its crops; where two crops have the same, the smaller crop's."""
    import torch

    height, width = image.shape[:2]
    found, sizes = _Candidates([], [], [], []), []
    for crop, layer in crop_boxes(height, width, rule.crop_n_layers, rule.crop_overlap_ratio):
        x0, y0, x1, y1 = crop
        (embedded,) = network.embed([image[y0:y1, x0:x1]])
        of_crop = _of_crop(network, embedded, (height, width), crop, rule, layer)
        found.take(of_crop)
        sizes += [(x1 - x0) * (y1 - y0)] * len(of_crop.masks)
    boxes = torch.tensor(found.boxes).reshape(-1, 4)
    smaller_first = 1 / torch.tensor(sizes, dtype=torch.int64)
    kept = suppress(boxes, smaller_first, rule.crop_nms_thresh)
    return _finish(found.keep(kept.tolist()), rule, image.shape)


def pointed_at(network: Network, embedded: Embedded, prompts: Prompts, offset: float) -> Found:
    """The one mask that the prompts (b = 1) ask for: the best by predicted IoU. It may be empty.

    A single point without a box is ambiguous and gets the best of three masks, as segment_anything's
    `SamPredictor.predict` advises; other prompts get one.
    """
    import numpy as np

    points = 0 if prompts.points is None else prompts.points.shape[1]
    low, quality = network.predict(embedded, prompts, prompts.boxes is None and points == 1)
    best = int(quality[0].argmax())
    logits = enlarge(low[0, best : best + 1].float(), embedded.frame)[0].cpu().numpy()
    mask = logits > MASK_THRESHOLD
    score, stability = float(quality[0, best]), stability_of(logits, offset)
    if not mask.any():
        return Found(0, 0, np.zeros((0, 0), dtype=bool), score, 0.0)
    x0, y0, x1, y1 = box_of(mask)
    return Found(x0, y0, mask[y0 : y1 + 1, x0 : x1 + 1], score, stability)


def point_grid(side: int) -> NDArray[np.float64]:
    """`side` x `side` points evenly over the unit square, float64 (side * side, 2), row by row."""
    import numpy as np

    offset = 1 / (2 * side)
    along = np.linspace(offset, 1 - offset, side)
    return np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)


def crop_boxes(height: int, width: int, layers: int, overlap: float) -> Iterator[tuple[Box, int]]:
    """The image, then the crops of each layer with the layer's number: 2^layer along each side."""
    yield (0, 0, width, height), 0
    for layer in range(1, layers + 1):
        along = 2**layer
        shared = int(overlap * min(height, width) * (2 / along))
        across = math.ceil((shared * (along - 1) + width) / along)
        down = math.ceil((shared * (along - 1) + height) / along)
        lefts = [(across - shared) * index for index in range(along)]
        tops = [(down - shared) * index for index in range(along)]
        for x0, y0 in product(lefts, tops):
            yield (x0, y0, min(x0 + across, width), min(y0 + down, height)), layer


def stability_of(logits: NDArray[np.float32], offset: float) -> float:
    """IoU of the masks of logits (h, w) at `offset` above and below the threshold, rounded to float32.

    0 / 0 is 0: nothing is above either.
    """
    import numpy as np

    strict = int(np.count_nonzero(logits > np.float32(MASK_THRESHOLD + offset)))
    lax = int(np.count_nonzero(logits > np.float32(MASK_THRESHOLD - offset)))
    return float(np.float32(strict) / np.float32(max(lax, 1)))


def box_of(mask: NDArray[np.bool_]) -> Box:
    """The least box around a mask bool (h, w) that has a pixel; right and bottom are its last ones.

    As `batched_mask_to_box` of segment_anything has it.
    """
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _of_crop(
    network: Network,
    embedded: Embedded,
    size: tuple[int, ...],
    crop: Box | None,
    rule: MaskRule,
    layer: int,
) -> _Candidates:
    """Masks of the embedded crop of an image of `size`, best first, without duplicates."""
    import numpy as np
    import torch

    frame = embedded.frame
    side = int(rule.points_per_side / rule.crop_n_points_downscale_factor**layer)
    grid = point_grid(max(1, side)) * np.array([frame.width, frame.height])
    found = _Candidates([], [], [], [])
    for start in range(0, len(grid), rule.points_per_batch):
        points = grid[start : start + rule.points_per_batch, None, :]
        labels = np.ones(points.shape[:2], dtype=np.int64)
        low, quality = network.predict(embedded, Prompts(points, labels), True)
        low, quality = low.flatten(0, 1), quality.flatten(0, 1)
        if rule.pred_iou_thresh > 0:
            good = quality > rule.pred_iou_thresh
            low, quality = low[good], quality[good]
        found.take(_at_full_size(low, quality, embedded, crop or (0, 0, size[1], size[0]), rule))
    boxes = torch.tensor(found.boxes).reshape(-1, 4)
    near = _near_crop_edge(boxes, crop, size)
    found = found.keep(torch.nonzero(~near).flatten().tolist())
    if not found.masks:
        return found
    boxes = torch.tensor(found.boxes)
    return found.keep(suppress(boxes, torch.stack(found.scores), rule.box_nms_thresh).tolist())


def _at_full_size(
    low: torch.Tensor, quality: torch.Tensor, embedded: Embedded, crop: Box, rule: MaskRule
) -> _Candidates:
    """Candidates of low-resolution logits (n, h, w): stable and not empty, cut to their boxes.

    Each is looked at only where its logits can be above the laxer threshold, which its
    low-resolution logits tell: most masks are much smaller than the image. That is done by numpy:
    in torch, threads would wait for each other thousands of times.
    """
    import numpy as np

    found = _Candidates([], [], [], [])
    frame = embedded.frame
    above = (low > MASK_THRESHOLD - rule.stability_score_offset - MARGIN).cpu().numpy()
    places = [at for at in range(len(above)) if above[at].any()]
    low, quality = low[places].float(), quality[places].float().cpu()
    at_once = max(1, AT_FULL_SIZE // (4 * (frame.height * frame.width + frame.side**2)))
    for index, place in enumerate(places):
        if index % at_once == 0:
            logits = enlarge(low[index : index + at_once], frame)
        x0, y0, x1, y1 = _reach(box_of(above[place]), above.shape[1:], frame)
        inside = logits[index % at_once, y0:y1, x0:x1].cpu().numpy()
        mask = inside > MASK_THRESHOLD
        stability = stability_of(inside, rule.stability_score_offset)
        if not mask.any() or stability < rule.stability_score_thresh:
            continue
        left, top, right, bottom = box_of(mask)
        # As bits: thousands of candidates wait for suppression.
        kept = mask[top : bottom + 1, left : right + 1]
        found.masks.append((np.packbits(kept).tobytes(), kept.shape))
        x, y = x0 + crop[0], y0 + crop[1]
        found.boxes.append((left + x, top + y, right + x, bottom + y))
        found.scores.append(quality[index])
        found.stabilities.append(stability)
    return found


def _reach(box: Box, low: Sequence[int], frame: Frame) -> Box:
    """The box of the image, half open, that logits within a box of low-resolution ones (right and
    bottom inclusive) reach when they are enlarged: interpolation takes one pixel more each time.
    """
    found = []
    sides = ((low[1], frame.inner_width, frame.width), (low[0], frame.inner_height, frame.height))
    for axis, (small, inner, full) in enumerate(sides):
        for end, reach in ((box[axis], -2), (box[axis + 2], 3)):
            square = (end + reach) * frame.side / small + reach
            found.append(min(max(math.floor(square * full / inner) + reach, 0), full))
    return found[0], found[2], found[1], found[3]


def _unpacked(packed: tuple[bytes, tuple[int, int]]) -> NDArray[np.bool_]:
    import numpy as np

    data, (height, width) = packed
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=height * width)
    return bits.reshape(height, width).astype(bool)


def _near_crop_edge(boxes: torch.Tensor, crop: Box | None, size: tuple[int, ...]) -> torch.Tensor:
    """Whether boxes (n, 4) touch the edge of the crop where that is no edge of the image, (n,)."""
    import torch

    if crop is None:
        return torch.zeros(len(boxes), dtype=torch.bool)
    of_crop = (boxes - torch.tensor(crop)).abs() <= NEAR_CROP_EDGE
    of_image = (boxes - torch.tensor([0, 0, size[1], size[0]])).abs() <= NEAR_CROP_EDGE
    return (of_crop & ~of_image).any(dim=1)


def _finish(found: _Candidates, rule: MaskRule, size: tuple[int, ...]) -> list[Found]:
    made = [
        Found(box[0], box[1], _unpacked(mask), float(score), stability)
        for mask, box, score, stability in zip(
            found.masks, found.boxes, found.scores, found.stabilities, strict=True
        )
    ]
    if rule.min_mask_region_area > 0 and made:
        return _without_small_regions(made, rule, size)
    return made


def _without_small_regions(made: list[Found], rule: MaskRule, size: tuple[int, ...]) -> list[Found]:
    """Masks less holes and islands smaller than `min_mask_region_area`, duplicates left out again.

    Masks that had none of them are preferred. Source: `postprocess_small_regions`.
    """
    import torch

    cleaned = [_cleaned(one, rule.min_mask_region_area, size) for one in made]
    boxes = [
        (one.x0, one.y0, one.x0 + one.mask.shape[1] - 1, one.y0 + one.mask.shape[0] - 1)
        for one, _ in cleaned
    ]
    untouched = torch.tensor([float(not changed) for _, changed in cleaned])
    nms = max(rule.box_nms_thresh, rule.crop_nms_thresh)
    return [cleaned[at][0] for at in suppress(torch.tensor(boxes), untouched, nms).tolist()]


def _cleaned(one: Found, area: int, size: tuple[int, ...]) -> tuple[Found, bool]:
    """A mask with its small holes filled and its small islands gone, and whether it had any.

    The largest island stays, however small, and still counts as one.
    """
    import numpy as np

    mask = np.zeros(size[:2], dtype=bool)
    height, width = one.mask.shape
    mask[one.y0 : one.y0 + height, one.x0 : one.x0 + width] = one.mask
    outside, sizes = _components(~mask)
    holes = sizes < area
    holes[0] = False
    islands, sizes = _components(mask | holes[outside])
    small = sizes < area
    small[0] = False
    if not holes.any() and not small.any():
        return one, False
    small[0] = True
    if small.all():
        small[int(np.argmax(sizes[1:])) + 1] = False
    kept = ~small[islands]
    y, x = np.nonzero(kept)
    box = kept[y.min() : y.max() + 1, x.min() : x.max() + 1]
    return Found(int(x.min()), int(y.min()), box, one.score, one.stability), True


def _components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Labels of 8-connected regions and their sizes; label 0 is what is not in the mask."""
    import numpy as np
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=bool))
    return labels, np.bincount(labels.ravel(), minlength=count + 1)
