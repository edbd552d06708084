"""Import segment_anything where torchvision is absent, or does not fit the torch that is installed.

segment_anything 1.0 takes four functions from torchvision. They are supplied while it is imported,
and only where torchvision cannot be: afterwards no module of that name is left behind, for other
libraries would take it for the real one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import MissingExtra
from ledgerkit.models.sam_boxes import box_area, suppress

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

WANTED = ("torchvision.transforms.functional", "torchvision.ops.boxes")
MODULES = ("torchvision", "torchvision.ops", "torchvision.transforms", *WANTED)


def import_segment_anything() -> ModuleType:
    """The library, imported. Raises `MissingExtra` when it is not installed."""
    if "segment_anything" in sys.modules:
        return sys.modules["segment_anything"]
    try:
        with _torchvision():
            return importlib.import_module("segment_anything")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"a checkpoint of segment_anything needs that library: {error}",
            "Install it with: pip install 'ledgerkit[models]'",
        ) from error


@contextmanager
def _torchvision() -> Iterator[None]:
    """The real torchvision where it works, else the four functions under its name for the while."""
    try:
        for name in WANTED:
            importlib.import_module(name)
    except Exception:  # a torchvision for another torch fails with errors of many kinds
        for name in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    else:
        yield
        return
    supplied = {name: ModuleType(name) for name in MODULES}
    vars(supplied[WANTED[0]]).update(resize=_resize, to_pil_image=_to_pil_image)
    vars(supplied[WANTED[1]]).update(batched_nms=_batched_nms, box_area=box_area)
    sys.modules.update(supplied)
    try:
        yield
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)


def _to_pil_image(image: NDArray[np.uint8]) -> Any:
    from PIL import Image

    return Image.fromarray(image)


def _resize(image: Any, size: tuple[int, int]) -> Any:
    """A PIL image at `size` (height, width), bilinear: what torchvision does with a PIL image."""
    from PIL import Image

    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, idxs: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    """Places of the boxes kept by suppression within each category, by falling score."""
    import torch

    kept = []
    for category in torch.unique(idxs):
        places = torch.nonzero(idxs == category).flatten()
        kept.append(places[suppress(boxes[places], scores[places], iou_threshold)])
    found = torch.cat(kept) if kept else torch.zeros(0, dtype=torch.int64)
    return found[torch.argsort(scores[found], descending=True, stable=True)]
