"""Every cell of {layout} x {compression} x {depth} x {colours} that can be written here.

Lossless cells are compared with the samples that were written, so with no decoder at all; lossy ones
with a decoder that `decode` did not choose. What is not read must be refused with a reason.
"""

from __future__ import annotations

import io
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.decode import decode
from ledgerkit.imaging.vips import to_array
from tests.imaging.tiffs import basic, packed, written

Array = NDArray[Any]

HEIGHT, WIDTH = 37, 53
MODELS: dict[str, tuple[int, str, list[str]]] = {
    "grey": (1, "minisblack", []),
    "white is zero": (1, "miniswhite", []),
    "grey with alpha": (2, "minisblack", ["unassalpha"]),
    "palette": (1, "palette", []),
    "RGB": (3, "rgb", []),
    "RGB with alpha": (4, "rgb", ["unassalpha"]),
    "RGB by alpha": (4, "rgb", ["assocalpha"]),
    "RGB with a fourth sample": (4, "rgb", ["unspecified"]),
    "CMYK": (4, "separated", []),
    "CMYK with alpha": (5, "separated", ["unassalpha"]),
    "CIELAB": (3, "cielab", []),
    "ICCLAB": (3, "icclab", []),
    "YCbCr": (3, "ycbcr", []),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rowsperstrip": 15},
    "tiles": {"tile": (16, 16)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 14},
    "tiled planes": {"planarconfig": "separate", "tile": (16, 16)},
}
LOSSLESS: dict[str, dict[str, Any]] = {
    "none": {"compression": None},
    "lzw": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "deflate"},
    "zstd": {"compression": "zstd", "predictor": True},
    "lzma": {"compression": "lzma"},
    "packbits": {"compression": "packbits"},
    "lerc": {"compression": "lerc"},
    "jpeg2000": {"compression": "jpeg2000"},
    "png": {"compression": "png"},
    "jpegxl": {"compression": "jpegxl", "compressionargs": {"lossless": True}},
    "webp": {"compression": "webp", "compressionargs": {"lossless": True}},
}
ORDERED = ("jpeg2000", "jpegxl", "png")
DEPTHS = (np.uint8, np.uint16, np.uint32)


def picture(bands: int, dtype: type[np.unsignedinteger[Any]], by_alpha: bool) -> Array:
    """A gradient with every band its own; with `by_alpha` colours never exceed the last band."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [((across * 5 + down * (3 + 2 * band)) % 101) / 100 for band in range(bands)]
    image = np.stack(waves, axis=-1)
    if by_alpha:
        image[:, :, :-1] *= image[:, :, -1:]
    return (image * np.iinfo(dtype).max).astype(dtype)


def palette_of(dtype: type[np.unsignedinteger[Any]]) -> NDArray[np.uint16]:
    random = np.random.default_rng(3)
    return random.integers(0, 65536, (3, int(np.iinfo(dtype).max) + 1), dtype=np.uint16)


def rgb_of_ycbcr(array: Array) -> Array:
    """The formula of JFIF, which is TIFF's with its default coefficients."""
    light, cool, warm = (array[:, :, band].astype(float) for band in range(3))
    red = light + 1.402 * (warm - 128)
    blue = light + 1.772 * (cool - 128)
    green = (light - 0.299 * red - 0.114 * blue) / 0.587
    colours = np.stack([red, green, blue], axis=-1)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def expected(model: str, array: Array) -> Array:
    """The samples that were written in the conventions of `decode`, said anew from the rules."""
    if array.dtype == np.uint32:
        array = np.rint(array / (2**32 - 1) * 65535).astype(np.uint16)
    white = array.dtype.type(np.iinfo(array.dtype).max)
    half = array.dtype.type(white // 2 + 1)
    if model == "white is zero":
        return white - array
    if model == "palette":
        colours = palette_of(array.dtype.type).T
        if array.dtype == np.uint8:
            colours = (colours >> 8).astype(np.uint8)
        return colours[array[:, :, 0]]
    if model == "RGB with a fourth sample":
        return array[:, :, :3]
    if model == "CIELAB":
        return np.concatenate([array[:, :, :1], array[:, :, 1:] ^ half], axis=-1)
    if model == "ICCLAB" and white == 65535:
        light = np.minimum(array[:, :, :1].astype(float), 65280)
        scaled = np.floor(light * 65535 / 65280 + 0.5).astype(np.uint16)
        return np.concatenate([scaled, array[:, :, 1:]], axis=-1)
    if model == "YCbCr":
        return rgb_of_ycbcr(array)
    return array


def tiff(model: str, array: Array, **options: Any) -> bytes | None:
    """A TIFF by tifffile, or None where it writes no such cell."""
    bands, photometric, extra = MODELS[model]
    if "planarconfig" in options:
        if bands == 1:
            return None
        array = np.ascontiguousarray(np.moveaxis(array, 2, 0))
    if bands == 1:
        array = array[:, :, 0]
    if extra:
        options["extrasamples"] = extra
    if photometric == "palette":
        if array.dtype == np.uint32:
            return None
        options["colormap"] = palette_of(array.dtype.type)
    file = io.BytesIO()
    logging.disable(logging.WARNING)
    try:
        tifffile.imwrite(file, array, photometric=photometric, **options)
    except Exception:  # whatever it does not write is no cell
        return None
    finally:
        logging.disable(logging.NOTSET)
    return file.getvalue()


def cells(model: str, how: dict[str, Any]) -> Iterator[tuple[str, bytes, Array]]:
    """Name, file and written samples of the cells of a colour model and a compression."""
    bands = MODELS[model][0]
    for (layout, options), dtype, order, big in itertools.product(
        LAYOUTS.items(), DEPTHS, "<>", (False, True)
    ):
        if big and (order == ">" or layout not in ("strips", "tiles")):
            continue
        if order == ">" and dtype != np.uint8 and how["compression"] in ORDERED:
            continue  # tifffile writes the samples of these codecs with their bytes swapped
        array = picture(bands, dtype, model == "RGB by alpha")
        data = tiff(model, array, byteorder=order, bigtiff=big, **options, **how)
        if data is not None:
            yield f"{layout}, {dtype.__name__}, {order}, big={big}", data, array


def difference(data: bytes, true: Array, allowed: int) -> str:
    """What is wrong with the pixels of `decode`; empty when they are right."""
    try:
        decoded = decode(io.BytesIO(data))
    except UnreadableImage as error:
        return f"refused: {error}"
    found = to_array(decoded.image)
    if found.shape != true.shape or found.dtype != true.dtype:
        return f"{decoded.decoder}: {found.dtype} {found.shape} for {true.dtype} {true.shape}"
    if true.dtype == np.uint16 and decoded.maximum != 65535:
        return f"white is {decoded.maximum}"
    off = int(np.abs(found.astype(np.int64) - true.astype(np.int64)).max())
    return f"{decoded.decoder}: {off} levels off" if off > allowed else ""


REFUSED = {
    "CIELAB": "32 bits a sample is refused",
    "ICCLAB": "32 bits a sample is refused",
    "YCbCr": "is not read here",
}


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("model", MODELS)
def test_every_lossless_cell_has_the_pixels_that_were_written(model: str, compression: str) -> None:
    wrong = {}
    for name, data, array in cells(model, LOSSLESS[compression]):
        if model == "RGB by alpha":
            continue
        if model == "YCbCr" and array.dtype != np.uint8:
            problem = difference(data, array, 0)
            expected_refusal = problem.startswith("refused") and REFUSED[model] in problem
        else:
            problem = difference(data, expected(model, array), 1 if model == "YCbCr" else 0)
            expected_refusal = REFUSED.get(model, "\0") in problem
            expected_refusal |= compression == "jpeg2000" and "32 bits" in problem
        if problem and not expected_refusal:
            wrong[name] = problem
    assert wrong == {}


@pytest.mark.parametrize("compression", LOSSLESS)
def test_associated_alpha_is_divided_out_the_same_by_every_decoder(compression: str) -> None:
    """Within one level of the exact quotient, and equal for equal samples however they lie."""
    model, wrong, first = "RGB by alpha", {}, {}
    for name, data, array in cells(model, LOSSLESS[compression]):
        white = min(int(np.iinfo(array.dtype).max), 65535)
        levels = array if array.dtype != np.uint32 else np.rint(array / (2**32 - 1) * 65535)
        alpha = levels[:, :, -1:].astype(float)
        with np.errstate(all="ignore"):
            colours = np.where(alpha > 0, levels[:, :, :-1] * (white / alpha), 0)
        true = np.concatenate([np.minimum(colours, white), alpha], axis=-1)
        kind = np.uint8 if white == 255 else np.uint16
        problem = difference(data, true.astype(kind), 1)
        if "32 bits" in problem and compression == "jpeg2000":
            continue
        if problem:
            wrong[name] = problem
            continue
        found = to_array(decode(io.BytesIO(data)).image)
        if not np.array_equal(found, first.setdefault(array.dtype, found)):
            wrong[name] = "other pixels than in the first layout"
    assert wrong == {}


def smooth(bands: int) -> Array:
    """A picture without edges, which JPEG keeps within a few levels."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [
        120 + 70 * np.sin(across / 15 + band) + 50 * np.cos(down / 12) for band in range(bands)
    ]
    return np.rint(np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("model", ["grey", "white is zero", "RGB", "CMYK", "grey with alpha"])
def test_jpeg_in_tiff_is_the_picture_and_agrees_with_another_decoder(
    model: str, layout: str
) -> None:
    array = smooth(MODELS[model][0])
    for order in "<>":
        how = {"compression": "jpeg", "compressionargs": {"level": 97}, "byteorder": order}
        how |= {"subsampling": (1, 1)} if model == "RGB" else {}
        data = tiff(model, array, **how, **LAYOUTS[layout])
        if data is None:
            assert MODELS[model][0] == 1
            continue
        decoded = decode(io.BytesIO(data))
        found = to_array(decoded.image).astype(int)
        assert np.abs(found - expected(model, array).astype(int)).max() <= 5
        if "planes" in layout or model == "grey with alpha":
            continue  # Pillow mixes these up
        other = np.asarray(Image.open(io.BytesIO(data))).reshape(found.shape)
        assert decoded.decoder != "pillow"
        assert np.abs(found - other.astype(int)).max() <= 2


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("layout", ["strips", "tiles"])
def test_subsampled_jpeg_in_tiff_agrees_with_libtiff(
    layout: str, subsampling: tuple[int, int]
) -> None:
    rows = {"rowsperstrip": 16} if layout == "strips" else LAYOUTS[layout]
    array = picture(3, np.uint8, False) // 2 + 60
    data = tiff("RGB", array, compression="jpeg", subsampling=subsampling, **rows)
    assert data is not None
    decoded = decode(io.BytesIO(data))
    assert decoded.space == "rgb"
    other = imagecodecs.tiff_decode(data, asrgb=True)[:, :, :3]
    assert np.abs(to_array(decoded.image).astype(int) - other.astype(int)).max() <= 3


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("order", "<>")
def test_odd_depths_are_scaled_by_their_own_white(bits: int, order: str) -> None:
    random = np.random.default_rng(bits)
    white = (1 << bits) - 1
    for bands, photometric in ((1, 1), (1, 0), (1, 3), (2, 1), (3, 2), (4, 2), (4, 5)):
        if photometric == 3 and bits > 8:
            continue
        array = random.integers(0, white + 1, (HEIGHT, WIDTH, bands))
        tags = basic(WIDTH, HEIGHT, bits, bands, photometric)
        if (bands, photometric) in ((2, 1), (4, 2)):
            tags[338] = (3, [2])
        true = array if photometric else white - array
        if photometric == 3:
            colours = random.integers(256, 65536, (3, white + 1))
            tags[320] = (3, colours.ravel().tolist())
            true = (colours.T >> 8)[array[:, :, 0]]
        elif bits < 8:
            true = np.rint(true * 255 / white)
        data = written(tags, packed(array.reshape(HEIGHT, -1), bits, order), order)
        decoded = decode(io.BytesIO(data))
        assert decoded.maximum == (255 if bits <= 8 else white)
        assert np.array_equal(to_array(decoded.image), true), (bands, photometric)


@pytest.mark.parametrize("bits", [1, 8, 12])
def test_bits_from_the_low_end_are_read_so(bits: int) -> None:
    array = np.random.default_rng(bits).integers(0, 1 << bits, (HEIGHT, WIDTH))
    data = packed(array, bits)
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    tags = basic(WIDTH, HEIGHT, bits, 1, 1) | {266: (3, [2])}
    true = array * 255 if bits == 1 else array
    assert np.array_equal(to_array(decode(io.BytesIO(written(tags, turned))).image)[:, :, 0], true)


@pytest.mark.parametrize("kind", ["group3", "group4", "tiff_ccitt"])
def test_fax_compressions_give_the_bits_that_were_written(kind: str) -> None:
    bits = np.random.default_rng(1).integers(0, 5, (HEIGHT, WIDTH)) == 0
    file = io.BytesIO()
    Image.fromarray(bits).save(file, "TIFF", compression=kind)
    assert np.array_equal(to_array(decode(file).image)[:, :, 0], bits * 255)


@pytest.mark.parametrize("steps", [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)])
def test_subsampled_ycbcr_without_jpeg_becomes_rgb(steps: tuple[int, int]) -> None:
    across, down = steps
    width, height = 64, 32
    small = np.random.default_rng(9).integers(60, 200, (height, width, 3))
    units = bytearray()
    for top, left in itertools.product(range(0, height, down), range(0, width, across)):
        units += bytes(small[top : top + down, left : left + across, 0].ravel().tolist())
        units += bytes(small[top, left, 1:].tolist())
    shared = small.copy()
    for band in (1, 2):
        colour = small[::down, ::across, band]
        shared[:, :, band] = np.repeat(np.repeat(colour, down, axis=0), across, axis=1)
    tags = basic(width, height, 8, 3, 6) | {530: (3, list(steps))}
    found = to_array(decode(io.BytesIO(written(tags, bytes(units)))).image)
    assert np.abs(found.astype(int) - rgb_of_ycbcr(shared).astype(int)).max() <= 1
