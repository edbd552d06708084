"""`segment`: exact places, masks that add up, identities from content."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.errors import MissingInput
from ledgerkit.imaging import rle
from ledgerkit.operations import segment
from ledgerkit.testing.engravings import FAMILIES, draw
from ledgerkit.testing.handles import Produced, run_operation

DARK = (70, 50, 40)


def cut(path: Any, tile: dict[str, Any], **parameters: Any) -> Produced:
    files, tables = {"image": [path]}, {"tiles": [tile]}
    return run_operation(segment, files=files, tables=tables, **parameters)


def paint(row: dict[str, Any], height: int, width: int, scale: int = 1) -> np.ndarray:
    """The mask of a row on the source, `scale` times as large as the image that was cut."""
    canvas = np.zeros((height * scale, width * scale), dtype=bool)
    mask = rle.decode(row["mask"], row["mask_height"], row["mask_width"])
    mask = mask.repeat(scale, axis=0).repeat(scale, axis=1)
    canvas[row["y0"] : row["y1"], row["x0"] : row["x1"]] = mask
    return canvas


def test_a_disk_comes_back_with_its_place_size_and_colour(
    sheet: Callable[..., np.ndarray], write_plate: Callable[..., Any]
) -> None:
    produced = cut(*write_plate("plate-001", sheet((150, 240, 60, DARK))))
    paper, figure = produced.row_tables["segments"]
    assert (paper["kind"], figure["kind"]) == ("paper", "figure")
    assert figure["area"] == pytest.approx(np.pi * 60**2, rel=0.03)
    assert (figure["centroid_x"], figure["centroid_y"]) == pytest.approx((150.5, 240.5), abs=0.5)
    assert (figure["x0"], figure["y1"]) == pytest.approx((90, 301), abs=2)
    assert figure["solidity"] > 0.97
    assert figure["mean_lab"][0] == pytest.approx(22.6, abs=3)
    assert figure["contrast"] > 50 > 5 > paper["contrast"]


def test_places_are_in_pixels_of_the_source_when_the_image_is_smaller(
    sheet: Callable[..., np.ndarray], write_plate: Callable[..., Any]
) -> None:
    pixels = sheet((150, 240, 60, DARK))
    _, small = cut(*write_plate("plate-001", pixels)).row_tables["segments"]
    _, large = cut(*write_plate("plate-001", pixels, scale=3)).row_tables["segments"]
    assert [large[name] for name in ("x0", "y0", "x1", "y1")] == [
        3 * small[name] for name in ("x0", "y0", "x1", "y1")
    ]
    assert large["area"] == pytest.approx(9 * small["area"])
    assert large["centroid_x"] == pytest.approx(3 * small["centroid_x"])
    assert large["mask"] == small["mask"]


def test_the_regions_cover_the_plate_once(
    sheet: Callable[..., np.ndarray], write_plate: Callable[..., Any]
) -> None:
    pixels = sheet((120, 120, 50, DARK), (280, 280, 70, (40, 80, 120)))
    pixels[:, 396:] = 10
    rows = cut(*write_plate("plate-001", pixels)).row_tables["segments"]
    assert sum(paint(row, 400, 400).astype(int) for row in rows).tolist() == [[1] * 400] * 400
    assert sum(row["area"] for row in rows) == 400 * 400


def test_gates_say_that_there_is_no_figure_and_no_paper(
    sheet: Callable[..., np.ndarray], write_plate: Callable[..., Any]
) -> None:
    blank = cut(*write_plate("plate-001", sheet()))
    assert {gate[1]: gate[2] for gate in blank.gates} == {
        "coverage": True,
        "paper": True,
        "figures": False,
        "foreground": True,
    }
    noise = np.random.default_rng(1).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    bleed = cut(*write_plate("plate-002", noise.repeat(20, axis=0).repeat(20, axis=1)))
    assert {gate[1]: gate[2] for gate in bleed.gates} == {
        "coverage": True,
        "paper": False,
        "figures": True,
        "foreground": False,
    }
    dark = cut(*write_plate("plate-003", np.full((200, 200, 3), 20, dtype=np.uint8)))
    told = [{gate[1]: gate[4] for gate in made.gates}["paper"] for made in (bleed, dark)]
    assert told[0].startswith("no paper: the border is of many colours; its colours spread by ")
    assert told[1] == "no paper: the border is dark, of lightness 6; its colours spread by 0.0"


def test_the_same_plate_gives_the_same_rows_and_another_plate_other_ids(
    sheet: Callable[..., np.ndarray],
    write_plate: Callable[..., Any],
    check_columns: Callable[[str, Any], None],
) -> None:
    pixels = sheet((150, 240, 60, DARK))
    first = cut(*write_plate("plate-001", pixels)).row_tables["segments"]
    again = cut(*write_plate("plate-001", pixels)).row_tables["segments"]
    other = cut(*write_plate("plate-002", pixels)).row_tables["segments"]
    assert first == again
    assert not {row["segment_id"] for row in first} & {row["segment_id"] for row in other}
    check_columns("segments", first[0])


def test_says_what_to_run_when_the_plate_has_no_image(write_plate: Callable[..., Any]) -> None:
    _, tile = write_plate("plate-001", np.zeros((8, 8, 3), dtype=np.uint8))
    with pytest.raises(MissingInput) as error:
        run_operation(segment, tables={"tiles": [{**tile, "kind": "tile"}]})
    assert "normalize" in str(error.value.hint)


@pytest.mark.parametrize("family", FAMILIES)
def test_finds_the_figures_of_drawn_plates(family: str, write_plate: Callable[..., Any]) -> None:
    """Measured on seeds 1000 to 1004: mean overlap of foregrounds 0.97, every figure found."""
    plate = draw(family, 31)
    rows = cut(*write_plate("plate-001", np.asarray(plate.pixels))).row_tables["segments"]
    height, width = plate.pixels.shape[:2]
    found = [paint(row, height, width) for row in rows if row["kind"] == "figure"]
    truth = [shape.mask for shape in plate.shapes if shape.kind == "figure"]
    assert len(found) == len(truth)
    for mask in truth:
        assert max((mask & one).sum() / (mask | one).sum() for one in found) > 0.8


def test_crops_are_the_source_within_the_exact_box_and_white_where_the_mask_is_not(
    sheet: Callable[..., np.ndarray], write_plate: Callable[..., Any], tmp_path: Path
) -> None:
    """The plate was cut on an image a third as large as its source."""
    pixels = sheet((150, 240, 60, DARK), (300, 100, 50, (40, 80, 120)))
    path, tile = write_plate("plate-001", pixels, scale=3)
    large = pixels.repeat(3, axis=0).repeat(3, axis=1)
    source = tmp_path / "source.png"
    Image.fromarray(large).save(source)
    files, tables = {"image": [path], "source": [source]}, {"tiles": [tile]}
    plain = run_operation(segment, files=files, tables=tables)
    assert plain.file_outputs == {}
    for background in ("transparent", "white", "context"):
        made = run_operation(segment, files=files, tables=tables, crops=background)
        assert made.row_tables == plain.row_tables
        figures = [row for row in made.row_tables["segments"] if row["kind"] == "figure"]
        suffix = "png" if background == "transparent" else "jpg"
        names = [f"crops/{row['segment_id']}.{suffix}" for row in figures]
        assert len(names) == 2
        assert list(made.file_outputs) == names
        for row, name in zip(figures, names, strict=True):
            output = made.file_outputs[name]
            assert (output.in_cache, output.role) == (True, "crop")
            assert output.pixels_sha256
            crop = np.asarray(Image.open(io.BytesIO(output.data)))
            box = large[row["y0"] : row["y1"], row["x0"] : row["x1"]]
            inside = paint(row, 400, 400, scale=3)[row["y0"] : row["y1"], row["x0"] : row["x1"]]
            assert crop.shape[:2] == box.shape[:2]
            if background == "transparent":
                assert (crop[..., :3] == box).all()
                assert (crop[..., 3] == 255 * inside).all()
                continue
            expected = np.where(inside[..., None] | (background == "context"), box, 255)
            assert np.abs(crop.astype(int) - expected).mean() < 3


def test_crops_of_a_turned_grey_source_are_upright_and_grey(
    sheet: Callable[..., np.ndarray], write_plate: Callable[..., Any], tmp_path: Path
) -> None:
    pixels = sheet((150, 240, 60, DARK))[:, :300].mean(axis=2).astype(np.uint8)
    path, tile = write_plate("plate-001", pixels)
    source, exif = tmp_path / "source.tif", Image.Exif()
    exif[274] = 6
    Image.fromarray(np.rot90(pixels)).save(source, exif=exif)
    files = {"image": [path], "source": [source]}
    made = run_operation(segment, files=files, tables={"tiles": [tile]}, crops="transparent")
    row = made.row_tables["segments"][1]
    crop = np.asarray(Image.open(io.BytesIO(next(iter(made.file_outputs.values())).data)))
    assert crop.shape[2] == 2
    assert (crop[..., 0] == pixels[row["y0"] : row["y1"], row["x0"] : row["x1"]]).all()


def test_the_source_is_read_for_crops_only() -> None:
    assert segment.takes(segment.Parameters()) == ("whole",)
    assert segment.takes(segment.Parameters(crops="white")) == ("whole", "source")
