"""Tiny models of random weights, saved as the library saves real ones: for tests of encoders.

Each folder has what a published model has: settings, safetensors, the preprocessing, and for models
of words their tokenizer (one token a letter).
"""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from ledgerkit.models.preprocessing import KIND

FAMILIES = ("clip", "siglip", "dinov2", "dinov3", "vit")
SIDE, WORDS = 32, 24
DECLARED = {
    "kind": KIND,
    "resize": "exact",
    "size": [4, 4],
    "resample": "box",
    "rescale": 1,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "layout": "NHWC",
}
"""Preprocessing of an ONNX tower that takes samples 0..255 of 4 x 4 pixels."""
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}
_ENDS = ["<|startoftext|>", "<|endoftext|>"]


def write_tower(folder: Path, family: str, seed: int = 0) -> Path:
    """A model of `family`, its weights drawn from `seed`, in a new folder."""
    import torch

    from ledgerkit.models.loading import transformers

    library = transformers()
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        model, processor = _built(library, family)
    finally:
        torch.random.set_rng_state(state)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    if family == "clip":
        _clip_tokenizer(library).save_pretrained(folder)
    if family == "siglip":
        _siglip_tokenizer(library).save_pretrained(folder)
    return folder


def write_onnx(folder: Path, shape: list[str | int | None], **declared: object) -> Path:
    """An ONNX tower in a new folder that takes pictures of `shape`, (n, h, w, 3), and gives the mean of
    each channel; `declared` is what its declaration says beside or in place of the usual.
    """
    from onnx import TensorProto, helper, save

    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [shape[0], 3])],
        [axes],
    )
    opset = helper.make_opsetid("", 18)
    folder.mkdir()
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), folder / "any.onnx")
    (folder / "preprocessor_config.json").write_text(json.dumps(DECLARED | declared))
    return folder


def _built(library: Any, family: str) -> tuple[Any, dict[str, Any]]:
    square = {"height": SIDE, "width": SIDE}
    words = {key: value for key, value in _VISION.items() if "size" not in key or "_size" in key}
    words = {**words, "max_position_embeddings": WORDS, "vocab_size": 64, "pad_token_id": 0}
    words |= {"bos_token_id": 1, "eos_token_id": 2 if family == "siglip" else 63}
    words = {key: value for key, value in words.items() if key not in ("image_size", "patch_size")}
    if family == "clip":
        config = library.CLIPConfig(text_config=words, vision_config=_VISION, projection_dim=12)
        cut = {"size": {"shortest_edge": SIDE}, "crop_size": square}
        return library.CLIPModel(config), {"image_processor_type": "CLIPImageProcessor", **cut}
    if family == "siglip":
        config = library.SiglipConfig(text_config=words, vision_config=_VISION)
        cut = {"size": square}
        return library.SiglipModel(config), {"image_processor_type": "SiglipImageProcessor", **cut}
    if family == "dinov2":
        cut = {"size": {"shortest_edge": SIDE + 4}, "crop_size": square}
        model = library.Dinov2Model(library.Dinov2Config(**_VISION))
        return model, {"image_processor_type": "BitImageProcessor", "resample": 3, **cut}
    if family == "dinov3":
        model = library.DINOv3ViTModel(library.DINOv3ViTConfig(**_VISION))
        return model, {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": square}
    model = library.ViTModel(library.ViTConfig(**_VISION), add_pooling_layer=False)
    return model, {"feature_extractor_type": "ViTFeatureExtractor", "size": SIDE}


def _clip_tokenizer(library: Any) -> Any:
    letters = [*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase)]
    vocabulary = {token: 2 + place for place, token in enumerate(letters)}
    vocabulary |= {_ENDS[0]: 1, _ENDS[1]: 63, "-</w>": 62, "<pad>": 0}
    return library.CLIPTokenizer(vocab=vocabulary, merges=[], pad_token="<pad>")


def _siglip_tokenizer(library: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {token: place for place, token in enumerate(["<pad>", "<unk>", "</s>"])}
    vocabulary |= {letter: 3 + place for place, letter in enumerate(ascii_lowercase)}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return library.PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    )
