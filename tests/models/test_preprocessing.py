"""Preprocessing: what the library's own processors make, number for number, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ledgerkit.errors import InvalidRecord, MissingInput
from ledgerkit.models import preprocessing
from ledgerkit.models.loading import torch, transformers

SIZES = [(47, 61), (90, 33), (20, 200), (32, 32), (11, 14)]
CLIP_BEFORE_2023 = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 224,
}
DECLARED = {
    "kind": preprocessing.KIND,
    "resize": "contain",
    "size": [40, 40],
    "resample": "bilinear",
    "crop": None,
    "rescale": 1 / 255,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "layout": "NHWC",
}


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("family", ["clip", "siglip", "dinov2", "vit"])
def test_equals_the_librarys_own_processor(towers: dict[str, Path], family: str) -> None:
    folder = towers[family]
    kind = transformers().AutoImageProcessor
    theirs = kind.from_pretrained(folder, backend="pil", local_files_only=True)
    ours = preprocessing.read(folder)
    for size in SIZES:
        expected = theirs(picture(*size), return_tensors="np")["pixel_values"][0]
        assert np.array_equal(ours.apply(picture(*size)), expected), size


@pytest.mark.parametrize("size", SIZES)
def test_dinov3_is_rescaled_before_it_is_resized_as_its_processor_does(
    towers: dict[str, Path], size: tuple[int, int]
) -> None:
    rgb = picture(*size)
    floats = torch().from_numpy(rgb).permute(2, 0, 1)[None] / 255
    resized = (
        torch()
        .nn.functional.interpolate(
            floats, size=(32, 32), mode="bilinear", antialias=True, align_corners=False
        )[0]
        .numpy()
    )
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    made = preprocessing.read(towers["dinov3"]).apply(rgb)
    assert np.abs(made - (resized - mean) / std).max() < 1e-5


def test_clip_has_a_mean_and_deviation_for_each_channel_and_channels_come_first() -> None:
    made = preprocessing.from_processor(CLIP_BEFORE_2023).apply(
        np.full((300, 400, 3), (255, 0, 128), dtype=np.uint8)
    )
    assert made.shape == (3, 224, 224)
    expected = [(1 - 0.48145466) / 0.26862954, -0.4578275 / 0.26130258]
    assert made[:2, 100, 100] == pytest.approx(expected, abs=1e-5)


def test_a_processor_inside_the_file_of_several_is_read(tmp_path: Path) -> None:
    nested = {"image_processor": CLIP_BEFORE_2023, "processor_class": "CLIPProcessor"}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert preprocessing.read(tmp_path) == preprocessing.from_processor(CLIP_BEFORE_2023)


def test_a_declaration_comes_back_as_it_was_written() -> None:
    made = preprocessing.from_declaration(DECLARED)
    assert preprocessing.from_declaration(preprocessing.to_declaration(made)) == made
    other = preprocessing.from_declaration(DECLARED | {"rescale": 1})
    assert other.digest != made.digest


def test_contain_keeps_the_whole_picture_on_black_and_nhwc_keeps_channels_last() -> None:
    made = preprocessing.from_declaration(DECLARED).apply(np.full((20, 80, 3), 255, np.uint8))
    assert made.shape == (40, 40, 3)
    assert np.all(made[15:25] == 1)
    assert np.all(made[:15] == 0)
    assert np.all(made[25:] == 0)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"image_processor_type": "OwlImageProcessor"}, "OwlImageProcessor"),
        ({"size": 3}, "no named processor"),
        (CLIP_BEFORE_2023 | {"do_pad": True}, "do_pad"),
        (CLIP_BEFORE_2023 | {"size": {"longest_edge": 9}}, "longest_edge"),
        (CLIP_BEFORE_2023 | {"image_mean": [1, 2]}, "3 channels"),
        (CLIP_BEFORE_2023 | {"resample": 99}, "cannot be read"),
        (CLIP_BEFORE_2023 | {"size": 0}, "size"),
        (DECLARED | {"resize": "stretch"}, "stretch"),
        ({"kind": preprocessing.KIND}, "resize"),
    ],
)
def test_refuses_what_it_would_not_do_rightly(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidRecord, match=said):
        preprocessing.read(tmp_path)


def test_a_model_that_does_not_say_how_it_sees_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"preprocessor_config\.json"):
        preprocessing.read(tmp_path)
