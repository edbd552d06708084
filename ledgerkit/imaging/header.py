"""What the header bytes of an image say: size, mode, depth, resolution, orientation, pages.

JPEG, PNG, TIFF, WebP, JPEG 2000 and HEIF (AVIF, HEIC) are parsed here and in the modules beside,
from a bounded number of bytes; the formats of `foreign.py` are left to Pillow's parsers, behind the
same bound. No pixel is decoded, and Pillow's global limits are not touched.

Conventions: page 0 is the plate. `mode` is Pillow's word for the colour model; more than 8 bits are
said by `bit_depth`, and in the mode of grey alone (`I;16`, `I`, `F`). Resolution comes from JFIF,
pHYs or the TIFF tags, and from EXIF where these say nothing; a value without a unit is null. A size
that no 32-bit integer holds is refused.

Keeps out: decoding (`decode.py`), judging (`audit`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging import heif, jp2, jpeg, png, tiff, webp
from ledgerkit.imaging.bounded import MAX_HEADER_BYTES, BoundedBytes
from ledgerkit.imaging.facts import Facts, Header, join_header, resolution
from ledgerkit.imaging.foreign import read_foreign
from ledgerkit.imaging.tiff import Directory

__all__ = ["Facts", "Header", "colour_bands", "read_facts", "read_header", "tiff_mode"]

MAX_SIDE = 2**31 - 1
AVIF_BYTES, WEBP_BYTES = 14, 8
"""Bytes a pixel that libheif (8 bits) and libwebp hold at their peak, measured at 48 megapixels."""

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
    52546: "jpegxl",
}


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
    if first[:12] == jp2.SIGNATURE or first[:4] == jp2.CODESTREAM:
        return _read_jp2
    if heif.is_heif(first):
        return _read_heif
    return read_foreign


def _read_jpeg(source: BoundedBytes) -> Facts:
    found = jpeg.read_jpeg(source)
    bands = len(found.sampling)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(bands, f"{bands} bands")
    if bands == 1 and found.precision > 8:
        mode = "I;16"
    coding = "jpeg-lossless" if found.lossless else "jpeg"
    header = join_header(
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
    return Facts(
        header,
        found.profile,
        buffered,
        lossless_jpeg=found.lossless,
        file_bytes=source.size,
    )


def _read_png(source: BoundedBytes) -> Facts:
    found = png.read_png(source)
    deep = found.bit_depth == 16
    grey = "1" if found.bit_depth == 1 else "I;16" if deep else "L"
    mode = {0: grey, 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}[found.colour_type]
    bands = png.CHANNELS[found.colour_type]
    header = join_header(
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
    header = join_header(
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
    return Facts(header, found.profile, found.width * found.height * WEBP_BYTES)


def _read_jp2(source: BoundedBytes) -> Facts:
    found = jp2.read_jp2(source)
    depth = abs(found.depths[0])
    deep_grey = "I;16" if 8 < depth <= 16 else "I" if depth > 16 else "1" if depth == 1 else "L"
    mode = deep_grey if found.mode == "L" and not found.alpha else found.mode
    bands = found.colours + found.alpha
    header = join_header(
        ("JPEG2000", "image/jp2"),
        (found.width, found.height),
        (mode + "A" * found.alpha, bands, depth, "signed" if found.depths[0] < 0 else "unsigned"),
        found.dpi,
        found.profile,
        None,
        False,
        compression="jpeg2000",
    )
    return Facts(
        header,
        found.profile,
        0,
        refusal=found.refusal,
        components=len(found.depths),
        file_bytes=source.size,
    )


def _read_heif(source: BoundedBytes) -> Facts:
    found = heif.read_heif(source)
    name = {"av01": "AVIF", "hvc1": "HEIC"}.get(found.coding, "HEIF")
    grey = "I;16" if found.bit_depth > 8 and not found.alpha else "L"
    mode = (grey if found.monochrome else "RGB") + "A" * found.alpha
    bands = (1 if found.monochrome else 3) + found.alpha
    header = join_header(
        (name, f"image/{name.lower()}"),
        (found.width, found.height),
        (mode, bands, found.bit_depth, "unsigned"),
        None,
        found.profile,
        None,
        found.has_exif,
        compression={"av01": "av1", "hvc1": "hevc"}.get(found.coding, found.coding),
    )
    refusal = None
    if name != "AVIF":
        refusal = (
            f"{name} pictures coded as {header.compression} are not decoded here (no library that "
            "this project uses may carry the patented decoder); heif-convert turns them into PNG"
        )
    elif found.sequence:
        refusal = "an AVIF sequence is not read here; avifdec takes its first picture out as PNG"
    held = found.width * found.height * (AVIF_BYTES if found.bit_depth <= 8 else 2 * AVIF_BYTES)
    return Facts(header, found.profile, held, refusal=refusal)


def _read_tiff(source: BoundedBytes) -> Facts:
    found = tiff.read_tiff(source)
    tags = found.first
    width, height = tags.number(256, 0), tags.number(257, 0)
    if width <= 0 or height <= 0:
        raise UnreadableImage(f"the TIFF's first page claims {width} x {height} pixels")
    bands, depth = max(1, tags.number(277, 1)), tags.number(258, 1)
    if not 1 <= depth <= 64 or bands > 1024:
        raise UnreadableImage(f"the TIFF's first page claims {bands} samples of {depth} bits")
    if tags.number(339, 1) in (5, 6):
        raise UnreadableImage("the TIFF's first page holds complex numbers, which are no picture")
    kind = {1: "unsigned", 2: "signed", 3: "float"}.get(tags.number(339, 1), "unsigned")
    profile = tags.data(34675) or None
    coding = tags.number(259, 1)
    header = join_header(
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
