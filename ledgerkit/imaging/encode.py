"""Write a derivative while it is computed: deterministic bytes, digests in the same pass.

JPEG is baseline, 4:2:0 below quality 90 and 4:4:4 from there on; PNG is not interlaced. RGB carries
libvips' built-in sRGB profile, grey none. No EXIF, XMP, comments or times are written.

Keeps out: where files lie; the caller hands over an open output.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.imaging.decode import Limits
from ledgerkit.imaging.pixels import pixels_sha256
from ledgerkit.imaging.vips import decoding, load_vips

if TYPE_CHECKING:
    from ledgerkit.handles import OutputFile

IN_MEMORY = 64 * 1024 * 1024
FORMATS = {"jpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to write: `format` is `jpeg` or `png`, `quality` 1..100 for JPEG."""

    format: str
    quality: int

    @property
    def suffix(self) -> str:
        return FORMATS[self.format][0]

    @property
    def media_type(self) -> str:
        return FORMATS[self.format][1]


def write_image(image: Any, output: OutputFile, encoding: Encoding) -> str:
    """Encode an 8-bit grey or sRGB pyvips image into `output`; returns the SHA-256 of the bytes.

    The bytes are kept aside (in memory up to 64 MiB, then in an unnamed temporary file) until their
    pixels have been decoded again and digested: `output.pixels` states what the file really holds.
    Raises `UnreadableImage` when the pixels cannot be computed, and what `output.write` raises.
    """
    sink = _Sink(output)
    target = load_vips().TargetCustom()
    target.on_write(sink.write)
    options: dict[str, Any] = {"keep": "icc"}
    if image.bands == 3:
        options["profile"] = "srgb"
    try:
        with decoding():
            if encoding.format == "jpeg":
                image.jpegsave_target(target, Q=encoding.quality, **options)
            else:
                image.pngsave_target(target, compression=6, **options)
    except Exception:
        if sink.failure is not None:
            raise sink.failure from None
        raise
    if sink.failure is not None:
        raise sink.failure
    pixels = image.width * image.height
    output.pixels(pixels_sha256(sink.kept, limits=Limits(max_pixels=pixels)))
    return sink.digest.hexdigest()


class _Sink:
    """Receives encoded bytes from libvips; an error is kept, since none may pass through C code."""

    def __init__(self, output: OutputFile) -> None:
        self.output = output
        self.digest = hashlib.sha256()
        self.kept: BinaryIO = io.BytesIO()
        self.failure: Exception | None = None

    def write(self, data: bytes) -> int:
        if self.failure is not None:
            return -1
        try:
            self.output.write(data)
            self.digest.update(data)
            self._keep(data)
        except Exception as error:  # raised again by `write_image`
            self.failure = error
            return -1
        return len(data)

    def _keep(self, data: bytes) -> None:
        if isinstance(self.kept, io.BytesIO) and self.kept.tell() + len(data) > IN_MEMORY:
            spilled = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the sink)
            spilled.write(self.kept.getbuffer())
            self.kept = spilled
        self.kept.write(data)
