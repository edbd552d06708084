"""Hash how each source looks, whole and cropped, so that copies of one picture can be told.

The source is shrunk while it streams, upright and in sRGB; each window on it gets 128 bits of tone
and 128 of detail, of which copies that were resized, recompressed, tinted, turned a little or
cropped share most. One row per window; `duplicates` compares them. The shrinking is libvips', whose
version the record states.
Source: Zauner 2010 (DCT hash); the arithmetic stands in `ledgerkit/imaging/phash.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from ledgerkit.errors import UnreadableImage

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs

VERSION = "1"
EVENT_TYPE = "image analysis"
SUBJECT = "plate"
LIBRARIES = (
    "imagecodecs",
    "libvips",
    "numpy",
    "pillow",
    "pyvips",
    "pyvips-binary",
    "tifffile",
)
MAKES = ("hashes",)
LEAST_SIDE = 2
"""Pixels on each side below which no steepness can be measured."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `hash`."""

    long_side: int = field(
        default=512,
        metadata={
            "minimum": 64,
            "help": "Long side of the image that is hashed; hashes of other sizes differ a little",
            "unit": "pixel",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The source file alone."""
    return ("source",)


def variant(parameters: Parameters) -> str:
    """Hashes have one reading; another size supersedes, it does not live beside."""
    return ""


def memory(inputs: Inputs, parameters: Parameters) -> int:
    """Bytes that `run` may take, from the source's header."""
    from ledgerkit.imaging.footprint import stream_bytes
    from ledgerkit.imaging.header import read_facts
    from ledgerkit.imaging.limits import DEFAULT_LIMITS

    with inputs.file("source").open_header() as file:
        return stream_bytes(read_facts(file), DEFAULT_LIMITS) + 64 * parameters.long_side**2


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write one `hashes` row per window. Raises `UnreadableImage` or `LimitExceeded`."""
    with inputs.file("source").open() as file:
        found = hash_image(file, parameters)
    rows = [{"plate_id": inputs.plate_id, "shown": name} | row for name, row in found.items()]
    outputs.rows("hashes", rows)
    even = [name for name, row in found.items() if row["tone"] is None]
    told = f"even, without a hash: {', '.join(even)}" if even else "every window has a hash"
    outputs.gate("hashes", "contrast", not even, float(len(rows) - len(even)), told)


def hash_image(file: BinaryIO, parameters: Parameters) -> dict[str, dict[str, str | None]]:
    """`tone` and `detail`, 32 hex digits each, for each window of an image file, None for an even
    one. Raises `UnreadableImage`, also below `LEAST_SIDE` pixels a side, `LimitExceeded`.
    """
    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.imaging.phash import hashes

    pixels = read_shrunk(file, parameters.long_side)
    height, width = pixels.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise UnreadableImage(
            f"a picture of {width} x {height} pixels is too small to hash: it takes at least "
            f"{LEAST_SIDE} x {LEAST_SIDE}",
            "Look at the scan: it is hardly a plate.",
        )
    found = hashes(pixels)
    return {
        name: {"tone": None, "detail": None}
        if value is None
        else {"tone": f"{value.tone:032x}", "detail": f"{value.detail:032x}"}
        for name, value in found.items()
    }
