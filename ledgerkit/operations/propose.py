"""Propose a preprocessing policy from headers and measures: what is large, what stands out, and why.

Phase 2 computes nothing on pixels. The proposal is a document with a schema; it takes effect only
when a person accepts it. With it go the deciding table (one row a plate: its facts, the rules that
touch it, what makes it worth a look), the plates of each rule, and a plot of the sizes.

An outlier is a plate beyond the far fence of the megapixels, the third quartile plus three
interquartile ranges. Worth a look is a plate with a measure whose modified z-score is beyond 3.5;
that decides nothing. Plates without measures are judged by their headers alone.

Source: J. W. Tukey, Exploratory Data Analysis, 1977, section 2C (fences, "far out"); B. Iglewicz and
D. C. Hoaglin, How to Detect and Handle Outliers, 1993, chapter 3 (modified z-score, 3.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import MissingInput

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.imaging.treatment import Policy

VERSION = "3"
EVENT_TYPE = "policy proposal"
SUBJECT = "collection"
LIBRARIES = ("matplotlib", "numpy", "pillow")
MAKES = ("figures",)

FAR_OUT = 3.5
LOOKED_AT = {
    "luminance_mean": "light",
    "luminance_entropy": "tonal range",
    "rms_contrast": "contrast",
    "laplacian_variance": "sharpness",
}
"""Measures that are held against those of the other plates, with a word for people."""
FACTS = (
    "plate_id",
    "format",
    "width",
    "height",
    "megapixels",
    "mode",
    "bit_depth",
    "orientation",
    "compression",
    "icc_profile",
    "icc_profile_sha256",
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the proposal starts from; each becomes a field of the policy."""

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
    downscale_megapixels: float = field(
        default=0.0,
        metadata={
            "minimum": 0,
            "help": "Pixel budget of the smaller derivative, in place of its long side; 0: none",
            "unit": "megapixels",
        },
    )
    tile_over_megapixels: float = field(
        default=0.0,
        metadata={
            "minimum": 0,
            "help": "Plates with more are outliers; 0: beyond the far fence of the megapixels",
            "unit": "megapixels",
        },
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
    colour_space: str = field(
        default="srgb",
        metadata={
            "help": "Colour of derivatives; srgb and display-p3 leave grey sources grey",
            "choices": ("srgb", "display-p3", "grey"),
        },
    )
    bit_depth: int = field(
        default=8,
        metadata={
            "help": "Bits a sample of derivatives; 16 leaves 8-bit sources at 8",
            "choices": (8, 16),
        },
    )
    format: str = field(
        default="jpeg",
        metadata={
            "help": "File format of derivatives; tiff is tiled, pyramidal and lossless",
            "choices": ("jpeg", "png", "webp", "tiff"),
        },
    )
    quality: int = field(
        default=92,
        metadata={
            "minimum": 1,
            "maximum": 100,
            "help": "Quality of JPEG and WebP; PNG and TIFF have none",
        },
    )

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other before anything is recorded."""
        from ledgerkit.imaging.treatment import Policy

        document = _document(self, fence=0.0)
        problems = Policy(
            **{name: document[name] for name in Policy.__dataclass_fields__}
        ).problems()
        if problems:
            raise ValueError("; ".join(problems))


def takes(parameters: Parameters) -> tuple[str, ...]:
    """Header rows of every plate, and measures where there are any."""
    return ("headers", "measures?")


def variant(parameters: Parameters) -> str:
    """Proposals stand beside each other under no setting of their own."""
    return ""


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write `policy.json`, `deciding.json` (largest plate first), `rules.json` and the plot."""
    from ledgerkit.imaging.treatment import Policy

    rows = sorted(inputs.rows("headers"), key=lambda row: (-row["megapixels"], row["plate_id"]))
    measures = _measures(inputs)
    document = _document(parameters, far_fence([row["megapixels"] for row in rows]))
    policy = Policy.of(document)
    looks = worth_a_look(measures)
    deciding = [_decision(row, policy, looks.get(row["plate_id"], [])) for row in rows]
    rules = _rules(deciding)
    document["rationale"] = _rationale(rows, rules, document, len(measures))
    outputs.document("policy.json", "policy-proposal", document)
    outputs.document("deciding.json", "deciding-table", deciding)
    outputs.document("rules.json", "policy-rules", rules)
    _plot([row["megapixels"] for row in rows], document, outputs)


def _measures(inputs: Inputs) -> dict[str, dict[str, Any]]:
    try:
        return {row["plate_id"]: row for row in inputs.rows("measures")}
    except MissingInput:
        return {}


def _document(parameters: Parameters, fence: float) -> dict[str, Any]:
    """The policy that follows; `fence` is where outliers begin unless the person says so."""
    budget = parameters.downscale_megapixels
    over = parameters.tile_over_megapixels or max(fence, parameters.downscale_over_megapixels)
    return {
        "schema_version": "policy.v1",
        "downscale_over_megapixels": parameters.downscale_over_megapixels,
        "downscale_long_side": None if budget else parameters.downscale_long_side,
        "downscale_megapixels": budget or None,
        "tile_over_megapixels": max(round(over, 6), 1e-6),
        "tile_size": parameters.tile_size,
        "tile_overlap": parameters.tile_overlap,
        "outliers": parameters.outliers,
        "colour_space": parameters.colour_space,
        "bit_depth": parameters.bit_depth,
        "orientation": "upright",
        "deskew": False,
        "crop": False,
        "format": parameters.format,
        "quality": parameters.quality,
        "rationale": "",
        "decided_by": None,
        "reason": None,
    }


def far_fence(values: Sequence[float]) -> float:
    """The third quartile plus three interquartile ranges (Tukey 1977, 2C)."""
    ordered = sorted(values)
    first, third = quantile(ordered, 0.25), quantile(ordered, 0.75)
    return third + 3 * (third - first)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics (Hyndman and Fan 1996, definition 7)."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def worth_a_look(measures: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """For plates with a measure far from those of the others: sentences that say which, how far.

    Modified z-score 0.6745 (x - median) / median absolute deviation, beyond 3.5; none where at least
    half of the plates agree exactly. Sharpness, which spans decades, is compared by its logarithm.
    """
    found: dict[str, list[str]] = {}
    for column, word in LOOKED_AT.items():
        values = {plate: _scaled(column, row[column]) for plate, row in measures.items()}
        if not values:
            continue
        middle = median(values.values())
        spread = median(abs(one - middle) for one in values.values())
        for plate, value in values.items():
            score = 0.6745 * (value - middle) / spread if spread else 0.0
            if abs(score) > FAR_OUT:
                side = "high" if score > 0 else "low"
                shown = measures[plate][column]
                found.setdefault(plate, []).append(
                    f"{word} is {side}: {column} {shown:.4g}, modified z-score {score:.1f}"
                )
    return found


def _scaled(column: str, value: float) -> float:
    return math.log10(max(value, 1e-9)) if column == "laplacian_variance" else value


def _decision(row: Mapping[str, Any], policy: Policy, looks: list[str]) -> dict[str, Any]:
    from ledgerkit.imaging.treatment import treatment

    becomes = treatment(row, policy)
    return {name: row[name] for name in FACTS} | {
        "rules": becomes.rules,
        "becomes_width": becomes.width,
        "becomes_height": becomes.height,
        "tiles": becomes.tiles,
        "look_at": looks,
    }


def _rules(deciding: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each rule that touches a plate, with the plates, the largest first."""
    from ledgerkit.imaging.treatment import RULES

    rows = list(deciding)
    found = [
        (name, sentence, [row["plate_id"] for row in rows if name in row["rules"]])
        for name, sentence in RULES.items()
    ]
    looks = [row["plate_id"] for row in rows if row["look_at"]]
    found.append(("look-at", "have a measure far from those of the others", looks))
    return [
        {"rule": name, "says": sentence, "plates": plates}
        for name, sentence, plates in found
        if plates
    ]


def _rationale(
    rows: Sequence[Mapping[str, Any]],
    rules: Sequence[Mapping[str, Any]],
    document: Mapping[str, Any],
    measured: int,
) -> str:
    sizes = sorted(row["megapixels"] for row in rows)
    touched = ", ".join(f"{rule['rule']} {len(rule['plates'])}" for rule in rules)
    return (
        f"Plates: {len(rows)}, measured: {measured}, megapixels {sizes[0]:.2f} to {sizes[-1]:.2f}, "
        f"median {median(sizes):.2f}. Far fence of outliers (third quartile plus three "
        f"interquartile ranges): {far_fence(sizes):.2f}; tile_over_megapixels: "
        f"{document['tile_over_megapixels']:g}. Plates by rule: {touched}."
    )


def _plot(sizes: Sequence[float], document: Mapping[str, Any], outputs: Outputs) -> None:
    """The distribution of the sizes with the policy's two thresholds, registered as a figure."""
    from ledgerkit.plotting import keep_figure
    from ledgerkit.plotting.canvas import to_picture
    from ledgerkit.plotting.histogram import distribution

    title = f"Megapixels of {len(sizes)} plates"
    small, large = document["downscale_over_megapixels"], document["tile_over_megapixels"]
    limits = {f"downscale over {small:g}": small, f"outliers over {large:g}": large}
    if small == large:
        limits = {f"downscale, and outliers, over {small:g}": small}
    picture = to_picture(distribution(sizes, title, "megapixels", limits))
    outputs.rows("figures", [keep_figure(picture, "megapixels", title, outputs)])
