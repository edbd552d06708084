"""What every SAM network does, whichever library it comes from: embed an image once, then predict.

`load` in `sam.py` gives a `Network`. Coordinates of prompts are pixels of the image that was embedded,
x to the right and y down, continuous: the centre of the first pixel is 0.5.

Keeps out: grids of points and the choice among masks (`sam_masks.py`), files, plates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ledgerkit.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

MASK_THRESHOLD = 0.0
"""Logit above which a pixel belongs to the mask: that of SAM, SAM 2 and SAM-HQ."""


@dataclass(frozen=True, slots=True)
class Frame:
    """How an image lies in the square that the network sees."""

    height: int
    width: int
    inner_height: int
    inner_width: int
    side: int
    padded: bool
    """Whether the image keeps its proportions and the rest of the square is padding."""

    def inside(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) of the image as points of the square."""
        import numpy as np

        scale = [self.inner_width / self.width, self.inner_height / self.height]
        return np.asarray(points * np.array(scale), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Embedded:
    """An image after the encoder: what the decoder reads, on the network's device."""

    tensors: dict[str, Any]
    frame: Frame


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts for b masks, in pixels of the image: points, boxes, or both."""

    points: NDArray[np.float64] | None
    """float64 (b, n, 2), x before y."""
    labels: NDArray[np.int64] | None
    """int64 (b, n): 1 within the object, 0 outside of it."""
    boxes: NDArray[np.float64] | None = None
    """float64 (b, 4): left, top, right, bottom."""


class Network(Protocol):
    """A SAM network on its device."""

    family: str
    """`sam`, `sam_hq`, `sam2`, `edgetam`, `sam3_tracker`."""
    kind: str
    """What it is, for people: `segment_anything vit_b`, `transformers Sam2Model`."""
    device: str
    side: int
    """Pixels a side of the square that it sees."""

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> list[Embedded]:
        """Each image, sRGB uint8 (h, w, 3), after the encoder; all in one forward pass.

        Raises `InvalidRecord` where its numbers are not finite.
        """

    def predict(
        self, embedded: Embedded, prompts: Prompts, several: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Low-resolution logits float32 (b, c, h, w) and predicted IoU float32 (b, c).

        `several` asks for all masks that a prompt may mean (c = 3), else for one (c = 1).
        """


def frame_of(image: NDArray[np.uint8], side: int, *, padded: bool) -> Frame:
    """Where an image, uint8 (h, w, 3), lies in a square of `side`.

    Source: `ResizeLongestSide.get_preprocess_shape` of segment_anything for padded ones; SAM 2
    stretches the image over the square.
    """
    height, width = image.shape[:2]
    if not padded:
        return Frame(height, width, side, side, side, False)
    scale = side * 1.0 / max(height, width)
    return Frame(height, width, int(height * scale + 0.5), int(width * scale + 0.5), side, True)


def refuse_infinite(embedded: Sequence[Embedded]) -> None:
    """Raise `InvalidRecord` where an embedding is not finite: its masks would silently be none."""
    import torch

    for one in embedded:
        for value in one.tensors.values():
            for tensor in value if isinstance(value, list) else [value]:
                if not torch.isfinite(tensor).all():
                    raise InvalidRecord(
                        "the network gives numbers that are not finite for this image",
                        "Try --precision float32, and check the weights: ledgerkit models verify",
                    )


def enlarge(low: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Logits float32 (n, height, width) of the image from low-resolution logits (n, h, w).

    Source: `Sam.postprocess_masks` of segment_anything; `post_process_masks` of transformers.
    """
    from torch.nn.functional import interpolate

    logits = low[:, None]
    if frame.padded:
        logits = interpolate(
            logits, (frame.side, frame.side), mode="bilinear", align_corners=False
        )[..., : frame.inner_height, : frame.inner_width]
    size = (frame.height, frame.width)
    return interpolate(logits, size, mode="bilinear", align_corners=False)[:, 0]


def shrunk(image: NDArray[np.uint8], frame: Frame, resample: int = 2) -> NDArray[np.uint8]:
    """The image at its size within the square, uint8 (inner_height, inner_width, 3), by Pillow.

    `resample` is Pillow's number of a filter; 2 is bilinear with antialiasing.
    """
    import numpy as np
    from PIL import Image

    size = (frame.inner_width, frame.inner_height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling(resample)))
