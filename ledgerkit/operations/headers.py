"""Read what the header bytes of each source say: size, mode, depth, resolution, profile, pages.

Header bytes only, a bounded number of them; no pixel is decoded. One row per plate.
Source: the format specifications named in `ledgerkit/imaging/` (`header`, `jpeg`, `png`,
`tiff`, `webp`, `jp2`, `heif`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs

VERSION = "2"
EVENT_TYPE = "metadata extraction"
SUBJECT = "plate"
LIBRARIES = ("pillow",)
MAKES = ("headers",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `headers`."""

    max_header_bytes: int = field(
        default=64 * 1024 * 1024,
        metadata={
            "minimum": 1024,
            "help": "Refuse a file whose header asks for more than this",
            "unit": "bytes",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The source file alone."""
    return ("source",)


def variant(parameters: Parameters) -> str:
    """Header facts have one reading."""
    return ""


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write one `headers` row. Raises `UnreadableImage` or `LimitExceeded` with the reason."""
    from ledgerkit.imaging.header import read_header

    with inputs.file("source").open_header() as file:
        header = read_header(file, max_header_bytes=parameters.max_header_bytes)
    outputs.rows("headers", [{"plate_id": inputs.plate_id} | asdict(header)])
