"""Which pieces of a frame's tiles are of one object; the rules stand in `join.py`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from ledgerkit.imaging.geometry import Box
from ledgerkit.imaging.pieces import (
    Bits,
    Item,
    JoinRule,
    Window,
    common,
    intersection,
    overlapping,
    within,
)

Links = list[tuple[int, int]]


def link(items: list[Item], rule: JoinRule) -> tuple[Links, dict[int, int]]:
    """Pairs of places of items that are of one object, and for each item that is the same as a better
    one of its own window that one. `items` stand in the order of rank.
    """
    pairs = sorted(overlapping([item.box for item in items], [item.kind for item in items]))
    if rule.partition:
        outer = [(i, j) for i, j in pairs if items[i].index != items[j].index]
        return [(i, j) for i, j in outer if common(items[i], items[j])], {}
    same, inside = _own_window(items, pairs, rule)
    outer = [
        (i, j)
        for i, j in pairs
        if i not in same and j not in same and items[i].index != items[j].index
    ]
    return _matched(items, outer, inside, rule) + [(i, j) for j, i in same.items()], same


def _own_window(items: list[Item], pairs: Links, rule: JoinRule) -> tuple[dict[int, int], set[int]]:
    """Items that are the same as a better one of their window, and items that lie inside another."""
    same: dict[int, int] = {}
    inside: set[int] = set()
    bits = Bits(items)
    for i, j in pairs:
        one, other = items[i], items[j]
        if one.index != other.index or i in same:
            continue
        if not bits.least(i, j, rule.contained):
            continue
        if alike(one.area, other.area, rule):
            same.setdefault(j, i)
        else:
            inside.add(i if one.area < other.area else j)
    return same, inside


def alike(one: int, other: int, rule: JoinRule) -> bool:
    """Whether two areas are alike enough to be of one object."""
    return min(one, other) >= rule.part * max(one, other)


@dataclass(frozen=True, slots=True)
class _Seen:
    """How two items of different windows look within the overlap of their windows."""

    iou: float
    inner: float
    """Share of the smaller one inside the other."""
    first_is_smaller: bool
    first_cut: bool
    """Whether the first ends at its own window's border, which lies inside the other window."""
    second_cut: bool
    scales: bool
    """Whether exactly one is of the whole pass."""


def _seen(one: Item, other: Item, rule: JoinRule) -> _Seen | None:
    """None where they share no pixel."""
    import numpy as np

    shared_pixels = common(one, other)
    if not shared_pixels:
        return None
    a, b = one.window, other.window
    shared = Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))
    first, second = (int(np.count_nonzero(within(item, shared))) for item in (one, other))
    return _Seen(
        shared_pixels / (first + second - shared_pixels),
        shared_pixels / min(first, second),
        (first, one.area) < (second, other.area),
        is_cut(one, b, shared, rule.tolerance),
        is_cut(other, a, shared, rule.tolerance),
        one.whole != other.whole,
    )


def is_cut(item: Item, facing: Window | Box, shared: Box, tolerance: int) -> bool:
    """Whether `item` touches, within `shared`, a border of its window that lies inside `facing`."""
    own, near = item.window, tolerance + 1
    bands = (
        (own.x0 > facing.x0, Box(own.x0, shared.y0, own.x0 + near, shared.y1)),
        (own.x1 < facing.x1, Box(own.x1 - near, shared.y0, own.x1, shared.y1)),
        (own.y0 > facing.y0, Box(shared.x0, own.y0, shared.x1, own.y0 + near)),
        (own.y1 < facing.y1, Box(shared.x0, own.y1 - near, shared.x1, own.y1)),
    )
    touched = (intersection(band, shared) for inner, band in bands if inner)
    return any(band is not None and bool(within(item, band).any()) for band in touched)


def _matched(items: list[Item], pairs: Links, inside: set[int], rule: JoinRule) -> Links:
    """Joins between windows, window pair by window pair."""
    found = []
    for i, j in pairs:
        seen = _seen(items[i], items[j], rule)
        if seen is not None:
            between = tuple(sorted((_window(items[i]), _window(items[j]))))
            found.append((between, -seen.iou, i, j, seen))
    found.sort(key=lambda entry: entry[:4])
    links: Links = []
    for _, group in groupby(found, key=lambda entry: entry[0]):
        links += _between([(i, j, seen) for _, _, i, j, seen in group], inside, rule)
    return links


def _window(item: Item) -> tuple[int, int, int, int, bool]:
    core = item.window.core
    return core.x0, core.y0, core.x1, core.y1, item.whole


def _between(seen: list[tuple[int, int, _Seen]], inside: set[int], rule: JoinRule) -> Links:
    """Joins between two windows: one to one by falling IoU, then fragments of what was broken."""
    links: Links = []
    taken: set[int] = set()
    for i, j, pair in seen:
        cut = pair.first_cut or pair.second_cut or pair.scales
        if cut and pair.iou >= rule.iou and not {i, j} & taken:
            links.append((i, j))
            taken |= {i, j}
    for i, j, pair in seen:
        less, cut = (i, pair.first_cut) if pair.first_is_smaller else (j, pair.second_cut)
        fragment = cut and pair.inner >= rule.contained and not pair.scales
        if fragment and less not in taken and less not in inside:
            links.append((i, j))
    return links
