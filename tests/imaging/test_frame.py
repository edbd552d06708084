"""Masks laid into a frame: the rule of centres, told once more in plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ledgerkit.imaging import rle
from ledgerkit.imaging.frame import cells, first_pixels, spread

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_cell_begins_with_the_first_pixel_whose_centre_lies_in_it(length: int, grid: int) -> None:
    taken, first = cells(length, grid).tolist(), first_pixels(length, grid).tolist()
    assert taken == [int((pixel + 0.5) * grid // length) for pixel in range(length)]
    assert first[0] == 0
    assert first[-1] == length
    for cell in range(grid):
        assert list(range(first[cell], first[cell + 1])) == [
            pixel for pixel in range(length) if taken[pixel] == cell
        ]


@given(masks, st.integers(1, 20), st.integers(1, 20), st.tuples(*[st.integers(0, 3)] * 4))
def test_a_mask_comes_back_pixel_for_pixel_from_the_whole_frame(
    mask: np.ndarray, across: int, down: int, margin: tuple[int, int, int, int]
) -> None:
    left, top, right, bottom = margin
    width, height = left + across + right, top + down + bottom
    expected = np.zeros((height, width), dtype=bool)
    for y in range(down):
        for x in range(across):
            row, column = (2 * y + 1) * mask.shape[0] // (2 * down), cells(across, mask.shape[1])[x]
            expected[top + y, left + x] = mask[row, column]
    counts = spread(mask, (left, top, left + across, top + down), width, height)
    assert counts.sum() == width * height
    assert (counts[1:] > 0).all()
    assert rle.compress(counts) == rle.encode(expected)
    assert (rle.decode(rle.compress(counts), height, width) == expected).all()


def test_a_frame_of_half_a_gigapixel_costs_no_more_than_the_outline() -> None:
    import tracemalloc

    mask = np.ones((800, 1000), dtype=bool)
    tracemalloc.start()
    counts = spread(mask, (0, 0, 25_000, 20_000), 25_000, 20_001)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.sum() == 25_000 * 20_001
    assert counts[1::2].sum() == 25_000 * 20_000
    assert peak < 20_000_000, "a frame of bits would have 62 MB, of bytes 500 MB"
