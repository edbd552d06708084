"""Towers of CLIP, SigLIP, DINOv2, DINOv3 and ViT, in torch, through transformers.

The class is the one that the model's `config.json` names: `AutoModel` would drop the projection of a
CLIP without a word. The vector of a picture is the one its authors document:

- CLIP: the projected features of the image tower, which lie with those of the text tower (Radford
  et al. 2021, "Learning transferable visual models from natural language supervision", 2.3)
- SigLIP, and SigLIP 2 at a fixed resolution: the output of the attention pooling head (Zhai et al.
  2023, "Sigmoid loss for language image pre-training")
- DINOv2, DINOv3: the class token after the last layer norm (Oquab et al. 2023; Simeoni et al. 2025)
- ViT: the class token after the last layer norm; its pooler, where a model has one, is not used, for
  many published models carry none or an untrained one (Dosovitskiy et al. 2020, 3.1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import parse_json
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.models import loading, preprocessing, room

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

PROBED = 8
"""Pictures whose memory is measured to find a batch for a GPU."""
LARGEST = 512
"""Pictures of a batch on a GPU, beyond which nothing was gained."""
_MOST_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Family:
    """How the models of one class are asked."""

    name: str
    image: Callable[[Any, Any], Any]
    speaks: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    """What its constructor is told."""


def _features(model: Any, pixels: Any) -> Any:
    found = model.get_image_features(pixel_values=pixels)
    return getattr(found, "pooler_output", found)


def _projected(model: Any, pixels: Any) -> Any:
    return model(pixel_values=pixels).image_embeds


def _pooled(model: Any, pixels: Any) -> Any:
    return model(pixel_values=pixels).pooler_output


def _class_token(model: Any, pixels: Any) -> Any:
    return getattr(model, "vit", model)(pixel_values=pixels).last_hidden_state[:, 0]


FAMILIES = {
    "CLIPModel": Family("clip", _features, speaks=True),
    "CLIPVisionModelWithProjection": Family("clip", _projected),
    "SiglipModel": Family("siglip", _features, speaks=True),
    "SiglipVisionModel": Family("siglip", _pooled),
    "Dinov2Model": Family("dinov2", _pooled),
    "Dinov2WithRegistersModel": Family("dinov2", _pooled),
    "DINOv3ViTModel": Family("dinov3", _pooled),
    "ViTModel": Family("vit", _class_token, options=(("add_pooling_layer", False),)),
    "ViTForImageClassification": Family("vit", _class_token),
}
"""By the class that `config.json` names first."""


def family_of(folder: Path) -> tuple[str, Family]:
    """The class of a model and how it is asked. Raises `MissingInput`, `UsageError`."""
    path = folder / "config.json"
    if not path.is_file():
        raise MissingInput(
            f"{folder.name} has no config.json, so nothing says what kind of model it is",
            "Add the whole folder of the model.",
        )
    config = parse_json(path.read_bytes(), f"{folder.name}/config.json", _MOST_CONFIG_BYTES)
    named = config.get("architectures") if isinstance(config, dict) else None
    name = named[0] if isinstance(named, list) and named else None
    if name not in FAMILIES:
        raise UsageError(
            f"{folder.name} is a {name or 'model of no named class'}, which gives no vectors here",
            f"There are: {', '.join(FAMILIES)}; or an ONNX file with its preprocessing declared.",
        )
    return str(name), FAMILIES[name]


def speechless(folder: Path) -> UsageError:
    """That a model takes no words."""
    return UsageError(
        f"{folder.name} is a model of pictures only: it has no tower of texts",
        "Words need a CLIP or SigLIP model.",
    )


def misfit(folder: Path, pixels: NDArray[np.float32], error: Exception) -> InvalidRecord:
    """That a model does not take what its preprocessing makes."""
    return InvalidRecord(
        f"{folder.name} does not take pictures of the shape {pixels.shape[1:]}, which its "
        f"preprocessing makes: {str(error).splitlines()[0][:300]}",
        "Its preprocessing and its weights are not of one model.",
    )


class TorchTower:
    """A model of one of the `FAMILIES`, loaded whole from a folder."""

    def __init__(self, folder: Path, device: str = "auto", precision: str = "auto") -> None:
        name, self._family = family_of(folder)
        self.family = self._family.name
        self.speaks = self._family.speaks
        self.folder = folder
        self.preprocessing = preprocessing.read(folder)
        self.placement = loading.place(device, precision)
        kind = getattr(loading.transformers(), name)
        self.model = loading.pretrained(kind, folder, self.placement, **dict(self._family.options))
        self.ask = self._family.image
        """What gives the raw vectors, of the model and a batch of prepared pictures."""
        self._batch: int | None = None
        self._tokenizer: Any = None

    def images(self, pixels: NDArray[np.float32]) -> Vectors:
        """As `Tower.images`."""
        return room.in_halves(self._images, pixels, self._fewer)

    def _fewer(self, half: int) -> None:
        """That memory held no more than `half`, if so many."""
        self._batch = min(half, self._batch or half)
        if self.placement.device == "cuda":
            loading.torch().cuda.empty_cache()

    def _images(self, pixels: NDArray[np.float32]) -> Vectors:
        torch = loading.torch()
        with torch.inference_mode():
            given = torch.from_numpy(pixels).to(self.placement.device, self.placement.dtype)
            try:
                found: Vectors = self.ask(self.model, given).float().cpu().numpy()
            except ValueError as error:
                raise misfit(self.folder, pixels, error) from error
        return found

    def texts(self, texts: Sequence[str]) -> Vectors:
        """As `Tower.texts`. SigLIP was trained on lower case, padded to the end, with no mask over the
        padding, and is asked so.
        """
        if not self.speaks:
            raise speechless(self.folder)
        torch = loading.torch()
        longest = int(self.model.config.text_config.max_position_embeddings)
        siglip = self.family == "siglip"
        given = self._tokens()(
            [text.lower() for text in texts] if siglip else list(texts),
            padding="max_length" if siglip else True,
            max_length=longest if siglip else None,
            return_tensors="pt",
        )
        if given["input_ids"].shape[1] > longest:
            raise UsageError(
                f"a text of {given['input_ids'].shape[1]} tokens, and {self.folder.name} takes "
                f"{longest}",
                "Give fewer words.",
            )
        with torch.inference_mode():
            taken = ("input_ids",) if siglip else ("input_ids", "attention_mask")
            told = {name: given[name].to(self.placement.device) for name in taken}
            found = self.model.get_text_features(**told)
            vectors: Vectors = getattr(found, "pooler_output", found).float().cpu().numpy()
        return vectors

    def _tokens(self) -> Any:
        """The model's tokenizer. Raises `InvalidRecord` where its files are not with the model."""
        if self._tokenizer is None:
            kind = loading.transformers().AutoTokenizer
            try:
                self._tokenizer = kind.from_pretrained(str(self.folder), local_files_only=True)
            except (OSError, ValueError, ImportError) as error:
                raise InvalidRecord(
                    f"{self.folder.name} has no tokenizer that can be loaded: "
                    f"{str(error).splitlines()[0][:200]}",
                    "Add the whole folder of the model, tokenizer.json included.",
                ) from error
        return self._tokenizer

    def batch(self) -> int:
        """As `Tower.batch`: what half of the free memory holds, by a probe."""
        if self._batch is None:
            on_gpu = self.placement.device == "cuda"
            found = self._probed() if on_gpu else room.fitting(self.images, self.preprocessing)
            self._batch = min(found, self._batch or found)
        return self._batch

    def _probed(self) -> int:
        """A power of two, by the memory that a batch of `PROBED` takes beside the weights on a GPU."""
        import numpy as np

        cuda = loading.torch().cuda
        self._batch = PROBED
        height, width = self.preprocessing.shape
        before = cuda.memory_allocated()
        cuda.reset_peak_memory_stats()
        self.images(np.zeros((PROBED, 3, height, width), dtype=np.float32))
        each = max(1, int(cuda.max_memory_allocated() - before) // PROBED)
        fitting = max(1, min(LARGEST, int(cuda.mem_get_info()[0]) // 2 // each))
        return 1 << (fitting.bit_length() - 1)
