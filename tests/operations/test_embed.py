"""`embed`: unit vectors that say what a picture shows, and nothing of its neighbours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ledgerkit.errors import InvalidRecord
from ledgerkit.imaging.descriptor import BLOCKS, DIMENSION, Weights, describe
from ledgerkit.imaging.subject import Subject
from ledgerkit.operations import embed, segment
from ledgerkit.testing.engravings import FAMILIES, draw
from ledgerkit.testing.handles import run_operation

Sheet = Callable[..., np.ndarray]
Write = Callable[..., tuple[Path, dict[str, Any]]]
RED, BLUE = (150, 40, 40), (40, 60, 150)
FLOOR = 0.5
"""Measured on five plates of each family, seeds from 1100, 1200 and 1300: 0.66 to 0.74."""


def table_of(path: Path, tile: dict[str, Any], **parameters: Any) -> pa.Table:
    files, tables = {"image": [path]}, {"tiles": [tile]}
    return run_operation(embed, files=files, tables=tables, **parameters).arrow_tables["embeddings"]


def vector_of(path: Path, tile: dict[str, Any], **parameters: Any) -> np.ndarray:
    return np.array(table_of(path, tile, **parameters)["vector"][0].as_py(), dtype=np.float32)


def bars(sheet: Sheet, step: int) -> np.ndarray:
    """A sheet with a square of dark bars."""
    pixels = sheet()
    for row in range(100, 300, 2 * step):
        pixels[row : row + step, 100:300] = 40
    return pixels


def test_a_plate_has_one_unit_vector_of_fixed_length(
    sheet: Sheet, write_plate: Write, check_columns: Callable[[str, Any], None]
) -> None:
    made = table_of(*write_plate("plate-001", sheet((200, 200, 80, RED))))
    check_columns("embeddings", made.column_names)
    assert made["subject_id"].to_pylist() == ["plate-001"]
    assert made["dim"].to_pylist() == [DIMENSION]
    assert made.schema.field("vector").type == pa.list_(pa.float32())
    assert np.linalg.norm(made["vector"][0].as_py()) == pytest.approx(1, abs=1e-6)


def test_like_pictures_are_nearer_than_unlike_ones(sheet: Sheet, write_plate: Write) -> None:
    red = vector_of(*write_plate("plate-001", sheet((200, 200, 80, RED))))
    moved = vector_of(*write_plate("plate-002", sheet((140, 250, 60, RED))))
    blue = vector_of(*write_plate("plate-003", sheet((200, 200, 80, BLUE))))
    barred = vector_of(*write_plate("plate-004", bars(sheet, 8)))
    assert red @ moved > 0.95
    assert red @ moved > red @ blue > red @ barred


def test_captions_and_paper_tone_hardly_move_the_vector(sheet: Sheet, write_plate: Write) -> None:
    plain = sheet((200, 180, 80, RED))
    captioned = plain.copy()
    for place in range(14):
        captioned[350:358, 120 + place * 12 : 123 + place * 12] = 40
    darker = (plain * 0.97).astype(np.uint8)
    vector = vector_of(*write_plate("plate-001", plain))
    assert vector @ vector_of(*write_plate("plate-002", captioned)) > 0.99
    assert vector @ vector_of(*write_plate("plate-003", darker)) > 0.9


def test_segments_are_cut_out_one_by_one_and_only_figures(sheet: Sheet, write_plate: Write) -> None:
    path, tile = write_plate("plate-001", sheet((110, 110, 60, RED), (290, 290, 60, BLUE)))
    files, tables = {"image": [path]}, {"tiles": [tile]}
    rows = run_operation(segment, files=files, tables=tables).row_tables["segments"]
    made = run_operation(embed, files=files, tables={**tables, "segments": rows}, of="segments")
    vectors = made.arrow_tables["embeddings"]
    figures = [row["segment_id"] for row in rows if row["kind"] == "figure"]
    assert vectors["subject_id"].to_pylist() == figures
    red, blue = (np.array(vector.as_py()) for vector in vectors["vector"])
    alone = vector_of(*write_plate("plate-002", sheet((110, 110, 60, RED))))
    assert alone @ red > 0.97
    assert alone @ red > alone @ blue + 0.05 or alone @ blue > alone @ red + 0.05


def outline_of(vector: np.ndarray) -> np.ndarray:
    """Where the subject lies, taken out of a stored vector, bool (32, 32)."""
    block = vector[-BLOCKS["shape"] :].reshape(32, 32)
    return block > (block.min() + block.max()) / 2


def test_the_outline_of_a_segment_comes_out_of_its_vector_again(
    sheet: Sheet, write_plate: Write
) -> None:
    path, tile = write_plate("plate-001", sheet((200, 200, 80, RED)))
    files, tables = {"image": [path]}, {"tiles": [tile]}
    rows = run_operation(segment, files=files, tables=tables).row_tables["segments"]
    vector = vector_of(path, tile)
    disc = np.hypot(*np.mgrid[-15.5:16, -15.5:16]) < 15
    assert (outline_of(vector) == disc).mean() > 0.97
    made = run_operation(embed, files=files, tables={**tables, "segments": rows}, of="segments")
    (cut_out,) = made.arrow_tables["embeddings"]["vector"].to_pylist()
    assert (outline_of(np.array(cut_out)) == disc).mean() > 0.97


def test_the_shape_of_a_tile_says_where_in_its_frame_the_marks_are(
    sheet: Sheet, write_plate: Write
) -> None:
    path, whole = write_plate("plate-001", sheet((100, 300, 60, RED)))
    vector = vector_of(path, whole, of="tiles")
    down, across = np.nonzero(outline_of(vector))
    assert across.max() < 16
    assert down.min() >= 16


def test_shape_alone_tells_outlines_apart_whatever_their_colour(
    sheet: Sheet, write_plate: Write
) -> None:
    alone = {"form_weight": 0, "texture_weight": 0, "colour_weight": 0, "shape_weight": 1}
    red = vector_of(*write_plate("plate-001", sheet((200, 200, 80, RED))), **alone)
    blue = vector_of(*write_plate("plate-002", sheet((140, 250, 60, BLUE))), **alone)
    squares = sheet()
    squares[120:280, 180:220] = RED
    tall = vector_of(*write_plate("plate-003", squares), **alone)
    assert red @ blue > 0.95
    assert red @ tall < 0.5


def test_a_tile_gets_a_vector_and_an_untiled_plate_is_its_own_tile(
    sheet: Sheet, write_plate: Write
) -> None:
    path, whole = write_plate("plate-001", sheet((200, 200, 80, RED)))
    alone = run_operation(embed, files={"image": [path]}, tables={"tiles": [whole]}, of="tiles")
    assert alone.arrow_tables["embeddings"]["subject_id"].to_pylist() == [whole["tile_id"]]
    part_path, part = write_plate("plate-009", sheet((200, 200, 80, RED))[:200])
    part = {**part, "kind": "tile", "plate_id": "plate-001"}
    files, tables = {"image": [path, part_path]}, {"tiles": [whole, part]}
    tiled = run_operation(embed, files=files, tables=tables, of="tiles").arrow_tables["embeddings"]
    assert tiled["subject_id"].to_pylist() == [part["tile_id"]]
    assert tiled["subject_kind"].to_pylist() == ["tile"]


def test_a_plate_without_figures_gives_an_empty_table_of_segments_and_says_so(
    sheet: Sheet, write_plate: Write
) -> None:
    path, tile = write_plate("plate-001", sheet())
    paper = {"segment_id": f"segment-{0:020}", "kind": "paper", "mean_lab": [90.0, 1.0, 2.0]}
    tables = {"tiles": [tile], "segments": [paper]}
    made = run_operation(embed, files={"image": [path]}, tables=tables, of="segments")
    assert made.arrow_tables["embeddings"].num_rows == 0
    assert made.gates[0][:3] == ("vectors", "count", False)


def test_the_space_names_every_parameter_that_moves_a_vector_but_not_what_is_described() -> None:
    spaces = [
        embed.space_id(embed.Parameters(**change))
        for change in ({}, {"of": "tiles"}, {"shape_weight": 0.1}, {"long_side": 512})
    ]
    assert spaces[0] == spaces[1]
    assert len(set(spaces)) == 3


def test_a_plate_of_one_colour_has_a_vector_all_the_same(write_plate: Write) -> None:
    vector = vector_of(*write_plate("plate-001", np.full((50, 70, 3), 255, dtype=np.uint8)))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_refuses_to_make_a_zero_vector() -> None:
    even = Subject(np.full((128, 128, 3), 255, np.uint8), np.ones((128, 128), np.float32))
    with pytest.raises(InvalidRecord):
        describe(even, Weights(form=1, texture=0, colour=0))


def test_the_nearest_of_drawn_plates_are_mostly_of_their_family(write_plate: Write) -> None:
    families = [family for family in FAMILIES for _ in range(3)]
    vectors = np.array(
        [
            vector_of(*write_plate("plate-001", draw(family, 40 + place % 3).pixels))
            for place, family in enumerate(families)
        ]
    )
    near = vectors @ vectors.T - 9 * np.eye(len(families))
    right = [
        families[int(row.argmax())] == family for row, family in zip(near, families, strict=True)
    ]
    assert np.mean(right) > FLOOR
