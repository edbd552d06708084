"""What a preprocessing policy does to a plate, told from its header alone: the rules of phase 2.

`propose` counts with these rules and `policy diff` compares two policies by them; `normalize` takes the
sizes from here and looks closer where a row of headers cannot tell: whether an embedded profile means
sRGB (`colour.is_srgb`), and which library decodes a TIFF rightly (`decoders.choose_decoder`).

Keeps out: pixels, documents on disk, and who decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ledgerkit.errors import UsageError
from ledgerkit.imaging.decoders import TIFF_BY_VIPS
from ledgerkit.imaging.geometry import fit_long_side, fit_pixels, grid, oriented_size

RULES = {
    "keep": "used as they are",
    "downscale": "made smaller, for they have more megapixels than downscale_over_megapixels",
    "tile": "outliers: cut into tiles at full resolution beside the smaller image",
    "turn": "turned upright, as their EXIF orientation says",
    "colour": "brought to the policy's colour space: palette, alpha, CMYK, CIELAB and the like",
    "profile": "have an embedded ICC profile, and are converted by it unless it means the same colours",
    "depth": "brought to the policy's bits a sample",
    "format": "in a format or compression that not every later step reads: written anew",
    "too-large-for-format": "fail: a side is longer than the policy's file format can hold",
}
"""The rules of a policy, each with what it says of the plates that it touches."""

LARGEST_SIDE = {"jpeg": 65500, "webp": 16383}
"""Pixels: JPEG_MAX_DIMENSION of libjpeg, WEBP_MAX_DIMENSION of libwebp. PNG and TIFF hold any plate."""
DEEP_FORMATS = ("png", "tiff")
KEPT_FORMATS = ("JPEG", "MPO", "PNG", "TIFF")
GREY_MODES = ("1", "L", "I;16", "I", "F")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy decides about pixels; see `schemas/policy.v1.schema.json` for each field."""

    downscale_over_megapixels: float
    downscale_long_side: int | None
    downscale_megapixels: float | None
    tile_over_megapixels: float
    tile_size: int
    tile_overlap: int
    outliers: str
    colour_space: str
    bit_depth: int
    format: str
    quality: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Policy:
        """The deciding fields of a policy document. Raises `UsageError` where they contradict."""
        policy = cls(**{field.name: document[field.name] for field in fields(cls)})
        problems = policy.problems()
        if problems:
            raise UsageError("; ".join(problems))
        return policy

    def problems(self) -> list[str]:
        """Contradictions that a schema cannot tell."""
        found = []
        if self.tile_overlap * 2 >= self.tile_size:
            found.append(
                f"tile_overlap {self.tile_overlap} is not less than half of tile_size {self.tile_size}"
            )
        if (self.downscale_long_side is None) == (self.downscale_megapixels is None):
            found.append("give one of downscale_long_side and downscale_megapixels, the other null")
        most = LARGEST_SIDE.get(self.format, self.tile_size)
        if self.outliers == "tile" and self.tile_size > most:
            found.append(f"{self.format} holds {most} pixels on a side: tile_size is larger")
        if self.bit_depth == 16 and self.format not in DEEP_FORMATS:
            found.append(f"{self.format} holds 8 bits a sample: for 16 choose png or tiff")
        return found

    def target_size(self, width: int, height: int) -> tuple[int, int]:
        """Size of the whole-plate image of an upright plate: smaller only over a threshold."""
        megapixels = width * height / 1e6
        if megapixels <= min(self.downscale_over_megapixels, self.tile_over_megapixels):
            return width, height
        if self.downscale_long_side is not None:
            return fit_long_side(width, height, self.downscale_long_side)
        return fit_pixels(width, height, math.floor((self.downscale_megapixels or 0) * 1e6))

    def tiles(self, width: int, height: int) -> bool:
        """Whether a plate of this size is an outlier that gets tiles."""
        return self.outliers == "tile" and width * height / 1e6 > self.tile_over_megapixels


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of one plate: the names of the `RULES` that touch it, and the sizes in pixels."""

    rules: list[str]
    width: int
    height: int
    tiles: int


def treatment(header: Mapping[str, Any], policy: Policy) -> Treatment:
    """What `policy` does to the plate with this row of `headers`."""
    size = oriented_size(header["width"], header["height"], header["orientation"])
    width, height = policy.target_size(*size)
    tiled = policy.tiles(*size)
    rules = ["downscale"] if (width, height) != size else []
    rules += ["tile"] if tiled else []
    rules += rules_of_conversion(header, policy)
    if rules and max(width, height) > LARGEST_SIDE.get(policy.format, max(width, height)):
        rules.append("too-large-for-format")
    tiles = len(grid(*size, policy.tile_size, policy.tile_overlap)) if tiled else 0
    return Treatment(rules or ["keep"], width, height, tiles)


def rules_of_conversion(header: Mapping[str, Any], policy: Policy) -> list[str]:
    """The rules that touch a plate whatever its size, from a row of `headers`."""
    rules = ["turn"] if header["orientation"] != 1 else []
    plain = GREY_MODES if policy.colour_space == "grey" else (*GREY_MODES, "RGB")
    rules += [] if header["mode"] in plain else ["colour"]
    rules += ["profile"] if header["icc_profile_sha256"] else []
    kept = (8, 16) if policy.bit_depth == 16 else (8,)
    rules += [] if header["bit_depth"] in kept else ["depth"]
    kept_as_it_is = header["format"] in KEPT_FORMATS and (
        header["format"] != "TIFF" or header["compression"] in TIFF_BY_VIPS
    )
    return rules if kept_as_it_is else [*rules, "format"]
