"""Tiny SAM networks with random weights, in the files of both libraries: for tests without downloads.

They see 128 pixels a side in a grid of 8 x 8 and have some ten thousand weights. What they find
means nothing, but it is found by the code of the real ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ledgerkit.models import loading

SIDE, PATCH, WIDTH, HEADS, CHANNELS = 128, 16, 16, 2, 32


def write_checkpoint(folder: Path, seed: int = 0, least: float = 3.0) -> Path:
    """A checkpoint of segment_anything in `folder`, which is given back."""
    from ledgerkit.models.sam_checkpoint import Shape, build

    torch = loading.torch()
    torch.manual_seed(seed)
    shape = Shape(
        side=SIDE,
        patch=PATCH,
        width=WIDTH,
        depth=2,
        heads=HEADS,
        window=3,
        whole=(1,),
        mlp_ratio=2.0,
        channels=CHANNELS,
        mask_channels=16,
        masks=3,
        decoder_depth=1,
        decoder_mlp=16,
        quality_depth=2,
        quality_width=16,
    )
    sam = build(shape)
    _enliven(sam, least)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(sam.state_dict(), folder / "sam_tiny.pth")
    return folder


def write_transformers(
    folder: Path, family: str = "sam", seed: int = 0, least: float = 3.0
) -> Path:
    """A folder as `save_pretrained` writes it, of the family sam, sam_hq, sam2 or sam3_tracker."""
    torch = loading.torch()
    torch.manual_seed(seed)
    made = {"sam": _sam, "sam_hq": _sam_hq, "sam2": _sam2, "sam3_tracker": _sam3_tracker}
    model = made[family]()
    _enliven(model, least)
    model.save_pretrained(folder)
    steps: dict[str, Any] = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "rescale_factor": 1 / 255,
        "resample": 2,
    }
    if family in ("sam2", "sam3_tracker"):
        steps |= {"size": {"height": SIDE, "width": SIDE}}
        named = {"sam2": "Sam2ImageProcessorFast", "sam3_tracker": "Sam3ImageProcessorFast"}
        steps |= {"image_processor_type": named[family]}
    else:
        steps |= {"size": {"longest_edge": SIDE}, "do_pad": True}
        steps |= {"pad_size": {"height": SIDE, "width": SIDE}}
        steps |= {"image_processor_type": "SamImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(steps, indent=2))
    return folder


def _enliven(model: Any, least: float) -> None:
    """Weights under which masks are small, and depend on the point that is prompted.

    As the libraries initialise the decoder, all its masks are much the same half of the image.
    Weights get the gain 2, and one channel lowers all logits by `least`.
    """
    torch = loading.torch()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ("decoder" in name or "point_embed" in name) and weight.ndim > 1:
                weight.copy_(2 * torch.randn_like(weight) / weight[0].numel() ** 0.5)
        decoder = model.mask_decoder
        last = decoder.output_upscaling[3] if hasattr(decoder, "output_upscaling") else None
        last = decoder.upscale_conv2 if last is None else last
        last.weight[:, 0] = 0
        last.bias[0] = 4
        if hasattr(decoder, "conv_s0"):
            decoder.conv_s0.weight[0] = decoder.conv_s0.bias[0] = 0
        for mlp in decoder.output_hypernetworks_mlps:
            out = mlp.layers[-1] if mlp.layers[-1].out_features == CHANNELS // 8 else mlp.proj_out
            out.weight[0] = 0
            out.bias[0] = -least / 4


def _parts() -> dict[str, Any]:
    return {
        "prompt_encoder_config": {
            "hidden_size": CHANNELS,
            "image_size": SIDE,
            "patch_size": PATCH,
            "mask_input_channels": 16,
        },
        "mask_decoder_config": {
            "hidden_size": CHANNELS,
            "num_hidden_layers": 1,
            "mlp_dim": 16,
            "num_attention_heads": 8,
            "iou_head_depth": 2,
            "iou_head_hidden_dim": 16,
        },
    }


def _vision() -> dict[str, Any]:
    return {
        "hidden_size": WIDTH,
        "output_channels": CHANNELS,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "image_size": SIDE,
        "patch_size": PATCH,
        "window_size": 3,
        "global_attn_indexes": [1],
        "mlp_dim": 32,
        "num_pos_feats": CHANNELS // 2,
    }


def _sam() -> Any:
    library = loading.transformers()
    return library.SamModel(library.SamConfig(vision_config=_vision(), **_parts()))


def _sam_hq() -> Any:
    library = loading.transformers()
    parts = _parts()
    parts["mask_decoder_config"] |= {"vit_dim": WIDTH}
    return library.SamHQModel(library.SamHQConfig(vision_config=_vision(), **parts))


def _sam2() -> Any:
    library = loading.transformers()
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [SIDE, SIDE],
        "patch_kernel_size": [7, 7],
        "patch_stride": [4, 4],
        "patch_padding": [3, 3],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 4],
        "window_size_per_stage": [4, 2, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": CHANNELS,
    }
    return library.Sam2Model(library.Sam2Config(vision_config=vision, **_parts()))


def _sam3_tracker() -> Any:
    library = loading.transformers()
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "image_size": SIDE,
        "patch_size": PATCH,
        "pretrain_image_size": SIDE,
        "window_size": 4,
        "global_attn_indexes": [1],
    }
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": CHANNELS,
    }
    return library.Sam3TrackerModel(library.Sam3TrackerConfig(vision_config=vision, **_parts()))
