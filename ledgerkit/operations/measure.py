"""Measure each source in one streaming pass: light, contrast, sharpness, edges, paper, colour.

Stored colour space and depth, alpha left out; samples are scaled to 0..1 at the end. The answer
depends neither on the height of the strips nor on the number of threads. One row per plate.
Source: the formulas stand, each with its source, in `ledgerkit/imaging/measures.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs

VERSION = "2"
EVENT_TYPE = "image analysis"
SUBJECT = "plate"
LIBRARIES = (
    "pyvips",
    "pyvips-binary",
    "libvips",
    "numpy",
    "numba",
    "llvmlite",
    "pillow",
    "tifffile",
    "imagecodecs",
)
MAKES = ("measures",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `measure`; thresholds are parts of the full range of a sample."""

    paper_tolerance: float = field(
        default=12.0,
        metadata={
            "minimum": 0,
            "help": "Colour difference from the paper up to which a pixel is background (CIE 1976)",
            "unit": "ΔE*ab",
        },
    )
    white_threshold: float = field(
        default=0.98,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Luminance from which a pixel is white",
            "unit": "0..1",
        },
    )
    black_threshold: float = field(
        default=0.05,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Luminance up to which a pixel is black",
            "unit": "0..1",
        },
    )
    edge_threshold: float = field(
        default=0.1,
        metadata={
            "minimum": 0,
            "help": "Sobel gradient above which a pixel is an edge; a full step is 1",
            "unit": "0..1",
        },
    )
    grey_threshold: float = field(
        default=0.05,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "How far the channels of a grey pixel may differ",
            "unit": "0..1",
        },
    )
    max_pixels: int = field(
        default=2_000_000_000,
        metadata={
            "minimum": 1,
            "help": "Refuse a source with more pixels than this",
            "unit": "pixels",
        },
    )
    max_decode_bytes: int = field(
        default=512 * 1024 * 1024,
        metadata={
            "minimum": 1,
            "help": "Memory for a source that no decoder can stream; above it the plate fails",
            "unit": "bytes",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The source file alone."""
    return ("source",)


def variant(parameters: Parameters) -> str:
    """Measures have one reading; other thresholds supersede, they do not live beside."""
    return ""


def memory(inputs: Inputs, parameters: Parameters) -> int:
    """Bytes that `run` may take, from the source's header."""
    from ledgerkit.imaging.footprint import measured_bytes
    from ledgerkit.imaging.header import read_facts
    from ledgerkit.imaging.limits import Limits

    limits = Limits(parameters.max_pixels, parameters.max_decode_bytes)
    with inputs.file("source").open_header() as file:
        return measured_bytes(read_facts(file), limits)


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write one `measures` row. Raises `UnreadableImage` or `LimitExceeded` with the reason."""
    from ledgerkit.imaging.decode import Limits, decode
    from ledgerkit.imaging.measures import Thresholds, measure_image

    thresholds = Thresholds(
        parameters.paper_tolerance,
        parameters.white_threshold,
        parameters.black_threshold,
        parameters.edge_threshold,
        parameters.grey_threshold,
    )
    limits = Limits(parameters.max_pixels, parameters.max_decode_bytes)
    with inputs.file("source").open() as file:
        measures = measure_image(decode(file, limits=limits), thresholds)
    outputs.rows("measures", [{"plate_id": inputs.plate_id} | asdict(measures)])
