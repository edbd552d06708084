"""Windows over a frame, masks found in them, and how two masks lie to each other.

Values and measures only; `links.py` decides which masks are of one object, `join.py` makes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ledgerkit.imaging.geometry import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class JoinRule:
    """When two masks are of one object."""

    iou: float = 0.5
    """Least IoU within the shared overlap of two windows (imaging notes F.4; SAHI joins at 0.5)."""
    contained: float = 0.9
    """Least share of the smaller mask in the larger (IoMin) to be the same or a part (micro-sam)."""
    part: float = 0.5
    """Ratio of areas under which a contained mask is a part and not the same (imaging notes F.4)."""
    large: float = 0.5
    """Share of a window's area above which the whole pass knows an object's extent better (F.4)."""
    tolerance: int = 4
    """Pixels from a window's border within which a mask touches it: the stride of SAM's mask decoder
    at 1024 pixels (Kirillov et al. 2023, A).
    """
    partition: bool = False
    """Whether no two masks of one window overlap, as connected components do not."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a tile shows of the frame, half open, and its core, which no other tile has."""

    x0: int
    y0: int
    x1: int
    y1: int
    core: Box


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A mask bool (h, w) at `x0`, `y0`, inside its window; `score` 0..1, or None, which ranks as 0.

    `window_index` is the place of the window in the list given to `join`, None for the whole pass.
    """

    x0: int
    y0: int
    mask: Mask
    score: float | None = None
    window_index: int | None = None
    kind: str = ""


def windows(width: int, height: int, core: int, halo: int) -> list[Window]:
    """Tiles of a frame row by row: cores of at most `core` pixels a side, alike in size, which divide
    the frame exactly; a window is its core with `halo` pixels around it, inside the frame.

    Raises `ValueError` unless width, height and core are at least 1 and halo at least 0.
    """
    if min(width, height, core) < 1 or halo < 0:
        raise ValueError(f"no windows of core {core} and halo {halo} over {width} x {height}")
    found = []
    for top, bottom in _cuts(height, core):
        for left, right in _cuts(width, core):
            x0, y0 = max(0, left - halo), max(0, top - halo)
            x1, y1 = min(width, right + halo), min(height, bottom + halo)
            found.append(Window(x0, y0, x1, y1, Box(left, top, right, bottom)))
    return found


def _cuts(length: int, core: int) -> Iterator[tuple[int, int]]:
    count = -(-length // core)
    for index in range(count):
        yield index * length // count, (index + 1) * length // count


class Placed(Protocol):
    """A mask bool (h, w) in the pixels of its box of the frame."""

    @property
    def box(self) -> Box: ...

    @property
    def mask(self) -> Mask: ...


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A piece trimmed to its pixels."""

    box: Box
    mask: Mask
    area: int
    score: float | None
    kind: str
    window: Window
    index: int | None
    """Place of the window; None for the whole pass, whose `window` is the frame."""
    place: int
    """Where the piece was given."""
    digest: bytes
    """Of kind, place, mask and window."""

    @property
    def whole(self) -> bool:
        """Whether it is of the whole pass."""
        return self.index is None


def frame_of(tiles: Sequence[Window]) -> Box:
    """The frame that windows cover, from its origin."""
    right = max((tile.x1 for tile in tiles), default=0)
    return Box(0, 0, right, max((tile.y1 for tile in tiles), default=0))


def ranked(pieces: Sequence[Piece], tiles: Sequence[Window]) -> list[Item]:
    """Pieces by falling score, then by digest.

    Raises `ValueError` for a piece without a pixel, outside its window, or of no window.
    """
    frame = frame_of(tiles)
    whole = Window(frame.x0, frame.y0, frame.x1, frame.y1, frame)
    items = [_item(place, piece, tiles, whole) for place, piece in enumerate(pieces)]
    return sorted(items, key=lambda item: (-(item.score or 0.0), item.digest))


def _item(place: int, piece: Piece, tiles: Sequence[Window], whole: Window) -> Item:
    import numpy as np

    index = piece.window_index
    if index is not None and not 0 <= index < len(tiles):
        raise ValueError(f"piece {place} is of window {index}, there are {len(tiles)}")
    window = whole if index is None else tiles[index]
    trimmed = trim(piece.x0, piece.y0, piece.mask)
    if trimmed is None:
        raise ValueError(f"piece {place} has no pixel")
    box, mask = trimmed
    if box.x0 < window.x0 or box.y0 < window.y0 or box.x1 > window.x1 or box.y1 > window.y1:
        raise ValueError(f"piece {place} at {box} reaches out of its window {window}")
    told = f"{piece.kind} {box} {window} {index is None}".encode()
    digest = hashlib.sha256(told + np.packbits(mask).tobytes()).digest()
    area = int(np.count_nonzero(mask))
    return Item(box, mask, area, piece.score, piece.kind, window, index, place, digest)


def trim(x0: int, y0: int, mask: Mask) -> tuple[Box, Mask] | None:
    """The least box around the pixels of a mask at `x0`, `y0`, and a view of it there; None if empty."""
    import numpy as np

    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    top, left, bottom, right = (
        int(rows[0]),
        int(columns[0]),
        int(rows[-1]) + 1,
        int(columns[-1]) + 1,
    )
    return Box(x0 + left, y0 + top, x0 + right, y0 + bottom), mask[top:bottom, left:right]


def overlapping(boxes: Sequence[Box], kinds: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of boxes of one kind that share a pixel: a sweep from left to right."""
    import numpy as np

    if not boxes:
        return
    sides = np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.int64)
    order = np.argsort(sides[:, 0], kind="stable")
    swept = sides[order]
    ends = np.searchsorted(swept[:, 0], swept[:, 2])
    for at, end in enumerate(ends.tolist()):
        later = swept[at + 1 : end]
        meet = (later[:, 1] < swept[at, 3]) & (later[:, 3] > swept[at, 1])
        for other in np.flatnonzero(meet):
            i, j = sorted((int(order[at]), int(order[at + 1 + other])))
            if kinds[i] == kinds[j]:
                yield i, j


def intersection(one: Box, other: Box) -> Box | None:
    """The pixels that two boxes share; None where there are none."""
    box = Box(
        max(one.x0, other.x0), max(one.y0, other.y0), min(one.x1, other.x1), min(one.y1, other.y1)
    )
    return box if box.x0 < box.x1 and box.y0 < box.y1 else None


def within(placed: Placed, box: Box) -> Mask:
    """A view of a mask inside `box` of the frame; empty where they do not meet."""
    x, y = placed.box.x0, placed.box.y0
    rows = slice(max(0, box.y0 - y), max(0, box.y1 - y))
    return placed.mask[rows, max(0, box.x0 - x) : max(0, box.x1 - x)]


WORD = 64
"""Pixels of one row that stand in one word of `Bits`."""


class Bits:
    """Placed masks as bits, each packed when it is first asked for: what two share is counted by words.

    A row begins at a multiple of `WORD` of the frame, so that words of two masks lie on each other.
    """

    def __init__(self, masks: Sequence[Placed]) -> None:
        self._masks = masks
        self._packed: dict[int, tuple[Box, NDArray[np.uint64]]] = {}
        self.areas = [int(one.mask.sum()) for one in masks]
        """Pixels of each."""

    def common(self, i: int, j: int) -> int:
        """Pixels that two masks share, as `common` counts them."""
        import numpy as np

        one, a = self._bits(i)
        other, b = self._bits(j)
        box = intersection(one, other)
        if box is None:
            return 0
        both = _part(a, one, box) & _part(b, other, box)
        return int(np.bitwise_count(both).sum(dtype=np.int64))

    def least(self, i: int, j: int, share: float) -> bool:
        """Whether two masks share at least `share` of the smaller one; boxes alone tell most that do not."""
        wanted = share * min(self.areas[i], self.areas[j])
        box = intersection(self._masks[i].box, self._masks[j].box)
        possible = 0 if box is None else box.width * box.height
        return possible >= wanted and self.common(i, j) >= wanted

    def _bits(self, place: int) -> tuple[Box, NDArray[np.uint64]]:
        """A mask's words, uint64 (h, n), and their box: rows of the frame, and its words along them."""
        import numpy as np

        if place not in self._packed:
            one = self._masks[place]
            box = one.box
            words = Box(box.x0 // WORD, box.y0, -(-box.x1 // WORD), box.y1)
            rows = np.zeros((box.height, WORD * words.width), dtype=bool)
            begin = box.x0 - WORD * words.x0
            rows[:, begin : begin + box.width] = one.mask
            self._packed[place] = words, np.packbits(rows, axis=1).view(np.uint64)
        return self._packed[place]


def _part(words: NDArray[np.uint64], box: Box, inner: Box) -> NDArray[np.uint64]:
    """A view of the words of `box` in `inner`."""
    rows = slice(inner.y0 - box.y0, inner.y1 - box.y0)
    return words[rows, inner.x0 - box.x0 : inner.x1 - box.x0]


def common(one: Placed, other: Placed) -> int:
    """Pixels that two masks share."""
    import numpy as np

    box = intersection(one.box, other.box)
    return 0 if box is None else int(np.count_nonzero(within(one, box) & within(other, box)))
