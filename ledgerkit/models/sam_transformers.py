"""SAM, SAM-HQ, SAM 2, EdgeTAM and the tracker of SAM 3 from folders in the form of transformers.

The class follows from `model_type` in config.json, by the library's own table for mask generation.
Pixels are resized and normalised here, as preprocessor_config.json says: of SAM 2 and later the
library has processors for torchvision only. Pillow does the resizing, on every machine the same.
Source: transformers 5, `models/sam`, `models/sam2`, `models/sam_hq`, `pipelines/mask_generation.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import InvalidRecord
from ledgerkit.models import loading
from ledgerkit.models.loading import Placement
from ledgerkit.models.sam_network import (
    Embedded,
    Frame,
    Prompts,
    frame_of,
    refuse_infinite,
    shrunk,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

FAMILIES = {
    "sam": "sam",
    "sam_hq": "sam_hq",
    "sam2": "sam2",
    "sam2_video": "sam2",
    "edgetam": "edgetam",
    "edgetam_video": "edgetam",
    "sam3_tracker": "sam3_tracker",
    "sam3_video": "sam3_tracker",
}
"""`model_type` and the family. The weights of SAM 2 for images are published under `sam2_video`."""


def model_type_of(folder: Path) -> str:
    """The `model_type` in config.json. Raises `InvalidRecord` for one that is no SAM."""
    model_type = str(_json(folder / "config.json").get("model_type"))
    if model_type not in FAMILIES:
        raise InvalidRecord(
            f"{folder.name} is a model of type {model_type}, which makes no masks from prompts",
            f"These do: {', '.join(sorted(FAMILIES))}",
        )
    return model_type


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels become the network's input."""

    side: int
    padded: bool
    rescale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    resample: int

    def pixels(self, image: NDArray[np.uint8], frame: Frame) -> NDArray[np.float32]:
        """float32 (3, side, side): resized, to 0..1, normalised, then padded with zeros."""
        import numpy as np

        scaled = (shrunk(image, frame, self.resample) * np.float64(self.rescale)).astype(np.float32)
        mean = np.array(self.mean, dtype=np.float32)
        normal = (scaled - mean) / np.array(self.deviation, dtype=np.float32)
        square = np.zeros((3, frame.side, frame.side), dtype=np.float32)
        square[:, : frame.inner_height, : frame.inner_width] = normal.transpose(2, 0, 1)
        return square


def preprocessing_of(folder: Path) -> Preprocessing:
    """What preprocessor_config.json (else processor_config.json) says. Raises `InvalidRecord`."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            found = _json(folder / name)
            return _preprocessing(found.get("image_processor", found), f"{folder.name}/{name}")
    raise InvalidRecord(
        f"{folder.name} has no preprocessor_config.json, which says how pixels become its input",
        "Add the model again with that file: ledgerkit models add NAME --preprocessing FILE",
    )


def _preprocessing(found: Mapping[str, Any], where: str) -> Preprocessing:
    try:
        size = found["size"]
        if not all(found.get(step, True) for step in ("do_resize", "do_rescale", "do_normalize")):
            raise InvalidRecord(f"{where}: images are to be resized, rescaled and normalised")
        padded = "longest_edge" in size
        side = int(size["longest_edge"] if padded else size["height"])
        square = found.get("pad_size", {"height": side, "width": side}) if padded else size
        if {int(square["height"]), int(square["width"])} != {side}:
            raise InvalidRecord(f"{where}: expected a square input, got {dict(square)}")
        return Preprocessing(
            side,
            padded,
            float(found["rescale_factor"]),
            tuple(map(float, found["image_mean"])),
            tuple(map(float, found["image_std"])),
            int(found.get("resample", 2)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRecord(f"{where} does not say how to preprocess: {error!r}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidRecord(f"{path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRecord(f"{path.name}: expected a JSON object")
    return found


class TransformersSam:
    """A `Network` through transformers. Encoder in the placement's precision, decoder in float32.

    Rounded to bfloat16, coordinates of prompts would be up to 4 pixels off.
    """

    def __init__(self, folder: Path, placement: Placement) -> None:
        model_type = model_type_of(folder)
        kind = _class_of(model_type, folder.name)
        self.family = FAMILIES[model_type]
        self.kind = f"transformers {kind.__name__}"
        self.device = placement.device
        self._dtype = placement.dtype
        self._steps = preprocessing_of(folder)
        self.side = self._steps.side
        self._model = loading.pretrained(kind, folder, replace(placement, precision="float32"))
        expected = int(self._model.prompt_encoder.input_image_size)
        if expected != self._steps.side:
            raise InvalidRecord(
                f"{folder.name}: the network sees {expected} pixels a side, its preprocessing "
                f"makes {self._steps.side}"
            )

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> list[Embedded]:
        import numpy as np

        torch = loading.torch()
        steps = self._steps
        frames = [frame_of(image, steps.side, padded=steps.padded) for image in images]
        pixels = np.stack(
            [steps.pixels(image, frame) for image, frame in zip(images, frames, strict=True)]
        )
        half = self._dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device, self._dtype, enabled=half):
            found = self._model.get_image_embeddings(torch.from_numpy(pixels).to(self.device))
        embedded = [
            Embedded(self._named(found, index), frame) for index, frame in enumerate(frames)
        ]
        refuse_infinite(embedded)
        return embedded

    def _named(self, found: Any, index: int) -> dict[str, Any]:
        """What the decoder takes of one image of the batch, in float32."""
        if isinstance(found, tuple):  # of SAM-HQ: the last embedding, and those of early layers
            last, early = found
            return {
                "image_embeddings": last[index : index + 1].float(),
                "intermediate_embeddings": [one[index : index + 1].float() for one in early],
            }
        if isinstance(found, list):  # of SAM 2 and later: one embedding a scale
            return {"image_embeddings": [one[index : index + 1].float() for one in found]}
        return {"image_embeddings": found[index : index + 1].float()}

    def predict(
        self, embedded: Embedded, prompts: Prompts, several: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        torch = loading.torch()
        # As the library's own preparation of prompts: SAM keeps float64 up to the embedding.
        dtype = torch.float64 if self._steps.padded else torch.float32
        given: dict[str, Any] = {}
        if prompts.points is not None:
            points = embedded.frame.inside(prompts.points)[None]
            given["input_points"] = torch.as_tensor(points, dtype=dtype, device=self.device)
            given["input_labels"] = torch.as_tensor(prompts.labels, device=self.device)[None]
        if prompts.boxes is not None:
            boxes = embedded.frame.inside(prompts.boxes.reshape(-1, 2, 2)).reshape(1, -1, 4)
            given["input_boxes"] = torch.as_tensor(boxes, dtype=dtype, device=self.device)
        with torch.inference_mode():
            found = self._model(**given, **embedded.tensors, multimask_output=several)
        return found.pred_masks[0], found.iou_scores[0]


def _class_of(model_type: str, name: str) -> Any:
    """The library's class for a `model_type`. Raises `InvalidRecord` where it has none."""
    transformers = loading.transformers()
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASK_GENERATION_MAPPING_NAMES

    known = {kind for kind in MODEL_FOR_MASK_GENERATION_MAPPING_NAMES if kind in FAMILIES}
    if model_type not in known:
        raise InvalidRecord(
            f"{name} is a model of type {model_type}, which this transformers does not have",
            f"transformers {transformers.__version__} has: {', '.join(sorted(known))}",
        )
    return getattr(transformers, MODEL_FOR_MASK_GENERATION_MAPPING_NAMES[model_type])
