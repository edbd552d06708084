"""`overlay` and `contact`: lines lie where the regions end, and every plate is on a sheet."""

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.imaging import rle
from ledgerkit.imaging.overlay import COLOURS
from ledgerkit.operations import contact, overlay, segment
from ledgerkit.testing.handles import Produced, run_operation

Sheet = Callable[..., np.ndarray]
Write = Callable[..., Any]
DARK = (70, 50, 40)


def region(plate: str, kind: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """A row of `segments` with what is drawn of it: a full box on a grid of its own size."""
    x0, y0, x1, y1 = box
    grid = np.ones((y1 - y0, x1 - x0), dtype=bool)
    return {
        "segment_id": f"segment-{kind}",
        "plate_id": plate,
        "kind": kind,
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "mask": rle.encode(grid),
        "mask_width": x1 - x0,
        "mask_height": y1 - y0,
    }


def picture(produced: Produced, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(produced.file_outputs[name].data)).convert("RGB"))


def is_colour(pixels: np.ndarray, kind: str) -> np.ndarray:
    return (pixels == COLOURS[kind]).all(axis=-1)


@pytest.mark.parametrize("ground", [255, 0])
def test_a_line_runs_along_the_edge_with_black_beside_it_on_white_and_on_black(
    ground: int, write_plate: Write
) -> None:
    path, tile = write_plate("plate-001", np.full((300, 400, 3), ground, np.uint8), scale=2)
    rows = [region("plate-001", "figure", (200, 100, 400, 500))]
    tables = {"tiles": [tile], "segments": rows}
    made = run_operation(overlay, files={"image": [path]}, tables=tables)
    drawn = picture(made, "overlay.png")[:300]
    ys, xs = np.nonzero(is_colour(drawn, "figure"))
    assert (xs.min(), xs.max()) == pytest.approx((99.5, 199.5), abs=1.5)
    assert (ys.min(), ys.max()) == pytest.approx((49.5, 249.5), abs=1.5)
    assert len(ys) > 2 * (100 + 200) * 0.9
    around = drawn[150, 95:105].max(axis=-1)
    assert (around == 0).sum() >= 2
    assert (drawn[100:200, 120:180] == ground).all(), "the inside stays as it is"


def test_the_figure_of_an_overlay_is_listed_with_its_digest_and_its_legend_counts(
    sheet: Sheet, write_plate: Write, check_columns: Callable[[str, Any], None]
) -> None:
    path, tile = write_plate("plate-001", sheet((150, 240, 60, DARK)))
    files = {"image": [path]}
    rows = run_operation(segment, files=files, tables={"tiles": [tile]}).row_tables["segments"]
    tables = {"tiles": [tile], "segments": rows}
    made = run_operation(overlay, files=files, tables=tables)
    (row,) = made.row_tables["figures"]
    check_columns("figures", row)
    data = made.file_outputs["overlay.png"].data
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    legend = picture(made, "overlay.png")[400:]
    assert is_colour(legend, "figure").sum() > 50
    assert not is_colour(legend, "lettering").any(), "there is none on this plate"
    again = run_operation(overlay, files=files, tables=tables)
    assert again.file_outputs["overlay.png"].data == data


def test_every_plate_is_on_a_sheet_in_order(sheet: Sheet, write_plate: Write) -> None:
    written = [write_plate(f"plate-00{n}", sheet((200, 200, 90, DARK))) for n in range(1, 6)]
    rows = [region(tile["plate_id"], "figure", (110, 110, 290, 290)) for _, tile in written]
    tables = {"tiles": [tile for _, tile in written], "segments": rows}
    made = run_operation(
        contact,
        plate_id=None,
        files={"image": [path for path, _ in written]},
        tables=tables,
        cell=200,
        columns=2,
        plates_on_a_sheet=2,
    )
    figures = made.row_tables["figures"]
    assert [row["figure_id"] for row in figures] == ["contact-001", "contact-002", "contact-003"]
    assert [row["title"].partition(":")[0] for row in figures] == [
        "Regions of 2 plates, plate-001 to plate-002",
        "Regions of 2 plates, plate-003 to plate-004",
        "Regions of plate-005",
    ]
    for row in figures:
        drawn = picture(made, row["file"])
        assert drawn.shape[:2] == (row["height"], row["width"])
        lines = is_colour(drawn, "figure").sum()
        assert lines > (150 if row["figure_id"] == "contact-003" else 300)
    assert made.gates[0][2:4] == (True, 0.0)


def test_a_plate_without_a_region_fails_the_gate(sheet: Sheet, write_plate: Write) -> None:
    written = [write_plate(f"plate-00{n}", sheet()) for n in (1, 2)]
    made = run_operation(
        contact,
        plate_id=None,
        files={"image": [path for path, _ in written]},
        tables={
            "tiles": [tile for _, tile in written],
            "segments": [region("plate-002", "figure", (1, 1, 9, 9))],
        },
    )
    assert made.gates[0][2:4] == (False, 1.0)
