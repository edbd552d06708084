"""Outlines: areas by law, rings that are valid, holes in their exteriors."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from ledgerkit.imaging.outline import MOST_VERTICES, outlines, placed, ring_area, simplified

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def crossings(ring: np.ndarray) -> int:
    """Pairs of sides that are no neighbours and meet all the same."""
    sides = list(pairwise(ring))

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    count = 0
    for one in range(len(sides)):
        for two in range(one + 2, len(sides) - (one == 0)):
            (a, b), (c, d) = sides[one], sides[two]
            count += side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
    return count


@given(masks)
def test_the_area_is_that_of_the_mask_less_half_a_pixel_for_each_ring(mask: np.ndarray) -> None:
    polygons = outlines(mask)
    exteriors = len(polygons)
    holes = sum(len(polygon) - 1 for polygon in polygons)
    area = sum(ring_area(ring) for polygon in polygons for ring in polygon)
    assert area == pytest.approx(mask.sum() - (exteriors - holes) / 2)
    assert exteriors == ndimage.label(mask)[1], "pixels that meet at a corner only are apart"


@given(masks)
def test_rings_are_closed_simple_and_turn_as_stated(mask: np.ndarray) -> None:
    for polygon in outlines(mask):
        assert ring_area(polygon[0]) > 0
        assert all(ring_area(hole) < 0 for hole in polygon[1:])
        for ring in polygon:
            assert len(ring) >= 5
            assert ring[0].tolist() == ring[-1].tolist()
            assert len({tuple(point) for point in ring[:-1].tolist()}) == len(ring) - 1
            assert crossings(ring) == 0
            assert ring.min() >= 0
            assert (ring.max(axis=0) <= mask.shape[::-1]).all()


@given(masks)
def test_no_point_lies_on_two_rings(mask: np.ndarray) -> None:
    points = [tuple(point) for polygon in outlines(mask) for ring in polygon for point in ring[:-1]]
    assert len(points) == len(set(points))


def test_a_square_has_its_corners_cut_and_a_frame_has_a_hole() -> None:
    square = outlines(np.ones((2, 3), dtype=bool))
    assert sorted(square[0][0][:-1].tolist()) == [
        [0, 0.5], [0, 1.5], [0.5, 0], [0.5, 2], [2.5, 0], [2.5, 2], [3, 0.5], [3, 1.5],
    ]  # fmt: skip
    frame = np.ones((5, 5), dtype=bool)
    frame[2, 2] = False
    assert [len(polygon) for polygon in outlines(frame)] == [2]
    assert outlines(np.zeros((3, 3), dtype=bool)) == []


def test_a_ring_is_placed_over_its_box() -> None:
    ring = outlines(np.ones((1, 2), dtype=bool))[0][0]
    moved = placed(ring, (10, 20, 30, 25), 2, 1)
    assert moved.min(axis=0).tolist() == [10, 20]
    assert moved.max(axis=0).tolist() == [30, 25]


def speckled(share: float) -> np.ndarray:
    return np.random.default_rng(3).random((120, 150)) < share


@pytest.mark.parametrize("share", [0.02, 0.3, 0.55, 0.8])
def test_never_more_vertices_than_asked_for_and_never_nothing(share: float) -> None:
    rings = [ring for polygon in outlines(speckled(share)) for ring in polygon]
    assert sum(len(ring) - 1 for ring in rings) > MOST_VERTICES
    for most in (4, 30, MOST_VERTICES):
        fewer = simplified(rings, most)
        assert len(fewer) >= 1
        assert sum(len(ring) - 1 for ring in fewer) <= most
        assert all(ring[0].tolist() == ring[-1].tolist() for ring in fewer)


def test_what_has_few_vertices_stays_as_it_is_and_a_large_disk_keeps_its_area() -> None:
    rows, columns = np.ogrid[:900, :900]
    disk = (rows - 450) ** 2 + (columns - 450) ** 2 < 430**2
    (ring,) = outlines(disk)[0]
    assert len(ring) > MOST_VERTICES
    (fewer,) = simplified([ring])
    assert ring_area(fewer) == pytest.approx(disk.sum(), rel=0.005)
    small = outlines(disk[::10, ::10])[0]
    assert [one.tolist() for one in simplified(small)] == [one.tolist() for one in small]


def test_a_comb_that_falls_together_is_shown_by_its_bounds() -> None:
    x = np.repeat(np.arange(400.0), 2)
    y = np.tile([0.0, 0.4, 0.4, 0.0], 200)
    comb = np.concatenate((np.stack((x, y), axis=1), [[399, -0.1], [0, -0.1], [0, 0]]))
    (bounds,) = simplified([comb], 4)
    assert bounds.min(axis=0).tolist() == [0, -0.1]
    assert bounds.max(axis=0).tolist() == [399, 0.4]
