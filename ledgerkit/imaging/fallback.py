"""Decode whole images that libvips cannot stream rightly, into arrays in libvips' conventions.

- tifffile: TIFF of the kinds and depths that `decoders.py` names.
- Pillow: TIFF with old-style JPEG (libvips returns black for its tiles, without an error), BMP,
  ICO, PPM, PSD, SGI, PCX, TGA.
- imagecodecs: JPEG of 12 bits or without loss, JPEG 2000.

Arrays are (height, width, bands), uint8 or uint16, as `samples.py` makes them. White is the largest
value. CIELAB has its a and b moved by half their range, so that they are unsigned.

Keeps out: choosing the decoder (`decoders.py`), limits (`decode.py`).
Source: Adobe, TIFF Revision 6.0 (1992), sections 5, 20 to 23.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging import samples
from ledgerkit.imaging.vips import reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ledgerkit.imaging.facts import Facts


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
    if array.ndim != 3:
        raise UnreadableImage(f"{decoder} decoded {array.ndim} dimensions where a picture has 3")
    if array.shape[:2] != (facts.header.height, facts.header.width):
        raise UnreadableImage(
            f"the header says {facts.header.width} x {facts.header.height} pixels, "
            f"{decoder} decoded {array.shape[1]} x {array.shape[0]}"
        )
    return array


def _by_tifffile(file: BinaryIO, facts: Facts) -> NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[0]
        if not all(page.databytecounts) or not all(page.dataoffsets):
            raise UnreadableImage("a strip or tile of the TIFF is missing")
        array: NDArray[Any] = page.asarray(maxworkers=1)
        palette = page.colormap if facts.header.mode.startswith("P") else None
    tags = facts.directory
    assert tags is not None
    photometric = tags.number(262, 1)
    if tags.number(284, 1) == 2 and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if palette is not None:
        indices = array[:, :, 0] if array.ndim == 3 else array
        return samples.expand(indices, palette, facts.header.bit_depth)
    if photometric in (8, 9):
        return samples.unsigned_lab(array, photometric)
    array = samples.to_unsigned(array, facts)
    if photometric == 0:
        return _turned_round(array, facts)
    converted = facts.header.compression == "jpeg" and tags.number(284, 1) == 1
    return samples.ycbcr_to_rgb(array, tags) if photometric == 6 and not converted else array


def _turned_round(array: NDArray[Any], facts: Facts) -> NDArray[Any]:
    """White-is-zero to black-is-zero; a second band is opacity and stays."""
    white = samples.white_of(facts, array.dtype.itemsize == 2)
    out = array.copy()
    light = out[..., 0] if out.ndim == 3 else out
    light[...] = array.dtype.type(white) - light
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
        return samples.to_unsigned(np.asarray(image), facts)


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
        if b"\xff\xd9" not in data[data.index(b"\xff\xda") :]:
            # its libjpeg makes the missing rest grey with no more than a warning nobody sees
            raise UnreadableImage("the JPEG ends before its end marker")
        array = imagecodecs.jpeg_decode(data)
    return samples.to_unsigned(array, facts)
