"""Samples without a white of 8 or 16 bits: stated ranges, 32 bits, palettes, YCbCr, refusals."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.decode import decode
from ledgerkit.imaging.vips import to_array
from tests.imaging.tiffs import basic, packed, written

HEIGHT, WIDTH = 37, 53


def test_ycbcr_obeys_the_coefficients_and_the_reference_levels_of_the_file() -> None:
    tags = basic(4, 1, 8, 3, 6) | {530: (3, [1, 1])}
    studio = [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]
    data = bytes([16, 128, 128, 235, 128, 128, 126, 128, 128, 16, 128, 128])
    grey = to_array(decode(io.BytesIO(written(tags | {532: (5, studio)}, data))).image)
    assert grey[0, :, 0].tolist() == [0, 255, 128, 0]
    assert grey[0, :, 2].tolist() == [0, 255, 128, 0]
    rec709 = {529: (5, [2126, 10000, 7152, 10000, 722, 10000])}
    data = bytes([100, 128, 178] * 4)
    red = to_array(decode(io.BytesIO(written(tags | rec709, data))).image)[0, 0].tolist()
    assert red == [179, 77, 100]


def test_a_palette_of_eight_bit_values_is_not_black() -> None:
    random = np.random.default_rng(2)
    colours = random.integers(0, 256, (3, 64))
    array = random.integers(0, 64, (HEIGHT, WIDTH))
    for bits, rows in ((8, colours), (6, colours)):
        full = np.zeros((3, 1 << bits), int)
        full[:, :64] = rows
        tags = basic(WIDTH, HEIGHT, bits, 1, 3) | {320: (3, full.ravel().tolist())}
        found = to_array(decode(io.BytesIO(written(tags, packed(array, bits)))).image)
        assert np.array_equal(found, colours.T[array])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int16, np.int32])
def test_a_stated_range_brings_floats_and_signed_samples_to_sixteen_bits(dtype: Any) -> None:
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    array = ((across + down) % 90 - 45).astype(dtype)
    code = 11 if dtype in (np.float16, np.float32) else 12
    ends = [(340, code, 1, -50.0, False), (341, code, 1, 50.0, False)]
    true = np.rint((array.astype(float) + 50) / 100 * 65535)
    for options in ({}, {"tile": (16, 16)}, {"compression": "zstd"}):
        for photometric in ("minisblack", "miniswhite"):
            file = io.BytesIO()
            tifffile.imwrite(file, array, photometric=photometric, extratags=ends, **options)
            decoded = decode(file)
            assert decoded.maximum == 65535
            found = to_array(decoded.image)[:, :, 0]
            assert np.array_equal(found, true if photometric == "minisblack" else 65535 - true)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 50.5, -51.0])
def test_a_sample_outside_the_stated_range_is_refused(bad: float) -> None:
    array = np.zeros((HEIGHT, WIDTH), np.float32)
    array[20, 30] = bad
    ends = [(340, 11, 1, -50.0, False), (341, 11, 1, 50.0, False)]
    file = io.BytesIO()
    tifffile.imwrite(file, array, extratags=ends)
    with pytest.raises(UnreadableImage, match="SMaxSampleValue"):
        decode(file)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_samples_without_a_stated_range_are_refused_by_the_names_of_the_tags(dtype: Any) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((4, 5), dtype), extratags=[(340, 11, 1, 0.0, False)])
    with pytest.raises(UnreadableImage, match=r"SMinSampleValue \(340\).*SMaxSampleValue \(341\)"):
        decode(file)


def test_unsigned_thirty_two_bits_round_to_the_nearest_of_sixteen() -> None:
    values = np.array([[0, 32768, 32769, 65537, 98305, 98306, 2**31, 2**32 - 1]], np.uint32)
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="minisblack")
    found = to_array(decode(file).image)[0, :, 0].tolist()
    assert found == [0, 0, 1, 1, 1, 2, 32768, 65535]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({262: (3, [5]), 332: (3, [2])}, "InkSet"),
        ({258: (3, [8, 8, 4, 8])}, "differ in one pixel"),
        ({262: (3, [32844])}, "photometric interpretation 32844"),
        ({262: (3, [4])}, "photometric interpretation 4"),
        ({258: (3, [24] * 4)}, "24 bits"),
        ({339: (3, [6] * 4)}, "complex"),
    ],
)
def test_what_has_no_stated_colour_is_refused_with_the_reason(
    changes: dict[int, Any], reason: str
) -> None:
    tags = basic(8, 8, 8, 4, 2) | changes
    with pytest.raises(UnreadableImage, match=reason):
        decode(io.BytesIO(written(tags, bytes(2000))))


def test_components_of_a_jpeg_2000_that_are_no_opacity_are_left_out() -> None:
    import imagecodecs

    from ledgerkit.imaging.decode import decode, read_shrunk

    array = np.zeros((40, 50, 5), np.uint8)
    array[:, :, :3] = 100
    file = io.BytesIO(imagecodecs.jpeg2k_encode(array, reversible=True, codecformat="jp2"))
    assert not decode(file).alpha
    assert (read_shrunk(file, 50) == 100).all()


def test_all_components_of_a_jpeg_2000_count_as_memory() -> None:
    import imagecodecs

    from ledgerkit.errors import LimitExceeded
    from ledgerkit.imaging.decode import Limits, decode

    array = np.zeros((300, 300, 40), np.uint8)
    file = io.BytesIO(imagecodecs.jpeg2k_encode(array, codecformat="jp2"))
    with pytest.raises(LimitExceeded, match="NOT_STREAMABLE"):
        decode(file, limits=Limits(max_decode_bytes=300 * 300 * 40 * 5))


@pytest.mark.parametrize("ends", [(-1.7e308, 1.7e308), (0.0, 5e-324)])
def test_a_range_that_cannot_be_divided_is_no_range(ends: tuple[float, float]) -> None:
    from ledgerkit.imaging.decode import decode

    file = io.BytesIO()
    low, high = ends
    tags = [(340, "d", 1, low, True), (341, "d", 1, high, True)]
    tifffile.imwrite(file, np.zeros((8, 8), np.float32), photometric="minisblack", extratags=tags)
    with pytest.raises(UnreadableImage, match="no stated white"):
        decode(file)
