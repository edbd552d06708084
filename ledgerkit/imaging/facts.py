"""What is known of an image before a pixel is decoded, as values, and how a header row is joined.

Keeps out: reading bytes (`header.py` and the parsers beside it).
Source: EXIF 2.32 (JEITA CP-3451E), section 4.6.4, for orientation and resolution.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from ledgerkit.imaging.icc import profile_description
from ledgerkit.imaging.tiff import Directory

ORIENTATION = 274
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296


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
    `refusal` says why no decoder here gives these pixels rightly, None when one does. `components`
    are the samples a pixel that a decoder must hold where they are more than the header's `bands`;
    `file_bytes` is the size of the file.
    """

    header: Header
    profile: bytes | None
    buffered_bytes: int
    directory: Directory | None = None
    lossless_jpeg: bool = False
    refusal: str | None = None
    components: int = 0
    file_bytes: int = 0


def join_header(
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
