"""Masks found on overlapping tiles of one frame, joined to whole objects whatever they show.

How to use it:

    tiles = windows(width, height, core=1024, halo=128)
    pieces = [Piece(x, y, mask, score, index) for index, tile in enumerate(tiles) for ... in found]
    joined = join(pieces, tiles, JoinRule())            # masks of a model, which may lie in each other
    joined = join(pieces, tiles, JoinRule(partition=True))   # components: no two of a tile overlap

Places and masks are in pixels of the frame. A pass over the whole frame at low resolution is given as
pieces with `window_index=None`, their masks brought to the frame's pixels. Only pieces of one `kind`
meet, and only where windows overlap: `halo` is at least 1. The regions depend neither on the order of
the pieces nor on that of the windows: all is decided by (score, digest of the content). No mask is ever
larger than its box.

1. Of pieces of one window that are the same (IoMin >= `contained`, areas alike) the best stays.
2. Two pieces of two windows are compared within the overlap of the windows alone. They are joined
   where at least one is cut there by its own window's border, and their IoU is at least `iou`: one to
   one between two windows, best first. A piece that is cut and lies within the other there, and in no
   other piece of its own window, is a fragment of it and joined, too. Union-find closes chains.
3. An object of the whole pass larger than `large` of a window keeps its extent; within the core of
   each window that saw it the tile's mask stands. A smaller one gives way to what tiles saw of it.
4. Of joined regions that are the same the best stays (never one that is cut); one that lies within
   another of more than twice its area becomes its child.

With `partition` the pieces of one window never overlap, so any shared pixel joins and 3 and 4 fall away.
Source: imaging notes F.4; compared within the overlap as micro-sam does (Archit et al. 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledgerkit.imaging.geometry import Box
from ledgerkit.imaging.links import Links, alike, is_cut, link
from ledgerkit.imaging.pieces import (
    Bits,
    Item,
    JoinRule,
    Piece,
    Window,
    common,
    frame_of,
    intersection,
    overlapping,
    ranked,
    trim,
    windows,
    within,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = [
    "Conservation",
    "JoinRule",
    "Joined",
    "Piece",
    "Region",
    "Window",
    "join",
    "nested",
    "windows",
]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """An object of the frame: the tight box of its mask at `x0`, `y0`."""

    x0: int
    y0: int
    mask: Mask
    """bool (h, w)."""
    kind: str
    score: float | None
    """Mean of the scores of its members by area; None where none has one."""
    members: tuple[int, ...]
    """Places of the pieces whose pixels it has."""
    suppressed: tuple[int, ...]
    """Places of pieces that are the same again, or were seen better on tiles: they gave no pixel."""
    parent: int | None
    """Place in `Joined.regions` of the smallest region that contains it."""
    rule: str
    """'single', 'join' (of several windows), 'refine' (whole pass with borders from tiles)."""
    cut: bool
    """Whether it is a lone piece that ends at its window's border inside the frame."""
    digest: bytes
    """Of its best piece: settles ties."""

    @property
    def box(self) -> Box:
        return Box(self.x0, self.y0, self.x0 + self.mask.shape[1], self.y0 + self.mask.shape[0])

    @property
    def area(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, slots=True)
class Conservation:
    """What joining must not change, as values for gates."""

    excess: int
    """Largest area of a region less the areas of its members together, in pixels; at most 0."""
    unsourced: int
    """Pixels of regions that no member has: 0."""
    coverage: float
    """Share of the pixels of all pieces that are in the region which took them, 0..1; 1 without any."""
    forgotten: int
    """Pieces that are in no region: 0."""

    @property
    def holds(self) -> bool:
        """Whether no pixel was invented and no piece forgotten."""
        return self.excess <= 0 and self.unsourced == 0 and self.forgotten == 0


@dataclass(frozen=True, slots=True)
class Joined:
    """Regions by falling area, then from the top left."""

    regions: tuple[Region, ...]
    conservation: Conservation


def join(pieces: Sequence[Piece], tiles: Sequence[Window], rule: JoinRule) -> Joined:
    """The objects that `pieces` found on `tiles` are of.

    Raises `ValueError` for a piece without a pixel, outside its window, or of no window.
    """
    items = ranked(pieces, tiles)
    links, same = link(items, rule)
    frame = frame_of(tiles)
    regions = [
        _assembled(items, group, set(same), links, rule, frame)
        for group in _united(len(items), links)
    ]
    if not rule.partition:
        regions = _best(regions, rule)
    regions.sort(key=lambda region: (-region.area, region.y0, region.x0, region.digest))
    if not rule.partition:
        regions = nested(regions, rule)
    return Joined(tuple(regions), _conservation(items, regions))


def _united(count: int, links: Links) -> list[list[int]]:
    """Groups of items that hang together, each in the order of rank (union-find)."""
    root = list(range(count))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for i, j in links:
        one, other = sorted((find(i), find(j)))
        root[other] = one
    groups: dict[int, list[int]] = {}
    for place in range(count):
        groups.setdefault(find(place), []).append(place)
    return list(groups.values())


def _assembled(
    items: list[Item],
    group: list[int],
    same: set[int],
    links: Links,
    rule: JoinRule,
    frame: Box,
) -> Region:
    """The region of a group of items; `same` are those that a better one of their window replaces."""
    seen = [place for place in group if place not in same and not items[place].whole]
    whole = [place for place in group if place not in same and items[place].whole]
    if seen:
        limit = rule.large * max(_area(items[place].window) for place in seen)
        whole = [place for place in whole if items[place].area > limit]
    linked = {place for pair in links if set(pair) & set(whole) for place in pair}
    refining = [place for place in seen if place in linked]
    giving = [place for place in group if place in {*seen, *whole}]
    box, mask = _painted(
        [items[place] for place in whole],
        [items[place] for place in refining],
        [items[place] for place in seen if place not in linked],
    )
    first = items[group[0]]
    cut = len(giving) == 1 and is_cut(items[giving[0]], frame, frame, rule.tolerance)
    return Region(
        box.x0,
        box.y0,
        mask,
        first.kind,
        _score([items[place] for place in giving]),
        tuple(items[place].place for place in giving),
        tuple(items[place].place for place in group if place not in giving),
        None,
        "refine" if refining else "join" if len(giving) > 1 else "single",
        cut,
        first.digest,
    )


def _area(box: Window) -> int:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def _score(items: list[Item]) -> float | None:
    """The mean by area, summed in the order of rank."""
    scored = [(item.score, item.area) for item in items if item.score is not None]
    if not scored:
        return None
    return sum(score * area for score, area in scored) / sum(area for _, area in scored)


def _painted(whole: list[Item], refining: list[Item], plain: list[Item]) -> tuple[Box, Mask]:
    """The union of masks; within the cores of `refining` these alone say what of `whole` is there."""
    import numpy as np

    boxes = [item.box for item in [*whole, *refining, *plain]]
    x0, y0 = min(box.x0 for box in boxes), min(box.y0 for box in boxes)
    box = Box(x0, y0, max(box.x1 for box in boxes), max(box.y1 for box in boxes))
    mask = np.zeros((box.height, box.width), dtype=bool)

    def paint(item: Item, area: Box) -> None:
        inner = intersection(item.box, area)
        if inner is not None:
            rows = slice(inner.y0 - y0, inner.y1 - y0)
            mask[rows, inner.x0 - x0 : inner.x1 - x0] |= within(item, inner)

    for item in whole:
        paint(item, box)
    for item in refining:
        core = item.window.core
        rows = slice(max(0, core.y0 - y0), max(0, core.y1 - y0))
        mask[rows, max(0, core.x0 - x0) : max(0, core.x1 - x0)] = False
    for item in refining:
        paint(item, item.window.core)
    for item in plain:
        paint(item, box)
    trimmed = trim(x0, y0, mask)
    return trimmed if trimmed is not None else (box, mask)


def _best(regions: list[Region], rule: JoinRule) -> list[Region]:
    """Without the regions that are the same as a better one; a cut one is never left out."""
    rank = sorted(regions, key=lambda region: (-(region.score or 0.0), -region.area, region.digest))
    taken: dict[int, int] = {}
    bits = Bits(rank)
    pairs = overlapping([region.box for region in rank], [region.kind for region in rank])
    for i, j in sorted(pairs):
        if i in taken or j in taken or rank[j].cut:
            continue
        if alike(bits.areas[i], bits.areas[j], rule) and bits.least(i, j, rule.contained):
            taken[j] = i
    kept = {place: region for place, region in enumerate(rank) if place not in taken}
    for lost, keeper in taken.items():
        more = rank[lost].members + rank[lost].suppressed
        kept[keeper] = replace(kept[keeper], suppressed=kept[keeper].suppressed + more)
    return list(kept.values())


def nested(regions: list[Region], rule: JoinRule) -> list[Region]:
    """Regions by falling area with parents: the smallest of more than twice the area that contains one."""
    bits = Bits(regions)
    parents: dict[int, int] = {}
    pairs = overlapping([region.box for region in regions], [region.kind for region in regions])
    for large, small in pairs:
        if parents.get(small, -1) >= large or alike(bits.areas[large], bits.areas[small], rule):
            continue
        if bits.least(large, small, rule.contained):
            parents[small] = large
    return [replace(region, parent=parents.get(place)) for place, region in enumerate(regions)]


def _conservation(items: list[Item], regions: list[Region]) -> Conservation:
    """Measured on the masks themselves, not from how they were made."""
    import numpy as np

    given = {item.place: item for item in items}
    excess, unsourced, kept, total = [], 0, 0, 0
    for region in regions:
        rest = region.mask.copy()
        for place in region.members:
            item = given[place]
            inner = intersection(item.box, region.box)
            if inner is not None:
                rows = slice(inner.y0 - region.y0, inner.y1 - region.y0)
                rest[rows, inner.x0 - region.x0 : inner.x1 - region.x0] &= ~within(item, inner)
        unsourced += int(np.count_nonzero(rest))
        excess.append(region.area - sum(given[place].area for place in region.members))
        for place in region.members + region.suppressed:
            item = given[place]
            total += item.area
            kept += common(item, region)
    found = {place for region in regions for place in region.members + region.suppressed}
    coverage = kept / total if total else 1.0
    return Conservation(max(excess, default=0), unsourced, coverage, len(given.keys() - found))
