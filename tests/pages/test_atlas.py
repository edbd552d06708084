"""The atlas as files: whole or absent, the same bytes each time, nothing of it blank or unescaped."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.errors import DigestMismatch, InvalidRecord, MissingInput, UsageError
from ledgerkit.export.target import Listed
from ledgerkit.pages import gather, pictures
from ledgerkit.pages.atlas import AtlasView
from ledgerkit.pages.markup import Markup, joined, tag
from ledgerkit.pages.nearest import nearest_rows
from ledgerkit.pages.script import packed, script
from ledgerkit.query import moment
from ledgerkit.testing.mapped import RUN, cluster_id

from .conftest import HOSTILE, PLATES, draw

Command = Callable[..., subprocess.CompletedProcess[str]]


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def data_of(folder: Path, name: str) -> Any:
    """The value that a script of data hands over."""
    text = (folder / "data" / f"{name}.js").read_text("utf-8")
    match = re.fullmatch(r'atlas\.put\("([^"]+)",(.*)\);\n', text)
    assert match
    assert match[1] == name
    return json.loads(match[2])


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())))


def test_the_same_ledgers_and_images_give_the_same_bytes(
    atlas: tuple[Path, AtlasView], shown: Repository, tmp_path: Path
) -> None:
    folder, view = atlas
    again = shown.atlas(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(folder)
    assert again.sha256 == view.sha256


def test_every_file_is_listed_with_its_digest(atlas: tuple[Path, AtlasView]) -> None:
    folder, view = atlas
    document = json.loads((folder / "export.json").read_bytes())
    found = files_of(folder)
    assert found.pop("export.json") == view.sha256
    assert {one["path"]: one["sha256"] for one in document["files"]} == found
    assert document["ledgerkit"]["log_size"] == view.log_size
    assert document["ledgerkit"]["log_root"] == view.log_root
    assert view.files == len(found) + 1
    page = (folder / "index.html").read_text("utf-8")
    assert view.log_root in page
    assert document["ledgerkit"]["table_sha256"]["cluster_members"] in page


def test_nothing_of_a_title_is_markup_in_a_page_or_in_data(atlas: tuple[Path, AtlasView]) -> None:
    folder, _ = atlas
    made = [*folder.glob("*.html"), *folder.glob("data/**/*.js")]
    assert len(made) > 6
    for path in made:
        text = path.read_text("utf-8")
        assert "<img src=x" not in text
        assert path.suffix == ".html" or "<" not in text
    assert data_of(folder, "plates")["titles"][1] == HOSTILE
    (work,) = [one for one in data_of(folder, "plates")["labels"] if one["name"] == "work"]
    assert work["values"] == [HOSTILE, "Birds"]


def test_pages_load_nothing_from_elsewhere(atlas: tuple[Path, AtlasView]) -> None:
    folder, _ = atlas
    for path in folder.glob("*.html"):
        text = html.unescape(path.read_text("utf-8"))
        assert "default-src 'none'; script-src 'self' file:;" in text
        for address in re.findall(r'(?:src|href)="([^"#]*)', text):
            assert address == "" or (folder / address).is_file(), f"{path.name}: {address}"


def test_a_map_says_what_the_ledger_says(atlas: tuple[Path, AtlasView], shown: Repository) -> None:
    folder, view = atlas
    assert (view.maps, view.points, view.plates) == (1, PLATES, PLATES)
    found = data_of(folder, "map-0")
    assert found["run"] == RUN
    assert found["levels"] == [1, 2]
    ids = [f"plate-{number:03d}" for number in numbers(data_of(folder, "plates")["numbers"], "<i4")]
    for depth, level in enumerate(found["levels"]):
        rows = shown.query(
            "SELECT subject_id, cluster_id, x FROM cluster_members WHERE level = ?", [level]
        ).to_dicts()
        clusters = {
            ids[plate]: None if at < 0 else found["clusters"][at]["id"]
            for plate, at in zip(
                numbers(found["plates"], "<i4"),
                numbers(found["members"][depth], "<i4"),
                strict=True,
            )
        }
        assert clusters == {row["subject_id"]: row["cluster_id"] for row in rows}
    first = found["clusters"][0]
    assert first["title"] == "Blob 0 of level 1"
    halves = [one for one in found["clusters"] if one["parent"] == 0]
    assert {one["id"] for one in halves} == {cluster_id(2, 0), cluster_id(2, 1)}
    assert [len(one["near"]) for one in found["clusters"]] == [1, 1, 3, 3, 3, 3]


def test_the_small_pictures_are_those_of_the_plates(atlas: tuple[Path, AtlasView]) -> None:
    folder, _ = atlas
    small = data_of(folder, "sprites")
    cells = numbers(data_of(folder, "plates")["sprites"], "<i4")
    assert sorted(cells.tolist()) == list(range(PLATES))
    sheet = picture(folder / small["sheets"][0])
    for number, cell in enumerate(cells.tolist(), 1):
        width, height = (int(numbers(small[name], "u1")[cell]) for name in ("width", "height"))
        x, y = cell % small["across"] * small["side"], cell // small["across"] * small["side"]
        shown = sheet[y : y + height, x : x + width]
        expected = np.asarray(draw(number).resize((width, height)))
        assert np.abs(shown.astype(int) - expected).mean() < 6, number


def test_a_plate_has_its_tiles_segments_runs_and_reasons(
    atlas: tuple[Path, AtlasView], shown: Repository
) -> None:
    folder, view = atlas
    plates = {one["id"]: one for one in data_of(folder, "plates/0")}
    first = plates["plate-001"]
    assert first["zoom"] == [700, 520, 256, 3]
    assert view.zoomable == 1
    tiles = sorted(
        path.relative_to(folder / "tiles/plate-001") for path in folder.glob("tiles/**/*.jpg")
    )
    assert len(tiles) == 1 + 4 + 9
    assert picture(folder / "tiles/plate-001/2/2_2.jpg").shape[:2] == (520 - 512, 700 - 512)
    rows = shown.query("SELECT segment_id FROM current_segments WHERE plate_id = 'plate-001'")
    assert {one["id"] for one in first["segments"]} == set(rows["segment_id"].to_list())
    assert all(re.fullmatch(r"(M[-0-9., L]+ Z ?)+", one["path"]) for one in first["segments"])
    assert [run["operation"] for run in first["runs"]] == [
        "headers",
        "normalize",
        "segment",
        "pyramid",
    ]
    (image,) = [one for one in first["runs"][2]["input"] if one["role"] == "image"]
    assert image["made_by"] == first["runs"][1]["run_id"]
    assert plates["plate-004"]["zoom"] is None
    assert (folder / plates["plate-004"]["whole"][0]).is_file()


def test_what_is_missing_is_said_and_counted(
    shown: Repository, tmp_path: Path, command: Command
) -> None:
    root = shown.root
    cached = next(root.glob("plates_structured/plate-004/cache/*/whole.*"))
    source = next(root.glob("plates_structured/plate-004/source/*"))
    for path in (cached, source):
        path.parent.chmod(0o755)
        path.unlink()
    other = next(root.glob("plates_structured/plate-005/cache/*/whole.*"))
    other.parent.chmod(0o755)
    other.unlink()
    swapped, whole = (
        next(root.glob(f"plates_structured/plate-00{number}/cache/*/whole.*")) for number in (6, 7)
    )
    swapped.chmod(0o644)
    swapped.write_bytes(whole.read_bytes())
    tile = next(
        root.glob("plates_structured/plate-001/cache/*/plate-001/0,0,256,256/256,256/0/*.jpg")
    )
    tile.chmod(0o644)
    tile.write_bytes(tile.read_bytes()[:-1])
    done = command("atlas", "-C", root, "-o", tmp_path / "atlas")
    assert done.returncode == 1, done.stderr
    assert "4 pictures of plates are missing or replaced" in done.stderr
    missing = data_of(tmp_path / "atlas", "plates")["missing"]
    assert list(missing) == ["3"]
    assert f"cache/{cached.parent.name}/whole" in missing["3"]
    assert source.name in missing["3"]
    plates = {one["id"]: one for one in data_of(tmp_path / "atlas", "plates/0")}
    assert plates["plate-004"]["whole"] is None
    assert plates["plate-004"]["notes"] == [missing["3"]]
    assert "The source is shown" in plates["plate-005"]["notes"][0]
    assert plates["plate-005"]["whole"] is not None
    assert "is not the file that was recorded" in plates["plate-006"]["notes"][0]
    assert "Its tiles cannot be shown" in plates["plate-001"]["notes"][0]
    assert plates["plate-001"]["zoom"] is None
    assert plates["plate-001"]["whole"] is not None
    assert not list((tmp_path / "atlas").glob("tiles/**/*.jpg"))
    assert "plate-004" in (tmp_path / "atlas/index.html").read_text("utf-8")


def test_an_atlas_of_plates_alone_says_what_is_not_there_yet(
    tiny: Repository, tmp_path: Path
) -> None:
    tiny.consolidate()
    view = tiny.atlas(tmp_path / "atlas", pictures="thumbnails")
    assert (view.plates, view.maps, view.segments, view.missing) == (3, 0, 0, {})
    page = (tmp_path / "atlas/index.html").read_text("utf-8")
    for said in (
        "no map",
        "No plate has tiles here",
        "no segments",
        "No current run has drawn a figure",
        "has checked its own result",
    ):
        assert said in page
    assert not (tmp_path / "atlas/images").exists()
    assert len(data_of(tmp_path / "atlas", "sprites")["sheets"]) == 1


def test_figures_are_copied_with_their_digests_and_a_lost_one_is_said(
    atlas: tuple[Path, AtlasView], shown: Repository, tmp_path: Path
) -> None:
    asked = "SELECT f.*, r.plate_id FROM current_figures f JOIN runs r USING (run_id) ORDER BY 2"
    of_plate, row = sorted(shown.query(asked).to_dicts(), key=lambda one: one["plate_id"] is None)
    (own,) = {one["id"]: one for one in data_of(atlas[0], "plates/0")}["plate-002"]["figures"]
    assert files_of(atlas[0])[own["file"]] == of_plate["sha256"]
    assert own["interpretation"] == of_plate["interpretation"]
    name = f"figures/{row['sha256'][:20]}.png"
    assert files_of(atlas[0])[name] == row["sha256"]
    page = (atlas[0] / "index.html").read_text("utf-8")
    assert f'src="{name}" alt="{row["title"]}"' in page
    assert tag("p", tag("strong", "Interpretation: "), row["interpretation"]) in page
    assert own["file"] not in page
    assert "checks that current runs made of their own results passed" in page
    (path,) = shown.root.glob(f"runs/{row['run_id']}/outputs/{row['file']}")
    path.chmod(0o644)
    path.write_bytes(b"another picture")
    view = shown.atlas(tmp_path / "atlas", pictures="thumbnails")
    page = (tmp_path / "atlas/index.html").read_text("utf-8")
    assert list(view.figures_missing) == [f"{row['run_id']}/{row['figure_id']}"]
    assert "There is no picture: " in page
    assert not (tmp_path / "atlas" / name).exists()


def test_a_segment_is_cut_from_the_picture_of_its_plate(shown: Repository, tmp_path: Path) -> None:
    with moment(shown._archive.tree) as ledgers:
        plates = gather.plates_of(ledgers)
        tiles = gather.pictures_of(ledgers)
        boxes = gather.boxes_of(ledgers, "segment")
    (figure,) = shown.query(
        "SELECT segment_id FROM current_segments WHERE plate_id = 'plate-001' AND kind = 'figure'"
    )["segment_id"]
    one = gather.Map(
        "run",
        "segments",
        "segment",
        [1],
        {figure: 0},
        np.array([0], np.int32),
        np.zeros(1),
        np.zeros(1),
        np.array([[-1]], np.int32),
        np.zeros(1),
        np.array([[-1]], np.int32),
        [],
    )
    shots = [pictures.shots_of(row, tiles.get(row["plate_id"])) for row in plates.rows]
    numbering = pictures.number(plates, [one], shots, {"segment": boxes})
    assert numbering.maps[0].tolist() == [0]
    assert numbering.plates.tolist() == list(range(1, PLATES + 1))
    made = pictures.make(shown._archive.tree, shots, numbering, set(), Listed(tmp_path))
    width, height = int(made.width[0]), int(made.height[0])
    cell = picture(tmp_path / made.sheets[0])[:height, :width]
    inner = cell[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4]
    colour = np.asarray(draw(1))[200, 250]
    assert np.abs(inner.astype(int) - colour).max() < 24


def test_equal_images_are_read_and_shown_once(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    entries = []
    for number in (1, 2, 3):
        draw(5).save(scans / f"{number}.png")
        entry = {"plate": number, "name": f"Wren {number}", "slug": f"wren-{number}"}
        entries.append(entry | {"fileName": f"{number}.png", "download": "https://example.org/"})
    (tmp_path / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(tmp_path / "archive")
    repository.ingest(tmp_path / "data.json", scans)
    repository.consolidate()
    seen: list[tuple[int, int]] = []
    repository.atlas(tmp_path / "atlas", progress=lambda *at: seen.append(at))
    assert seen == [(1, 1)]
    assert numbers(data_of(tmp_path / "atlas", "plates")["sprites"], "<i4").tolist() == [0, 0, 0]
    assert len(list((tmp_path / "atlas/images").iterdir())) == 1


def test_an_atlas_is_written_to_a_new_place_outside_or_not_at_all(
    shown: Repository, tiny: Repository, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "there", shown.root / "atlas", tmp_path / "nowhere/atlas"):
        with pytest.raises(UsageError):
            shown.atlas(target)
    with pytest.raises(UsageError, match="no choice of pictures"):
        shown.atlas(tmp_path / "new", pictures="all")
    with pytest.raises(MissingInput, match="no ledgers"):
        tiny.atlas(tmp_path / "new")
    gates = shown.root / "ledger/gates.parquet"
    gates.chmod(0o644)
    data = bytearray(gates.read_bytes())
    data[6] ^= 1
    gates.write_bytes(data)
    with pytest.raises(DigestMismatch):
        shown.atlas(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


def test_neighbours_are_the_nearest_by_cosine_and_equals_come_in_order() -> None:
    matrix = np.array([[1, 0], [2, 0], [1, 1], [0, 1], [-1, 0]], np.float32)
    found = nearest_rows(matrix, 2)
    assert found[0] == [(1, 1.0), (2, 0.7071)]
    assert found[2] == [(0, 0.7071), (1, 0.7071)]
    assert found[4] == [(3, 0.0), (2, -0.7071)]
    assert nearest_rows(matrix[:1]) == [[]]
    with pytest.raises(InvalidRecord, match="zero or not finite"):
        nearest_rows(np.zeros((2, 2), np.float32))


def test_markup_escapes_every_text_but_markup() -> None:
    assert tag("a", HOSTILE, href='"><b>') == (
        '<a href="&quot;&gt;&lt;b&gt;">&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;</a>'
    )
    assert joined((Markup("<b>"), "<b>")) == "<b>&lt;b&gt;"


def test_data_cannot_end_a_script_or_a_line() -> None:
    data = script("x", {"a": "</script>\u2028&\u2029"}).decode("utf-8")
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data[len('atlas.put("x",') : -3]) == {"a": "</script>\u2028&\u2029"}
    assert numbers(packed(np.array([1, -2]), np.int32), "<i4").tolist() == [1, -2]


def test_sheets_have_room_for_all_cells(tmp_path: Path) -> None:
    from ledgerkit.pages.pictures import _sheets

    cells = io.BytesIO()
    for number in range(300):
        cells.write(bytes([number % 256]) * (128 * 128 * 3))
    sheets = dict(_sheets(cells, 300, 128))
    assert list(sheets) == ["sprites/0000.jpg", "sprites/0001.jpg"]
    first, second = (np.asarray(Image.open(io.BytesIO(data))) for data in sheets.values())
    assert first.shape == (2048, 2048, 3)
    assert second.shape == (3 * 128, 2048, 3)
    assert abs(int(first[128 + 60, 60, 0]) - 16) <= 2
    assert abs(int(second[60, 60, 0]) - 0) <= 2
