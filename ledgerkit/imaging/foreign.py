"""Headers that Pillow's own parsers read, behind a bound; and the name of what nothing here reads.

Keeps out: JPEG, PNG, TIFF, WebP, JPEG 2000 and HEIF, which have parsers of their own here.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, cast

from ledgerkit.errors import LedgerkitError, UnreadableImage
from ledgerkit.imaging import tiff
from ledgerkit.imaging.bounded import BoundedBytes, BoundedFile
from ledgerkit.imaging.facts import Facts, join_header

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("BMP", "GIF", "ICO", "PPM", "PSD", "SGI", "PCX", "TGA")
"""Formats left to Pillow, in the order in which they are tried; TGA has no signature and is last."""

NOT_READ = (
    (b"\xff\x0a", "JPEG XL", "djxl turns it into PNG without loss"),
    (b"\0\0\0\x0cJXL ", "JPEG XL", "djxl turns it into PNG without loss"),
    (b"II\xbc\x01", "JPEG XR", "JxrDecApp turns it into TIFF without loss"),
    (b"%PDF", "PDF", "pdfimages -all takes the scans out as they were stored"),
    (b"AT&TFORM", "DjVu", "ddjvu -format=tiff turns its pages into TIFF"),
    (b"\x76\x2f\x31\x01", "OpenEXR", "its light is scene-linear: render it to 16-bit TIFF"),
    (b"#?RADIANCE", "Radiance HDR", "its light is scene-linear: render it to 16-bit TIFF"),
    (b"SIMPLE  =", "FITS", "export its image to 16-bit TIFF with a stated white"),
    (b"FUJIFILMCCD-RAW", "Fujifilm raw", "develop it to 16-bit TIFF"),
)
"""Signature, name and way out of formats that archives hold and nothing here reads."""


def read_foreign(source: BoundedBytes) -> Facts:
    """A format that Pillow knows and `FORMATS` names."""
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
    depth, kind = _stated_depth(name, source.first, image.mode)
    mode = "I;16" if image.mode == "I" and depth <= 16 else image.mode
    header = join_header(
        (name, _media_type(name)),
        (width, height),
        (mode, bands, depth, kind),
        (float(dpi[0]), float(dpi[1])) if usable and dpi is not None else None,
        profile,
        exif,
        exif is not None,
        progressive=name == "GIF" and _gif_interlaced(image),
        compression="lzw" if name == "GIF" else str(coding) if isinstance(coding, str) else None,
        pages=_frames(image),
    )
    refusal = None
    if depth > 8:
        refusal = (
            f"{name} with {depth} bits a sample is not read here: its decoder would keep 8 of them; "
            "convert it to TIFF or PNG"
        )
    held = width * height * max(bands, 4 if name == "GIF" else 1)
    return Facts(header, profile, held, refusal=refusal)


def _pillow_image(source: BoundedBytes) -> Image.Image:
    """Open by the plug-ins directly: `Image.open` alone enforces a limit that is global."""
    from PIL import Image

    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in FORMATS:
            factory, accept = Image.OPEN.get(name, (None, None))
            if factory is None or (accept and not _accepted(accept, source.first)):
                continue
            try:
                return factory(cast("IO[bytes]", BoundedFile(source)), "")
            except LedgerkitError:
                raise
            except Image.DecompressionBombError as error:
                raise UnreadableImage(
                    f"the {name} header claims more pixels than any plate has"
                ) from error
            except (OSError, ValueError, TypeError, KeyError, IndexError, SyntaxError) as error:
                if accept is not None:
                    raise UnreadableImage(f"the {name} header is broken: {error}") from error
            except Exception as error:  # Pillow's parsers meet hostile bytes; none may end a job
                raise UnreadableImage(f"the {name} header is broken: {error!r}") from error
    for signature, title, way_out in NOT_READ:
        if source.first.startswith(signature):
            raise UnreadableImage(f"{title} is not read here; {way_out}")
    raise UnreadableImage("not an image in a format that is known here")


def _accepted(accept: Callable[[bytes], bool | str], first: bytes) -> bool:
    return accept(first[:16]) is True


def _media_type(name: str) -> str:
    from PIL import Image

    return Image.MIME.get(name, "application/octet-stream")


def _stated_depth(name: str, first: bytes, mode: str) -> tuple[int, str]:
    """Bits a sample and their kind as the file has them, which Pillow turns into 8 bits unasked."""
    if name == "PPM":
        return _netpbm_depth(first)
    if name == "SGI":
        return 8 * max(1, first[3]), "unsigned"
    if name == "PSD":
        return max(1, int.from_bytes(first[22:24], "big")), "unsigned"
    return (1 if mode == "1" else 8), "unsigned"


def _netpbm_depth(first: bytes) -> tuple[int, str]:
    """From the largest value, the fourth word of a PGM or PPM; a bitmap has 1, a PFM 32 in float."""
    words = re.sub(rb"#[^\n]*", b"", first[:4096]).split(None, 4)
    if words[0] in (b"P1", b"P4"):
        return 1, "unsigned"
    if words[0] in (b"Pf", b"PF"):
        return 32, "float"
    largest = int(words[3]) if len(words) > 3 and words[3][:9].isdigit() else 255
    return (8 if largest < 256 else largest.bit_length()), "unsigned"


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
