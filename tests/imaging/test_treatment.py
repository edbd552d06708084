from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit.errors import UsageError
from ledgerkit.imaging.geometry import fit_pixels
from ledgerkit.imaging.treatment import RULES, Policy, treatment

DOCUMENT: dict[str, Any] = {
    "downscale_over_megapixels": 10,
    "downscale_long_side": 2000,
    "downscale_megapixels": None,
    "tile_over_megapixels": 40,
    "tile_size": 2048,
    "tile_overlap": 256,
    "outliers": "tile",
    "colour_space": "srgb",
    "bit_depth": 8,
    "format": "jpeg",
    "quality": 90,
}
HEADER: dict[str, Any] = {
    "format": "JPEG",
    "width": 3000,
    "height": 2000,
    "orientation": 1,
    "mode": "RGB",
    "bit_depth": 8,
    "compression": "jpeg",
    "icc_profile_sha256": None,
}


def rules(header: dict[str, Any], **policy: Any) -> list[str]:
    return treatment(HEADER | header, Policy.of(DOCUMENT | policy)).rules


def test_each_rule_touches_what_it_is_for() -> None:
    large = {"width": 5000, "height": 4000}
    assert rules({}) == ["keep"]
    assert rules(large) == ["downscale"]
    assert rules({"width": 9000, "height": 8000}) == ["downscale", "tile"]
    assert rules({"width": 9000, "height": 8000}, outliers="downscale") == ["downscale"]
    assert rules({"orientation": 6}) == ["turn"]
    assert rules({"mode": "CMYK"}) == ["colour"]
    assert rules({"mode": "RGB"}, colour_space="grey") == ["colour"]
    assert rules({"icc_profile_sha256": "0" * 64}) == ["profile"]
    assert rules({"bit_depth": 16, "mode": "I;16"}) == ["depth"]
    assert rules({"bit_depth": 16, "mode": "I;16"}, bit_depth=16, format="png") == ["keep"]
    assert rules({"format": "JPEG2000"}) == ["format"]
    assert rules({"format": "TIFF", "compression": "zstd"}) == ["format"]
    assert rules({"format": "TIFF", "compression": "lzw"}) == ["keep"]
    wide = {"width": 20000, "height": 400, "mode": "CMYK"}
    assert rules(wide, format="webp") == ["colour", "too-large-for-format"]
    assert set(RULES) >= set(rules(wide, format="webp"))


def test_a_kept_source_may_be_larger_than_the_policys_format() -> None:
    assert rules({"width": 20000, "height": 400}, format="webp") == ["keep"]


def test_sizes_follow_the_long_side_or_the_budget() -> None:
    by_side = treatment(HEADER | {"width": 5000, "height": 4000}, Policy.of(DOCUMENT))
    assert (by_side.width, by_side.height) == (2000, 1600)
    budget = DOCUMENT | {"downscale_long_side": None, "downscale_megapixels": 4}
    turned = HEADER | {"width": 5000, "height": 4000, "orientation": 8}
    by_budget = treatment(turned, Policy.of(budget))
    assert by_budget.width < by_budget.height
    assert 3.9e6 < by_budget.width * by_budget.height <= 4e6
    assert treatment(HEADER | {"width": 9000, "height": 8000}, Policy.of(DOCUMENT)).tiles == 25


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tile_overlap": 1024}, "not less than half of tile_size"),
        ({"downscale_megapixels": 4}, "the other null"),
        ({"downscale_long_side": None}, "the other null"),
        ({"bit_depth": 16}, "jpeg holds 8 bits a sample"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Policy.of(DOCUMENT | changes)


@given(st.integers(1, 30000), st.integers(1, 30000), st.integers(1, 10**9))
def test_a_pixel_budget_holds_and_is_used(width: int, height: int, pixels: int) -> None:
    across, down = fit_pixels(width, height, pixels)
    assert 1 <= across <= width
    assert 1 <= down <= height
    assert across * down <= max(pixels, 1)
    if min(across, down) > 1:
        assert abs(across / down * height / width - 1) <= 1.01 / min(across, down)
    if min(across, down) >= 50:
        assert across * down >= 0.95 * min(pixels, width * height)


def test_a_policy_is_read_from_its_document_and_nothing_else() -> None:
    policy = Policy.of(DOCUMENT | {"rationale": "ignored"})
    assert json.loads(json.dumps(asdict(policy))) == DOCUMENT
