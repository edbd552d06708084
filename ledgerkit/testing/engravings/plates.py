"""A plate from a family and a seed: figures and lettering placed on old paper and printed.

Every number comes from generators seeded by (family, seed), so that the same arguments give the
same pixels. That was seen to hold with numpy 2.1 and 2.4, with and without wide vectors, and
with Pillow 12 and 13; Pillow 11 draws broad lines differently. Writes no file.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ledgerkit.testing.engravings import names
from ledgerkit.testing.engravings.architecture import draw_building
from ledgerkit.testing.engravings.birds import draw_bird
from ledgerkit.testing.engravings.block import Block, Pose, resized
from ledgerkit.testing.engravings.butterflies import draw_butterfly
from ledgerkit.testing.engravings.fishes import draw_fish
from ledgerkit.testing.engravings.flowers import draw_flower
from ledgerkit.testing.engravings.geometry import Floats
from ledgerkit.testing.engravings.layout import Layout, Mask, targets
from ledgerkit.testing.engravings.lettering import engrave
from ledgerkit.testing.engravings.paper import Sheet, make_sheet
from ledgerkit.testing.engravings.radiolarians import draw_radiolarian
from ledgerkit.testing.engravings.shells import draw_shell

Random = np.random.Generator
Pixels = NDArray[np.uint8]

GAP = 0.025
"""Least distance between two shapes, as a share of the plate's long side."""
_LONGEST = 1800
"""A plate with a longer side is drawn smaller and enlarged with added lines."""
_COVERED = 0.25
"""A pixel covered more than this belongs to a shape."""


@dataclass(frozen=True)
class Shape:
    """One thing printed on a plate, and where."""

    kind: str
    """"figure", or "lettering": one line, each word its upright box."""
    mask: Mask
    """bool (height, width), True where the shape covers the plate."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The least upright box, (left, top, right, bottom) in half-open pixels."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Plate:
    """A drawn plate with its truth."""

    family: str
    title: str
    pixels: Pixels
    """uint8 (height, width, 3), sRGB."""
    shapes: tuple[Shape, ...]
    """Figures first; no two overlap or touch, see GAP."""
    on_scanner_bed: bool = False
    """True where a near-black margin surrounds the sheet."""


@dataclass(frozen=True)
class _Family:
    draw: Callable[[Block, Random], None]
    counts: tuple[int, ...]
    """Numbers of figures, each as likely as it is listed."""
    turn: float
    """Greatest turn of a figure, in radians."""
    colour: float
    """Strength of hand colour, 0..1."""


_FAMILIES = {
    "bird": _Family(draw_bird, (1, 1, 1, 2, 2, 3), 0.12, 1.0),
    "shell": _Family(draw_shell, (1, 2, 3, 3, 4, 5), 0.7, 1.0),
    "butterfly": _Family(draw_butterfly, (1, 2, 3, 4, 5), 0.3, 1.0),
    "flower": _Family(draw_flower, (1, 1, 1, 2, 2, 3), 0.15, 1.0),
    "radiolarian": _Family(draw_radiolarian, (1, 2, 3, 4, 5), 3.1, 0.3),
    "fish": _Family(draw_fish, (1, 2, 2, 3, 4), 0.22, 1.0),
    "architecture": _Family(draw_building, (1, 1, 1, 2, 2, 3), 0.0, 0.8),
}
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""What a plate can show."""


@dataclass(frozen=True)
class _Print:
    """Something to be printed at (x, y), the upper left pixel."""

    kind: str
    x: int
    y: int
    ink: Floats
    tint: Floats
    mask: Mask


def draw(
    family: str, seed: int, *, width: int = 640, height: int = 800, number: int | None = None
) -> Plate:
    """The plate of a family and a seed; `number` is the one engraved on it.

    The size is in pixels. A plate longer than 1800 pixels is drawn smaller and enlarged with
    added lines, so that one of 30 megapixels takes seconds.
    """
    longest = max(width, height)
    if longest > _LONGEST:
        factor = -(-longest // 1500)
        small = draw(
            family, seed, width=-(-width // factor), height=-(-height // factor), number=number
        )
        return _enlarged(small, width, height)
    rng = _generator(family, seed, "plate")
    sheet = make_sheet(rng, (height, width))
    prints = _arranged(rng, family, title_of(family, seed), sheet, number)
    pixels = _printed(rng, sheet, prints)
    shapes = tuple(Shape(item.kind, _framed(item, (height, width))) for item in prints)
    return Plate(family, title_of(family, seed), pixels, shapes, sheet.on_scanner_bed)


def title_of(family: str, seed: int) -> str:
    """The title that `draw` gives to a plate, without drawing it."""
    return names.title(family, _generator(family, seed, "title"))


def _generator(family: str, seed: int, purpose: str) -> Random:
    if family not in _FAMILIES:
        raise ValueError(f"no family {family!r}; there are {', '.join(_FAMILIES)}")
    digest = hashlib.sha256(f"engravings 1 {purpose} {family} {seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _arranged(
    rng: Random, family: str, title: str, sheet: Sheet, number: int | None
) -> list[_Print]:
    size = (sheet.pixels.shape[0], sheet.pixels.shape[1])
    left, top, right, bottom = sheet.box
    margin = max(size) * rng.uniform(0.06, 0.085)
    inner = (left + margin, top + margin, right - margin, bottom - margin)
    box = (round(inner[0]), round(inner[1]), round(inner[2]), round(inner[3]))
    layout = Layout(size, box, GAP * max(size))
    lettering, room = _lettered(rng, family, title, layout, box, max(size), number)
    figures = _figures(rng, _FAMILIES[family], layout, room, max(size))
    if len(figures) > 1 and rng.random() < 0.4:
        for k, figure in enumerate(figures, start=1):
            below = (figure.x + figure.mask.shape[1] / 2, figure.y + figure.mask.shape[0] * 1.06)
            lettering += _words(layout, f"{k}.", max(size) / 90, below)
    return figures + lettering


def _lettered(
    rng: Random,
    family: str,
    title: str,
    layout: Layout,
    box: tuple[int, int, int, int],
    longest: int,
    number: int | None,
) -> tuple[list[_Print], tuple[float, float, float, float]]:
    """The lettering of a plate and the room that it leaves for figures."""
    left, top, right, bottom = box
    middle = (left + right) / 2
    tall = longest * rng.uniform(0.0105, 0.014)
    tall = min(tall, (right - left) / (len(title) * 1.02))
    slant = float(rng.choice([0.0, 0.0, 0.22]))
    shown = number if number is not None else int(rng.integers(1, 120))
    style = str(rng.choice(["PLATE {}", "PLATE {}", "Pl. {}.", "Tab. {}."]))
    style = style.format(names.roman(shown) if rng.random() < 0.75 else shown)
    small = names.imprint(family, rng)
    corner = float(rng.choice([left, middle, right]))
    lettering = _words(layout, title + ".", tall, (middle, bottom - tall), slant)
    room_bottom = bottom - 2.6 * tall - longest * GAP
    if rng.random() < 0.6:
        lettering += _words(layout, small, tall * 0.66, (middle, room_bottom - tall * 0.4), 0.25)
        room_bottom -= 1.9 * tall + longest * GAP
    if rng.random() < 0.85:
        lettering += _words(layout, style, tall * 0.9, (corner, top))
        top = round(top + 2 * tall + longest * GAP)
    return lettering, (left, top, right, room_bottom)


def _words(
    layout: Layout, text: str, height: float, target: tuple[float, float], slant: float = 0.0
) -> list[_Print]:
    line = engrave(text, height, slant=slant)
    at = layout.place(line.mask, target)
    if at is None:
        return []
    tint = np.ones((*line.ink.shape, 3), np.float32)
    return [_Print("lettering", at[0], at[1], line.ink, tint, line.mask)]


def _figures(
    rng: Random,
    family: _Family,
    layout: Layout,
    room: tuple[float, float, float, float],
    longest: int,
) -> list[_Print]:
    count = int(rng.choice(family.counts))
    # Some plates were never coloured, in every family.
    colouring = family.colour * float(rng.choice([0.0, 0.35, 0.7, 0.85, 1.0]))
    drafts = [_Draft(family, rng, colouring) for _ in range(count)]
    aspect = float(np.exp(np.mean([np.log(draft.extent[0] / draft.extent[1]) for draft in drafts])))
    cells = targets(count, room, aspect)
    even = rng.uniform(0.62, 0.97)
    figures = []
    for draft, (x, y, width, height) in zip(drafts, cells, strict=True):
        share = float(even if count == 1 else even * rng.uniform(0.85, 1.12))
        scale = share * min(width / draft.extent[0], height / draft.extent[1])
        jitter = rng.uniform(-0.08, 0.08, 2)
        target = (x + jitter[0] * width, y + jitter[1] * height)
        figure = _fitted(draft, layout, scale, target, longest)
        if figure is not None:
            figures.append(figure)
    return figures


class _Draft:
    """A figure drawn small, to know its extent and where it fits before it is engraved."""

    _SCALE = 36.0
    _SIDE = 160

    def __init__(self, family: _Family, rng: Random, colouring: float) -> None:
        self._family = family
        self._colouring = colouring
        self._seed = int(rng.integers(2**62))
        self._angle = float(rng.uniform(-family.turn, family.turn))
        self._mirrored = bool(rng.random() < 0.5)
        block = self._drawn(
            (self._SIDE, self._SIDE), self._SCALE, (self._SIDE / 2, self._SIDE / 2), 0.7
        )
        rows = np.flatnonzero((block.cover > _COVERED).any(axis=1))
        columns = np.flatnonzero((block.cover > _COVERED).any(axis=0))
        low = (int(columns[0]), int(rows[0]))
        self.mask: Mask = block.cover[low[1] : rows[-1] + 1, low[0] : columns[-1] + 1] > _COVERED
        self.extent = (self.mask.shape[1] / self._SCALE, self.mask.shape[0] / self._SCALE)
        self._low = tuple((value - self._SIDE / 2) / self._SCALE for value in low)

    def engraved(self, scale: float, longest: int) -> Block:
        """The figure with `scale` pixels to its unit, on a plate of a given long side."""
        edge = 4 + 2 * scale / self._SCALE
        size = tuple(int(np.ceil(side * scale + 2 * edge)) for side in self.extent)
        origin = (edge - self._low[0] * scale, edge - self._low[1] * scale)
        return self._drawn((size[1], size[0]), scale, origin, max(0.85, longest / 800))

    def _drawn(
        self, size: tuple[int, int], scale: float, origin: tuple[float, float], line: float
    ) -> Block:
        pose = Pose(scale, origin, self._angle, self._mirrored)
        block = Block(size, pose, line=line, colouring=self._colouring, grain=self._seed)
        self._family.draw(block, np.random.Generator(np.random.PCG64(self._seed)))
        return block


def _fitted(
    draft: _Draft, layout: Layout, scale: float, target: tuple[float, float], longest: int
) -> _Print | None:
    """The figure as large as it fits, at most `scale`; None where even a small one does not."""
    while max(draft.extent) * scale > 0.12 * longest:
        shape = tuple(max(1, round(side * scale)) for side in draft.extent)
        if layout.fits(resized(draft.mask.astype(np.float32), (shape[1], shape[0])) > 0.2):
            block = draft.engraved(scale, longest)
            mask = block.cover > _COVERED
            at = layout.place(mask, target)
            if at is not None:
                return _Print("figure", at[0], at[1], block.ink, block.tint, mask)
        scale *= 0.9
    return None


def _framed(item: _Print, size: tuple[int, int]) -> Mask:
    """The mask of a print in the frame of the whole plate."""
    whole = np.zeros(size, bool)
    rows, columns = item.mask.shape
    visible = item.mask[: size[0] - item.y, : size[1] - item.x]
    whole[item.y : item.y + rows, item.x : item.x + columns] = visible
    return whole


def _printed(rng: Random, sheet: Sheet, prints: list[_Print]) -> Pixels:
    """Ink and colour on the paper, then the softness and grain of a scan."""
    height, width = sheet.pixels.shape[:2]
    ink = np.zeros((height, width), np.float32)
    tint = np.ones((height, width, 3), np.float32)
    for item in prints:
        rows = slice(item.y, min(height, item.y + item.ink.shape[0]))
        columns = slice(item.x, min(width, item.x + item.ink.shape[1]))
        shown = (slice(0, rows.stop - rows.start), slice(0, columns.stop - columns.start))
        ink[rows, columns] = np.maximum(ink[rows, columns], item.ink[shown])
        tint[rows, columns] *= item.tint[shown]
    taken = np.array(
        ((0.80, 0.83, 0.86), (0.86, 0.87, 0.86), (0.68, 0.76, 0.84), (0.84, 0.82, 0.77))
    )
    absorbed = taken[int(rng.integers(len(taken)))] * rng.uniform(0.85, 1.0)
    if rng.random() < 0.25:
        ghost = resized(resized(ink[:, ::-1], (height // 6, width // 6)), (height, width))
        tint *= 1 - np.clip(ghost, 0, 1)[..., None] * np.float32(0.07)
    tint *= sheet.pixels
    tint *= 1 - ink[..., None] * absorbed.astype(np.float32)
    image = Image.fromarray(np.rint(np.clip(tint, 0, 255)).astype(np.uint8))
    soft = np.asarray(image.filter(ImageFilter.BoxBlur(0.2)), np.float32)
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(1.3)
    scan = np.clip(soft + grain[..., None], 0, 255)
    return np.asarray(np.rint(scan), np.uint8)


def _enlarged(small: Plate, width: int, height: int) -> Plate:
    """A plate enlarged to the given size, its dark parts cut anew with finer lines."""
    grown = Image.fromarray(small.pixels).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.array(grown)
    across = np.arange(width)[None, :]
    for top in range(0, height, 512):
        band = pixels[top : top + 512].astype(np.int16)
        dark = 255 - band[..., 1]
        down = np.arange(top, top + len(band))[:, None]
        cut = ((across + 2 * down) % 9 < 3) & (dark > 130)
        band -= (cut * (dark // 6))[..., None].astype(np.int16)
        pixels[top : top + 512] = np.clip(band, 0, 255).astype(np.uint8)
    shapes = []
    for shape in small.shapes:
        mask = Image.fromarray(shape.mask).resize((width, height), Image.Resampling.NEAREST)
        shapes.append(Shape(shape.kind, np.asarray(mask)))
    return Plate(small.family, small.title, pixels, tuple(shapes), small.on_scanner_bed)
