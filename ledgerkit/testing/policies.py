"""A preprocessing policy as a document, for tests of what follows it."""

from __future__ import annotations

from typing import Any


def policy_document(**changes: Any) -> dict[str, Any]:
    """A complete document of `schemas/policy.v1.schema.json`, with some fields changed."""
    return {
        "schema_version": "policy.v1",
        "downscale_over_megapixels": 40.0,
        "downscale_long_side": 4096,
        "downscale_megapixels": None,
        "tile_over_megapixels": 90.0,
        "tile_size": 4096,
        "tile_overlap": 256,
        "outliers": "tile",
        "colour_space": "srgb",
        "bit_depth": 8,
        "orientation": "upright",
        "deskew": False,
        "crop": False,
        "format": "jpeg",
        "quality": 90,
        "rationale": "a test",
        "decided_by": "A. Curator",
        "reason": "a test",
    } | changes
