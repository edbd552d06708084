"""Drawings that closing joins across bare paper, on sheets whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledgerkit.imaging.bridges import BridgeRule, label_within, separate, zones_of
from ledgerkit.imaging.regions import RegionRule, Scene, cut
from ledgerkit.testing.segmentation import segments_of

INK = (60, 50, 40)
GAP = 3
"""Pixels of paper between two drawings: on these sheets closing joins what is less than 4 apart."""
PAPER = (236, 226, 200)


def sheet(height: int = 500, width: int = 1000) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, 1.5, (height, width, 1))
    return np.clip(np.array(PAPER) + noise, 0, 255).astype(np.uint8)


def disk(image: np.ndarray, x: int, y: int, radius: int, colour: tuple[int, int, int]) -> None:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = colour


def crowded() -> np.ndarray:
    """Five disks that closing joins to one, and one that stands alone."""
    image = sheet()
    for place in range(5):
        disk(image, 160 + place * (161 + GAP), 130, 80, INK)
    disk(image, 500, 360, 90, INK)
    return image


def figures(scene: Scene) -> list[np.ndarray]:
    return [scene.labels == place for place, kind in enumerate(scene.kinds) if kind == "figure"]


def found(image: np.ndarray, **bridge: float) -> int:
    rule = RegionRule(bridge=replace(BridgeRule(), **bridge))
    return len(figures(cut(image, rule)))


def test_disks_that_nearly_touch_are_figures_of_their_own() -> None:
    assert found(crowded(), longest=0.0) == 2
    scene = cut(crowded(), RegionRule())
    masks = figures(scene)
    assert len(masks) == 6
    assert [int(mask.sum()) for mask in masks] == pytest.approx(
        [np.pi * 90**2] + [np.pi * 80**2] * 5, rel=0.03
    )
    assert min(value for value in scene.stability if value is not None) > 0.9


def test_a_wash_by_one_of_several_disks_unsettles_that_one_alone() -> None:
    """It is just under the level of a mark."""
    image, plain = sheet(), crowded()
    image[200:480, 60:260] = np.array(PAPER) - 34
    drawn = (plain == INK).all(axis=2)
    image[drawn] = INK
    unsettled, *others = sorted(value for value in cut(image, RegionRule()).stability if value)
    assert unsettled < 0.5
    assert len(others) == 5
    assert min(others) > 0.95


@pytest.mark.parametrize("tile", [160, 333])
def test_disks_that_nearly_touch_are_the_same_figures_in_tiles(tile: int, tmp_path: Path) -> None:
    path = tmp_path / "plate.png"
    Image.fromarray(crowded()).save(path, compress_level=1)
    whole, tiled = ([*segments_of(path, tile=side)[0]] for side in (0, tile))
    assert [row["kind"] for row in whole] == ["paper", *["figure"] * 6]
    assert [row["kind"] for row in tiled] == [row["kind"] for row in whole]
    for one, other in zip(whole, tiled, strict=True):
        for side in ("x0", "y0", "x1", "y1"):
            assert one[side] == pytest.approx(other[side], abs=GAP)
        assert one["area"] == pytest.approx(other["area"], rel=0.01)


def test_a_bird_that_stands_on_a_branch_by_its_legs_is_one_figure() -> None:
    image = sheet()
    disk(image, 500, 180, 120, INK)
    image[280:360, 460:464] = image[280:360, 540:544] = INK
    image[360:400, 150:850] = INK
    assert found(image) == 1


def test_a_leaf_that_hangs_by_its_stalk_stays_with_the_plant() -> None:
    image = sheet()
    image[50:450, 498:503] = INK
    for side in (-1, 1):
        disk(image, 500 + side * 110, 230, 100, (70, 120, 60))
        image[228:232, min(500, 500 + side * 30) : max(500, 500 + side * 30)] = INK
    assert found(image) == 1


def test_a_stroke_that_is_broken_is_mended() -> None:
    """The halves of a ring end near each other, and their border is short; but too small a part is
    no drawing.
    """
    image = sheet()
    disk(image, 500, 250, 200, INK)
    disk(image, 500, 250, 190, PAPER)
    image[230 : 230 + GAP, 680:710] = image[270 : 270 + GAP, 680:710] = PAPER
    assert found(image) == 1


def test_patches_that_border_each_other_at_length_are_one_figure() -> None:
    image = sheet()
    image[60:240, 300:700] = INK
    image[240 + GAP : 440, 300:700] = INK
    assert found(image) == 1
    assert found(image, longest=9.0) == 2


def test_patches_with_a_tint_between_them_are_one_figure() -> None:
    """Fainter than a mark, darker than paper."""
    image = sheet()
    image[190:310, 300:700] = (212, 201, 176)
    disk(image, 400, 250, 100, INK)
    disk(image, 601 + GAP, 250, 100, INK)
    assert found(image) == 1
    assert found(image, bare=1.0) == 2


def test_a_drawing_in_a_hole_of_another_is_part_of_it() -> None:
    image = sheet()
    disk(image, 500, 250, 200, INK)
    disk(image, 500, 250, 150, PAPER)
    disk(image, 500, 329 - GAP, 70, INK)
    assert found(image) == 1


def test_separated_parts_cover_their_figure_once() -> None:
    mark = np.zeros((40, 80), dtype=bool)
    mark[10:30, 5:38] = mark[10:30, 42:75] = True
    figure = mark.copy()
    figure[18:20, 38:42] = True
    distance = np.where(mark, 30, 1).astype(np.float32)
    parts = separate([figure], mark, distance, 10.0, 50, BridgeRule())
    assert len(parts) == 2
    assert (np.sum(parts, axis=0) == figure).all()


def test_zones_end_between_figures_that_touch_and_are_0_by_others() -> None:
    labels = np.zeros((20, 60), dtype=np.int32)
    labels[5:15, 5:15], labels[5:15, 15:25], labels[5:15, 45:55] = 1, 2, 3
    zones = zones_of(labels, ("paper", "figure", "figure", "figure"), "figure")
    assert set(zones[:, :14].ravel()) == {1}
    assert set(zones[:, 16:30].ravel()) == {2}
    assert set(zones[:, 40:].ravel()) == {0}
    whole = np.ones_like(labels, dtype=bool)
    assert label_within(whole, zones)[1] == 3
    assert label_within(whole, np.zeros_like(zones))[1] == 1
