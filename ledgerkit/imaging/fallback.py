"""Decode whole images that libvips cannot stream rightly, into arrays in libvips' conventions.

- tifffile: TIFF with 9 to 15 bits a sample or other odd depths, CIELAB, ICCLAB, tiled separate
  planes, and ZSTD, JPEG 2000, LERC, LZMA or JPEG XL inside TIFF (not in libvips' binary wheel).
- Pillow: TIFF with old-style JPEG (libvips returns black for its tiles, without an error), BMP,
  ICO, PPM, PSD, SGI, PCX, TGA.
- imagecodecs: JPEG of 12 bits or without loss, JPEG 2000.

Arrays are (height, width, bands), uint8 or uint16. White is the largest value, whatever the file
says; palettes are expanded to RGB; 1 bit becomes 0 or 255. CIELAB has its a and b moved by half
their range, so that they are unsigned. Samples of another kind are refused.

Keeps out: choosing the decoder and checking limits (`decode.py`).
Source: Adobe, TIFF Revision 6.0 (1992), sections 5, 20 to 23.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.vips import reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.header import Facts


def decode_whole(file: BinaryIO, facts: Facts, decoder: str) -> NDArray[Any]:
    """All pixels of page 0, as stored. Raises `UnreadableImage` with the library's reason."""
    decode = {"tifffile": _by_tifffile, "pillow": _by_pillow, "imagecodecs": _by_imagecodecs}[
        decoder
    ]
    file.seek(0)
    try:
        array = decode(file, facts)
    except UnreadableImage:
        raise
    except (
        Exception
    ) as error:  # three libraries over hostile bytes: whatever they raise is a reason
        raise UnreadableImage(f"{decoder} cannot decode the pixels: {reason(error)}") from error
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[:2] != (facts.header.height, facts.header.width):
        raise UnreadableImage(
            f"the header says {facts.header.width} x {facts.header.height} pixels, "
            f"{decoder} decoded {array.shape[1]} x {array.shape[0]}"
        )
    return _unsigned(array)


def _unsigned(array: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"samples of type {array.dtype} have no stated white and are refused")
    return array


def _by_tifffile(file: BinaryIO, facts: Facts) -> NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[0]
        if not all(page.databytecounts) or not all(page.dataoffsets):
            raise UnreadableImage("a strip or tile of the TIFF is missing")
        array: NDArray[Any] = page.asarray(maxworkers=1)
        photometric, planar = int(page.photometric), int(page.planarconfig)
        palette = page.colormap if photometric == 3 else None
    if planar == 2 and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if palette is not None:
        return _expand(array, palette)
    if photometric == 0:
        array = ~array if array.dtype == bool else (1 << facts.header.bit_depth) - 1 - array
    if photometric in (8, 9):
        return _unsigned_lab(array, photometric)
    return array


def _expand(array: NDArray[Any], palette: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Indices (height, width) by a 16-bit palette (3, entries) to 8 bits (height, width, 3)."""
    import numpy as np

    colours = (palette.T >> 8).astype(np.uint8)
    return colours[array.astype(np.intp)]


def _unsigned_lab(array: NDArray[Any], photometric: int) -> NDArray[Any]:
    """L, a, b with L over the whole range and a, b moved by half of it, for 8 and 16 bits.

    CIELAB (8) stores a and b as signed numbers. ICCLAB (9) has them moved already, but its 16 bits
    put 100 at 65280.
    """
    import numpy as np

    out = array[:, :, :3].copy()
    if out.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"CIELAB samples of type {out.dtype} are refused")
    if photometric == 8:
        out[:, :, 1:] ^= out.dtype.type(1 << (8 * out.dtype.itemsize - 1))
    elif out.dtype == np.uint16:
        light = np.minimum(out[:, :, 0].astype(np.uint32), 65280)
        out[:, :, 0] = (light * 65535 + 32640) // 65280
    return out


def _by_pillow(file: BinaryIO, facts: Facts) -> NDArray[Any]:
    import numpy as np
    from PIL import Image

    factory, _ = _plugin(facts.header.format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = factory(file, "")
        if facts.header.format == "ICO":
            image.load()
        if image.mode in ("P", "PA"):
            wanted = "RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB"
            image = image.convert(wanted)
        if image.mode == "RGBa":
            image = image.convert("RGBA")
        if image.mode == "I;16B":
            image = image.convert("I;16")
        Image.Image.load(image)
        return np.asarray(image)


def _plugin(name: str) -> Any:
    """The plug-in of a format; used directly, because `Image.open` obeys a limit that is global."""
    from PIL import Image

    Image.init()
    return Image.OPEN[name]


def _by_imagecodecs(file: BinaryIO, facts: Facts) -> NDArray[Any]:
    import imagecodecs

    data = file.read()
    if facts.header.format == "JPEG2000":
        array: NDArray[Any] = imagecodecs.jpeg2k_decode(data)
    elif facts.lossless_jpeg:
        array = imagecodecs.ljpeg_decode(data)
    else:
        array = imagecodecs.jpeg_decode(data)
    return array
