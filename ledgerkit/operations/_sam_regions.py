"""Regions of a plate by a SAM network: of the whole plate, of tiles joined again, or pointed at.

Pixels in, regions out, in pixels of the working image. Keeps out rows, gates and parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import InvalidRecord, LedgerkitError
from ledgerkit.imaging.geometry import fit_long_side
from ledgerkit.imaging.join import (
    Conservation,
    JoinRule,
    Piece,
    Region,
    Window,
    join,
    nested,
    windows,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.models.sam_masks import Found, MaskRule
    from ledgerkit.models.sam_network import Network

    Pixels = NDArray[np.uint8]

Failed = Callable[[str, Exception], None]
"""What takes an item that could not be done, and why."""


@dataclass(slots=True)
class Regions:
    """Regions by falling area, parents before what they contain, with their stability."""

    regions: list[Region]
    stability: list[float]
    windows: list[Window] = field(default_factory=list)
    conservation: Conservation | None = None
    """Of the join; None where nothing was joined."""


def of_whole(network: Network, pixels: Pixels, rule: MaskRule) -> Regions:
    """Regions of an image, sRGB uint8 (h, w, 3), exactly as the mask generator finds them."""
    from ledgerkit.models.sam_masks import everything

    (found,) = everything(network, [pixels], rule)
    return _alone(found)


def of_tiles(
    network: Network, pixels: Pixels, rule: MaskRule, core: int, halo: int, failed: Failed
) -> Regions:
    """Regions of an image from its tiles, and of large objects from one pass over all of it.

    A tile is a `core` and up to `halo` pixels around it. One that cannot be done is given to
    `failed`; the others go on. Raises the error of the last where no tile can be done.
    """
    tiles = windows(pixels.shape[1], pixels.shape[0], core, halo)
    joining = JoinRule()
    pieces: list[Piece] = []
    stability: list[float] = []
    errors: list[Exception] = []
    for index, found in _of_each(network, pixels, rule, tiles):
        if isinstance(found, Exception):
            failed(_named(index, tiles), found)
            errors += [found] if index is not None else []
            continue
        left, top = (0, 0) if index is None else (tiles[index].x0, tiles[index].y0)
        for one in found:
            mask, x0, y0 = one.mask, one.x0 + left, one.y0 + top
            if index is None:
                mask, x0, y0 = _enlarged(one, pixels.shape, network.side)
                if mask.sum() <= joining.large * _area(tiles[0]):
                    continue  # what tiles see better
            pieces.append(Piece(x0, y0, mask, min(max(one.score, 0.0), 1.0), index))
            stability.append(one.stability)
    if len(errors) == len(tiles):
        raise errors[-1]
    joined = join(pieces, tiles, joining)
    steady = [_mean(region, pieces, stability) for region in joined.regions]
    return Regions(list(joined.regions), steady, tiles, joined.conservation)


def pointed_at(
    network: Network,
    pixels: Pixels,
    groups: Sequence[Mapping[str, Any]],
    offset: float,
    failed: Failed,
) -> Regions:
    """One region for each group of prompts: `points` (x, y, label) and `box` in pixels of the image.

    One that marks nothing, or the same as another, is given to `failed`. Raises `InvalidRecord`
    where no group gives a region.
    """
    import numpy as np

    from ledgerkit.models.sam_masks import pointed_at as masks_of
    from ledgerkit.models.sam_network import Prompts

    (embedded,) = network.embed([pixels])
    found: list[Found] = []
    seen: set[tuple[int, int, bytes]] = set()
    for index, group in enumerate(groups, 1):
        points = np.array(group.get("points") or [], dtype=np.float64).reshape(1, -1, 3)
        box = group.get("box")
        prompts = Prompts(
            points[..., :2] if points.size else None,
            points[..., 2].astype(np.int64) if points.size else None,
            None if box is None else np.array([box], dtype=np.float64),
        )
        one = masks_of(network, embedded, prompts, offset)
        same = (one.x0, one.y0, one.mask.tobytes())
        if not one.mask.size or same in seen:
            why = "the same region as an earlier one" if one.mask.size else "no region"
            failed(f"prompt {index} {group.get('name', '')}".strip(), InvalidRecord(f"gives {why}"))
            continue
        seen.add(same)
        found.append(one)
    if not found:
        raise InvalidRecord(
            f"none of {len(groups)} prompts gives a region",
            "Point at the middle of what is meant, or draw a box: ledgerkit prompts --help",
        )
    return _alone(found)


def _alone(found: Sequence[Found]) -> Regions:
    """Masks of one pass as regions: nothing is joined or left out."""
    order = sorted(range(len(found)), key=lambda at: (-int(found[at].mask.sum()), at))
    regions = [
        Region(
            found[at].x0, found[at].y0, found[at].mask, "", min(max(found[at].score, 0.0), 1.0),
            (at,), (), None, "single", False, b"",
        )
        for at in order
    ]  # fmt: skip
    return Regions(nested(regions, JoinRule()), [found[at].stability for at in order])


def _of_each(
    network: Network, pixels: Pixels, rule: MaskRule, tiles: Sequence[Window]
) -> Iterator[tuple[int | None, list[Found] | Exception]]:
    """Masks of each tile by its place, and under None those of all the image made small.

    Tiles go through the encoder in batches; where a batch fails each tile is tried alone.
    """
    from ledgerkit.models.sam import images_at_once
    from ledgerkit.models.sam_masks import everything

    def tried(places: Sequence[int | None]) -> list[list[Found]] | Exception:
        try:
            return everything(network, [_shown(pixels, tiles, at, network) for at in places], rule)
        except (LedgerkitError, RuntimeError, ArithmeticError, MemoryError) as error:
            return error

    places: list[int | None] = [None, *range(len(tiles))]
    at_once = images_at_once(network)
    for start in range(0, len(places), at_once):
        batch = places[start : start + at_once]
        answer = tried(batch)
        for offset, at in enumerate(batch):
            if isinstance(answer, Exception):
                alone = answer if len(batch) == 1 else tried([at])
                yield at, alone if isinstance(alone, Exception) else alone[0]
            else:
                yield at, answer[offset]


def _shown(pixels: Pixels, tiles: Sequence[Window], at: int | None, network: Network) -> Pixels:
    """The pixels of a tile, or for None all of them at the size that the network sees."""
    import numpy as np
    from PIL import Image

    if at is not None:
        tile = tiles[at]
        return np.ascontiguousarray(pixels[tile.y0 : tile.y1, tile.x0 : tile.x1])
    size = fit_long_side(pixels.shape[1], pixels.shape[0], network.side)
    small = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(small)


def _enlarged(one: Found, shape: tuple[int, ...], side: int) -> tuple[NDArray[np.bool_], int, int]:
    """A mask of the small image at the size of the large one, with its left and top there.

    A pixel takes the value of the small pixel in which its centre lies.
    """
    import numpy as np

    height, width = shape[:2]
    across, down = fit_long_side(width, height, side)
    rows = (np.arange(height) * 2 + 1) * down // (2 * height) - one.y0
    columns = (np.arange(width) * 2 + 1) * across // (2 * width) - one.x0
    rows_in = np.flatnonzero((rows >= 0) & (rows < one.mask.shape[0]))
    columns_in = np.flatnonzero((columns >= 0) & (columns < one.mask.shape[1]))
    mask = one.mask[np.ix_(rows[rows_in], columns[columns_in])]
    return mask, int(columns_in[0]), int(rows_in[0])


def _area(tile: Window) -> int:
    return (tile.x1 - tile.x0) * (tile.y1 - tile.y0)


def _mean(region: Region, pieces: Sequence[Piece], stability: Sequence[float]) -> float:
    """Stability of a joined region: the mean of its members' by area, as its score is."""
    areas = [int(pieces[at].mask.sum()) for at in region.members]
    total = sum(area * stability[at] for area, at in zip(areas, region.members, strict=True))
    return total / sum(areas)


def _named(index: int | None, tiles: Sequence[Window]) -> str:
    if index is None:
        return "the pass over the whole plate"
    tile = tiles[index]
    return f"tile {tile.x0},{tile.y0},{tile.x1},{tile.y1}"
