"""What the header bytes of an image say: size, mode, depth, resolution, orientation, pages.

JPEG, PNG, TIFF and WebP are parsed here and in the modules beside, from a bounded number of bytes;
every other format in `OTHER_FORMATS` is left to Pillow's parsers, behind the same bound. No pixel
is decoded, and Pillow's global limits are not touched.

Conventions: page 0 is the plate. `mode` is Pillow's word for the colour model; more than 8 bits are
said by `bit_depth`, and in the mode of grey alone (`I;16`, `I`, `F`). Resolution comes from JFIF,
pHYs or the TIFF tags, and from EXIF where these say nothing; a value without a unit is null. A size
that no 32-bit integer holds is refused.

Keeps out: decoding (`decode.py`), judging (`audit`).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from ledgerkit.errors import LedgerkitError, UnreadableImage
from ledgerkit.imaging import jpeg, png, tiff, webp
from ledgerkit.imaging.bounded import MAX_HEADER_BYTES, BoundedBytes, BoundedFile
from ledgerkit.imaging.icc import profile_description
from ledgerkit.imaging.tiff import Directory

if TYPE_CHECKING:
    from PIL import Image

OTHER_FORMATS = ("BMP", "GIF", "ICO", "JPEG2000", "AVIF", "PPM", "PSD", "SGI", "PCX", "TGA")
MAX_SIDE = 2**31 - 1

ORIENTATION = 274
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
COMPRESSIONS = {
    1: "none",
    2: "ccitt-rle",
    3: "ccitt-g3",
    4: "ccitt-g4",
    5: "lzw",
    6: "jpeg-old",
    7: "jpeg",
    8: "deflate",
    32946: "deflate",
    32773: "packbits",
    34712: "jpeg2000",
    33003: "jpeg2000",
    33005: "jpeg2000",
    34887: "lerc",
    34925: "lzma",
    50000: "zstd",
    50001: "webp",
    50002: "jpegxl",
}


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of the ledger table `headers` apart from `plate_id`; see its schema for each."""

    format: str
    media_type: str
    width: int
    height: int
    megapixels: float
    mode: str
    bands: int
    bit_depth: int
    sample_format: str
    orientation: int
    dpi_x: float | None
    dpi_y: float | None
    icc_profile: str | None
    icc_profile_sha256: str | None
    has_exif: bool
    jpeg_subsampling: str | None
    progressive: bool
    compression: str | None
    pages: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A header with what decoding needs beside it.

    `profile` is the embedded ICC profile; `buffered_bytes` is the memory in bytes that any decoder
    of this file must hold at once, 0 when it can stream; `directory` are the tags of a TIFF.
    """

    header: Header
    profile: bytes | None
    buffered_bytes: int
    directory: Directory | None = None
    lossless_jpeg: bool = False


def read_header(file: BinaryIO, *, max_header_bytes: int = MAX_HEADER_BYTES) -> Header:
    """The header of an open image file. Reads at most `max_header_bytes`.

    Raises `UnreadableImage` with the reason, and `LimitExceeded` when the header is larger.
    """
    return read_facts(file, max_header_bytes=max_header_bytes).header


def read_facts(file: BinaryIO, *, max_header_bytes: int = MAX_HEADER_BYTES) -> Facts:
    """The header, the profile, and what decoding will take. Raises as `read_header` does."""
    source = BoundedBytes(file, max_header_bytes)
    if not source.first:
        raise UnreadableImage("the file is empty")
    facts = _reader(source.first)(source)
    if max(facts.header.width, facts.header.height) > MAX_SIDE:
        raise UnreadableImage(
            f"the header claims {facts.header.width} x {facts.header.height} pixels, "
            f"more than {MAX_SIDE} on a side"
        )
    return facts


def _reader(first: bytes) -> Callable[[BoundedBytes], Facts]:
    if first[:2] == b"\xff\xd8":
        return _read_jpeg
    if first[:8] == png.SIGNATURE:
        return _read_png
    if first[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _read_tiff
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return _read_webp
    return _read_other


def _header(
    kind: tuple[str, str],
    size: tuple[int, int],
    samples: tuple[str, int, int, str],
    dpi: tuple[float, float] | None,
    profile: bytes | None,
    exif: Directory | None,
    has_exif: bool,
    **rest: Any,
) -> Header:
    """Join (format, media type), (width, height), (mode, bands, depth, sample kind), rest."""
    if exif is not None and dpi is None:
        dpi = resolution(exif)
    across, down = dpi or (None, None)
    facts: dict[str, Any] = {"progressive": False, "compression": None, "pages": 1}
    facts |= {"jpeg_subsampling": None, "orientation": orientation(exif)} | rest
    return Header(
        format=kind[0],
        media_type=kind[1],
        width=size[0],
        height=size[1],
        megapixels=size[0] * size[1] / 1e6,
        mode=samples[0],
        bands=samples[1],
        bit_depth=samples[2],
        sample_format=samples[3],
        dpi_x=across,
        dpi_y=down,
        icc_profile=profile_description(profile) if profile else None,
        icc_profile_sha256=hashlib.sha256(profile).hexdigest() if profile else None,
        has_exif=has_exif,
        **facts,
    )


def orientation(directory: Directory | None) -> int:
    """The orientation tag, 1 when absent or not one of 1..8."""
    value = directory.number(ORIENTATION, 1) if directory is not None else 1
    return value if 1 <= value <= 8 else 1


def resolution(directory: Directory) -> tuple[float, float] | None:
    """Dots an inch across and down from the resolution tags; None without a unit or a value."""
    scale = {2: 1.0, 3: 2.54}.get(directory.number(RESOLUTION_UNIT, 2))
    across, down = directory.numbers(X_RESOLUTION), directory.numbers(Y_RESOLUTION)
    if scale is None or not across or not down:
        return None
    values = (float(across[0]) * scale, float(down[0]) * scale)
    if not all(0 < value < 1e9 for value in values):
        return None
    return values


def _read_jpeg(source: BoundedBytes) -> Facts:
    found = jpeg.read_jpeg(source)
    bands = len(found.sampling)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(bands, f"{bands} bands")
    if bands == 1 and found.precision > 8:
        mode = "I;16"
    coding = "jpeg-lossless" if found.lossless else "jpeg"
    header = _header(
        ("MPO" if found.pictures > 1 else "JPEG", "image/jpeg"),
        (found.width, found.height),
        (mode, bands, found.precision, "unsigned"),
        found.dpi,
        found.profile,
        found.exif,
        found.has_exif,
        jpeg_subsampling=found.subsampling,
        progressive=found.progressive,
        compression=coding,
        pages=found.pictures,
    )
    streams = found.scans_in_one and not found.progressive
    buffered = 0 if streams else found.coefficient_bytes
    return Facts(header, found.profile, buffered, lossless_jpeg=found.lossless)


def _read_png(source: BoundedBytes) -> Facts:
    found = png.read_png(source)
    deep = found.bit_depth == 16
    grey = "1" if found.bit_depth == 1 else "I;16" if deep else "L"
    mode = {0: grey, 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}[found.colour_type]
    bands = png.CHANNELS[found.colour_type]
    header = _header(
        ("PNG", "image/apng" if found.frames > 1 else "image/png"),
        (found.width, found.height),
        (mode, bands, found.bit_depth, "unsigned"),
        found.dpi,
        found.profile,
        found.exif,
        found.has_exif,
        progressive=found.interlaced,
        compression="deflate",
        pages=found.frames,
    )
    expanded = (3 if found.colour_type == 3 else bands) + found.transparency
    decoded = found.width * found.height * expanded * (2 if deep else 1)
    return Facts(header, found.profile, decoded if found.interlaced else 0)


def _read_webp(source: BoundedBytes) -> Facts:
    found = webp.read_webp(source)
    header = _header(
        ("WEBP", "image/webp"),
        (found.width, found.height),
        ("RGBA" if found.alpha else "RGB", 4 if found.alpha else 3, 8, "unsigned"),
        None,
        found.profile,
        found.exif,
        found.has_exif,
        compression="webp-lossless" if found.lossless else "webp",
        pages=found.frames,
    )
    return Facts(header, found.profile, found.width * found.height * 4)


def _read_tiff(source: BoundedBytes) -> Facts:
    found = tiff.read_tiff(source)
    tags = found.first
    width, height = tags.number(256, 0), tags.number(257, 0)
    if width <= 0 or height <= 0:
        raise UnreadableImage(f"the TIFF's first page claims {width} x {height} pixels")
    bands, depth = max(1, tags.number(277, 1)), tags.number(258, 1)
    if not 1 <= depth <= 64 or bands > 1024:
        raise UnreadableImage(f"the TIFF's first page claims {bands} samples of {depth} bits")
    kind = {1: "unsigned", 2: "signed", 3: "float"}.get(tags.number(339, 1), "unsigned")
    profile = tags.data(34675) or None
    coding = tags.number(259, 1)
    header = _header(
        ("TIFF", "image/tiff"),
        (width, height),
        (tiff_mode(tags, bands, depth, kind), bands, depth, kind),
        resolution(tags),
        profile,
        tags,
        34665 in tags,
        compression=COMPRESSIONS.get(coding, str(coding)),
        pages=found.pages,
    )
    return Facts(header, profile, _tiff_buffer(tags, header), tags)


def tiff_mode(tags: Directory, bands: int, depth: int, kind: str) -> str:
    """The colour model of a TIFF page from its photometric interpretation and extra samples."""
    photometric = tags.number(262, 1)
    extra = tags.numbers(338)
    if photometric in (0, 1) and bands == 1:
        if kind == "float":
            return "F"
        return "1" if depth == 1 else "L" if depth <= 8 else "I;16" if depth <= 16 else "I"
    colour = {0: "L", 1: "L", 2: "RGB", 3: "P", 5: "CMYK", 8: "LAB", 9: "LAB", 10: "LAB"}
    if photometric == 6:
        name = "RGB" if tags.number(259, 1) in (6, 7) else "YCbCr"
    else:
        name = colour.get(photometric, f"photometric {photometric}")
    if bands <= colour_bands(photometric):
        return name
    alpha = {1: "a", 2: "A"}.get(int(extra[0]) if extra else 0, "X")
    return name + alpha


def colour_bands(photometric: int) -> int:
    """Samples a pixel that carry colour, for a TIFF photometric interpretation."""
    return {2: 3, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}.get(photometric, 1)


def _tiff_buffer(tags: Directory, header: Header) -> int:
    """Bytes that must be held at once: one compressed strip (of all planes) or one row of tiles."""
    row = header.width * header.bands * max(1, header.bit_depth // 8)
    if 322 in tags:
        rows = tags.number(323, header.height)
    elif header.compression == "none":
        return 0
    else:
        rows = tags.number(278, header.height)
    needed = row * max(1, min(rows, header.height))
    return needed if needed > 64 * 1024 * 1024 else 0


def _read_other(source: BoundedBytes) -> Facts:
    """A format that Pillow knows and `OTHER_FORMATS` names."""
    image = _pillow_image(source)
    width, height = image.size
    if width <= 0 or height <= 0:
        raise UnreadableImage(f"the header claims {width} x {height} pixels")
    name = image.format or "unknown"
    profile = image.info.get("icc_profile") or None
    block = image.info.get("exif")
    exif = tiff.read_exif(block) if isinstance(block, bytes) and block else None
    dpi = image.info.get("dpi")
    usable = isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < float(v) < 1e9 for v in dpi)
    bands = len(image.getbands())
    coding = image.info.get("compression")
    header = _header(
        (name, _media_type(name)),
        (width, height),
        (image.mode, bands, _pillow_depth(image.mode), "unsigned"),
        (float(dpi[0]), float(dpi[1])) if usable and dpi is not None else None,
        profile,
        exif,
        exif is not None,
        progressive=name == "GIF" and _gif_interlaced(image),
        compression="lzw" if name == "GIF" else str(coding) if isinstance(coding, str) else None,
        pages=_frames(image),
    )
    return Facts(header, profile, width * height * max(bands, 4 if name == "GIF" else 1))


def _pillow_image(source: BoundedBytes) -> Image.Image:
    """Open by the plug-ins directly: `Image.open` alone enforces a limit that is global."""
    from PIL import Image

    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in OTHER_FORMATS:
            factory, accept = Image.OPEN.get(name, (None, None))
            if factory is None or (accept and not _accepted(accept, source.first)):
                continue
            try:
                return factory(cast("IO[bytes]", BoundedFile(source)), "")
            except LedgerkitError:
                raise
            except (OSError, ValueError, TypeError, KeyError, IndexError, SyntaxError) as error:
                if accept is not None:
                    raise UnreadableImage(f"the {name} header is broken: {error}") from error
            except Exception as error:  # Pillow's parsers meet hostile bytes; none may end a job
                raise UnreadableImage(f"the {name} header is broken: {error!r}") from error
    raise UnreadableImage("not an image in a format that is known here")


def _accepted(accept: Callable[[bytes], bool | str], first: bytes) -> bool:
    return accept(first[:16]) is True


def _media_type(name: str) -> str:
    from PIL import Image

    return Image.MIME.get(name, "application/octet-stream")


def _pillow_depth(mode: str) -> int:
    return {"1": 1, "I": 32, "F": 32, "I;16": 16, "I;16B": 16, "I;16L": 16}.get(mode, 8)


def _gif_interlaced(image: Image.Image) -> bool:
    tiles = getattr(image, "tile", [])
    return bool(tiles) and bool(tiles[0][3][1])


def _frames(image: Image.Image) -> int:
    """Frames of an animation; 1 where counting them fails."""
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except LedgerkitError:
        raise
    except Exception:  # a broken later frame does not unmake the first
        return 1
