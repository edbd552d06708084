"""Operation `sam`: rows in source pixels, tiles joined to what the whole plate gives, failed tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.imaging import rle
from ledgerkit.models.loading import WORKERS
from ledgerkit.models.sam_masks import MaskRule, everything
from ledgerkit.models.sam_network import Embedded, Prompts, frame_of
from ledgerkit.operations import sam
from ledgerkit.testing.handles import Produced, run_operation
from ledgerkit.testing.sam import write_checkpoint

Plate = tuple[Path, dict[str, Any]]
LOOSE = {"points_per_side": 8, "stability_score_thresh": 0.1, "stability_score_offset": 0.1}


PAPER, BAR, SQUARE, PART, DISK, DOT = PALETTE = (
    (236, 226, 200), (20, 20, 20), (40, 80, 120), (200, 30, 30), (90, 140, 60), (150, 60, 150),
)  # fmt: skip


class Flood:
    """A network whose mask at a point is the patch of one colour there: what it sees has an answer.

    It refuses images with a pixel of the colour `refused`.
    """

    family, kind, device, side = "sam", "flood", "cpu", 128

    def __init__(self, refused: tuple[int, int, int] | None = None) -> None:
        self.refused = refused
        self.calls = 0

    def embed(self, images: Sequence[np.ndarray]) -> list[Embedded]:
        from scipy import ndimage

        self.calls += 1
        found = []
        for image in images:
            if self.refused and (image == self.refused).all(axis=2).any():
                raise RuntimeError("out of memory")
            off = image[:, :, None].astype(int) - np.array(PALETTE)
            nearest = np.abs(off).sum(axis=3).argmin(axis=2)
            labels = np.zeros(nearest.shape, dtype=np.int64)
            for colour in range(len(PALETTE)):
                patch, _ = ndimage.label(nearest == colour)
                labels = np.where(patch > 0, patch + labels.max(), labels)
            found.append(Embedded({"labels": labels}, frame_of(image, 128, padded=False)))
        return found

    def predict(self, embedded: Embedded, prompts: Prompts, several: bool) -> Any:
        import torch

        labels = embedded.tensors["labels"]
        assert prompts.points is not None
        x, y = prompts.points[:, 0].astype(int).T
        masks = torch.from_numpy(labels[None] == labels[y, x][:, None, None])
        logits = torch.where(masks, 10.0, -10.0)[:, None]
        return logits, torch.full((len(x), 1), 0.95)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads for tiny tensors only wait for each other."""
    import torch

    monkeypatch.setenv(WORKERS, "64")
    torch.set_num_threads(1)


@pytest.fixture
def flood(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flood]:
    def use(**options: Any) -> Flood:
        network = Flood(**options)
        monkeypatch.setattr("ledgerkit.models.sam.load", lambda *_: network)
        return network

    return use


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny", seed=4, least=4)


def cut(plate: Plate, folder: Path, files: dict[str, Any] | None = None, **given: Any) -> Produced:
    path, tile = plate
    return run_operation(
        sam,
        files={"image": [path]} | (files or {}),
        tables={"tiles": [tile]},
        models={"tiny": folder},
        model="tiny",
        **({"points_per_side": 12} | given),
    )


def drawn() -> np.ndarray:
    """Paper with a bar over many tiles, a square with a part in it, a large disk, and a small one."""
    image = np.full((240, 320, 3), PAPER, dtype=np.uint8)
    image[20:40, 10:310] = BAR
    image[60:120, 40:100] = SQUARE
    image[80:100, 60:80] = PART
    rows, columns = np.ogrid[:240, :320]
    image[(rows - 150) ** 2 + (columns - 220) ** 2 <= 75**2] = DISK
    image[(rows - 200) ** 2 + (columns - 60) ** 2 <= 15**2] = DOT
    return image


def gates(produced: Produced) -> dict[str, tuple[bool, float | None, str]]:
    return {check: (passed, value, said) for _, check, passed, value, said in produced.gates}


def test_rows_are_the_masks_of_the_generator_in_pixels_of_the_source(
    write_plate: Callable[..., Plate],
    folder: Path,
    check_columns: Callable[[str, Any], None],
) -> None:
    from ledgerkit.models.loading import Placement
    from ledgerkit.models.sam import load

    image = drawn()[::2, ::2]
    given = LOOSE | {"pred_iou_thresh": 0.01, "box_nms_thresh": 0.97}
    produced = cut(write_plate("plate-001", image, scale=3), folder, **given)
    rows = produced.row_tables["segments"]
    network = load(folder, Placement("cpu", "float32", "cpu"))
    (found,) = everything(network, [image], MaskRule(**given))
    assert len(rows) == len(found) > 10
    expected = {(one.x0 * 3, one.y0 * 3, rle.encode(one.mask)): one for one in found}
    for row in rows:
        one = expected[row["x0"], row["y0"], row["mask"]]
        assert row["area"] == one.mask.sum() * 9
        assert (row["x1"], row["y1"]) == (
            row["x0"] + 3 * one.mask.shape[1],
            row["y0"] + 3 * one.mask.shape[0],
        )
        assert row["score"] == pytest.approx(min(1, max(0, one.score)), abs=1e-6)
        assert row["stability"] == pytest.approx(one.stability, abs=1e-6)
    check_columns("segments", rows[0])
    assert produced.computed_on == "cpu"
    assert produced.failed_items == []
    assert gates(produced)["pred_iou_thresh"][:2] == (True, 0.01)
    assert "vit_16x2" in gates(produced)["network"][2]


def test_the_record_says_the_threshold_that_the_models_family_has(
    write_plate: Callable[..., Plate], flood: Callable[..., Flood], folder: Path
) -> None:
    network = flood()
    plate = write_plate("plate-001", drawn())
    assert gates(cut(plate, folder, points_per_side=3))["pred_iou_thresh"][1] == 0.88
    network.family = "sam2"  # type: ignore[misc]
    assert gates(cut(plate, folder, points_per_side=3))["pred_iou_thresh"][1] == 0.8


def test_colours_and_the_distance_to_the_paper_are_measured(
    write_plate: Callable[..., Plate], flood: Callable[..., Flood], folder: Path
) -> None:
    flood()
    rows = cut(write_plate("plate-001", drawn()), folder).row_tables["segments"]
    paper = max(rows, key=lambda row: row["area"])
    square = next(row for row in rows if row["x0"] == 40 and row["y0"] == 60)
    assert paper["contrast"] < 3 < 30 < square["contrast"]
    assert square["mean_lab"][0] == pytest.approx(32.6, abs=1)
    assert square["solidity"] == pytest.approx(1 - 400 / 3600, abs=0.01)
    assert all(row["kind"] == "figure" for row in rows)


@pytest.mark.parametrize(("tile", "halo"), [(80, 16), (120, 40)])
def test_tiles_joined_give_the_regions_of_the_whole_plate(
    write_plate: Callable[..., Plate],
    flood: Callable[..., Flood],
    folder: Path,
    tile: int,
    halo: int,
) -> None:
    network = flood()
    plate = write_plate("plate-001", drawn(), scale=2)
    whole = cut(plate, folder)
    tiled = cut(plate, folder, tile=tile, halo=halo)
    assert network.calls > 4

    def masks(produced: Produced) -> list[np.ndarray]:
        found = []
        for row in produced.row_tables["segments"]:
            canvas = np.zeros((240, 320), dtype=bool)
            mask = rle.decode(row["mask"], row["mask_height"], row["mask_width"])
            canvas[row["y0"] // 2 : row["y1"] // 2, row["x0"] // 2 : row["x1"] // 2] = mask
            found.append(canvas)
        return found

    assert len(masks(whole)) == len(masks(tiled)) == 6
    overlap = [
        max((one & other).sum() / (one | other).sum() for other in masks(tiled))
        for one in masks(whole)
    ]
    # Paper and disk are larger than half a tile: their extent is of the pass at 128 pixels.
    assert overlap[2:] == [1, 1, 1, 1]
    assert min(overlap) > 0.99
    assert gates(tiled)["conservation"][0]
    assert gates(tiled)["coverage"][1] > 0.999


def test_a_region_within_another_is_its_part(
    write_plate: Callable[..., Plate], flood: Callable[..., Flood], folder: Path
) -> None:
    """A hole smaller than `min_mask_region_area` is filled: then the square contains its part."""
    flood()
    rows = cut(write_plate("plate-001", drawn()), folder, min_mask_region_area=500)
    found = {row["segment_id"]: row for row in rows.row_tables["segments"]}
    (part,) = [row for row in found.values() if row["kind"] == "part"]
    assert (part["x0"], part["y0"], part["x1"], part["y1"]) == (60, 80, 80, 100)
    square = found[part["parent_id"]]
    assert (square["x0"], square["kind"], square["area"]) == (40, "figure", 3600)


def test_a_tile_that_fails_is_named_and_the_others_go_on(
    write_plate: Callable[..., Plate], flood: Callable[..., Flood], folder: Path
) -> None:
    flood(refused=DOT)
    produced = cut(write_plate("plate-001", drawn()), folder, tile=80, halo=8)
    items = [item for item, _ in produced.failed_items]
    assert items == ["the pass over the whole plate", "tile 0,152,88,240", "tile 72,152,168,240"]
    assert all(str(error) == "out of memory" for _, error in produced.failed_items)
    rows = produced.row_tables["segments"]
    assert any(row["x1"] == 310 for row in rows)
    assert not any(row["x0"] < 50 and row["y0"] > 180 for row in rows)


def test_a_plate_of_which_no_tile_can_be_done_fails(
    write_plate: Callable[..., Plate], flood: Callable[..., Flood], folder: Path
) -> None:
    flood(refused=PAPER)
    with pytest.raises(RuntimeError, match="out of memory"):
        cut(write_plate("plate-001", drawn()), folder, tile=80, halo=8)


def test_numbers_that_are_not_finite_are_an_error_and_not_a_plate_without_regions(
    write_plate: Callable[..., Plate], tmp_path: Path
) -> None:
    import torch

    folder = write_checkpoint(tmp_path / "broken")
    path = folder / "sam_tiny.pth"
    state = torch.load(path, weights_only=True)
    state["image_encoder.neck.0.weight"][:] = float("nan")
    torch.save(state, path)
    with pytest.raises(InvalidRecord, match="not finite"):
        cut(write_plate("plate-001", drawn()), folder)


def prompts(tmp_path: Path, tile: dict[str, Any], regions: list[Any], digest: str = "") -> Path:
    import json

    path = tmp_path / "prompts.json"
    document = {"source_sha256": digest or tile["source_sha256"], "regions": regions}
    path.write_text(json.dumps(document))
    return path


def test_a_prompt_in_source_pixels_gives_the_region_it_points_at(
    write_plate: Callable[..., Plate], flood: Callable[..., Flood], folder: Path, tmp_path: Path
) -> None:
    flood()
    plate = write_plate("plate-001", drawn(), scale=4)
    given = [
        {"name": "disk", "points": [[220 * 4, 150 * 4, 1]]},
        {"points": [[222 * 4, 140 * 4, 1]]},
        {"points": [[60 * 4, 200 * 4, 1]]},
    ]
    path = prompts(tmp_path, plate[1], given)
    produced = cut(plate, folder, {"prompts": [path]}, prompted=True)
    boxes = [
        (row["x0"], row["y0"], row["x1"], row["y1"]) for row in produced.row_tables["segments"]
    ]
    assert boxes == [(580, 300, 1184, 904), (180, 740, 304, 864)]
    ((item, error),) = produced.failed_items
    assert item == "prompt 2"
    assert "same region" in str(error)
    path = prompts(tmp_path, plate[1], given, digest="0" * 64)
    with pytest.raises(InvalidRecord, match="another scan"):
        cut(plate, folder, {"prompts": [path]}, prompted=True)


def test_a_model_must_be_named_and_prompts_are_read_when_asked_for() -> None:
    assert sam.takes(sam.Parameters(model="x")) == ("whole",)
    assert sam.takes(sam.Parameters(model="x", prompted=True)) == ("whole", "prompts")
    assert sam.models(sam.Parameters(model="x")) == ("x",)
    with pytest.raises(UsageError, match="none is named"):
        sam.models(sam.Parameters())


def test_the_defaults_are_those_that_were_published() -> None:
    import inspect

    from ledgerkit.models.sam_torchvision import import_segment_anything

    generator = import_segment_anything().SamAutomaticMaskGenerator
    published = {
        name: one.default
        for name, one in inspect.signature(generator).parameters.items()
        if name not in ("model", "point_grids", "output_mode")
    }
    ours = {name: getattr(sam.Parameters(), name) for name in published}
    assert ours | {"pred_iou_thresh": 0.88} == published
    assert {name: getattr(MaskRule(), name) for name in published} == published


def test_says_what_to_run_when_the_plate_has_no_image(
    write_plate: Callable[..., Plate], folder: Path
) -> None:
    path, tile = write_plate("plate-001", np.zeros((8, 8, 3), dtype=np.uint8))
    with pytest.raises(MissingInput) as error:
        cut((path, {**tile, "kind": "tile"}), folder)
    assert "normalize" in str(error.value.hint)


def test_masks_that_are_the_same_are_one_row(
    write_plate: Callable[..., Plate], flood: Callable[..., Flood], folder: Path
) -> None:
    """The ledgers take no two rows of a run with one `segment_id`."""
    flood()
    rows = cut(write_plate("plate-001", drawn()), folder, box_nms_thresh=1.0)
    found = [row["segment_id"] for row in rows.row_tables["segments"]]
    assert len(found) == len(set(found)) == 6


def test_tiles_that_share_nothing_are_refused_for_nothing_could_be_joined() -> None:
    from ledgerkit import operation

    with pytest.raises(UsageError, match="halo is 0, less than 1"):
        operation.load("sam").make_parameters({"model": "x", "tile": 80, "halo": 0})
