"""`hash`: rows of every window, by what is seen and not by how it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.phash import windows
from ledgerkit.operations import hash
from ledgerkit.testing.handles import run_operation

Sheet = Callable[..., np.ndarray]
RED, BLUE = (150, 40, 40), (40, 60, 150)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return run_operation(hash, files={"source": [path]}).row_tables["hashes"]


def test_each_window_has_a_row_with_two_hashes(
    sheet: Sheet, tmp_path: Path, check_columns: Callable[[str, Any], None]
) -> None:
    path = tmp_path / "plate.png"
    Image.fromarray(sheet((150, 220, 90, RED), (320, 90, 40, BLUE))).save(path)
    rows = rows_of(path)
    assert [row["shown"] for row in rows] == list(windows())
    assert {len(row["tone"]) for row in rows} == {len(row["detail"]) for row in rows} == {32}
    assert len({row["tone"] for row in rows}) > 5
    check_columns("hashes", rows[0])


def test_a_picture_stored_turned_has_the_hash_of_the_upright_one(
    sheet: Sheet, tmp_path: Path
) -> None:
    picture = Image.fromarray(sheet((150, 220, 90, RED), (320, 90, 40, BLUE)))
    upright, turned = tmp_path / "upright.png", tmp_path / "turned.png"
    picture.save(upright)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for viewing
    picture.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    assert rows_of(upright) == rows_of(turned)


def test_an_even_sheet_has_rows_without_hashes_and_a_gate_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plate.png"
    Image.new("RGB", (300, 200), (230, 220, 200)).save(path)
    made = run_operation(hash, files={"source": [path]})
    assert {row["tone"] for row in made.row_tables["hashes"]} == {None}
    gate, check, passed, value, message = made.gates[0]
    assert (gate, check, passed, value) == ("hashes", "contrast", False, 0.0)
    assert "whole" in message


def test_a_picture_of_one_pixel_is_refused_with_the_least_size(tmp_path: Path) -> None:
    for size, said in (((1, 1), "1 x 1"), ((40, 1), "40 x 1")):
        path = tmp_path / "small.png"
        Image.new("RGB", size).save(path)
        with pytest.raises(UnreadableImage, match=f"{said} pixels .* at least 2 x 2"):
            rows_of(path)


def test_a_broken_source_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "plate.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 broken")
    with pytest.raises(UnreadableImage):
        rows_of(path)
