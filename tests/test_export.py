"""Exports of segments: what another tool reads is what the ledgers say, or nothing is written."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from ledgerkit.api import Repository
from ledgerkit.cli import cli
from ledgerkit.errors import DigestMismatch, InvalidRecord, MissingInput, UsageError
from ledgerkit.export import ledgers
from ledgerkit.export.figures import _csv
from ledgerkit.export.ledgers import KINDS
from ledgerkit.export.segments import FORMATS
from ledgerkit.merkle import parse_checkpoint

Command = Callable[..., subprocess.CompletedProcess[str]]
BASE = "https://plates.example.org/iiif"


@pytest.fixture
def segmented(worked: Repository) -> Repository:
    worked.consolidate()
    return worked


def rows_of(repository: Repository) -> dict[str, dict[str, Any]]:
    table = repository.query(
        "SELECT s.*, t.frame_width, t.frame_height FROM current_segments s "
        "JOIN current_tiles t USING (tile_id)"
    )
    return {row["segment_id"]: row for row in table.to_dicts()}


def uncompressed(text: str) -> list[int]:
    """Run lengths of COCO's text, after `rleFrString` of maskApi.c."""
    counts: list[int] = []
    place = 0
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            code = ord(text[place]) - 48
            value |= (code & 31) << 5 * shift
            more = bool(code & 32)
            place, shift = place + 1, shift + 1
            if not more and code & 16:
                value |= -1 << 5 * shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


def bitmap(segmentation: dict[str, Any]) -> np.ndarray:
    height, width = segmentation["size"]
    flat: list[int] = []
    for place, count in enumerate(uncompressed(segmentation["counts"])):
        flat += [place % 2] * count
    return np.array(flat, dtype=bool).reshape(width, height).T


def painted(row: dict[str, Any]) -> np.ndarray:
    """The mask of a row in its frame, pixel by pixel by the rule of centres."""
    runs = uncompressed(row["mask"])
    flat = [place % 2 for place, count in enumerate(runs) for _ in range(count)]
    frame = np.zeros((row["frame_height"], row["frame_width"]), dtype=bool)
    across, down = row["x1"] - row["x0"], row["y1"] - row["y0"]
    for y in range(down):
        for x in range(across):
            column = int((x + 0.5) / across * row["mask_width"])
            line = int((y + 0.5) / down * row["mask_height"])
            frame[row["y0"] + y, row["x0"] + x] = flat[column * row["mask_height"] + line]
    return frame


def test_coco_masks_boxes_and_areas_are_those_of_the_ledger(
    segmented: Repository, tmp_path: Path
) -> None:
    view = segmented.export("segments", "coco", tmp_path / "all.json")
    document = json.loads((tmp_path / "all.json").read_bytes())
    rows = rows_of(segmented)
    assert view.segments == len(document["annotations"]) == len(rows) > 4
    images = {image["id"]: image for image in document["images"]}
    assert [images[n]["plate_id"] for n in sorted(images)] == [f"plate-00{n}" for n in (1, 2, 3, 4)]
    for image in images.values():
        assert (image["width"], image["height"]) == (160, 120), "normalize made 96 x 72 of it"
        assert (segmented.root / image["file_name"]).is_file()
    names = {one["id"]: one["name"] for one in document["categories"]}
    for one in document["annotations"]:
        row = rows[one["segment_id"]]
        mask = bitmap(one["segmentation"])
        assert (mask == painted(row)).all()
        assert one["area"] == mask.sum()
        assert one["area"] == pytest.approx(row["area"], rel=0.03)
        ys, xs = np.nonzero(mask)
        x, y, width, height = one["bbox"]
        assert (x, y) == (xs.min(), ys.min())
        assert (x + width, y + height) == (xs.max() + 1, ys.max() + 1)
        assert names[one["category_id"]] == row["kind"]
        assert images[one["image_id"]]["plate_id"] == row["plate_id"]
        assert (one["run_id"], one["iscrowd"]) == (row["run_id"], 0)


def test_regions_cover_the_plate_but_for_the_rounding_of_their_boxes(
    segmented: Repository, tmp_path: Path
) -> None:
    """Boxes are whole pixels, rounded outwards, and a mask spans its box: a pixel at the edges."""
    segmented.export("segments", "coco", tmp_path / "all.json")
    document = json.loads((tmp_path / "all.json").read_bytes())
    by_plate = {image["id"]: np.zeros((120, 160), dtype=int) for image in document["images"]}
    for one in document["annotations"]:
        by_plate[one["image_id"]] += bitmap(one["segmentation"])
    for cover in by_plate.values():
        wrong = cover != 1
        assert wrong.mean() < 0.02
        four = wrong[:-3, :-3] & wrong[3:, :-3] & wrong[:-3, 3:] & wrong[3:, 3:]
        assert not four.any(), "nowhere more than a line"


def test_numbers_stay_whatever_else_is_chosen(segmented: Repository, tmp_path: Path) -> None:
    segmented.export("segments", "coco", tmp_path / "all.json")
    segmented.export(
        "segments", "coco", tmp_path / "some.json", plates="plate-002..003", kinds=["figure"]
    )
    every, some = (json.loads((tmp_path / f"{n}.json").read_bytes()) for n in ("all", "some"))
    numbers = {one["segment_id"]: one["id"] for one in every["annotations"]}
    assert len(set(numbers.values())) == len(numbers)
    assert {one["plate_id"] for one in some["images"]} == {"plate-002", "plate-003"}
    chosen = [
        one
        for one in every["annotations"]
        if one["image_id"] in (2, 3) and one["category_id"] == KINDS.index("figure") + 1
    ]
    assert some["annotations"] == chosen != []
    assert some["info"]["ledgerkit"]["selection"] == {
        "kinds": ["figure"],
        "plates": ["plate-002", "plate-003"],
        "variant": None,
    }


def test_only_the_variant_that_is_asked_for(segmented: Repository, tmp_path: Path) -> None:
    known = segmented.export("segments", "coco", tmp_path / "1.json", variant="classical")
    assert known.segments == len(rows_of(segmented))
    (variant,) = {
        one["variant"] for one in json.loads((tmp_path / "1.json").read_bytes())["annotations"]
    }
    assert segmented.export("segments", "coco", tmp_path / "2.json", variant=variant).segments
    assert not segmented.export("segments", "coco", tmp_path / "3.json", variant="other").segments


def shoelace(ring: list[list[float]]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


def test_geojson_rings_are_closed_turn_as_the_standard_says_and_have_the_area(
    segmented: Repository, tmp_path: Path
) -> None:
    segmented.export("segments", "geojson", tmp_path / "all.geojson")
    document = json.loads((tmp_path / "all.geojson").read_bytes())
    assert document["type"] == "FeatureCollection"
    assert document["coordinate_space"] == "image-pixels"
    rows = rows_of(segmented)
    assert {feature["id"] for feature in document["features"]} == set(rows)
    holes = 0
    for feature in document["features"]:
        row, geometry = rows[feature["id"]], feature["geometry"]
        polygons = geometry["coordinates"]
        polygons = [polygons] if geometry["type"] == "Polygon" else polygons
        assert geometry["type"] == "MultiPolygon" or len(polygons) == 1
        for polygon in polygons:
            assert all(ring[0] == ring[-1] and len(ring) >= 4 for ring in polygon)
            assert shoelace(polygon[0]) > 0
            assert all(shoelace(hole) < 0 for hole in polygon[1:])
            holes += len(polygon) - 1
        points = [point for polygon in polygons for ring in polygon for point in ring]
        bounds = [*np.min(points, axis=0), *np.max(points, axis=0)]
        assert bounds == feature["bbox"] == [row[name] for name in ("x0", "y0", "x1", "y1")]
        cell = (row["x1"] - row["x0"]) * (row["y1"] - row["y0"])
        cell /= row["mask_width"] * row["mask_height"]
        area = sum(shoelace(ring) for polygon in polygons for ring in polygon)
        pieces = sum(2 - len(polygon) for polygon in polygons)
        inside = sum(uncompressed(row["mask"])[1::2]) * cell
        assert area == pytest.approx(inside - pieces * cell / 2, abs=0.1)
        assert feature["properties"]["kind"] == row["kind"]
        assert feature["properties"]["image_width"] == 160
    assert holes >= 4, "the paper has a hole for each figure"


TEXT = {"type": "string", "minLength": 1}
ADDRESS = {"type": "string", "pattern": f"^{BASE}/"}
ANNOTATION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "type", "motivation", "body", "target"],
    "properties": {
        "id": ADDRESS,
        "type": {"const": "Annotation"},
        "motivation": {"const": "tagging"},
        "body": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "purpose", "value"],
                "properties": {
                    "type": {"const": "TextualBody"},
                    "purpose": {"enum": ["tagging", "describing"]},
                    "value": TEXT,
                },
            },
        },
        "target": {
            "type": "object",
            "additionalProperties": False,
            "required": ["source", "selector"],
            "properties": {
                "source": ADDRESS,
                "selector": {
                    "type": "array",
                    "prefixItems": [
                        {
                            "properties": {
                                "type": {"const": "FragmentSelector"},
                                "conformsTo": {"const": "http://www.w3.org/TR/media-frags/"},
                                "value": {"pattern": r"^xywh=pixel:\d+,\d+,[1-9]\d*,[1-9]\d*$"},
                            },
                            "additionalProperties": False,
                        },
                        {
                            "properties": {
                                "type": {"const": "SvgSelector"},
                                "value": {
                                    "pattern": r'^<svg xmlns="http://www\.w3\.org/2000/svg">'
                                    r'<path fill-rule="evenodd" d="M[-0-9., MLZ]+Z"/></svg>$'
                                },
                            },
                            "additionalProperties": False,
                        },
                    ],
                    "items": False,
                    "minItems": 2,
                },
            },
        },
    },
}
AROUND = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "type", "label", "total"],
    "properties": {
        "id": ADDRESS,
        "type": {"const": "AnnotationCollection"},
        "label": TEXT,
        "total": {"type": "integer"},
    },
}
PAGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["@context", "id", "type", "partOf", "startIndex", "items"],
    "properties": {
        "@context": {"const": "http://www.w3.org/ns/anno.jsonld"},
        "id": ADDRESS,
        "type": {"const": "AnnotationPage"},
        "partOf": AROUND,
        "startIndex": {"type": "integer"},
        "prev": ADDRESS,
        "next": ADDRESS,
        "items": {"type": "array", "items": ANNOTATION},
    },
}
"""Terms that the contexts of Web Annotation know, and no others: unknown ones are dropped by readers."""


def test_annotation_pages_hold_the_terms_of_the_standard_and_the_boxes_of_the_ledger(
    segmented: Repository, tmp_path: Path
) -> None:
    folder = tmp_path / "annotations"
    view = segmented.export("segments", "webannotation", folder, base_uri=f"{BASE}/")
    rows = rows_of(segmented)
    collection = json.loads((folder / "segments.json").read_bytes())
    assert collection["total"] == view.segments == len(rows)
    address, seen = collection["first"], 0
    while address:
        page = json.loads((folder / address.removeprefix(f"{BASE}/")).read_bytes())
        assert list(Draft202012Validator(PAGE).iter_errors(page)) == []
        assert page["id"] == address
        assert page["startIndex"] == seen
        for one in page["items"]:
            row = rows[one["id"].split("/")[-2]]
            box, path = (selector["value"] for selector in one["target"]["selector"])
            x, y, width, height = map(int, box.removeprefix("xywh=pixel:").split(","))
            assert [x, y, x + width, y + height] == [row[n] for n in ("x0", "y0", "x1", "y1")]
            points = re.findall(r"([-0-9.]+),([-0-9.]+)", path)
            assert 3 <= len(points) <= 500
            assert min(float(a) for a, _ in points) == pytest.approx(x, abs=width / 20)
            assert max(float(b) for _, b in points) == pytest.approx(y + height, abs=height / 20)
            assert one["body"][0]["value"] == row["kind"]
        seen += len(page["items"])
        address = page.get("next")
    assert seen == len(rows)
    assert page["id"] == collection["last"]


def test_a_manifest_shows_the_pyramid_of_the_plate_and_points_to_its_page(
    segmented: Repository, tmp_path: Path
) -> None:
    folder = tmp_path / "annotations"
    segmented.export("segments", "webannotation", folder, base_uri=BASE)
    assert not segmented.run("pyramid", plates="plate-001", base_uri=BASE).failures
    (info,) = (segmented.root / "plates_structured" / "plate-001").glob("cache/*/*/info.json")
    pyramid = json.loads(info.read_bytes())
    manifest = json.loads((folder / "plate-001" / "manifest.json").read_bytes())
    (canvas,) = manifest["items"]
    assert (canvas["width"], canvas["height"]) == (pyramid["width"], pyramid["height"])
    painting = canvas["items"][0]["items"][0]
    assert painting["body"]["service"][0]["id"] == pyramid["id"]
    image = painting["body"]["id"].removeprefix(f"{BASE}/plate-001/")
    assert (info.parent / image).is_file()
    page = json.loads((folder / "plate-001" / "segments.json").read_bytes())
    assert canvas["annotations"] == [{"id": page["id"], "type": "AnnotationPage"}]
    assert {one["target"]["source"] for one in page["items"]} == {canvas["id"]}
    assert not {path.name for path in info.parent.iterdir()} & {"manifest.json", "segments.json"}


def test_an_export_names_the_checkpoint_and_has_the_same_bytes_each_time(
    segmented: Repository, tmp_path: Path
) -> None:
    head = parse_checkpoint(segmented.checkpoint().text)
    for form in FORMATS:
        views = [segmented.export("segments", form, tmp_path / f"{form}-{n}") for n in (1, 2)]
        first, second = (tmp_path / f"{form}-{n}" for n in (1, 2))
        if form == "webannotation":
            listing = json.loads((first / "export.json").read_bytes())
            named = {one["path"] for one in listing["files"]} | {"export.json"}
            found = {str(p.relative_to(first)) for p in first.rglob("*") if p.is_file()}
            assert named == found
            for one in listing["files"]:
                data = (first / one["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == one["sha256"]
                assert (second / one["path"]).read_bytes() == data
            first, stated = first / "export.json", listing["ledgerkit"]
        else:
            assert first.read_bytes() == second.read_bytes()
            document = json.loads(first.read_bytes())
            stated = document["ledgerkit"] if form == "geojson" else document["info"]["ledgerkit"]
        assert hashlib.sha256(first.read_bytes()).hexdigest() == views[0].sha256 == views[1].sha256
        assert (stated["repository"], stated["log_size"]) == (head.origin, head.size)
        ledger = (segmented.root / "ledger" / "ledger.json").read_bytes()
        assert stated["ledger_sha256"] == hashlib.sha256(ledger).hexdigest()
        assert stated["log_root"] == json.loads(ledger)["log_root"] == views[0].log_root


def test_an_export_at_a_checkpoint_is_the_export_of_then(
    segmented: Repository, tmp_path: Path
) -> None:
    then = segmented.export("segments", "geojson", tmp_path / "then.json")
    segmented.withdraw(["plate-001"], by="A", reason="a test")
    segmented.consolidate()
    now = segmented.export("segments", "geojson", tmp_path / "now.json")
    again = segmented.export("segments", "geojson", tmp_path / "again.json", at=then.log_size)
    assert now.plates == 3
    assert again.plates == 4
    old, new = (json.loads((tmp_path / f"{n}.json").read_bytes()) for n in ("then", "again"))
    assert old["features"] == new["features"]
    assert old["ledgerkit"]["log_root"] == new["ledgerkit"]["log_root"]


def left(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()} - {"worked", "archive"}


@pytest.mark.parametrize("form", FORMATS)
def test_writes_over_nothing_and_never_into_a_repository(
    form: str, segmented: Repository, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (taken, tmp_path / "empty", tmp_path / "link"):
        with pytest.raises(UsageError, match="exists"):
            segmented.export("segments", form, target)
    for target in (segmented.root / "new", segmented.root / "ledger" / "new"):
        with pytest.raises(UsageError, match="inside the repository"):
            segmented.export("segments", form, target)
    with pytest.raises(UsageError, match="no folder"):
        segmented.export("segments", form, tmp_path / "missing" / "new")
    assert taken.read_text() == "mine"
    assert left(tmp_path) == {"taken", "empty", "link"}


def test_says_what_is_lacking(tiny: Repository, segmented: Repository, tmp_path: Path) -> None:
    target = tmp_path / "new"
    with pytest.raises(MissingInput) as refused:
        tiny.export("segments", "coco", target)
    assert "consolidate" in str(refused.value.hint)
    tiny.consolidate()
    with pytest.raises(MissingInput) as refused:
        tiny.export("segments", "coco", target)
    assert "ledgerkit segment" in str(refused.value.hint)
    for wrong, said in (({"kinds": ["leaf"]}, "leaf"), ({"base_uri": "iiif"}, "base_uri")):
        with pytest.raises(UsageError, match=said):
            segmented.export("segments", "coco", target, **wrong)  # type: ignore[arg-type]
    for what, form in (("vectors", "coco"), ("segments", "shapefile")):
        with pytest.raises(UsageError, match=r"there is no export|no format"):
            segmented.export(what, form, target)
    assert left(tmp_path) == set()


def rewritten(repository: Repository, table: pa.Table) -> None:
    """Put another ledger of segments in place, listed as `consolidate` lists its own."""
    folder = repository.root / "ledger"
    path, listing = folder / "segments.parquet", folder / "ledger.json"
    document = json.loads(listing.read_bytes())
    for one in (path, listing):
        one.unlink()
    pq.write_table(table, path, compression="zstd")
    data = path.read_bytes()
    document["tables"]["segments"] |= {
        "rows": table.num_rows,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    listing.write_text(json.dumps(document))


@pytest.mark.parametrize("form", FORMATS)
def test_a_broken_mask_is_named_and_leaves_nothing_behind(
    form: str, segmented: Repository, tmp_path: Path
) -> None:
    table = pq.read_table(segmented.root / "ledger" / "segments.parquet")
    last = max(range(table.num_rows), key=lambda n: table["plate_id"][n].as_py())
    masks = table["mask"].to_pylist()
    masks[last] = masks[last][:-1]
    at = table.column_names.index("mask")
    rewritten(segmented, table.set_column(at, "mask", pa.array(masks)))
    with pytest.raises(InvalidRecord, match=table["segment_id"][last].as_py()):
        segmented.export("segments", form, tmp_path / "new")
    assert left(tmp_path) == set()


def test_ledgers_that_somebody_changed_are_not_exported(
    segmented: Repository, tmp_path: Path
) -> None:
    path = segmented.root / "ledger" / "segments.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(DigestMismatch, match=r"ledger/segments\.parquet"):
        segmented.export("segments", "coco", tmp_path / "new")
    assert left(tmp_path) == set()


def multiplied(repository: Repository, count: int) -> None:
    """Ledgers with some `count` segments, evenly on the four plates, in the order of their ids."""
    table = pq.read_table(repository.root / "ledger" / "segments.parquet")
    times = count // table.num_rows
    many = pa.concat_tables([table] * times)
    names = [f"segment-{n * 7919 % 10**20:020x}" for n in range(many.num_rows)]
    many = many.set_column(many.column_names.index("segment_id"), "segment_id", pa.array(names))
    rewritten(repository, many.sort_by("segment_id"))


def test_memory_does_not_grow_with_the_number_of_segments(
    segmented: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plates are read until there are some thousand segments, and gone when the next are read."""
    read: list[int] = []
    held: list[int] = []
    real = ledgers.Ledgers.table

    def counted(self: Any, sql: str, *given: Any) -> pa.Table:
        found = real(self, sql, *given)
        if sql == ledgers._SEGMENTS:
            read.append(found.num_rows)
            held.append(tracemalloc.get_traced_memory()[0])
        return found

    monkeypatch.setattr(ledgers.Ledgers, "table", counted)
    monkeypatch.setattr(ledgers, "AT_ONCE", 700)
    multiplied(segmented, 4000)
    tracemalloc.start()
    view = segmented.export("segments", "coco", tmp_path / "all")
    tracemalloc.stop()
    assert sum(read) == view.segments
    assert read == pytest.approx([1000] * 4, rel=0.1)
    assert held[3] < held[1] + 500 * 1000, "as much as some of the thousand rows between them take"


def test_the_command_prints_what_the_verb_answers(
    segmented: Repository, command: Command, tmp_path: Path
) -> None:
    given = ("export", "segments", "-C", segmented.root, "--format", "coco")
    done = command(*given, "--json", "--kind", "figure,lettering", "-o", tmp_path / "a.json")
    view = json.loads(done.stdout)
    assert view["sha256"] == hashlib.sha256((tmp_path / "a.json").read_bytes()).hexdigest()
    assert view["form"] == "coco"
    said = command(*given, "-o", tmp_path / "b.json").stdout
    assert re.search(
        r"^\d+ segments of 4 plates in .*b\.json: .* SHA-256 [0-9a-f]{64}$", said, re.M
    )
    again = command(*given, "-o", tmp_path / "b.json")
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_figures_are_exported_with_an_index_of_how_each_is_read(
    segmented: Repository, tmp_path: Path
) -> None:
    view = segmented.export_figures(tmp_path / "figures")
    index = pq.read_table(tmp_path / "figures" / "viz_index.parquet")
    assert index.column_names[:6] == ["stage", "plot_id", "title", "path", "tags", "is_core"]
    rows = index.to_pylist()
    assert view.figures == len(rows) == len(segmented.query("SELECT * FROM current_figures")) > 3
    for row in rows:
        data = (tmp_path / "figures" / row["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert row["path"] == f"{row['stage']}/{row['run_id']}/{row['path'].rpartition('/')[2]}"
        assert row["interpretation"]
        assert row["warning_signs"]
    with open(tmp_path / "figures" / "viz_index.csv", newline="") as file:
        as_csv = list(csv.DictReader(file))
    assert [(one["path"], one["tags"], one["is_core"]) for one in as_csv] == [
        (row["path"], ";".join(row["tags"]), str(row["is_core"]).lower()) for row in rows
    ]
    told = json.loads((tmp_path / "figures" / "export.json").read_bytes())
    assert told["ledgerkit"]["log_size"] == view.log_size
    assert set(told["ledgerkit"]["table_sha256"]) == {"artifacts", "figures", "runs"}
    listed = {one["path"]: one["sha256"] for one in told["files"]}
    found = {path for path in (tmp_path / "figures").rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path / "figures")) for path in found} == {
        *listed,
        "export.json",
    }
    given = ["export", "figures", "-C", str(segmented.root), "-o", str(tmp_path / "again")]
    printed = CliRunner().invoke(cli, given).output
    assert printed.startswith(f"{view.figures} figures of {view.runs} runs in {tmp_path / 'again'}")
    assert view.sha256 in printed


def test_no_cell_of_the_index_of_figures_is_computed_by_a_spreadsheet() -> None:
    index = pa.table(
        {"title": ["=1+1", "plain"], "tags": [["@a", "b"], []], "is_core": [True, False]}
    )
    assert _csv(index) == b"title,tags,is_core\n'=1+1,'@a;b,true\nplain,,false\n"


def test_figures_can_be_chosen_and_a_damaged_one_leaves_nothing(
    segmented: Repository, tmp_path: Path
) -> None:
    some = segmented.export_figures(tmp_path / "some", made_by=["propose", "montage"], core=True)
    rows = pq.read_table(tmp_path / "some" / "viz_index.parquet").to_pylist()
    assert some.figures == len(rows)
    assert all(row["is_core"] and row["stage"] == "montage" for row in rows)
    with pytest.raises(MissingInput, match="no such current figure"):
        segmented.export_figures(tmp_path / "none", made_by=["overlay"])
    stored = segmented.root / rows[0]["stored_path"]
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    with pytest.raises(DigestMismatch):
        segmented.export_figures(tmp_path / "damaged")
    assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name] == []
    with pytest.raises(UsageError):
        segmented.export_figures(tmp_path / "some")
