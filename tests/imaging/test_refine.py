"""Plates cut in tiles are those cut whole; parts lie in their figures; judges judge."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.imaging import rle
from ledgerkit.imaging.cutting import TileRule, cut_file, with_parts
from ledgerkit.imaging.pale import PaleRule, fill_pale
from ledgerkit.imaging.parts import PartRule
from ledgerkit.imaging.regions import RegionRule, cut
from ledgerkit.imaging.ruling import RulingRule, ruled_lines
from ledgerkit.testing.engravings import draw
from ledgerkit.testing.segmentation import (
    Lettering,
    Matched,
    agree,
    covered,
    figures_of,
    iou,
    judge_boxes,
    judge_drawn,
    judge_lettering,
    match,
    report_boxes,
    report_drawn,
    segments_of,
    tile_of,
)

CREAM = (236, 226, 200)
EYE = Path(__file__).parent / "figures-by-eye.json"
HELD_OUT = Path(__file__).parent / "figures-by-eye-held-out.json"


def sheet(height: int = 400, width: int = 320) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, 1.5, (height, width, 1))
    return np.clip(np.array(CREAM) + noise, 0, 255).astype(np.uint8)


def disk(image: np.ndarray, x: int, y: int, radius: int, colour: tuple[int, int, int]) -> None:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = colour


def saved(pixels: np.ndarray, path: Path) -> Path:
    Image.fromarray(pixels).save(path, compress_level=1)
    return path


def test_drawn_plates_are_cut_as_well_as_is_promised_and_in_tiles_as_whole() -> None:
    judged = list(judge_drawn(range(1000, 1001), (480, 600), [256, 384], ["fish", "flower"]))
    for tile in (0, 256, 384):
        own = [one for one in judged if one.tile == tile]
        assert np.mean([one.truth.foreground for one in own]) >= 0.95
        assert np.mean([one.truth.best for one in own]) >= 0.93
        for one in own:
            assert one.truth.recall == 1.0
            assert one.truth.figures == one.truth.others
            assert min(one.whole.foreground, one.whole.best) >= 0.99
    assert len(list(report_drawn(judged))) == 2 + 2 + 3


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_plate_in_tiles_covers_the_frame_once_however_it_is_stored(
    orientation: int, tmp_path: Path
) -> None:
    image = sheet()
    disk(image, 150, 200, 90, (70, 50, 40))
    disk(image, 260, 60, 30, (40, 80, 120))
    stored, exif = np.rot90(image) if orientation == 6 else image, Image.Exif()
    exif[274] = orientation
    path = tmp_path / "plate.tif"
    Image.fromarray(stored).save(path, exif=exif)
    with path.open("rb") as file:
        tiled = cut_file(file, 320, 400, TileRule(core=100), RegionRule())
    assert tiled.tiles == 16
    assert tiled.conservation is not None
    assert tiled.conservation.holds
    count = np.zeros((400, 320), dtype=int)
    for region in tiled.regions:
        box = region.box
        count[box.y0 : box.y1, box.x0 : box.x1] += region.mask
    assert (count == 1).all()
    whole = cut(image, RegionRule())
    assert [region.kind for region in tiled.regions] == list(whole.kinds)
    for region in tiled.regions[1:]:
        same = whole.labels[region.box.y0 : region.box.y1, region.box.x0 : region.box.x1]
        assert ((same == region.label) == region.mask).mean() > 0.99


def test_a_tile_without_paper_or_without_marks_invents_nothing(tmp_path: Path) -> None:
    """A figure larger than a tile, and tiles of bare paper beside it."""
    image = sheet(600, 600)
    disk(image, 250, 250, 190, (90, 60, 40))
    rows, _ = segments_of(saved(image, tmp_path / "plate.png"), tile=80)
    assert [row["kind"] for row in rows] == ["paper", "figure"]
    assert rows[1]["area"] == pytest.approx(np.pi * 190**2, rel=0.02)


def test_a_tinted_hole_over_many_tiles_is_filled_as_in_the_whole(tmp_path: Path) -> None:
    image = sheet(600, 600)
    disk(image, 300, 300, 200, (70, 50, 40))
    disk(image, 300, 300, 180, (228, 214, 188))
    path = saved(image, tmp_path / "plate.png")
    for tile in (0, 120):
        rows, _ = segments_of(path, tile=tile)
        assert [row["kind"] for row in rows] == ["paper", "figure"]
        assert rows[1]["area"] == pytest.approx(np.pi * 200**2, rel=0.02)


def test_fine_lettering_in_tiles_is_that_of_the_whole(tmp_path: Path) -> None:
    """One letter in four is as dark as the figure, so tiles see these alone."""
    image = sheet(1000, 800)
    disk(image, 400, 400, 250, (20, 16, 12))
    for place in range(24):
        left = 280 + 9 * place
        image[850:862, left : left + 2] -= 36 if place % 4 else 150
    path = saved(image, tmp_path / "plate.png")
    boxes = []
    for tile in (0, 300):
        rows, _ = segments_of(path, tile=tile)
        assert [row["kind"] for row in rows] == ["paper", "figure", "lettering"]
        boxes.append([rows[2][side] for side in ("x0", "y0", "x1", "y1")])
    assert boxes[0] == pytest.approx(boxes[1], abs=2)


def test_a_plate_larger_than_its_overview_has_borders_of_its_own_size(tmp_path: Path) -> None:
    image = sheet(1800, 1200)
    disk(image, 600, 900, 400, (90, 60, 40))
    path = saved(image, tmp_path / "plate.png")
    rows, _ = segments_of(path, long_side=1800, tile=700)
    assert rows[1]["mask_width"] == pytest.approx(801, abs=3)
    assert rows[1]["area"] == pytest.approx(np.pi * 400**2, rel=0.01)


def test_parts_lie_in_their_figure_cover_it_and_do_not_overlap(tmp_path: Path) -> None:
    image = sheet()
    disk(image, 150, 200, 100, (70, 50, 40))
    disk(image, 180, 220, 40, (190, 60, 40))
    disk(image, 270, 50, 25, (40, 80, 120))
    path = saved(image, tmp_path / "plate.png")
    plain, _ = segments_of(path)
    rows, _ = segments_of(path, parts="colour")
    assert rows[: len(plain)] == plain
    parts = rows[len(plain) :]
    large = max((row for row in plain if row["kind"] == "figure"), key=lambda row: row["area"])
    assert [row["kind"] for row in parts] == ["part", "part"]
    assert {row["parent_id"] for row in parts} == {large["segment_id"]}
    assert sum(row["area"] for row in parts) == large["area"]
    canvas = np.zeros((400, 320), dtype=int)
    for row in parts:
        own = rle.decode(row["mask"], row["mask_height"], row["mask_width"])
        canvas[row["y0"] : row["y1"], row["x0"] : row["x1"]] += own
    assert canvas.max() == 1
    assert parts[1]["area"] == pytest.approx(np.pi * 40**2, rel=0.1)


def test_parts_of_a_plate_in_tiles_lie_in_its_figures(tmp_path: Path) -> None:
    path = saved(draw("bird", 1000).pixels, tmp_path / "plate.png")
    with path.open("rb") as file:
        found = with_parts(cut_file(file, 640, 800, TileRule(core=300), RegionRule()), PartRule())
    parts = [region for region in found.regions if region.kind == "part"]
    assert parts
    areas: dict[int, int] = {}
    for part in parts:
        assert part.parent is not None
        figure = found.regions[part.parent]
        assert figure.kind == "figure"
        inner = figure.mask[
            part.box.y0 - figure.box.y0 : part.box.y1 - figure.box.y0,
            part.box.x0 - figure.box.x0 : part.box.x1 - figure.box.x0,
        ]
        assert not (part.mask & ~inner).any()
        areas[part.parent] = areas.get(part.parent, 0) + int(part.mask.sum())
    assert all(area == found.regions[place].mask.sum() for place, area in areas.items())


def test_a_sharp_figure_is_stable_and_a_faint_one_is_less() -> None:
    image = sheet(600, 480)
    disk(image, 120, 150, 60, (70, 50, 40))
    rows, columns = np.ogrid[:600, :480]
    wash = np.clip(1 - np.hypot(rows - 420, columns - 300) / 130, 0, 1)[..., None]
    image = (image - wash * np.array((60, 60, 50))).clip(0, 255).astype(np.uint8)
    scene = cut(image, RegionRule())
    by_height = sorted(
        (int(np.argwhere(scene.labels == index)[0][0]), value)
        for index, value in enumerate(scene.stability)
        if scene.kinds[index] == "figure"
    )
    (_, sharp), (_, faint) = by_height
    assert sharp is not None
    assert faint is not None
    assert sharp > 0.95 > faint > 0
    assert scene.stability[0] is None
    strict = cut(image, RegionRule(steady=(sharp + faint) / 2))
    assert strict.kinds == ("paper", "figure")
    assert strict.stability == (None, sharp)


def test_a_printed_frame_is_paper_and_what_touches_it_is_a_figure() -> None:
    image = np.full((600, 480, 3), 255, dtype=np.uint8)
    image[30:32, 25:455] = image[568:570, 25:455] = 60
    image[30:570, 25:27] = image[30:570, 453:455] = 60
    disk(image, 110, 200, 84, (90, 60, 40))
    disk(image, 350, 420, 60, (60, 90, 140))
    scene = cut(image, RegionRule())
    assert scene.kinds == ("paper", "figure", "figure")
    boxes = [np.argwhere(scene.labels == index) for index in (1, 2)]
    assert np.ptp(boxes[0][:, 0]) == pytest.approx(168, abs=4)


def test_ruled_lines_are_near_the_border_long_and_thin() -> None:
    mark = np.zeros((500, 400), dtype=bool)
    mark[20:22, 30:370] = mark[250:252, 30:370] = True
    mark[300:480, 30:90] = True
    found = ruled_lines(mark, np.ones_like(mark), RulingRule())
    assert found[20:22, 40:360].all()
    assert not found[200:].any()


def test_pale_parts_are_filled_where_something_is_drawn_on_them() -> None:
    solid = np.zeros((200, 300), dtype=bool)
    for left in (20, 160):
        solid[40:160, left : left + 120] = True
        solid[50:150, left + 10 : left + 110] = False
    rough = np.full(solid.shape, 0.5, dtype=np.float32)
    rough[50:150, 30:130] = 1.5
    filled = fill_pale(solid, np.ones_like(solid), rough, 0.2, 100, PaleRule())
    assert filled[40:160, 20:140].all()
    assert not filled[60:140, 180:260].any()
    assert not filled[:40].any()


def test_the_foreground_is_all_figures_in_one_mask(tmp_path: Path) -> None:
    from ledgerkit.operations import segment
    from ledgerkit.testing.handles import run_operation

    image = sheet()
    disk(image, 100, 120, 60, (70, 50, 40))
    disk(image, 220, 300, 50, (40, 80, 120))
    path = saved(image, tmp_path / "plate.png")
    rows, tile = segments_of(path)
    made = run_operation(segment, files={"source": [path]}, tables={"tiles": [tile]})
    document = made.documents["foreground.json"]
    mask = rle.decode(document["mask"], document["mask_height"], document["mask_width"])
    assert (mask == np.logical_or.reduce(figures_of(rows, 320, 400))).all()
    assert document["share"] == mask.mean()
    gate = next(gate for gate in made.gates if gate[1] == "foreground")
    assert gate[3] == pytest.approx(mask.mean())


MEASURED = r"""
import json, re, sys
from pathlib import Path
import numpy, scipy.ndimage, scipy.spatial, skimage.draw, skimage.segmentation, pyvips
from ledgerkit.operations import segment
from ledgerkit.testing.handles import LocalInputs, Produced
path, tile, given = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
inputs = LocalInputs("plate-001", {"source": [path]}, {"tiles": [tile]})
parameters = segment.Parameters(**given)
def peak():
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
segment.run(inputs, parameters, Produced())
print(peak() - before, segment.memory(inputs, parameters))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("given", [{}, {"long_side": 2250, "tile": 512}], ids=["whole", "in tiles"])
def test_keeps_to_the_memory_it_states(given: dict[str, Any], tmp_path: Path) -> None:
    image = draw("shell", 1000, width=600, height=750).pixels.repeat(3, axis=0).repeat(3, axis=1)
    path = saved(image, tmp_path / "plate.png")
    tile = tile_of(path)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path), json.dumps(tile), json.dumps(given)],
        capture_output=True,
        text=True,
        check=True,
    )
    taken, stated = map(int, done.stdout.split())
    assert taken <= stated <= 8 * taken


def test_boxes_pair_off_one_to_one_the_best_first() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    wanted = [(0.0, 0.0, 1.0, 1.0), (2.0, 0.0, 3.0, 1.0)]
    found = [(0.0, 0.0, 1.0, 0.9), (0.0, 0.0, 1.0, 0.8), (5.0, 5.0, 6.0, 6.0)]
    assert match(wanted, found) == 1
    assert match(wanted, [*found, (2.0, 0.0, 3.0, 2.0)]) == 2


def test_masks_are_compared_by_their_best_match() -> None:
    one = np.zeros((10, 10), dtype=bool)
    one[:, :5] = True
    found = agree([one], [one, ~one])
    assert (found.foreground, found.best, found.recall) == (0.5, 0.5, 0.5)


def test_plates_are_judged_by_the_boxes_of_a_file(tmp_path: Path) -> None:
    image = sheet()
    disk(image, 100, 120, 60, (70, 50, 40))
    saved(image, tmp_path / "plate.png")
    right, wrong = [0.19, 0.15, 0.44, 0.45], [0.6, 0.6, 0.9, 0.9]
    plate = {"file": "plate.png", "work": "Works", "boxes": [right, wrong]}
    (tmp_path / "boxes.json").write_text(json.dumps({"plates": [plate]}))
    (judged,) = judge_boxes(tmp_path, tmp_path / "boxes.json")
    assert (judged.wanted, judged.found, judged.right) == (2, 1, 1)
    assert list(report_boxes([judged]))[-1] == "| **all** | 2 | 1 | 1 | 0.50 | 1.00 | - | - | - |"


def test_captions_are_found_by_half_of_their_width_and_other_lettering_is_wrong() -> None:
    title, number = (0.2, 0.90, 0.6, 0.92), (0.1, 0.10, 0.12, 0.12)
    plate = {"captions": [title, (0.2, 0.95, 0.6, 0.97)], "numbers": [number]}
    halves = [(0.2, 0.90, 0.31, 0.92), (0.45, 0.895, 0.56, 0.925)]
    assert covered(title, halves)
    assert not covered(title, halves[:1])
    assert not covered(title, [halves[0], halves[0]])
    assert not covered(title, [(0.2, 0.915, 0.6, 0.94)])
    assert covered(title, [(0.0, 0.85, 1.0, 1.0)])
    found = judge_lettering(plate, [*halves, (0.1, 0.11, 0.125, 0.12), (0.5, 0.5, 0.6, 0.52)])
    assert found == Lettering(captions=2, covered=1, wrong=1)
    assert judge_lettering({"captions": []}, []) == Lettering(0, 0, 0)
    assert judge_lettering({"boxes": []}, halves) is None
    known, unknown = Matched("a", "A", 1, 1, 1, found), Matched("b", "B", 1, 1, 1)
    table = list(report_boxes([known, unknown]))
    assert table[0].endswith("| captions | captions found | wrong lettering |")
    assert table[2].endswith("| 2 | 1 | 1 |")
    assert table[3].endswith("| - | - | - |")
    assert table[-1].endswith("| 2 | 1 | 1 |")


@pytest.mark.parametrize(("path", "count"), [(EYE, 24), (HELD_OUT, 20)])
def test_boxes_drawn_by_eye_are_boxes(path: Path, count: int) -> None:
    plates = json.loads(path.read_text())["plates"]
    assert len(plates) == len({plate["file"] for plate in plates}) == count
    assert {plate["work"] for plate in plates} == {"Audubon", "Haeckel", "Rothschild", "Swainson"}
    for plate in plates:
        assert plate["boxes"]
        for x0, y0, x1, y1 in plate["boxes"] + plate["captions"] + plate["numbers"]:
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1


def test_held_out_plates_are_none_of_those_looked_at() -> None:
    seen, held = (
        {plate["file"] for plate in json.loads(path.read_text())["plates"]}
        for path in (EYE, HELD_OUT)
    )
    assert not seen & held
