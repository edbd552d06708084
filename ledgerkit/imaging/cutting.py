"""The regions of a plate from its file: cut whole where it fits, else tile by tile.

Keeps out: ids, rows, source coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from ledgerkit.imaging import geometry, tile
from ledgerkit.imaging.decode import read_shrunk, rgb_of, shrunk
from ledgerkit.imaging.facts import Facts
from ledgerkit.imaging.footprint import stream_bytes
from ledgerkit.imaging.found import Found, Frame, found_in
from ledgerkit.imaging.geometry import Box, GridTile
from ledgerkit.imaging.join import Conservation, Window, windows
from ledgerkit.imaging.limits import Limits
from ledgerkit.imaging.parts import PartRule, parts_of
from ledgerkit.imaging.refine import least_halo, refine
from ledgerkit.imaging.regions import FIGURE, REFERENCE, RegionRule, Scene, cut

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHOLE = 2048 * 2048
"""Pixels of a working image up to which it is cut whole unless tiles are asked for."""
CORE = 1024
"""Core of the tiles of a larger one."""
A_PIXEL = 128
"""Bytes that cutting takes for each pixel of an image: colours in float32, labels, counting."""
A_MASK_PIXEL = 8
"""Bytes that masks take for each pixel of a frame that is cut in tiles: pieces, regions, encoding."""
LIBRARIES = 96 << 20
"""Bytes of scipy and scikit-image."""


@dataclass(frozen=True, slots=True)
class TileRule:
    """On what a plate is cut."""

    long_side: int = REFERENCE
    """Long side of the working image; a smaller plate is taken as it is."""
    core: int = 0
    """Side of the tiles' cores in pixels of the working image; 0 leaves it to its size."""
    halo: float = 0.125
    """Width of the border that neighbours share, as a share of the core."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A plate in regions."""

    regions: list[Found]
    """They cover the frame once, but for parts, which lie in their figures."""
    scene: Scene
    frame: Frame
    tiles: int
    """How many tiles were cut; 0 for a plate that was cut whole."""
    conservation: Conservation | None
    """What joining kept, of a plate that was cut in tiles."""


def core_of(frame: Frame, rule: TileRule) -> int:
    """The core of the tiles that a frame is cut in; 0 where it is cut whole."""
    if rule.core:
        return rule.core if max(frame.width, frame.height) > rule.core else 0
    return CORE if frame.width * frame.height > WHOLE else 0


def cut_file(file: BinaryIO, width: int, height: int, tiles: TileRule, rule: RegionRule) -> Cut:
    """The regions of an image file of `width` x `height` upright pixels.

    Raises as `decode.decode` does.
    """
    frame = Frame(*geometry.fit_long_side(width, height, tiles.long_side))
    core = core_of(frame, tiles)
    if not core:
        scene = cut(read_shrunk(file, tiles.long_side), rule)
        return Cut(found_in(scene), scene, frame, 0, None)
    scene = cut(read_shrunk(file, min(REFERENCE, tiles.long_side)), rule)
    halo = max(round(tiles.halo * core), least_halo(frame, rule))
    grid = windows(frame.width, frame.height, core, halo)
    refined = refine(scene, _read(file, tiles.long_side, grid), grid, frame, rule)
    return Cut(refined.regions, scene, frame, refined.tiles, refined.conservation)


def working_bytes(facts: Facts, limits: Limits, tiles: TileRule) -> int:
    """Bytes that `cut_file` may take, from the header. Raises `LimitExceeded`.

    A plate cut whole: `A_PIXEL` for each of its pixels. In tiles: the same for the small image and
    for one window, and `A_MASK_PIXEL` for each pixel of the frame.
    """
    header = facts.header
    size = geometry.oriented_size(header.width, header.height, header.orientation)
    frame = Frame(*geometry.fit_long_side(*size, tiles.long_side))
    core = core_of(frame, tiles)
    streamed = stream_bytes(facts, limits) + LIBRARIES
    if not core:
        return streamed + A_PIXEL * frame.width * frame.height
    small = geometry.fit_long_side(*size, min(REFERENCE, tiles.long_side))
    side = core + 2 * max(round(tiles.halo * core), least_halo(frame, RegionRule()))
    window = min(side, frame.width) * min(side, frame.height)
    band = 3 * frame.width * min(frame.height, 2 * side)
    masks = A_MASK_PIXEL * frame.width * frame.height
    return streamed + A_PIXEL * (small[0] * small[1] + window) + band + masks


def _read(
    file: BinaryIO, long_side: int, grid: Sequence[Window]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Each window's place and pixels, in one pass over the file."""
    image, orientation = shrunk(file, long_side)
    asked = [
        GridTile(place, 0, Box(window.x0, window.y0, window.x1, window.y1), window.core)
        for place, window in enumerate(grid)
    ]
    for window, pixels in tile.cut(image, asked, orientation):
        yield window.column, rgb_of(pixels)


def with_parts(cut: Cut, rule: PartRule) -> Cut:
    """The regions, and behind them the parts of every figure."""
    parts = [
        part
        for place, region in enumerate(cut.regions)
        if region.kind == FIGURE
        for part in parts_of(cut.scene, region, place, cut.frame, rule)
    ]
    return replace(cut, regions=[*cut.regions, *parts])
