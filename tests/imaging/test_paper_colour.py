"""The paper is found on white, cream and grey sheets, on a scanner's bed, and not where none is."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ledgerkit.imaging.decode import decode
from ledgerkit.imaging.lab import to_fine_lab
from ledgerkit.imaging.measures import Measures, Thresholds, measure_image
from ledgerkit.testing.engravings import FAMILIES, Plate, draw

THRESHOLDS = Thresholds(12.0, 0.98, 0.05, 0.1, 0.05)
CREAM = (236, 226, 200)
BED = 60
"""The dark bed of a drawn scanner is darker than this in all channels, no drawn paper is."""


def measured(pixels: NDArray[np.uint8]) -> Measures:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return measure_image(decode(file), THRESHOLDS)


def paper_of(measures: Measures) -> tuple[Any, ...]:
    """The paper's colour in 0..255."""
    colour = (measures.paper_red, measures.paper_green, measures.paper_blue)
    return tuple(None if part is None else part * 255 for part in colour)


def sheet(colour: tuple[int, int, int], size: int = 200) -> NDArray[np.uint8]:
    """Bare paper with the grain of a scan: uint8 (size, size, 3)."""
    grain = np.random.default_rng(3).normal(0, 2, (size, size, 1))
    return np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)


def bare(plate: Plate) -> NDArray[np.bool_]:
    """The true background of a drawn plate: neither shape nor bed."""
    covered = np.any([shape.mask for shape in plate.shapes], axis=0)
    if plate.on_scanner_bed:
        covered |= plate.pixels.max(axis=2) < BED
    return ~covered


def kind_of(paper: NDArray[np.float64]) -> str:
    """White, cream or grey, of the median colour in CIELAB."""
    light, _, yellow = paper
    return "cream" if yellow > 9 else "white" if light > 88 else "grey"


@pytest.fixture(scope="module")
def plates() -> list[Plate]:
    return [draw(family, seed, width=240, height=300) for family in FAMILIES for seed in range(6)]


def test_background_is_the_true_share_of_bare_paper_on_every_drawn_plate(
    plates: list[Plate],
) -> None:
    kinds, errors, places = set(), [], set()
    for plate in plates:
        found = measured(plate.pixels)
        truth = bare(plate)
        median = to_fine_lab(np.median(plate.pixels[truth], axis=0).astype(np.uint8))
        paper = to_fine_lab(np.round(paper_of(found)).astype(np.uint8))
        assert np.linalg.norm(paper - median) < 5
        assert found.background_ratio is not None
        errors.append(found.background_ratio - truth.mean())
        kinds.add(kind_of(median))
        places.add((plate.on_scanner_bed, found.paper_from))
    assert np.abs(errors).max() <= 0.1
    assert np.abs(errors).mean() <= 0.03
    assert kinds == {"white", "cream", "grey"}
    assert places == {(False, "border"), (True, "brightest area")}


@pytest.mark.parametrize("colour", [(255, 255, 255), CREAM, (150, 150, 146), (176, 180, 190)])
def test_paper_of_any_light_colour_is_found_in_the_border(colour: tuple[int, int, int]) -> None:
    pixels = sheet(colour)
    pixels[50:150, 50:100] = (70, 50, 40)
    found = measured(pixels)
    assert found.paper_from == "border"
    assert paper_of(found) == pytest.approx(colour, abs=3)
    assert found.background_ratio == 0.875


def test_a_black_bed_round_the_sheet_is_not_paper() -> None:
    pixels = sheet(CREAM)
    pixels[:20] = pixels[-20:] = pixels[:, :20] = pixels[:, -20:] = 12
    found = measured(pixels)
    assert found.paper_from == "brightest area"
    assert paper_of(found) == pytest.approx(CREAM, abs=3)
    assert found.background_ratio == 0.64


def test_grey_scans_are_judged_alike() -> None:
    pixels = sheet((200, 200, 200))[:, :, 0]
    pixels[60:140, 60:140] = 30
    found = measured(pixels)
    assert (found.bands, found.paper_from, found.background_ratio) == (1, "border", 0.84)
    assert paper_of(found) == pytest.approx((200, 200, 200), abs=1)


def test_plates_printed_to_their_edges_and_dark_ones_have_no_paper() -> None:
    coarse = np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)
    for pixels in (coarse.repeat(10, axis=0).repeat(10, axis=1), sheet((60, 40, 30))):
        found = measured(pixels)
        assert (found.paper_from, found.background_ratio) == (None, None)
        assert paper_of(found) == (None, None, None)


def test_paper_in_stronger_light_is_background_and_a_lighter_colour_is_not() -> None:
    pixels = sheet((170, 160, 140))
    pixels[50:100, 50:150] = (230, 224, 212)
    pixels[100:150, 50:150] = (255, 240, 60)
    assert measured(pixels).background_ratio == 0.875
