from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit.errors import UsageError
from ledgerkit.imaging.geometry import (
    Box,
    affine,
    fit_long_side,
    grid,
    oriented_size,
    tile_id,
    to_stored,
    upright,
)
from ledgerkit.imaging.tile import cut
from ledgerkit.imaging.vips import from_array, to_array

sizes = st.integers(1, 300)
orientations = st.integers(1, 8)


@given(sizes, sizes, st.integers(1, 120), st.data())
def test_cores_divide_the_image_and_lie_in_their_tiles(
    width: int, height: int, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    seen = np.zeros((height, width), np.int32)
    for tile in grid(width, height, size, overlap):
        box, core = tile.box, tile.core
        assert 0 <= box.x0 <= core.x0 < core.x1 <= box.x1 <= width
        assert 0 <= box.y0 <= core.y0 < core.y1 <= box.y1 <= height
        assert (box.width, box.height) == (min(size, width), min(size, height))
        seen[core.y0 : core.y1, core.x0 : core.x1] += 1
    assert (seen == 1).all()


@given(sizes, sizes, st.integers(2, 120), st.data())
def test_neighbours_share_at_least_the_overlap(
    width: int, height: int, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    row = [tile for tile in grid(width, height, size, overlap) if tile.row == 0]
    for left, right in pairwise(row):
        assert left.box.x1 - right.box.x0 >= overlap
        assert right.box.x0 > left.box.x0


def test_a_grid_by_hand() -> None:
    spans = [
        (tile.box.x0, tile.box.x1, tile.core.x0, tile.core.x1) for tile in grid(250, 80, 100, 20)
    ]
    assert spans == [(0, 100, 0, 90), (80, 180, 90, 165), (150, 250, 165, 250)]
    with pytest.raises(UsageError):
        grid(250, 80, 100, 100)


@given(st.integers(1, 40), st.integers(1, 40), orientations, st.data())
def test_boxes_map_to_the_stored_pixels_they_show(
    width: int, height: int, orientation: int, data: st.DataObject
) -> None:
    stored = np.arange(width * height, dtype=np.uint16).reshape(height, width, 1)
    shown = to_array(upright(from_array(stored), orientation))
    across, down = oriented_size(width, height, orientation)
    assert shown.shape == (down, across, 1)
    x0, y0 = data.draw(st.integers(0, across - 1)), data.draw(st.integers(0, down - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, across)), data.draw(st.integers(y0 + 1, down))
    box = to_stored(Box(x0, y0, x1, y1), width, height, orientation)
    part = from_array(stored[box.y0 : box.y1, box.x0 : box.x1])
    assert np.array_equal(to_array(upright(part, orientation)), shown[y0:y1, x0:x1])


@given(st.integers(1, 90), st.integers(1, 90), orientations, st.integers(5, 40), st.integers(0, 4))
def test_reassembled_tiles_equal_the_image(
    width: int, height: int, orientation: int, size: int, overlap: int
) -> None:
    stored = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shown = to_array(upright(from_array(stored), orientation))
    whole = np.zeros_like(shown)
    tiles = grid(shown.shape[1], shown.shape[0], size, overlap)
    for tile, image in cut(from_array(stored), tiles, orientation):
        pixels, box, core = to_array(image), tile.box, tile.core
        assert np.array_equal(pixels, shown[box.y0 : box.y1, box.x0 : box.x1])
        inner = pixels[core.y0 - box.y0 :, core.x0 - box.x0 :][: core.height, : core.width]
        whole[core.y0 : core.y1, core.x0 : core.x1] = inner
    assert np.array_equal(whole, shown)


@given(st.integers(1, 40_000), st.integers(1, 40_000), st.integers(1, 8192), st.data())
def test_a_point_comes_home_within_half_a_source_pixel(
    width: int, height: int, long_side: int, data: st.DataObject
) -> None:
    x0, y0 = data.draw(st.integers(0, 1000)), data.draw(st.integers(0, 1000))
    across, down = fit_long_side(width, height, long_side)
    a, b, c, d, e, f = affine(Box(x0, y0, x0 + width, y0 + height), across, down)
    assert b == d == 0
    x = data.draw(st.floats(x0, x0 + width))
    y = data.draw(st.floats(y0, y0 + height))
    there = ((x - c) / a, (y - f) / e)
    assert -1e-6 <= there[0] <= across + 1e-6
    assert -1e-6 <= there[1] <= down + 1e-6
    assert abs(a * there[0] + c - x) < 0.5
    assert abs(e * there[1] + f - y) < 0.5


@given(st.integers(1, 40_000), st.integers(1, 40_000), st.integers(1, 8192))
def test_sizes_are_as_ordered_and_never_larger(width: int, height: int, long_side: int) -> None:
    across, down = fit_long_side(width, height, long_side)
    assert max(across, down) == min(long_side, max(width, height))
    assert 1 <= across <= width
    assert 1 <= down <= height


def test_identity_depends_on_plate_source_and_geometry() -> None:
    digest = "0" * 64
    first = tile_id("plate-001", digest, Box(0, 0, 10, 10), 5, 5)
    assert first == tile_id("plate-001", digest, Box(0, 0, 10, 10), 5, 5)
    others = {
        tile_id("plate-002", digest, Box(0, 0, 10, 10), 5, 5),
        tile_id("plate-001", "1" * 64, Box(0, 0, 10, 10), 5, 5),
        tile_id("plate-001", digest, Box(1, 0, 11, 10), 5, 5),
        tile_id("plate-001", digest, Box(0, 0, 10, 10), 6, 5),
    }
    assert len(others | {first}) == 5
