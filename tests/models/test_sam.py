"""SAM through two libraries: our masks are theirs, whatever the batch; weights are read safely, offline."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ledgerkit.errors import InvalidRecord
from ledgerkit.imaging import rle
from ledgerkit.models import loading
from ledgerkit.models.loading import Placement
from ledgerkit.models.sam import load
from ledgerkit.models.sam_boxes import suppress
from ledgerkit.models.sam_checkpoint import shape_of
from ledgerkit.models.sam_masks import Found, MaskRule, everything, point_grid, pointed_at
from ledgerkit.models.sam_network import Network, Prompts
from ledgerkit.models.sam_torchvision import _batched_nms, import_segment_anything
from ledgerkit.testing.sam import SIDE, write_checkpoint, write_transformers

PLACEMENT = Placement("cpu", "float32", "cpu")
LOOSE = {"pred_iou_thresh": 0.01, "stability_score_thresh": 0.1, "stability_score_offset": 0.1}
"""Thresholds that a network with random weights passes now and then."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind of tiny network, with its least logit chosen for many masks."""
    root = tmp_path_factory.mktemp("sam")
    found = {"checkpoint": write_checkpoint(root / "checkpoint", seed=4, least=4)}
    for family in ("sam", "sam_hq", "sam2"):
        found[family] = write_transformers(root / family, family)
    found["sam3_tracker"] = write_transformers(root / "sam3", "sam3_tracker", seed=4)
    return found


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads for tiny tensors only wait for each other."""
    import torch

    monkeypatch.setenv(loading.WORKERS, "64")
    torch.set_num_threads(1)


@pytest.fixture
def network(folders: dict[str, Path]) -> Callable[[str], Network]:
    return lambda name: load(folders[name], PLACEMENT)


def picture(height: int = 96, width: int = 144) -> np.ndarray:
    """Coloured squares."""
    shape = (height // 16, width // 16, 3)
    colours = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    return colours.repeat(16, axis=0).repeat(16, axis=1)


def full(found: Found, image: np.ndarray) -> np.ndarray:
    canvas = np.zeros(image.shape[:2], dtype=bool)
    height, width = found.mask.shape
    canvas[found.y0 : found.y0 + height, found.x0 : found.x0 + width] = found.mask
    return canvas


def run_lengths(found: Found, image: np.ndarray) -> str:
    return rle.encode(full(found, image))


def compressed(library: dict[str, Any]) -> str:
    return rle.compress(np.array(library["counts"], dtype=np.int64))


def enough(found: list[Found]) -> None:
    assert len(found) >= 20
    assert all(one.mask.any() for one in found)


@pytest.mark.parametrize("layers", [0, 1])
def test_masks_of_a_checkpoint_are_those_of_its_library(
    network: Callable[[str], Network], folders: dict[str, Path], layers: int
) -> None:
    image = picture()
    rule = MaskRule(
        points_per_side=8, points_per_batch=48, box_nms_thresh=0.9, crop_n_layers=layers,
        crop_n_points_downscale_factor=2, crop_nms_thresh=0.9, **LOOSE,
    )  # fmt: skip
    ours = network("checkpoint")
    (found,) = everything(ours, [image], rule)
    enough(found)
    library = import_segment_anything()
    settings = {name: getattr(rule, name) for name in MaskRule.__slots__}
    generator = library.SamAutomaticMaskGenerator(
        ours._sam, output_mode="uncompressed_rle", **settings
    )
    theirs = generator.generate(image)
    assert [run_lengths(one, image) for one in found] == [
        compressed(one["segmentation"]) for one in theirs
    ]
    assert [one.score for one in found] == [one["predicted_iou"] for one in theirs]
    assert [one.stability for one in found] == [one["stability_score"] for one in theirs]
    assert [one.mask.sum() for one in found] == [one["area"] for one in theirs]


def test_masks_without_small_regions_are_those_of_the_library(
    network: Callable[[str], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks OpenCV for components, which is not installed: scipy gives the same ones."""
    from scipy import ndimage

    def components(mask: np.ndarray, connectivity: int) -> tuple[Any, ...]:
        assert connectivity == 8
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        return count + 1, labels, sizes[:, None], None

    opencv = ModuleType("cv2")
    vars(opencv)["connectedComponentsWithStats"] = components
    monkeypatch.setitem(sys.modules, "cv2", opencv)
    image, ours = picture(), network("checkpoint")
    rule = MaskRule(8, 64, box_nms_thresh=0.9, min_mask_region_area=30, **LOOSE)
    (found,) = everything(ours, [image], rule)
    settings = {name: getattr(rule, name) for name in MaskRule.__slots__}
    theirs = import_segment_anything().SamAutomaticMaskGenerator(
        ours._sam, output_mode="uncompressed_rle", **settings
    )
    expected = [compressed(one["segmentation"]) for one in theirs.generate(image)]
    assert [run_lengths(one, image) for one in found] == expected
    (plain,) = everything(ours, [image], replace(rule, min_mask_region_area=0))
    assert expected != [run_lengths(one, image) for one in plain]


@pytest.mark.parametrize("family", ["sam", "sam_hq"])
def test_masks_of_transformers_are_those_of_its_pipeline(
    network: Callable[[str], Network], folders: dict[str, Path], family: str
) -> None:
    from transformers import MaskGenerationPipeline, SamImageProcessorPil

    class Processor(SamImageProcessorPil):
        """The library's own, but for the suppression, which it takes from torchvision."""

        def post_process_for_mask_generation(
            self, masks: Any, scores: Any, boxes: Any, threshold: float
        ) -> Any:
            kept = suppress(boxes.float(), scores, threshold)
            return [], scores[kept], [masks[at] for at in kept], boxes[kept]

    image = picture()
    ours = network(family)
    (found,) = everything(ours, [image], MaskRule(8, 24, box_nms_thresh=0.97, **LOOSE))
    enough(found)
    pipeline = MaskGenerationPipeline(
        model=ours._model, image_processor=Processor.from_pretrained(folders[family])
    )
    theirs = pipeline(
        _as_picture(image), points_per_crop=8, points_per_batch=24, crops_nms_thresh=0.97,
        output_rle_mask=True, **LOOSE,
    )  # fmt: skip
    assert [run_lengths(one, image) for one in found] == [
        compressed(one) for one in theirs["rle_mask"]
    ]
    assert [one.score for one in found] == theirs["scores"].tolist()


def _as_picture(image: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(image)


@pytest.mark.parametrize(
    ("family", "kind"), [("sam2", "Sam2Model"), ("sam3_tracker", "Sam3TrackerModel")]
)
def test_masks_of_sam_2_and_3_are_those_of_its_model_and_the_librarys_filter(
    network: Callable[[str], Network], folders: dict[str, Path], family: str, kind: str
) -> None:
    """Their image processors need torchvision; the filter of masks is the same code for all."""
    import torch
    from transformers import SamImageProcessorPil

    image, rule = picture(SIDE, SIDE), MaskRule(8, 64, box_nms_thresh=0.97, **LOOSE)
    (found,) = everything(network(family), [image], rule)
    enough(found)
    library = getattr(loading.transformers(), kind)
    model = library.from_pretrained(folders[family], local_files_only=True).eval()
    scaled = image.astype(np.float32) / 255
    normal = (scaled - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    pixels = torch.tensor(normal.transpose(2, 0, 1)[None], dtype=torch.float32)
    points = torch.tensor(point_grid(8) * SIDE, dtype=torch.float32).reshape(1, 64, 1, 2)
    with torch.no_grad():
        answer = model(pixel_values=pixels, input_points=points)
    masks = torch.nn.functional.interpolate(answer.pred_masks[0], image.shape[:2], mode="bilinear")
    lengths, scores, boxes = SamImageProcessorPil().filter_masks(
        masks, answer.iou_scores[0], image.shape[:2], [0, 0, SIDE, SIDE], 0.01, 0.1, 0, 0.1,
    )  # fmt: skip
    kept = suppress(boxes.float(), scores, 0.97).tolist()
    theirs = [compressed(lengths[at]) for at in kept if len(lengths[at]["counts"]) > 1]
    ours = [run_lengths(one, image) for one in found]
    assert ours == theirs


@pytest.mark.parametrize("name", ["checkpoint", "sam", "sam2"])
def test_the_batch_of_points_changes_no_mask(
    network: Callable[[str], Network], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture()
    whole = everything(network(name), [image], MaskRule(8, 64, box_nms_thresh=0.97, **LOOSE))
    monkeypatch.setattr("ledgerkit.models.sam_masks.AT_FULL_SIZE", 1)
    pieces = everything(network(name), [image], MaskRule(8, 5, box_nms_thresh=0.97, **LOOSE))
    assert len(whole[0]) > 10
    assert [run_lengths(one, image) for one in whole[0]] == [
        run_lengths(one, image) for one in pieces[0]
    ]


def test_two_images_at_once_give_what_each_gives_alone(network: Callable[[str], Network]) -> None:
    first, second = picture(), picture(144, 64)[::-1].copy()
    rule = MaskRule(4, 16, box_nms_thresh=0.97, **LOOSE)
    together = everything(network("sam"), [first, second], rule)
    alone = [everything(network("sam"), [image], rule)[0] for image in (first, second)]
    for image, one, other in zip((first, second), together, alone, strict=True):
        assert [run_lengths(mask, image) for mask in one] == [
            run_lengths(mask, image) for mask in other
        ]


def test_what_is_pointed_at_is_what_the_predictor_of_the_library_gives(
    network: Callable[[str], Network],
) -> None:
    image, ours = picture(), network("checkpoint")
    predictor = import_segment_anything().SamPredictor(ours._sam)
    predictor.set_image(image)
    (embedded,) = ours.embed([image])
    points, labels = np.array([[40.0, 20.0], [90.0, 70.0]]), np.array([1, 0])
    box = np.array([10.0, 10.0, 100.0, 80.0])
    seen = 0
    for count, some in ((1, None), (2, None), (2, box), (0, box)):
        given = (points[:count], labels[:count]) if count else (None, None)
        several = count == 1 and some is None
        masks, quality, _ = predictor.predict(*given, box=some, multimask_output=several)
        prompts = Prompts(
            points[None, :count] if count else None,
            labels[None, :count] if count else None,
            None if some is None else some[None],
        )
        found = pointed_at(ours, embedded, prompts, 1.0)
        assert found.score == quality.max()
        assert (full(found, image) == masks[quality.argmax()]).all()
        seen += int(found.mask.sum())
    assert seen > 0


def test_small_islands_and_holes_go_and_the_largest_island_stays() -> None:
    from ledgerkit.models.sam_masks import _cleaned

    mask = np.ones((10, 10), dtype=bool)
    mask[4, 4] = False
    found, changed = _cleaned(Found(2, 3, mask, 0.9, 1.0), 5, (40, 40))
    assert changed
    assert found.mask.all()
    assert (found.x0, found.y0, found.mask.shape) == (2, 3, (10, 10))
    mask = np.zeros((10, 10), dtype=bool)
    mask[0, 0] = mask[5:7, 5:8] = True
    found, changed = _cleaned(Found(2, 3, mask, 0.9, 1.0), 20, (40, 40))
    assert (found.x0, found.y0, found.mask.shape) == (7, 8, (2, 3))
    assert _cleaned(found, 6, (40, 40)) == (found, False)
    assert _cleaned(found, 7, (40, 40))[1]


def test_suppression_keeps_the_best_of_boxes_that_overlap() -> None:
    import torch

    rng = np.random.default_rng(3)
    corner = rng.integers(0, 50, (200, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, 40, (200, 2))], axis=1)
    scores = rng.random(200).round(1)
    kept: list[int] = []
    for index in sorted(range(200), key=lambda at: (-scores[at], at)):
        if all(overlap(boxes[index], boxes[other]) <= 0.5 for other in kept):
            kept.append(index)
    found = suppress(torch.tensor(boxes), torch.tensor(scores), 0.5).tolist()
    assert found == kept
    assert 20 < len(kept) < 200


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    shared = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    area = float(np.prod(np.maximum(shared, 0)))
    both = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - area
    return area / both if both else 0.0


def test_boxes_of_two_categories_take_away_only_their_own() -> None:
    import torch

    boxes = torch.tensor([[0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 9], [20, 20, 30, 30.0]])
    scores = torch.tensor([0.5, 0.9, 0.7, 0.6])
    one = torch.zeros(4, dtype=torch.int64)
    assert _batched_nms(boxes, scores, one, 0.5).tolist() == [1, 3]
    assert _batched_nms(boxes, scores, torch.tensor([0, 0, 1, 1]), 0.5).tolist() == [1, 2, 3]
    assert _batched_nms(boxes[:0], scores[:0], one[:0], 0.5).tolist() == []


def test_no_torchvision_is_left_behind_for_others_to_find(folders: dict[str, Path]) -> None:
    library = import_segment_anything()
    assert callable(library.SamPredictor)
    left = {name for name in sys.modules if name.partition(".")[0] == "torchvision"}
    assert not {name for name in left if sys.modules[name].__spec__ is None}


def test_which_network_it_is_follows_from_the_weights_not_from_the_name(tmp_path: Path) -> None:
    import torch

    state = torch.load(
        write_checkpoint(tmp_path / "a") / "sam_tiny.pth", weights_only=True, map_location="cpu"
    )
    assert (shape_of(state).name, shape_of(state).window, shape_of(state).whole) == (
        "vit_16x2", 3, (1,),
    )  # fmt: skip
    (tmp_path / "a" / "sam_tiny.pth").rename(tmp_path / "a" / "sam_vit_h_4b8939.pth")
    assert load(tmp_path / "a", PLACEMENT).kind == "segment_anything vit_16x2"


class _Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["LEDGERKIT_TEST_EVIL"],)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    target = tmp_path / "made-by-a-pickle"
    monkeypatch.setenv("LEDGERKIT_TEST_EVIL", str(target))
    (tmp_path / "model").mkdir()
    torch.save({"weight": _Evil()}, tmp_path / "model" / "sam.pth")
    with pytest.raises(InvalidRecord, match="weights alone"):
        load(tmp_path / "model", PLACEMENT)
    assert not target.exists()


def _of_another_network(folder: Path) -> None:
    import torch

    torch.save({"layer.weight": torch.zeros(2, 2)}, folder / "other.pth")


def _without_a_tensor(folder: Path) -> None:
    import torch

    path = write_checkpoint(folder) / "sam_tiny.pth"
    state = torch.load(path, weights_only=True)
    state.pop("mask_decoder.iou_token.weight")
    torch.save(state, path)


def _a_bare_pickle(folder: Path) -> None:
    (folder / "sam.pth").write_bytes(pickle.dumps([1, 2]))


def _of_a_classifier(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "vit"}')


def _without_preprocessing(folder: Path) -> None:
    (write_transformers(folder, "sam") / "preprocessor_config.json").unlink()


def _of_another_size(folder: Path) -> None:
    path = write_transformers(folder, "sam") / "preprocessor_config.json"
    path.write_text(path.read_text().replace(f'"longest_edge": {SIDE}', '"longest_edge": 64'))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_of_another_network, "no checkpoint of segment_anything"),
        (_without_a_tensor, "no checkpoint of segment_anything"),
        (_a_bare_pickle, "cannot be read as weights alone"),
        (_of_a_classifier, "of type vit"),
        (_without_preprocessing, "no preprocessor_config.json"),
        (_of_another_size, "expected a square input"),
        (lambda folder: None, "no config.json and 0 checkpoints"),
    ],
)
def test_a_folder_that_is_no_sam_model_is_refused_in_words(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path)
    with pytest.raises(InvalidRecord, match=said) as error:
        load(tmp_path, PLACEMENT)
    assert "\n" not in error.value.message


@pytest.mark.parametrize("name", ["checkpoint", "sam2"])
@pytest.mark.usefixtures("offline")
def test_nothing_calls_home(
    folders: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledgerkit.models.sam._kept", {})
    found = load(folders[name], PLACEMENT)
    assert everything(found, [picture()], MaskRule(2, **LOOSE)) is not None


def test_a_network_is_loaded_once_until_its_files_change(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    first = load(folder, PLACEMENT)
    assert load(folder, PLACEMENT) is first
    write_checkpoint(folder, seed=1)
    assert load(folder, PLACEMENT) is not first


def test_the_encoder_in_half_precision_gives_nearly_the_same(folders: dict[str, Path]) -> None:
    """Only the encoder: rounded coordinates of prompts would move the masks."""
    import torch

    half = load(folders["sam"], Placement("cpu", "bfloat16", "cpu"))
    (one,) = half.embed([picture()])
    (other,) = load(folders["sam"], PLACEMENT).embed([picture()])
    rough, fine = one.tensors["image_embeddings"], other.tensors["image_embeddings"]
    assert rough.dtype == torch.float32
    assert 0 < float((rough - fine).abs().max()) < 0.1 * float(fine.abs().max())


def test_a_placement_on_the_processor_is_in_single_precision() -> None:
    assert loading.place("cpu") == PLACEMENT
