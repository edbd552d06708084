"""SAM from a checkpoint of segment_anything (`sam_vit_b_01ec64.pth` and its kin).

Which network it is follows from the shapes of its weights alone: a file may have any name. Weights
are read without unpickling anything but tensors.
Source: Kirillov et al. 2023, Segment Anything; segment_anything 1.0, `build_sam.py`.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import InvalidRecord
from ledgerkit.models import loading
from ledgerkit.models.loading import Placement
from ledgerkit.models.sam_network import Embedded, Prompts, frame_of, refuse_infinite, shrunk
from ledgerkit.models.sam_torchvision import import_segment_anything

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

PUBLISHED = {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}
"""Width and depth of the encoders that were published."""
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the pixels, 0..255: `build_sam.py`."""
DECODER_HEADS = 8
"""Heads of the decoder's attention, which no shape tells: `build_sam.py`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network, as the shapes of its weights tell them."""

    side: int
    patch: int
    width: int
    depth: int
    heads: int
    window: int
    whole: tuple[int, ...]
    """Encoder blocks that attend to the whole image; the others attend within windows."""
    mlp_ratio: float
    channels: int
    mask_channels: int
    masks: int
    decoder_depth: int
    decoder_mlp: int
    quality_depth: int
    quality_width: int

    @property
    def name(self) -> str:
        """`vit_b`, `vit_l`, `vit_h`, or width and depth of another."""
        return PUBLISHED.get((self.width, self.depth), f"vit_{self.width}x{self.depth}")


def shape_of(state: Mapping[str, torch.Tensor]) -> Shape:
    """The sizes of the network whose weights these are. Raises `KeyError` where one is lacking."""
    encoder, decoder = "image_encoder.", "mask_decoder."
    _, grid, _, width = state[f"{encoder}pos_embed"].shape
    patch = state[f"{encoder}patch_embed.proj.weight"].shape[-1]
    depth = _count(state, f"{encoder}blocks.")
    reach = [state[f"{encoder}blocks.{at}.attn.rel_pos_h"].shape for at in range(depth)]
    whole = tuple(at for at in range(depth) if reach[at][0] == 2 * grid - 1)
    windowed = [reach[at][0] for at in range(depth) if at not in whole]
    quality = f"{decoder}iou_prediction_head.layers."
    return Shape(
        side=grid * patch,
        patch=patch,
        width=width,
        depth=depth,
        heads=width // reach[0][1],
        window=(windowed[0] + 1) // 2 if windowed else 0,
        whole=whole,
        mlp_ratio=state[f"{encoder}blocks.0.mlp.lin1.weight"].shape[0] / width,
        channels=state[f"{encoder}neck.0.weight"].shape[0],
        mask_channels=state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        masks=state[f"{decoder}mask_tokens.weight"].shape[0] - 1,
        decoder_depth=_count(state, f"{decoder}transformer.layers."),
        decoder_mlp=state[f"{decoder}transformer.layers.0.mlp.lin1.weight"].shape[0],
        quality_depth=_count(state, quality),
        quality_width=state[f"{quality}0.weight"].shape[0],
    )


def _count(state: Mapping[str, torch.Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].partition(".")[0] for name in state if name.startswith(prefix)})


def build(shape: Shape) -> Any:
    """An untrained `segment_anything.modeling.Sam` of this shape."""
    import_segment_anything()
    from segment_anything import modeling

    grid = shape.side // shape.patch
    return modeling.Sam(
        image_encoder=_encoder(modeling, shape),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=shape.channels,
            image_embedding_size=(grid, grid),
            input_image_size=(shape.side, shape.side),
            mask_in_chans=shape.mask_channels,
        ),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=shape.masks,
            transformer=modeling.TwoWayTransformer(
                depth=shape.decoder_depth,
                embedding_dim=shape.channels,
                mlp_dim=shape.decoder_mlp,
                num_heads=DECODER_HEADS,
            ),
            transformer_dim=shape.channels,
            iou_head_depth=shape.quality_depth,
            iou_head_hidden_dim=shape.quality_width,
        ),
        pixel_mean=list(MEAN),
        pixel_std=list(DEVIATION),
    )


def _encoder(modeling: ModuleType, shape: Shape) -> Any:
    return modeling.ImageEncoderViT(
        depth=shape.depth,
        embed_dim=shape.width,
        img_size=shape.side,
        mlp_ratio=shape.mlp_ratio,
        norm_layer=partial(loading.torch().nn.LayerNorm, eps=1e-6),
        num_heads=shape.heads,
        patch_size=shape.patch,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=list(shape.whole),
        window_size=shape.window,
        out_chans=shape.channels,
    )


class CheckpointSam:
    """A `Network` through segment_anything. Encoder in the placement's precision, decoder in float32.

    Rounded to bfloat16, coordinates of prompts would be up to 4 pixels off.
    """

    family = "sam"

    def __init__(self, path: Path, placement: Placement) -> None:
        state = _read(path)
        try:
            shape = shape_of(state)
            self._sam = build(shape)
            self._sam.load_state_dict(state)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            why = "its weights are not those of one network"
            if isinstance(error, KeyError):
                why = f"it lacks {error.args[0]}"
            raise InvalidRecord(
                f"{path.name} is no checkpoint of segment_anything: {why}",
                "It takes those of vit_b, vit_l and vit_h. Others, of SAM 2 and SAM-HQ, are loaded "
                "from a folder in the form of transformers.",
            ) from error
        self.kind = f"segment_anything {shape.name}"
        self.device = placement.device
        self._dtype = placement.dtype
        self.side = shape.side
        self._sam.eval().requires_grad_(False).to(placement.device)

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> list[Embedded]:
        torch = loading.torch()
        frames = [frame_of(image, self.side, padded=True) for image in images]
        pixels = []
        for image, frame in zip(images, frames, strict=True):
            tensor = torch.tensor(shrunk(image, frame), device=self.device)
            pixels.append(self._sam.preprocess(tensor.permute(2, 0, 1).contiguous()))
        half = self._dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device, self._dtype, enabled=half):
            found = self._sam.image_encoder(torch.stack(pixels)).float()
        embedded = [
            Embedded({"image_embeddings": found[index : index + 1]}, frame)
            for index, frame in enumerate(frames)
        ]
        refuse_infinite(embedded)
        return embedded

    def predict(
        self, embedded: Embedded, prompts: Prompts, several: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        torch = loading.torch()
        points = boxes = None
        if prompts.points is not None:
            points = (
                torch.as_tensor(embedded.frame.inside(prompts.points), device=self.device),
                torch.as_tensor(prompts.labels, device=self.device),
            )
        if prompts.boxes is not None:
            corners = embedded.frame.inside(prompts.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
            boxes = torch.as_tensor(corners, dtype=torch.float32, device=self.device)
        with torch.inference_mode():
            sparse, dense = self._sam.prompt_encoder(points=points, boxes=boxes, masks=None)
            low, quality = self._sam.mask_decoder(
                image_pe=self._sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=several,
                **embedded.tensors,
            )
        return low, quality


def _read(path: Path) -> dict[str, Any]:
    """The weights in a file of torch, and nothing else of it. Raises `InvalidRecord`."""
    torch = loading.torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch on files that are no checkpoints: refused below
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        other = isinstance(error, pickle.UnpicklingError)
        why = "it holds objects other than tensors, or is damaged" if other else "it is damaged"
        raise InvalidRecord(
            f"{path.name} cannot be read as weights alone: {why}",
            "Nothing but tensors is unpickled. Take the file that segment_anything publishes.",
        ) from error
    if not isinstance(found, dict):
        raise InvalidRecord(f"{path.name} holds a {type(found).__name__}, expected named tensors")
    return found
