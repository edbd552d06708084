"""COCO run lengths: known answers worked by hand, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ledgerkit.errors import InvalidRecord
from ledgerkit.imaging.rle import decode, encode

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


def plain(mask: np.ndarray) -> str:
    """The reference algorithm of maskApi.c, rleToString, letter by letter."""
    counts, value, run = [], False, 0
    for bit in mask.T.ravel():
        if bool(bit) != value:
            counts.append(run)
            value, run = not value, 0
        run += 1
    counts.append(run)
    text = ""
    for place, count in enumerate(counts):
        rest = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits = rest & 31
            rest >>= 5
            more = rest != -1 if bits & 16 else rest != 0
            text += chr((bits | 32 if more else bits) + 48)
    return text


def test_gives_the_answers_worked_by_hand_from_the_format() -> None:
    mask = np.zeros((9, 10), dtype=bool)
    mask[2:5, 3:7] = True
    assert encode(mask) == "m03600000i0"
    assert encode(np.ones((2, 2), dtype=bool)) == "04"
    assert encode(np.zeros((2, 2), dtype=bool)) == "4"


@given(masks)
def test_encodes_as_the_reference_does_and_decodes_to_the_same_mask(mask: np.ndarray) -> None:
    text = encode(mask)
    assert text == plain(mask)
    assert (decode(text, *mask.shape) == mask).all()


def test_carries_runs_of_millions() -> None:
    mask = np.zeros((3000, 2000), dtype=bool)
    mask[1500, 1000] = True
    assert (decode(encode(mask), 3000, 2000) == mask).all()


@given(masks, st.integers(1, 5))
def test_refuses_runs_that_do_not_add_up_to_the_mask(mask: np.ndarray, extra: int) -> None:
    with pytest.raises(InvalidRecord):
        decode(encode(mask), mask.shape[0], mask.shape[1] + extra)


@pytest.mark.parametrize("text", ["", "~", "é", "P", "oooooooooooooooooooooo0", "2" + "O" + "3"])
def test_refuses_text_that_is_no_code(text: str) -> None:
    with pytest.raises(InvalidRecord):
        decode(text, 2, 2)
