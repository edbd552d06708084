from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ledgerkit.errors import LimitExceeded, UnreadableImage
from ledgerkit.imaging.aside import upright
from ledgerkit.imaging.decode import Limits, decode, read_crop, read_shrunk
from ledgerkit.imaging.geometry import Box
from ledgerkit.imaging.pixels import pixels_sha256
from ledgerkit.imaging.vips import strips, to_array

Picture = NDArray[np.uint8]


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file


def tiff(array: NDArray[np.generic], **options: object) -> io.BytesIO:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file


def linear_profile() -> bytes:
    """The primaries of sRGB with a linear tone curve, written over those of an sRGB profile."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(struct.unpack_from(">I", profile, 128)[0]):
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            assert size >= 12
            profile[offset : offset + 12] = b"curv" + bytes(8)
    return bytes(profile)


def pixels(file: io.BytesIO) -> NDArray[Any]:
    return to_array(decode(file).image)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "PPM", "WEBP"])
def test_decodes_what_pillow_decodes(picture: Picture, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    file = saved(Image.fromarray(picture), kind, **options)
    assert np.array_equal(pixels(file), np.asarray(Image.open(file)))


@pytest.mark.parametrize(
    "options", [{}, {"tile": (16, 16)}, {"planarconfig": "separate"}, {"rowsperstrip": 7}]
)
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd"])
def test_sixteen_bit_rgb_keeps_its_bits(options: dict[str, Any], compression: str | None) -> None:
    array = np.random.default_rng(3).integers(0, 65536, (50, 70, 3), dtype=np.uint16)
    shown = np.moveaxis(array, 2, 0) if "planarconfig" in options else array
    file = tiff(shown, photometric="rgb", compression=compression, **options)
    assert np.array_equal(pixels(file), array)


def test_tiled_separate_planes_are_read_by_tifffile() -> None:
    array = np.random.default_rng(3).integers(0, 256, (3, 50, 70), dtype=np.uint8)
    file = tiff(array, photometric="rgb", planarconfig="separate", tile=(16, 16))
    decoded = decode(file)
    assert decoded.decoder == "tifffile"
    assert np.array_equal(to_array(decoded.image), np.moveaxis(array, 0, 2))


def test_white_is_zero_is_turned_round(picture: Picture) -> None:
    file = tiff(picture[:, :, 0], photometric="miniswhite")
    assert np.array_equal(pixels(file)[:, :, 0], 255 - picture[:, :, 0])


def test_one_bit_becomes_black_and_white(picture: Picture) -> None:
    image = Image.fromarray(picture).convert("1")
    for compression in ("raw", "group4", "tiff_lzw"):
        file = saved(image, "TIFF", compression=compression)
        assert np.array_equal(pixels(file)[:, :, 0], np.asarray(image).astype(np.uint8) * 255)


def test_palettes_are_expanded(picture: Picture) -> None:
    image = Image.fromarray(picture).quantize(16)
    for kind in ("PNG", "TIFF", "GIF", "BMP"):
        file = saved(image, kind)
        assert np.array_equal(pixels(file)[:, :, :3], np.asarray(image.convert("RGB")))


def test_adobe_cmyk_is_not_inverted(picture: Picture) -> None:
    image = Image.fromarray(picture).convert("CMYK")
    file = saved(image, "JPEG", quality=95)
    decoded = decode(file)
    assert decoded.space == "cmyk"
    assert np.array_equal(to_array(decoded.image), np.asarray(Image.open(file)))
    white = saved(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG", quality=95)
    assert read_shrunk(white, 16).min() >= 253
    black = saved(Image.new("CMYK", (16, 16), (255, 255, 255, 255)), "JPEG", quality=95)
    assert read_shrunk(black, 16).max() <= 25


def test_twelve_bits_are_scaled_by_their_own_maximum() -> None:
    array = np.full((6, 8), 4095, np.uint16)
    array[:3] = 2048
    file = io.BytesIO()
    data = np.packbits(np.unpackbits(array.astype(">u2").view(np.uint8)).reshape(-1, 16)[:, 4:])
    tifffile.imwrite(
        file, shape=(6, 8), dtype=np.uint16, bitspersample=12, data=iter([data.tobytes()])
    )
    decoded = decode(file)
    assert decoded.maximum == 4095
    assert np.array_equal(to_array(decoded.image)[:, :, 0], array)
    assert read_shrunk(file, 8)[5, 0, 0] == 255
    assert read_shrunk(file, 8)[0, 0, 0] == 128


def test_cielab_agrees_with_an_independent_conversion() -> None:
    colours = np.array(
        [[[255, 0, 0], [0, 128, 0], [30, 60, 200]], [[255] * 3, [0] * 3, [99] * 3]], np.uint8
    )
    lab = Image.fromarray(colours).convert("RGB")
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    transform = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    stored = np.asarray(ImageCms.applyTransform(lab, transform)).copy()
    file = tiff(stored, photometric="cielab")
    assert np.abs(read_shrunk(file, 9).astype(int) - colours.astype(int)).max() <= 5


def test_alpha_lies_on_white(picture: Picture) -> None:
    image = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    image[:20, :, 3] = 0
    shown = read_shrunk(saved(Image.fromarray(image), "PNG"), 90)
    assert (shown[:20] == 255).all()
    assert np.array_equal(shown[20:], picture[20:])


def test_a_profile_is_converted_and_one_that_does_not_fit_is_told(picture: Picture) -> None:
    from ledgerkit.imaging.colour import is_srgb

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert is_srgb(srgb, "rgb")
    fits = decode(saved(Image.fromarray(picture), "JPEG", icc_profile=srgb))
    assert fits.profile == srgb
    wrong = decode(saved(Image.fromarray(picture[:, :, 0]), "JPEG", icc_profile=srgb))
    assert wrong.profile is None
    assert "GRAY" in (wrong.profile_problem or "")
    broken = decode(saved(Image.fromarray(picture), "JPEG", icc_profile=srgb[:200]))
    assert broken.profile is None
    assert broken.profile_problem


def test_sixteen_bits_with_a_profile_are_converted_as_exactly_as_eight() -> None:
    colours = np.random.default_rng(4).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    colours[:30, :, 2] //= 16
    profile = linear_profile()
    eight = tiff(colours, photometric="rgb", iccprofile=profile)
    sixteen = tiff(colours.astype(np.uint16) * 257, photometric="rgb", iccprofile=profile)
    linear = colours / 255
    curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    for file in (eight, sixteen):
        assert decode(file).profile == profile
        assert np.abs(read_shrunk(file, 60) - curve * 255).max() <= 2.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_applies_it(picture: Picture, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[274] = orientation
    for kind in ("JPEG", "PNG", "TIFF"):
        file = saved(Image.fromarray(picture), kind, exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))
        with upright(decode(file).image, orientation, Limits()) as image:
            assert np.array_equal(to_array(image), expected)
        assert np.array_equal(read_shrunk(file, 90), expected)
        box = Box(5, 3, 40, 50)
        assert np.array_equal(read_crop(file, box), expected[3:50, 5:40])


def test_shrinking_keeps_pixel_centres_and_never_enlarges() -> None:
    ramp = np.tile(np.arange(1000, dtype=np.float64) / 1000 * 250, (40, 1))
    file = saved(Image.fromarray(np.dstack([ramp.round().astype(np.uint8)] * 3)), "PNG")
    small = read_shrunk(file, 250)
    assert small.shape == (10, 250, 3)
    expected = ((np.arange(250) + 0.5) * 4 - 0.5) / 1000 * 250
    assert np.abs(small[5, 5:-5, 0] - expected[5:-5]).max() <= 1
    assert read_shrunk(file, 5000).shape == (40, 1000, 3)


def test_shrink_on_load_shows_the_same_picture() -> None:
    down, across = np.mgrid[0:803, 0:1201]
    image = (128 + 60 * np.sin(across / 60) + 60 * np.sin(down / 45)).astype(np.uint8)
    array = np.dstack([image, 255 - image, image // 2])
    by_jpeg = read_shrunk(saved(Image.fromarray(array), "JPEG", quality=98, subsampling=0), 120)
    by_png = read_shrunk(saved(Image.fromarray(array), "PNG"), 120)
    assert by_jpeg.shape == by_png.shape == (80, 120, 3)
    assert np.abs(by_jpeg.astype(int) - by_png.astype(int)).mean() < 1.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF"])
def test_truncated_pixels_are_an_error_and_never_grey(kind: str) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    file = saved(Image.fromarray(noise), kind, **options)
    data = file.getvalue()
    cut = data[: len(data) * 2 // 3]
    if kind == "TIFF":  # the directory lies at the end: damage the pixels instead
        cut = data[:5000] + b"\xff" * 20_000 + data[25_000:]
    with pytest.raises(UnreadableImage):
        read_shrunk(io.BytesIO(cut), 64)


def test_a_jpeg_whose_data_end_early_is_an_error() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    data = bytearray(saved(Image.fromarray(noise), "JPEG").getvalue())
    middle = len(data) // 2
    data[middle : middle + 2] = b"\xff\xd9"
    with pytest.raises(UnreadableImage, match="JPEG"):
        read_shrunk(io.BytesIO(bytes(data)), 64)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits", None])
def test_a_truncated_tile_is_an_error_and_never_black(compression: str | None) -> None:
    array = np.random.default_rng(0).integers(100, 140, (256, 256, 3)).astype(np.uint8)
    file = tiff(array, photometric="rgb", tile=(64, 64), compression=compression)
    with pytest.raises(UnreadableImage):
        read_shrunk(io.BytesIO(file.getvalue()[:-9000]), 64)


def test_limits_name_their_settings(picture: Picture) -> None:
    image = Image.fromarray(picture)
    with pytest.raises(LimitExceeded, match="max_pixels"):
        decode(saved(image, "JPEG"), limits=Limits(max_pixels=5399))
    small = Limits(max_decode_bytes=10_000)
    decode(saved(image, "JPEG"), limits=small)
    for file in (saved(image, "JPEG", progressive=True), saved(image, "BMP"), saved(image, "WEBP")):
        with pytest.raises(LimitExceeded, match=r"^NOT_STREAMABLE.*max_decode_bytes"):
            decode(file, limits=small)


def test_floats_are_refused_with_a_reason() -> None:
    with pytest.raises(UnreadableImage, match="float"):
        decode(tiff(np.zeros((4, 5), np.float32)))


def test_the_file_stays_usable_and_may_be_unnamed(picture: Picture, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(picture), "PNG").getvalue())
    with path.open("rb") as file:
        path.unlink()
        image = decode(file).image
        file.seek(1)
        assert file.read(3) == b"PNG"
        assert np.array_equal(to_array(image), picture)
        assert file.read(2) == b"\r\n"
        assert np.array_equal(read_shrunk(file, 90), picture)


def test_strips_join_to_the_image_for_any_height(picture: Picture) -> None:
    tall = np.repeat(np.repeat(picture, 7, axis=0), 5, axis=1)
    file = saved(Image.fromarray(tall), "JPEG", quality=90)
    expected = np.asarray(Image.open(file))
    for rows in (1, 13, 16, 250, 9999):
        joined = np.concatenate(list(strips(decode(file).image, rows)))
        assert np.array_equal(joined, expected)


def test_pixel_digests_are_of_pixels_and_not_of_files(picture: Picture) -> None:
    import hashlib

    plain = hashlib.sha256(b"90 60 3 uchar\n" + picture.tobytes()).hexdigest()
    image = Image.fromarray(picture)
    for file in (saved(image, "PNG"), saved(image, "TIFF"), saved(image, "BMP")):
        assert pixels_sha256(file) == plain
    changed = picture.copy()
    changed[59, 89, 2] ^= 1
    assert pixels_sha256(saved(Image.fromarray(changed), "PNG")) != plain
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4)
    expected = hashlib.sha256(b"4 3 1 ushort\n" + deep.astype("<u2").tobytes()).hexdigest()
    assert pixels_sha256(tiff(deep)) == expected
