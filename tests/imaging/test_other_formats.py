"""Depth, turning and pixels of what is not TIFF, and the name of what is not read."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.decode import decode
from ledgerkit.imaging.header import read_header
from ledgerkit.imaging.vips import to_array

HEIGHT, WIDTH = 37, 53


def smooth(bands: int) -> NDArray[np.uint8]:
    """A picture without edges, which lossy coding keeps within a few levels."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [
        120 + 70 * np.sin(across / 15 + band) + 50 * np.cos(down / 12) for band in range(bands)
    ]
    return np.rint(np.stack(waves, axis=-1)).astype(np.uint8)


def test_a_truncated_jpeg_of_twelve_bits_is_an_error_and_never_grey() -> None:
    noise = np.random.default_rng(4).integers(0, 4096, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    data = imagecodecs.jpeg_encode(noise, level=95, bitspersample=12)
    decoded = decode(io.BytesIO(data))
    assert (decoded.maximum, decoded.decoder) == (4095, "imagecodecs")
    with pytest.raises(UnreadableImage, match="end marker"):
        decode(io.BytesIO(data[: len(data) * 9 // 10]))


@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("bands", [3, 4])
def test_avif_has_its_own_depth_and_agrees_with_libavif(depth: int, bands: int) -> None:
    kind = np.uint8 if depth == 8 else np.uint16
    array = (smooth(bands).astype(np.uint16) << (depth - 8)).astype(kind)
    data = imagecodecs.avif_encode(array, level=100, bitspersample=depth)
    decoded = decode(io.BytesIO(data))
    found = to_array(decoded.image)
    assert decoded.header.bit_depth == depth
    assert decoded.maximum == (1 << depth) - 1
    assert decoded.alpha == (bands == 4)
    assert np.array_equal(found, imagecodecs.avif_decode(data))
    assert np.array_equal(found, array)


def test_grey_avif_is_grey() -> None:
    file = io.BytesIO()
    Image.fromarray(smooth(1)[:, :, 0]).save(file, "AVIF", quality=100, subsampling="4:0:0")
    decoded = decode(file)
    assert (decoded.space, decoded.header.mode, decoded.header.bands) == ("grey", "L", 1)
    other = imagecodecs.avif_decode(file.getvalue())
    assert np.array_equal(to_array(decoded.image)[:, :, 0], other)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_by_its_boxes_and_not_again(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    picture = smooth(3)
    picture[:9, :15] = 0
    options: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4", "exif": exif}
    Image.fromarray(picture).save(file, "AVIF", **options)
    decoded = decode(file)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    assert decoded.header.orientation == 1
    assert (decoded.header.height, decoded.header.width) == upright.shape[:2]
    assert np.abs(to_array(decoded.image).astype(int) - upright.astype(int)).max() <= 2


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_jpeg2000_has_its_own_depth_and_its_samples(codec: str, depth: int, bands: int) -> None:
    kind = np.uint8 if depth == 8 else np.uint16
    array = (smooth(bands).astype(np.uint32) * ((1 << depth) - 1) // 255).astype(kind)
    data = imagecodecs.jpeg2k_encode(
        array, level=0, reversible=True, codecformat=codec, bitspersample=depth
    )
    decoded = decode(io.BytesIO(data))
    assert (decoded.header.bit_depth, decoded.maximum) == (depth, (1 << depth) - 1)
    assert np.array_equal(to_array(decoded.image), array)
    if depth == 8:
        other = np.asarray(Image.open(io.BytesIO(data))).reshape(array.shape)
        assert np.array_equal(to_array(decoded.image), other)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL is not read here; djxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL is not read here; djxl"),
        (b"%PDF-1.7\n", "PDF is not read here; pdfimages"),
        (b"II\xbc\x01" + bytes(40), "JPEG XR is not read here"),
        (b"P6 2 2 65535\n" + bytes(24), "16 bits a sample is not read here"),
        (b"Pf\n2 2\n-1.0\n" + bytes(16), "32 bits a sample is not read here"),
        (imagecodecs.jpegls_encode(smooth(3)), "JPEG-LS"),
    ],
)
def test_what_is_not_read_is_named_with_a_way_out(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        decode(io.BytesIO(data))


def box(kind: bytes, *contents: bytes) -> bytes:
    body = b"".join(contents)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def heic(width: int, height: int, turns: int) -> bytes:
    """The boxes of a HEIC of one picture of 10 bits, turned by quarters; nothing is coded in it."""
    coding = bytearray(23)
    coding[16], coding[17] = 0xFD, 0xFA
    properties = box(
        b"ipco",
        box(b"ispe", bytes(4), struct.pack(">II", width, height)),
        box(b"hvcC", bytes(coding)),
        box(b"irot", bytes([turns])),
    )
    belongs = box(b"ipma", bytes(4), struct.pack(">IHB3B", 1, 1, 3, 1, 0x82, 0x83))
    item = box(b"infe", b"\2\0\0\0", struct.pack(">HH4s", 1, 0, b"hvc1"), b"\0")
    meta = box(
        b"meta",
        bytes(4),
        box(b"pitm", bytes(4), b"\0\1"),
        box(b"iinf", bytes(4), b"\0\1", item),
        box(b"iprp", properties, belongs),
    )
    return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta


def test_a_heic_has_a_header_and_is_refused_with_a_way_out() -> None:
    file = io.BytesIO(heic(600, 400, 1))
    header = read_header(file)
    assert (header.format, header.media_type, header.compression) == ("HEIC", "image/heic", "hevc")
    assert (header.width, header.height, header.bit_depth) == (400, 600, 10)
    with pytest.raises(UnreadableImage, match=r"hevc.*heif-convert"):
        decode(file)


def test_an_avif_sequence_has_a_header_and_is_refused_with_a_way_out() -> None:
    file = io.BytesIO()
    frames = [Image.new("RGB", (48, 40), colour) for colour in ("red", "blue")]
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:])
    assert read_header(file).width == 48
    with pytest.raises(UnreadableImage, match="avifdec"):
        decode(file)
