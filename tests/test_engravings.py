"""The drawn plates are repeatable, their truth is true, and each file format opens as it should."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ledgerkit.testing.engravings import (
    FAMILIES,
    GAP,
    CorpusEntry,
    Plate,
    decode_runs,
    draw,
    encode_runs,
    write_corpus,
)
from ledgerkit.testing.engravings.layout import Layout
from ledgerkit.testing.engravings.names import roman
from ledgerkit.testing.engravings.paper import make_sheet

WIDTH, HEIGHT = 320, 400
Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def plates() -> dict[str, list[Plate]]:
    """Some small plates of every family."""
    return {
        family: [draw(family, seed, width=WIDTH, height=HEIGHT) for seed in range(4)]
        for family in FAMILIES
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CorpusEntry]]:
    """A corpus of one plate of each family, each in a format of its own."""
    folder = tmp_path_factory.mktemp("corpus")
    return folder, write_corpus(folder, seed=3, per_family=1)


def edge_of(mask: Mask) -> NDArray[np.intp]:
    """Row and column of each pixel of a mask that has a bare neighbour."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner)


def distance_between(first: Mask, second: Mask) -> float:
    """Least distance in pixels between two masks; 0 where they overlap."""
    if (first & second).any():
        return 0.0
    apart = edge_of(first)[:, None, :] - edge_of(second)[None, :, :]
    return float(np.sqrt((apart**2).sum(axis=2).min()))


def widened(mask: Mask, reach: int) -> Mask:
    """The mask and all within `reach` steps of it, diagonal ones included."""
    for _ in range(reach):
        padded = np.pad(mask, 1)
        mask = padded[:-2] | padded[1:-1] | padded[2:]
        mask = mask[:, :-2] | mask[:, 1:-1] | mask[:, 2:]
    return mask


def contrast_of(picture: NDArray[Any], mask: Mask) -> tuple[float, float]:
    """Mean absolute difference from the paper round a mask: inside the mask, and of that paper."""
    values = picture.astype(np.float64)
    paper = widened(mask, 7) & ~widened(mask, 3)
    tone = np.median(values[paper], axis=0)
    return float(np.abs(values[mask] - tone).mean()), float(np.abs(values[paper] - tone).mean())


def upright(path: Path) -> NDArray[Any]:
    """The picture of a file as it is meant to be seen."""
    if path.suffix == ".tif":
        return np.asarray(tifffile.imread(path))
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def scan_of(corpus: tuple[Path, list[CorpusEntry]], family: str) -> Path:
    folder, entries = corpus
    return folder / "scans" / next(e.file_name for e in entries if e.subject == family)


def truth_of(corpus: tuple[Path, list[CorpusEntry]], family: str) -> dict[str, Any]:
    records = json.loads((corpus[0] / "truth.json").read_text(encoding="utf-8"))
    return next(record for record in records if record["family"] == family)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_draws_the_same_plate(family: str, plates: dict[str, list[Plate]]) -> None:
    again = draw(family, 1, width=WIDTH, height=HEIGHT)
    before = plates[family][1]
    assert again.pixels.tobytes() == before.pixels.tobytes()
    assert again.title == before.title
    assert [shape.mask.tobytes() for shape in again.shapes] == [
        shape.mask.tobytes() for shape in before.shapes
    ]


def test_no_two_plates_are_alike(plates: dict[str, list[Plate]]) -> None:
    drawn = [plate for family in FAMILIES for plate in plates[family]]
    assert len({plate.pixels.tobytes() for plate in drawn}) == len(drawn)


def test_a_seed_means_another_plate_in_another_family(plates: dict[str, list[Plate]]) -> None:
    first = {tuple(plates[family][0].pixels[0, 0].tolist()) for family in FAMILIES}
    assert len(first) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_each_plate_has_figures_and_lettering_that_cover_something(
    family: str, plates: dict[str, list[Plate]]
) -> None:
    for plate in plates[family]:
        assert plate.pixels.shape == (HEIGHT, WIDTH, 3)
        assert plate.pixels.dtype == np.uint8
        assert {shape.kind for shape in plate.shapes} == {"figure", "lettering"}
        for shape in plate.shapes:
            least = 0.004 if shape.kind == "figure" else 0.00003
            assert shape.mask.sum() > least * HEIGHT * WIDTH


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_keep_their_distance(family: str, plates: dict[str, list[Plate]]) -> None:
    for plate in plates[family]:
        for first, second in combinations(plate.shapes, 2):
            assert distance_between(first.mask, second.mask) >= GAP * HEIGHT


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_stay_off_the_border(family: str, plates: dict[str, list[Plate]]) -> None:
    rim = np.ones((HEIGHT, WIDTH), bool)
    rim[12:-12, 12:-12] = False
    for plate in plates[family]:
        assert not any((shape.mask & rim).any() for shape in plate.shapes)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_figure_is_one_piece(family: str, plates: dict[str, list[Plate]]) -> None:
    for shape in plates[family][0].shapes:
        if shape.kind != "figure":
            continue
        # From one pixel, grown inside the mask until it grows no more.
        piece = np.zeros_like(shape.mask)
        body = widened(~widened(~shape.mask, 2), 1) & shape.mask
        piece[tuple((np.argwhere(body) if body.any() else np.argwhere(shape.mask))[0])] = True
        while True:
            grown = widened(piece, 1) & shape.mask
            if (grown == piece).all():
                break
            piece = grown
        assert piece.sum() > 0.97 * shape.mask.sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_figures_differ_from_the_paper_far_more_than_paper_from_itself(
    family: str, plates: dict[str, list[Plate]]
) -> None:
    for plate in plates[family]:
        for shape in plate.shapes:
            if shape.kind == "figure":
                inside, noise = contrast_of(plate.pixels, shape.mask)
                assert inside > 20
                assert inside > 4 * noise


def test_a_box_holds_its_mask_and_no_less_would_do(plates: dict[str, list[Plate]]) -> None:
    for shape in plates["bird"][0].shapes:
        left, top, right, bottom = shape.box
        assert shape.mask[top:bottom, left:right].sum() == shape.mask.sum()
        for line in (
            shape.mask[top, :],
            shape.mask[bottom - 1, :],
            shape.mask[:, left],
            shape.mask[:, right - 1],
        ):
            assert line.any()


@pytest.mark.parametrize("family", FAMILIES)
def test_paper_is_light_and_dark_in_every_family(
    family: str, plates: dict[str, list[Plate]]
) -> None:
    covered = [np.any([shape.mask for shape in plate.shapes], axis=0) for plate in plates[family]]
    tones = [
        float(np.median(plate.pixels[~mask]))
        for plate, mask in zip(plates[family], covered, strict=True)
    ]
    assert max(tones) - min(tones) > 15


def test_families_vary_in_the_number_of_figures() -> None:
    counts = set()
    for seed in range(8):
        plate = draw("shell", seed, width=160, height=200)
        counts.add(sum(shape.kind == "figure" for shape in plate.shapes))
    assert len(counts) >= 3
    assert counts <= {1, 2, 3, 4, 5}


def test_about_one_sheet_in_ten_lies_on_a_dark_scanner_bed() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    sheets = [make_sheet(rng, (60, 48)) for _ in range(400)]
    assert 20 <= sum(sheet.on_scanner_bed for sheet in sheets) <= 60


def test_a_plate_tells_whether_it_lies_on_the_scanner_bed(plates: dict[str, list[Plate]]) -> None:
    drawn = [plate for family in FAMILIES for plate in plates[family]]
    assert {plate.on_scanner_bed for plate in drawn} == {True, False}
    for plate in drawn:
        assert (plate.pixels[:2, :2].mean() < 60) == plate.on_scanner_bed


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no family 'dragon'"):
        draw("dragon", 1)


def test_run_lengths_go_down_the_columns_and_begin_with_bare_pixels() -> None:
    mask = np.array([[False, True, True], [False, True, False]])
    assert encode_runs(mask) == [2, 3, 1]
    assert encode_runs(~mask) == [0, 2, 3, 1]


def test_run_lengths_decode_to_the_mask(plates: dict[str, list[Plate]]) -> None:
    for family in FAMILIES:
        for shape in plates[family][0].shapes:
            assert (decode_runs(encode_runs(shape.mask), (HEIGHT, WIDTH)) == shape.mask).all()


def test_run_lengths_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="runs cover 6 pixels"):
        decode_runs([2, 3, 1], (3, 3))


def test_the_catalogue_names_every_scan_once(corpus: tuple[Path, list[CorpusEntry]]) -> None:
    folder, entries = corpus
    catalogue = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    assert [item["plate"] for item in catalogue] == list(range(1, len(FAMILIES) + 1))
    assert {item["subject"] for item in catalogue} == set(FAMILIES)
    assert len({item["name"] for item in catalogue}) == len(catalogue)
    assert sorted(item["fileName"] for item in catalogue) == sorted(
        path.name for path in (folder / "scans").iterdir()
    )
    assert catalogue == [entry.catalogued() for entry in entries]
    assert all(item["slug"] == item["name"].lower().replace(" ", "-") for item in catalogue)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "architecture"])
def test_the_truth_is_that_of_the_drawing(
    family: str, corpus: tuple[Path, list[CorpusEntry]]
) -> None:
    truth = truth_of(corpus, family)
    height, width = truth["size"]
    plate = draw(family, truth["seed"], width=width, height=height, number=truth["plate"])
    assert len(plate.shapes) == len(truth["shapes"])
    for shape, known in zip(plate.shapes, truth["shapes"], strict=True):
        decoded = decode_runs(known["rle"]["counts"], (height, width))
        assert known["kind"] == shape.kind
        assert (decoded == shape.mask).all()
        assert known["area"] == decoded.sum()
        assert tuple(known["box"]) == shape.box


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "architecture"])
def test_the_truth_lies_on_the_upright_picture(
    family: str, corpus: tuple[Path, list[CorpusEntry]]
) -> None:
    truth = truth_of(corpus, family)
    picture = upright(scan_of(corpus, family))
    picture = picture // 257 if picture.dtype == np.uint16 else picture
    assert list(picture.shape[:2]) == truth["size"]
    for shape in truth["shapes"]:
        if shape["kind"] == "figure":
            mask = decode_runs(shape["rle"]["counts"], tuple(shape["rle"]["size"]))
            inside, noise = contrast_of(picture, mask)
            assert inside > 20
            assert inside > 4 * noise


def test_the_bird_is_stored_turned_with_orientation_six(
    corpus: tuple[Path, list[CorpusEntry]],
) -> None:
    with Image.open(scan_of(corpus, "bird")) as image:
        assert image.format == "JPEG"
        assert image.getexif()[0x0112] == 6
        assert [image.width, image.height] == truth_of(corpus, "bird")["size"]


def test_jpegs_come_in_grey_and_in_four_inks(corpus: tuple[Path, list[CorpusEntry]]) -> None:
    with Image.open(scan_of(corpus, "radiolarian")) as grey:
        assert (grey.format, grey.mode) == ("JPEG", "L")
    with Image.open(scan_of(corpus, "flower")) as inks:
        assert (inks.format, inks.mode) == ("JPEG", "CMYK")


@pytest.mark.parametrize(("family", "depth"), [("fish", np.uint8), ("butterfly", np.uint16)])
def test_tiffs_come_with_8_and_16_bits(
    family: str, depth: type, corpus: tuple[Path, list[CorpusEntry]]
) -> None:
    truth = truth_of(corpus, family)
    with tifffile.TiffFile(scan_of(corpus, family)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        assert page.dtype == depth
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.photometric == tifffile.PHOTOMETRIC.RGB
        stored = page.asarray()
    height, width = truth["size"]
    plate = draw(family, truth["seed"], width=width, height=height, number=truth["plate"])
    scale = np.iinfo(depth).max // 255
    assert (stored == plate.pixels.astype(depth) * scale).all()


def test_a_png_keeps_every_pixel(corpus: tuple[Path, list[CorpusEntry]]) -> None:
    truth = truth_of(corpus, "shell")
    height, width = truth["size"]
    plate = draw("shell", truth["seed"], width=width, height=height, number=truth["plate"])
    with Image.open(scan_of(corpus, "shell")) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert (np.asarray(image) == plate.pixels).all()


def test_one_plate_has_thirty_megapixels_and_few_bytes(
    corpus: tuple[Path, list[CorpusEntry]],
) -> None:
    path = scan_of(corpus, "architecture")
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", (5000, 6000))
    assert path.stat().st_size < 1_200_000
    truth = truth_of(corpus, "architecture")
    assert truth["size"] == [6000, 5000]
    for shape in truth["shapes"]:
        mask = decode_runs(shape["rle"]["counts"], (6000, 5000))
        assert shape["area"] == mask.sum() > 0


def test_the_same_seed_writes_the_same_corpus(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_corpus(tmp_path / name, seed=5, per_family=1, sample_formats=False)
    one, two = (
        {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert all(path.endswith((".jpg", ".json")) for path in one)


def test_another_seed_writes_another_corpus(
    tmp_path: Path, corpus: tuple[Path, list[CorpusEntry]]
) -> None:
    _, entries = corpus
    others = write_corpus(tmp_path, seed=4, per_family=1, sample_formats=False)
    assert {entry.name for entry in others}.isdisjoint(entry.name for entry in entries)


def test_a_layout_puts_nothing_where_something_is() -> None:
    layout = Layout((400, 400), (40, 40, 360, 360), gap=10)
    thing = np.ones((100, 100), bool)
    assert layout.place(thing, (200, 200)) == (150, 150)
    second = layout.place(thing, (200, 200))
    assert second is not None
    across, down = (max(0, abs(at - 150) - 99) for at in second)
    assert 10 <= float(np.hypot(across, down)) <= 25
    assert layout.place(np.ones((200, 200), bool), (200, 200)) is None


@pytest.mark.parametrize(
    ("number", "written"), [(1, "I"), (4, "IV"), (49, "XLIX"), (435, "CDXXXV")]
)
def test_roman_numerals(number: int, written: str) -> None:
    assert roman(number) == written
