"""The chain of regions on sheets whose truth is known."""

import numpy as np
import pytest

from ledgerkit.imaging import morphology
from ledgerkit.imaging.lab import to_lab, to_rgb
from ledgerkit.imaging.marks import fill_holes
from ledgerkit.imaging.paper import PaperRule, model_paper
from ledgerkit.imaging.regions import RegionRule, Scene, cut, otsu
from ledgerkit.imaging.scanbed import hull_area

CREAM = (236, 226, 200)


def blank(height: int = 600, width: int = 480, colour: tuple[int, int, int] = CREAM) -> np.ndarray:
    """An even sheet with a little noise, as a scan has."""
    noise = np.random.default_rng(7).normal(0, 1.5, (height, width, 1))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def disk(
    image: np.ndarray, x: int, y: int, radius: int, colour: tuple[int, int, int]
) -> np.ndarray:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    image[inside] = colour
    return inside


def mask_of(scene: Scene, kind: str) -> np.ndarray:
    return np.array([name == kind for name in scene.kinds])[scene.labels]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_two_disks_on_cream_are_two_figures_of_the_right_shape() -> None:
    image = blank()
    first = disk(image, 150, 200, 80, (90, 60, 40))
    second = disk(image, 330, 400, 60, (60, 90, 140))
    scene = cut(image, RegionRule())
    assert scene.kinds == ("paper", "figure", "figure")
    assert overlap(scene.labels == 1, first) > 0.97
    assert overlap(scene.labels == 2, second) > 0.97


def test_digital_white_has_no_spread_and_still_has_figures() -> None:
    image = np.full((600, 480, 3), 255, dtype=np.uint8)
    truth = disk(image, 240, 300, 100, (120, 40, 40))
    scene = cut(image, RegionRule())
    assert scene.paper.kind == "flat"
    assert overlap(mask_of(scene, "figure"), truth) > 0.97


def test_uneven_light_over_the_sheet_makes_no_figure() -> None:
    image = blank().astype(float)
    image *= np.linspace(0.8, 1.05, 600)[:, None, None]
    image = image.clip(0, 255).astype(np.uint8)
    truth = disk(image, 240, 300, 70, (60, 70, 50))
    scene = cut(image, RegionRule())
    assert scene.paper.kind == "surface"
    assert overlap(mask_of(scene, "figure"), truth) > 0.95


def test_a_full_bleed_plate_has_no_paper_and_is_one_figure() -> None:
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 255, (30, 24, 3), dtype=np.uint8)
    image = np.repeat(np.repeat(coarse, 20, axis=0), 20, axis=1)
    scene = cut(image, RegionRule())
    assert not scene.paper.found
    assert mask_of(scene, "figure").mean() == 1.0


def test_a_sheet_on_black_lies_on_background_and_its_border_is_paper() -> None:
    image = np.full((700, 560, 3), 14, dtype=np.uint8)
    image[40:660, 50:520] = blank(620, 470)
    truth = disk(image, 280, 350, 110, (40, 30, 30))
    scene = cut(image, RegionRule())
    outside = np.ones((700, 560), dtype=bool)
    outside[40:660, 50:520] = False
    assert overlap(mask_of(scene, "background"), outside) > 0.85
    assert (mask_of(scene, "background") & outside).sum() == outside.sum()
    assert scene.paper.lab[0] > 80
    assert overlap(mask_of(scene, "figure"), truth) > 0.97


def test_a_dark_picture_inside_a_light_margin_is_a_figure_not_background() -> None:
    image = blank()
    image[60:540, 60:420] = (25, 22, 20)
    scene = cut(image, RegionRule())
    assert scene.kinds == ("paper", "figure")


def test_a_dark_strip_along_one_side_is_background() -> None:
    image = blank()
    image[:, :8] = (30, 25, 20)
    truth = disk(image, 240, 300, 80, (90, 60, 40))
    scene = cut(image, RegionRule())
    assert mask_of(scene, "background")[:, :8].mean() > 0.95
    assert overlap(mask_of(scene, "figure"), truth) > 0.97


def test_a_row_of_small_strokes_is_one_line_of_lettering() -> None:
    image = blank()
    disk(image, 240, 240, 90, (90, 60, 40))
    for place in range(14):
        image[520:532, 160 + place * 12 : 164 + place * 12] = (40, 36, 30)
    scene = cut(image, RegionRule())
    assert scene.kinds == ("paper", "figure", "lettering")
    rows, columns = np.nonzero(scene.labels == 2)
    assert rows.min() >= 515
    assert rows.max() <= 537
    assert columns.max() - columns.min() > 140


def grey_words(image: np.ndarray, top: int, left: int, letters: int) -> None:
    """Strokes that are 14 darker (CIELAB L) than the paper, thin, and of the height of letters."""
    for place in range(letters):
        x = left + place * 9
        ink = image[top : top + 12, x : x + 2].astype(int) - 36
        image[top : top + 12, x : x + 2] = ink.clip(0)


def test_grey_words_under_a_dark_figure_are_lettering() -> None:
    """The figure's own darkness sets a level that they do not reach."""
    image = blank(1200, 1000)
    disk(image, 500, 500, 250, (20, 16, 12))
    grey_words(image, 1000, 380, 26)
    grey_words(image, 1040, 440, 12)
    scene = cut(image, RegionRule())
    assert scene.kinds == ("paper", "figure", "lettering", "lettering")
    for label, top, letters in ((2, 1000, 26), (3, 1040, 12)):
        rows, columns = np.nonzero(scene.labels == label)
        assert top - 3 <= rows.min() <= rows.max() <= top + 14
        assert columns.max() - columns.min() > 0.9 * 9 * (letters - 1)


def test_fine_strokes_in_the_box_of_a_figure_are_no_lettering() -> None:
    image = blank(1200, 1000)
    image[200:300, 100:900] = image[300:900, 100:200] = (20, 16, 12)
    grey_words(image, 600, 400, 26)
    assert cut(image, RegionRule()).kinds == ("paper", "figure")


@pytest.mark.parametrize("dashes", [1, 12])
def test_a_pale_ruled_line_is_no_lettering(dashes: int) -> None:
    """Whole, or broken into strokes: it is too low or too flat for letters."""
    image = blank(1200, 1000)
    disk(image, 500, 500, 250, (20, 16, 12))
    length = 600 // dashes
    for place in range(dashes):
        left = 200 + place * length
        image[1050:1052, left : left + length - 4] -= 36
    assert cut(image, RegionRule()).kinds == ("paper", "figure")


def test_a_blank_sheet_has_no_figure() -> None:
    assert cut(blank(), RegionRule()).kinds == ("paper",)


def test_a_hole_of_paper_stays_a_hole_and_a_tinted_one_is_filled() -> None:
    solid = np.zeros((40, 40), dtype=bool)
    solid[5:35, 5:35] = True
    solid[10:15, 10:15] = solid[20:30, 20:30] = False
    distance = np.full((40, 40), 0.5, dtype=np.float32)
    distance[20:30, 20:30] = 4.0
    filled = fill_holes(solid, distance, 3.0)
    assert not filled[10:15, 10:15].any()
    assert filled[20:30, 20:30].all()
    assert not filled[:5].any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (17, 16)])
def test_takes_images_of_any_shape(shape: tuple[int, int]) -> None:
    scene = cut(blank(*shape), RegionRule())
    assert scene.labels.shape == shape


def test_otsu_lies_between_two_heaps_and_is_zero_for_one() -> None:
    heaps = np.repeat(np.array([2.0, 40.0], dtype=np.float32), [900, 100])
    assert 2 < otsu(heaps) < 40
    assert otsu(np.full(50, 7.0, dtype=np.float32)) == 0.0


def test_paper_colour_is_that_of_the_border_even_where_the_figure_covers_most() -> None:
    image = blank()
    image[40:560, 40:440] = (70, 90, 60)
    lab = to_lab(image)
    paper = model_paper(lab, np.ones(image.shape[:2], dtype=bool), PaperRule())
    assert np.allclose(paper.lab, to_lab(np.array([[CREAM]], dtype=np.uint8))[0, 0], atol=1.5)
    assert float(np.median(paper.distance[100:500, 100:400])) > 40


def test_lab_agrees_with_scikit_image_and_goes_back() -> None:
    from skimage.color import rgb2lab

    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.abs(to_lab(pixels) - rgb2lab(pixels)).max() < 0.02
    assert (to_rgb(to_lab(pixels).astype(float)) == pixels).all()


def test_closing_joins_a_gap_and_opening_removes_a_thread() -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[10:20, 5:15] = mask[10:20, 18:30] = True
    assert morphology.closing(mask, 2)[14, 16]
    mask[15, 30:38] = True
    opened = morphology.opening(mask, 2)
    assert opened[15, 10]
    assert not opened[15, 35]


def test_hull_area_of_a_rectangle_is_its_own_and_of_an_l_is_more() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[3:13, 4:24] = True
    assert hull_area(mask) == pytest.approx(200)
    mask[3:8, 10:24] = False
    assert hull_area(mask) > mask.sum()
