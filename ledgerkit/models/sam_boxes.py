"""Boxes of masks: areas, overlap, and greedy suppression of those that overlap too much.

Pure functions on tensors; a box is left, top, right, bottom. As in torchvision.ops.boxes, whose
results they equal, so that masks are the same whether torchvision is there or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def box_area(boxes: torch.Tensor) -> torch.Tensor:
    """Areas (n,) of boxes (n, 4), in the dtype of the boxes."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def suppress(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices int64 (k,) of the boxes that are kept, by falling score; ties in their given order.

    `boxes` float32 (n, 4), `scores` float32 (n,). Greedy: each kept box takes away all later ones
    whose IoU with it is above `threshold`. Memory grows with n, not with its square.
    Source: torchvision.ops.nms; Neubeck and Van Gool 2006, greedy non-maximum suppression.
    """
    import torch

    order = scores.cpu().sort(stable=True, descending=True).indices
    boxes = boxes.cpu().float()[order]
    areas = box_area(boxes)
    alive = torch.ones(len(order), dtype=torch.bool)
    kept = []
    for index in range(len(order)):
        if not alive[index]:
            continue
        kept.append(index)
        near = torch.minimum(boxes[index, 2:], boxes[index + 1 :, 2:])
        near = near - torch.maximum(boxes[index, :2], boxes[index + 1 :, :2])
        shared = near.clamp(min=0).prod(dim=1)
        # Boxes without area overlap nothing: 0 / 0 compares as false, as it does in torchvision.
        overlap = shared / (areas[index] + areas[index + 1 :] - shared)
        alive[index + 1 :] &= ~(overlap > threshold)
    return order[torch.tensor(kept, dtype=torch.int64)]
