"""Propose a preprocessing policy from the header facts: what is large, what is an outlier, and why.

Phase 2 computes nothing on pixels. The proposal is a document with a schema; it takes effect only
when a person accepts it. An outlier is a plate beyond the far fence of the megapixel distribution,
the third quartile plus three interquartile ranges.

Source: J. W. Tukey, Exploratory Data Analysis, 1977, section 2C (fences, "far out").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import UsageError

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs

VERSION = "1"
EVENT_TYPE = "policy proposal"
SUBJECT = "collection"
LIBRARIES = ()
MAKES = ()


@dataclass(frozen=True, slots=True)
class Parameters:
    """Limits that the proposal starts from."""

    downscale_over_megapixels: float = field(
        default=25.0,
        metadata={
            "help": "Plates with more get a smaller derivative",
            "unit": "megapixels",
            "minimum": 0.01,
        },
    )
    downscale_long_side: int = field(
        default=4096,
        metadata={"minimum": 64, "help": "Long side of the smaller derivative", "unit": "pixels"},
    )
    tile_size: int = field(
        default=2048,
        metadata={"minimum": 64, "help": "Side of a tile, overlap included", "unit": "pixels"},
    )
    tile_overlap: int = field(
        default=256,
        metadata={"minimum": 0, "help": "What neighbouring tiles share", "unit": "pixels"},
    )
    outliers: str = field(
        default="tile", metadata={"help": "What outliers get", "choices": ("tile", "downscale")}
    )
    format: str = field(
        default="jpeg", metadata={"help": "File format of derivatives", "choices": ("jpeg", "png")}
    )
    quality: int = field(
        default=92, metadata={"minimum": 1, "maximum": 100, "help": "JPEG quality"}
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """Header rows of every plate."""
    return ("headers",)


def variant(parameters: Parameters) -> str:
    """Proposals stand beside each other under no setting of their own."""
    return ""


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write `policy.json` and the deciding table, one line a plate, largest first."""
    if parameters.tile_overlap * 2 >= parameters.tile_size:
        raise UsageError(
            f"tile_overlap {parameters.tile_overlap} is not less than half of tile_size {parameters.tile_size}"
        )
    rows = sorted(inputs.rows("headers"), key=lambda row: (-row["megapixels"], row["plate_id"]))
    sizes = sorted(row["megapixels"] for row in rows)
    first, third = _quantile(sizes, 0.25), _quantile(sizes, 0.75)
    fence = max(third + 3 * (third - first), parameters.downscale_over_megapixels)
    deciding = [_decision(row, parameters.downscale_over_megapixels, fence) for row in rows]
    counts = {
        action: sum(one["action"] == action for one in deciding)
        for action in ("keep size", "downscale", "outlier")
    }
    rationale = (
        f"{len(rows)} plates of {sizes[0]:.2f} to {sizes[-1]:.2f} megapixels, median {_quantile(sizes, 0.5):.2f}. "
        f"{counts['keep size']} keep their size, {counts['downscale']} above {parameters.downscale_over_megapixels:g} megapixels are made smaller, "
        f"{counts['outlier']} lie beyond the far fence of {fence:.2f} megapixels (third quartile {third:.2f} plus three interquartile ranges of {third - first:.2f}, "
        f"but not below the downscaling limit) and are outliers. Colour becomes sRGB or grey with 8 bits a sample, upright; sources that are so already are used as they are."
    )
    outputs.document("policy.json", "policy-proposal", {
        "schema_version": "policy.v1",
        "downscale_over_megapixels": parameters.downscale_over_megapixels,
        "downscale_long_side": parameters.downscale_long_side,
        "tile_over_megapixels": round(fence, 6),
        "tile_size": parameters.tile_size,
        "tile_overlap": parameters.tile_overlap,
        "outliers": parameters.outliers,
        "colour_space": "srgb",
        "bit_depth": 8,
        "orientation": "upright",
        "format": parameters.format,
        "quality": parameters.quality,
        "rationale": rationale,
        "decided_by": None,
        "reason": None,
    })  # fmt: skip
    outputs.document("deciding.json", "deciding-table", deciding)


def _quantile(ordered: list[float], share: float) -> float:
    """Linear interpolation between order statistics (Hyndman and Fan 1996, definition 7)."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _decision(row: dict[str, Any], limit: float, fence: float) -> dict[str, Any]:
    size = row["megapixels"]
    action = "outlier" if size > fence else "downscale" if size > limit else "keep size"
    return {
        "plate_id": row["plate_id"],
        "megapixels": size,
        "width": row["width"],
        "height": row["height"],
        "mode": row["mode"],
        "bit_depth": row["bit_depth"],
        "action": action,
    }
