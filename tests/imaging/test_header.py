from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ledgerkit.errors import LedgerkitError, LimitExceeded, UnreadableImage
from ledgerkit.imaging.header import Header, read_header

Picture = NDArray[np.uint8]


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file


def tiff(array: NDArray[np.generic], **options: object) -> io.BytesIO:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file


def facts(header: Header) -> tuple[object, ...]:
    return header.format, header.width, header.height, header.mode, header.bands, header.bit_depth


def test_reads_a_jpeg_as_it_was_written(picture: Picture) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274] = 6
    file = saved(
        Image.fromarray(picture),
        "JPEG",
        dpi=(300, 200),
        icc_profile=profile,
        exif=exif,
        subsampling="4:2:0",
        progressive=True,
    )
    header = read_header(file)
    assert facts(header) == ("JPEG", 90, 60, "RGB", 3, 8)
    assert (header.dpi_x, header.dpi_y, header.orientation) == (300, 200, 6)
    assert (header.jpeg_subsampling, header.progressive, header.has_exif) == ("4:2:0", True, True)
    assert header.icc_profile == "sRGB built-in"
    assert header.megapixels == 90 * 60 / 1e6


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_names_the_chroma_subsampling(picture: Picture, subsampling: str) -> None:
    header = read_header(saved(Image.fromarray(picture), "JPEG", subsampling=subsampling))
    assert header.jpeg_subsampling == subsampling
    assert not header.progressive


def test_grey_jpeg_has_no_subsampling(picture: Picture) -> None:
    header = read_header(saved(Image.fromarray(picture[:, :, 0]), "JPEG"))
    assert facts(header)[3:] == ("L", 1, 8)
    assert header.jpeg_subsampling is None


def test_joins_a_profile_of_several_chunks_in_their_order(picture: Picture) -> None:
    import hashlib

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(200_000)
    header = read_header(saved(Image.fromarray(picture), "JPEG", icc_profile=profile))
    assert header.icc_profile_sha256 == hashlib.sha256(profile).hexdigest()


def test_sees_sixteen_bits_where_pillow_sees_eight(picture: Picture) -> None:
    file = tiff(picture.astype(np.uint16) * 257, photometric="rgb")
    assert Image.open(file).mode == "RGB"
    assert facts(read_header(file)) == ("TIFF", 90, 60, "RGB", 3, 16)


@pytest.mark.parametrize("big", [False, True])
def test_reads_big_tiff_pages_and_resolution(picture: Picture, big: bool) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big) as writer:
        for _ in range(3):
            writer.write(picture, photometric="rgb", resolution=(100, 50), resolutionunit=3)
    header = read_header(file)
    assert header.pages == 3
    assert (header.dpi_x, header.dpi_y) == (254.0, 127.0)


def test_floating_point_is_named() -> None:
    header = read_header(tiff(np.zeros((4, 5), np.float32)))
    assert (header.mode, header.sample_format, header.bit_depth) == ("F", "float", 32)


def test_a_loop_of_pages_ends() -> None:
    entries = [(256, 3, 1, 7), (257, 3, 1, 5)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    looped = b"II*\0" + struct.pack("<IH", 8, 2) + body + struct.pack("<I", 8)
    assert read_header(io.BytesIO(looped)).pages == 1


def test_reads_png_depth_interlace_and_palette(picture: Picture) -> None:
    deep = read_header(saved(Image.fromarray(picture[:, :, 0].astype(np.uint16)), "PNG"))
    assert facts(deep)[3:] == ("I;16", 1, 16)
    palette = read_header(saved(Image.fromarray(picture).quantize(4), "PNG", bits=2))
    assert facts(palette)[3:] == ("P", 1, 2)
    file = saved(Image.fromarray(picture), "PNG", dpi=(300, 300))
    data = bytearray(file.getvalue())
    assert not read_header(file).progressive
    data[28] = 1
    interlaced = read_header(io.BytesIO(bytes(data)))
    assert interlaced.progressive
    assert interlaced.dpi_x == pytest.approx(300, abs=0.01)


def test_reads_webp_gif_and_bmp(picture: Picture) -> None:
    image = Image.fromarray(picture)
    assert facts(read_header(saved(image, "WEBP")))[:4] == ("WEBP", 90, 60, "RGB")
    lossless = read_header(saved(image.convert("RGBA"), "WEBP", lossless=True, exact=True))
    assert (lossless.width, lossless.height) == (90, 60)
    frames = [image, Image.fromarray(255 - picture)]
    animated = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_header(animated).pages == 2
    assert facts(read_header(saved(image, "BMP"))) == ("BMP", 90, 60, "RGB", 3, 8)


def test_impossible_sizes_are_facts_or_refused_and_leave_the_global_limit_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    head = bytearray(saved(Image.new("RGB", (1, 1)), "BMP").getvalue())
    head[18:26] = struct.pack("<ii", 3_000_000, 2_000_000)
    header = read_header(io.BytesIO(bytes(head)))
    assert (header.width, header.height) == (3_000_000, 2_000_000)
    head[18:22] = struct.pack("<i", -1)
    with pytest.raises(UnreadableImage):
        read_header(io.BytesIO(bytes(head)))
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    "data", [b"", b"not an image", b"\xff\xd8\xff\xd9", b"II*\0", b"\x89PNG\r\n\x1a\n"]
)
def test_says_why_a_file_is_no_image(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match=r"\w"):
        read_header(io.BytesIO(data))


def test_a_header_that_asks_for_too_much_is_refused(picture: Picture) -> None:
    file = saved(Image.fromarray(picture), "JPEG", icc_profile=bytes(300_000))
    with pytest.raises(LimitExceeded, match="max_header_bytes"):
        read_header(file, max_header_bytes=100_000)


def test_reads_no_pixels(picture: Picture, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG", quality=95).getvalue()
    assert len(data) > 100_000
    whole = read_header(io.BytesIO(data))
    assert read_header(io.BytesIO(data[:2000])) == whole


@given(
    st.binary(max_size=300), st.integers(0, 400), st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"])
)
def test_damage_gives_a_header_or_a_reason(noise: bytes, at: int, kind: str) -> None:
    data = bytearray(saved(Image.new("RGB", (20, 10), "red"), kind).getvalue())
    data[at : at + len(noise)] = noise
    with contextlib.suppress(LedgerkitError):
        header = read_header(io.BytesIO(bytes(data)))
        assert min(header.width, header.height) > 0
