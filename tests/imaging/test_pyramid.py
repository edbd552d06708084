"""Every file that a viewer asks for is planned, whatever the size of the plate."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from ledgerkit.imaging.pyramid import MAX_SIDE, Pyramid, image_path

SIDES = st.one_of(
    st.integers(1, 3000),
    st.builds(lambda factor, by: max(1, 512 * factor + by), st.integers(0, 40), st.integers(-1, 1)),
)
TILE_SIZES = st.sampled_from([64, 256, 500, 512, 1024])


def planned(pyramid: Pyramid) -> set[str]:
    """Every path that the plan holds."""
    names = {
        name
        for level in pyramid.levels()
        for tile in pyramid.tiles(level)
        for name in pyramid.names(tile)
    }
    whole = {(level.width, level.height) for level in pyramid.whole_levels()}
    whole |= {size for _, size in pyramid.thumbnails()}
    return names | {image_path("full", size) for size in whole} | {image_path("full", None)}


def by_the_specification(width: int, height: int, side: int, factors: list[int]) -> Iterator[str]:
    """The requests of the implementation notes of the Image API 3.0, line by line."""
    for factor in factors:
        for y in range(math.ceil(height / (side * factor))):
            for x in range(math.ceil(width / (side * factor))):
                xr, yr = x * side * factor, y * side * factor
                wr, hr, ws, hs = side * factor, side * factor, side, side
                if xr + wr > width:
                    wr = width - xr
                    ws = (width - xr + factor - 1) // factor
                if yr + hr > height:
                    hr = height - yr
                    hs = (height - yr + factor - 1) // factor
                yield f"{xr},{yr},{wr},{hr}/{ws},{hs}/0/default.jpg"


def by_openseadragon(
    width: int, height: int, side: int, factors: list[int], sizes: list[tuple[int, int]]
) -> Iterator[str]:
    """The requests of `IIIFTileSource` of OpenSeadragon 5 and 6 for version 3, its traps included.

    A list of sizes with as many entries as levels is taken for the levels.
    """
    highest = round(math.log2(max(factors)))
    ordered = sorted(sizes)
    if ordered[-1][0] < width and ordered[-1][1] < height:
        ordered.append((width, height))
    taken = len(ordered) == highest + 1 and all(
        math.floor(width / one[0] + 0.5) == factor and math.floor(height / one[1] + 0.5) == factor
        for one, factor in zip(ordered, reversed(factors), strict=True)
    )
    for level in range(highest + 1):
        scale = 0.5 ** (highest - level)
        across, down = math.ceil(width * scale), math.ceil(height * scale)
        if taken:
            across, down = ordered[level]
        if across < side and down < side:
            size = "max" if (across, down) == (width, height) else f"{across},{down}"
            yield f"full/{size}/0/default.jpg"
            continue
        span = round(side / scale)
        for y in range(math.ceil(down / side)):
            for x in range(math.ceil(across / side)):
                left, top = x * span, y * span
                wide, high = min(span, width - left), min(span, height - top)
                whole = x == 0 and y == 0 and (wide, high) == (width, height)
                region = "full" if whole else f"{left},{top},{wide},{high}"
                w, h = min(side, across - x * side), min(side, down - y * side)
                size = "max" if (w, h) == (width, height) else f"{w},{h}"
                yield f"{region}/{size}/0/default.jpg"


@given(SIDES, SIDES, TILE_SIZES)
@example(4000, 3000, 512)
@example(512, 512, 512)
@example(513, 1, 512)
@example(1, 1, 64)
@example(1024, 512, 512)
def test_whatever_a_viewer_asks_for_is_there(width: int, height: int, side: int) -> None:
    pyramid = Pyramid(width, height, side)
    info = pyramid.info("http://localhost:8000/plate-001")
    (tiles,) = info["tiles"]
    factors = tiles["scaleFactors"]
    sizes = [(one["width"], one["height"]) for one in info["sizes"]]
    there = planned(pyramid)
    assert set(by_the_specification(width, height, side, factors)) <= there
    assert set(by_openseadragon(width, height, side, factors, sizes)) <= there
    assert {image_path("full", size) for size in sizes} <= there


@given(SIDES, SIDES, TILE_SIZES)
def test_no_name_stands_twice_and_the_tiles_of_a_level_divide_the_plate(
    width: int, height: int, side: int
) -> None:
    pyramid = Pyramid(width, height, side)
    names = [
        name
        for level in pyramid.levels()
        for tile in pyramid.tiles(level)
        for name in pyramid.names(tile)
    ]
    assert len(names) == len(set(names))
    for level in pyramid.levels():
        tiles = list(pyramid.tiles(level))
        area = sum(tile.region.width * tile.region.height for tile in tiles)
        assert area == width * height
        assert sum(tile.width * tile.height for tile in tiles) == level.width * level.height


@given(SIDES, SIDES)
def test_max_has_the_size_that_max_width_gives_it(width: int, height: int) -> None:
    pyramid = Pyramid(width, height, 512)
    info = pyramid.info("http://localhost:8000/plate-001")
    largest = max((one["width"], one["height"]) for one in info["sizes"])
    limit = info.get("maxWidth", max(width, height))
    scale = min(1.0, limit / max(width, height))
    assert abs(width * scale - largest[0]) < 1.0
    assert abs(height * scale - largest[1]) < 1.0
    assert max(largest) == limit <= max(MAX_SIDE, 1)
    assert limit >= min(512, max(width, height))


@given(SIDES, SIDES)
def test_deep_zoom_counts_from_a_single_pixel_up(width: int, height: int) -> None:
    pyramid = Pyramid(width, height, 512)
    levels = pyramid.deep_zoom_levels()
    highest = math.ceil(math.log2(max(width, height)))
    names = [pyramid.deep_zoom_name(next(pyramid.tiles(level))) for level in levels]
    assert names == [f"{number}/0_0.jpg" for number in range(highest, -1, -1)]
    assert (levels[-1].width, levels[-1].height) == (1, 1)


def test_the_document_is_what_the_specification_requires() -> None:
    info = Pyramid(5000, 6000, 512).info("https://plates.example.org/iiif/plate-003")
    assert info == {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": "https://plates.example.org/iiif/plate-003",
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": 5000,
        "height": 6000,
        "maxWidth": 1500,
        "sizes": [
            {"width": 313, "height": 375},
            {"width": 625, "height": 750},
            {"width": 1250, "height": 1500},
        ],
        "tiles": [{"width": 512, "height": 512, "scaleFactors": [1, 2, 4, 8, 16]}],
    }
