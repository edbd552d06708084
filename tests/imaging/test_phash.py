"""Perceptual hashes: exact areas, known bits, windows that catch crops, none for even sheets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn

from ledgerkit.imaging import phash
from ledgerkit.imaging.phash import Hash, hashes, windows

TONE = "1b6a9192aa63c96fe54095debce1606b"
DETAIL = "d10be51ac7ec4d7921fbe0a2ac03ed98"
"""Hashes of the drawn picture: they may change with `VERSION` of `hash` only."""
WHOLE = (0.0, 0.0, 1.0, 1.0)


def drawn(height: int = 320, width: int = 256, seed: int = 3) -> np.ndarray:
    """A picture with broad and fine structure, uint8 (height, width, 3)."""
    noise = np.random.default_rng(seed).normal(size=(20, 16))
    light = np.kron(noise, np.ones((height // 20, width // 16)))
    return np.clip(128 + 40 * light, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def bits(one: Hash | None, other: Hash | None) -> int:
    assert one is not None
    assert other is not None
    return (one.tone ^ other.tone).bit_count() + (one.detail ^ other.detail).bit_count()


def test_means_are_those_of_whole_blocks_where_blocks_divide_the_picture() -> None:
    light = np.random.default_rng(1).random((96, 160))
    found = phash._means(phash._summed(light), WHOLE)
    assert found == pytest.approx(light.reshape(32, 3, 32, 5).mean(axis=(1, 3)))


def test_means_count_pixels_on_a_border_by_their_share() -> None:
    light = np.random.default_rng(2).random((48, 40))
    fine = light.repeat(32, axis=0).repeat(32, axis=1)
    wanted = fine.reshape(32, 48, 32, 40).mean(axis=(1, 3))
    assert phash._means(phash._summed(light), WHOLE) == pytest.approx(wanted)


def test_the_transform_is_the_cosine_transform_of_scipy() -> None:
    means = np.random.default_rng(4).random((32, 32))
    waves = phash._waves()
    assert waves @ means @ waves.T == pytest.approx(dctn(means, norm="ortho"))


def test_frequencies_come_in_zigzag_order_and_the_mean_is_left_out() -> None:
    rows, columns = phash._zigzag()
    first = list(zip(rows.tolist(), columns.tolist(), strict=True))[:9]
    assert first == [(0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0)]
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == 128
    assert (0, 0) not in zip(rows.tolist(), columns.tolist(), strict=True)


def test_half_of_the_bits_are_set_and_the_hash_is_pinned() -> None:
    whole = hashes(drawn())["whole"]
    assert whole is not None
    assert whole.tone.bit_count() == whole.detail.bit_count() == 64
    assert f"{whole.tone:032x}" == TONE
    assert f"{whole.detail:032x}" == DETAIL


def test_size_and_brightness_hardly_matter_and_another_picture_does() -> None:
    picture = drawn()
    own = hashes(picture)["whole"]
    halved = picture.reshape(160, 2, 128, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    assert bits(own, hashes(halved)["whole"]) <= 24
    assert bits(own, hashes((picture * 0.8 + 20).astype(np.uint8))["whole"]) <= 8
    assert bits(own, hashes(drawn(seed=5))["whole"]) > 90


@pytest.mark.parametrize(
    ("name", "top", "left"), [("north-west", 0, 0), ("south-east", 32, 26), ("centre", 16, 13)]
)
def test_a_crop_is_near_the_window_that_it_shows(name: str, top: int, left: int) -> None:
    picture = drawn(320, 256)
    crop = picture[top : top + 288, left : left + 230]
    cropped, own = hashes(crop)["whole"], hashes(picture)
    near = {window: bits(cropped, one) for window, one in own.items()}
    assert near[name] == min(near.values()) <= 20
    assert near[name] < near["whole"]


def test_windows_keep_nine_tenths_and_lie_inside() -> None:
    for name, (left, top, right, bottom) in windows().items():
        assert 0 <= left < right <= 1.0000001
        assert 0 <= top < bottom <= 1.0000001
        assert (right - left, bottom - top) == pytest.approx(
            (1, 1) if name == "whole" else (0.9, 0.9)
        )
    assert len(windows()) == 10


def test_an_even_sheet_has_no_hash() -> None:
    noise = np.random.default_rng(1).integers(0, 3, (200, 200, 3)).astype(np.uint8)
    assert set(hashes(noise + np.uint8(200)).values()) == {None}
