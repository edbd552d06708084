"""Which library decodes an image rightly, from its header alone; or why none here does.

libvips wherever it is right, because it streams. Where it is not, `_vips_is_right` says in what:
each line there was a wrong or refused picture when compared with another decoder (pyvips-binary
8.18.7).

Keeps out: decoding (`decode.py`, `fallback.py`) and limits.
"""

from __future__ import annotations

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.facts import Facts
from ledgerkit.imaging.header import colour_bands
from ledgerkit.imaging.samples import stated_range
from ledgerkit.imaging.tiff import Directory

BY_VIPS = frozenset({"JPEG", "MPO", "PNG", "WEBP", "GIF", "AVIF", "TIFF"})
TIFF_BY_VIPS = frozenset(
    {
        "none",
        "ccitt-rle",
        "ccitt-g3",
        "ccitt-g4",
        "lzw",
        "jpeg",
        "deflate",
        "packbits",
        "webp",
    }
)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
SEPARATED, YCBCR, CIELAB, ICCLAB = 5, 6, 8, 9
BITS, SAMPLE_FORMAT, INK_SET, YCBCR_SUBSAMPLING = 258, 339, 332, 530


def choose_decoder(facts: Facts) -> str:
    """`libvips`, `tifffile`, `pillow` or `imagecodecs`. Raises `UnreadableImage` if none."""
    header = facts.header
    if facts.refusal is not None:
        raise UnreadableImage(facts.refusal)
    if header.format in ("JPEG", "MPO"):
        plain = header.bit_depth == 8 and not facts.lossless_jpeg
        return "libvips" if plain else "imagecodecs"
    if header.format == "JPEG2000":
        return "imagecodecs"
    if header.format == "TIFF":
        return _choose_for_tiff(facts)
    return "libvips" if header.format in BY_VIPS else "pillow"


def _choose_for_tiff(facts: Facts) -> str:
    header, tags = facts.header, facts.directory
    assert tags is not None
    photometric = tags.number(262, 1)
    if photometric not in (0, 1, 2, 3, 5, 6, 8, 9):
        raise UnreadableImage(f"TIFF photometric interpretation {photometric} is not supported")
    _check_samples(facts, tags, photometric)
    if header.compression == "jpeg-old":
        return "pillow"
    return "libvips" if _vips_is_right(facts, tags, photometric) else "tifffile"


def _check_samples(facts: Facts, tags: Directory, photometric: int) -> None:
    """Raise `UnreadableImage` for samples whose white or colours nothing states."""
    header = facts.header
    depths = sorted({int(value) for value in tags.numbers(BITS)[: header.bands]})
    kinds = sorted({int(value) for value in tags.numbers(SAMPLE_FORMAT)[: header.bands]})
    if len(depths) > 1 or (len(kinds) > 1 and photometric != CIELAB):
        raise UnreadableImage(
            f"one pixel has samples of {depths} bits and formats {kinds}: samples that differ in "
            "one pixel are refused; convert the image to equal samples"
        )
    if photometric == SEPARATED and tags.number(INK_SET, 1) != 1:
        raise UnreadableImage("the inks of the TIFF are not CMYK (tag InkSet is not 1): refused")
    if photometric == YCBCR and header.compression != "jpeg-old":
        _check_ycbcr(facts, tags)
    wide = header.bit_depth > 16 or header.sample_format != "unsigned"
    if photometric in (CIELAB, ICCLAB) and (wide or header.bit_depth not in (8, 16)):
        raise UnreadableImage(f"CIELAB with {header.bit_depth} bits a sample is refused")
    if not wide:
        return
    if header.sample_format == "unsigned" and header.bit_depth != 32:
        raise UnreadableImage(
            f"unsigned samples of {header.bit_depth} bits are refused; convert the image to 16 bits"
        )
    if header.sample_format == "unsigned":
        if photometric == PALETTE or header.compression == "jpeg2000":
            raise UnreadableImage("32 bits of a palette or in JPEG 2000 are not read here")
        return
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) or stated_range(tags) is None:
        raise UnreadableImage(
            f"{header.sample_format} samples of {header.bit_depth} bits have no stated white: the "
            "TIFF lacks the tags SMinSampleValue (340) and SMaxSampleValue (341); add both, or "
            "convert the image to 16 bits"
        )


def _check_ycbcr(facts: Facts, tags: Directory) -> None:
    header = facts.header
    known = header.compression in ("none", "lzw", "deflate", "packbits", "jpeg", "zstd", "lzma")
    if not known or header.bit_depth != 8 or header.bands != 3:
        raise UnreadableImage(
            f"YCbCr of {header.bands} samples of {header.bit_depth} bits in {header.compression} "
            "is not read here; convert the image to RGB"
        )
    by_tifffile = tags.number(284, 1) == 2 or header.compression not in TIFF_BY_VIPS
    if by_tifffile and subsampling(tags) != (1, 1):
        raise UnreadableImage(
            "YCbCr with subsampled colours in separate planes, ZSTD or LZMA is not read here; "
            "convert the image to RGB"
        )


def subsampling(tags: Directory) -> tuple[int, int]:
    """How many pixels share a colour across and down in a YCbCr TIFF."""
    steps = tags.numbers(YCBCR_SUBSAMPLING)
    return (int(steps[0]), int(steps[1])) if len(steps) >= 2 else (2, 2)


def _vips_is_right(facts: Facts, tags: Directory, photometric: int) -> bool:
    """Whether libvips gives the pixels of a TIFF; each case below was seen to go wrong.

    - CIELAB comes in a range of its own; ZSTD, LZMA, JPEG 2000 are not in the binary wheel.
    - 3, 5, 6, 7 and 9 to 15 bits, and several samples of less than 8 bits, are refused.
    - Tiled separate planes are refused; separate planes of grey with alpha, or of YCbCr, come mixed.
    - YCbCr without subsampling and without JPEG comes as if it were RGB.
    - JPEG tiles of white-is-zero are not turned round; those of palettes and grey with alpha fail.
    """
    header = facts.header
    if header.sample_format != "unsigned" or photometric in (CIELAB, ICCLAB):
        return False
    if (
        header.compression not in TIFF_BY_VIPS
        or header.bit_depth not in (1, 2, 4, 8, 16)
        or (header.bit_depth < 8 and header.bands > 1)
    ):
        return False
    planes = tags.number(284, 1) == 2 and header.bands > 1
    if planes and (322 in tags or photometric not in (RGB, SEPARATED)):
        return False
    if header.compression == "jpeg":
        mixed = header.bands != colour_bands(photometric) and photometric == BLACK_IS_ZERO
        return photometric not in (WHITE_IS_ZERO, PALETTE) and not mixed
    return photometric != YCBCR or subsampling(tags) != (1, 1)
