"""Write a derivative while it is computed: deterministic bytes, digests in the same pass.

JPEG is baseline, 4:2:0 below quality 90 and 4:4:4 from there on; PNG is not interlaced; WebP is
lossy; TIFF is tiled (256), pyramidal (a page for each halving) and lossless (Deflate, horizontal
predictor), BigTIFF where it would not fit otherwise. RGB carries libvips' built-in profile of its
colour space (sRGB or Display P3), grey none. No EXIF, XMP, comments or times are written.

Keeps out: where files lie; the caller hands over an open output.
Source: Adobe, TIFF Revision 6.0 (1992), sections 14 and 15, and Supplement 2 (Deflate).
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.errors import CommitFailed, UnreadableImage
from ledgerkit.imaging.limits import Limits
from ledgerkit.imaging.pixels import pixels_sha256
from ledgerkit.imaging.vips import decoding, load_vips, off_main_thread

if TYPE_CHECKING:
    from ledgerkit.handles import OutputFile

IN_MEMORY = 64 * 1024 * 1024
CHUNK = 1 << 20
CLASSIC_TIFF = 9 << 28
"""Bytes of pixels up to which a classic TIFF suffices: the pyramid adds a third, Deflate may add some."""
FORMATS = {
    "jpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "webp": ("webp", "image/webp"),
    "tiff": ("tif", "image/tiff"),
}
PROFILES = {"srgb": "srgb", "display-p3": "p3", "grey": "none"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to write: `format` is a key of `FORMATS`, `quality` 1..100 for JPEG and WebP.

    `colour_space` names the profile of RGB pixels: `srgb` or `display-p3`.
    """

    format: str
    quality: int
    colour_space: str = "srgb"

    @property
    def suffix(self) -> str:
        return FORMATS[self.format][0]

    @property
    def media_type(self) -> str:
        return FORMATS[self.format][1]


def write_image(image: Any, output: OutputFile, encoding: Encoding) -> str:
    """Encode a grey or RGB pyvips image into `output`; returns the SHA-256 of the bytes.

    `image` has 8 bits a sample, or 16 for PNG and TIFF; PNG takes a band of straight alpha behind
    its colours. The bytes are kept aside (in memory up to 64 MiB, then in an unnamed temporary
    file) until their pixels have been decoded again and digested: `output.pixels` states what the
    file really holds. Raises `UnreadableImage` when the pixels cannot be computed, and what
    `output.write` raises.
    """
    sink = _Sink(output, seekable=encoding.format == "tiff")
    try:
        with decoding():
            off_main_thread(lambda: _save(image, sink.target(), encoding))
    except UnreadableImage:
        sink.raise_failure()
        raise
    sink.raise_failure()
    sink.finish()
    pixels = image.width * image.height
    whole = 8 * pixels * image.bands
    output.pixels(pixels_sha256(sink.kept, limits=Limits(pixels, max(whole, IN_MEMORY))))
    return sink.digest.hexdigest()


def _save(image: Any, target: Any, encoding: Encoding) -> None:
    options: dict[str, Any] = {"keep": "icc"}
    if image.bands >= 3:
        options["profile"] = PROFILES[encoding.colour_space]
    if encoding.format == "jpeg":
        image.jpegsave_target(target, Q=encoding.quality, **options)
    elif encoding.format == "webp":
        image.webpsave_target(target, Q=encoding.quality, **options)
    elif encoding.format == "png":
        image.pngsave_target(target, compression=6, **options)
    else:
        size = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
        options |= {"tile": True, "tile_width": 256, "tile_height": 256, "pyramid": True}
        options |= {"compression": "deflate", "predictor": "horizontal", "resunit": "inch"}
        image.tiffsave_target(target, bigtiff=size > CLASSIC_TIFF, **options)


@contextmanager
def _room_for_spilling() -> Iterator[None]:
    """A temporary file that cannot be written is no property of the plate."""
    try:
        yield
    except OSError as error:
        raise CommitFailed(
            f"the temporary file in {tempfile.gettempdir()} cannot be written: {error.strerror}",
            "Free space there, or name another folder in TMPDIR.",
        ) from error


class _Sink:
    """Receives encoded bytes from libvips; an error is kept, since none may pass through C code.

    A format that is written in order goes on to the output as it comes; one that libvips goes back
    in (TIFF) is kept until it is whole.
    """

    def __init__(self, output: OutputFile, *, seekable: bool) -> None:
        self.output = output
        self.seekable = seekable
        self.digest = hashlib.sha256()
        self.kept: BinaryIO = io.BytesIO()
        self.failure: Exception | None = None

    def target(self) -> Any:
        """A libvips target that writes here."""
        target = load_vips().TargetCustom()
        target.on_write(lambda data: self._guarded(self._write, -1, data))
        if self.seekable:
            target.on_read(lambda length: self._guarded(self._read, b"", length))
            target.on_seek(lambda offset, whence: self._guarded(self._seek, -1, offset, whence))
        return target

    def raise_failure(self) -> None:
        """Raise what went wrong in a callback, if anything did, and keep it no longer."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure from None

    def _guarded(self, call: Callable[..., Any], otherwise: Any, *given: Any) -> Any:
        if self.failure is not None:
            return otherwise
        try:
            return call(*given)
        except Exception as error:  # raised again by `write_image`
            self.failure = error
            return otherwise

    def _write(self, data: bytes) -> int:
        if not self.seekable:
            self._pass_on(data)
        with _room_for_spilling():
            self._keep(data)
        return len(data)

    def _read(self, length: int) -> bytes:
        with _room_for_spilling():
            return self.kept.read(length)

    def _seek(self, offset: int, whence: int) -> int:
        with _room_for_spilling():
            return self.kept.seek(offset, whence)

    def finish(self) -> None:
        """Hand over what was kept until now."""
        if not self.seekable:
            return
        self.kept.seek(0)
        while data := self.kept.read(CHUNK):
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        self.output.write(data)
        self.digest.update(data)

    def _keep(self, data: bytes) -> None:
        if isinstance(self.kept, io.BytesIO) and self.kept.tell() + len(data) > IN_MEMORY:
            place = self.kept.tell()
            spilled = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the sink)
            spilled.write(self.kept.getbuffer())
            spilled.seek(place)
            self.kept = spilled
        self.kept.write(data)
