"""Capitals, small capitals and figures engraved stroke by stroke; needs no font file."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ledgerkit.testing.engravings.block import SUPERSAMPLING
from ledgerkit.testing.engravings.geometry import Floats

# Each stroke is a run of digit pairs "xy" on a grid of 5 by 7, y downwards.
_GLYPHS = {
    "A": "062046 1434",
    "B": "0006 003041423303 3344453606",
    "C": "4130100105163645",
    "D": "0006 003041453606",
    "E": "40000646 0333",
    "F": "400006 0333",
    "G": "41301001051636454323",
    "H": "0006 4046 0343",
    "I": "2026",
    "J": "3035261605",
    "K": "0006 400346",
    "L": "000646",
    "M": "0600244046",
    "N": "06004640",
    "O": "103041453616050110",
    "P": "0006 003041423303",
    "Q": "103041453616050110 2446",
    "R": "0006 003041423303 2346",
    "S": "413010010213334445361605",
    "T": "0040 2026",
    "U": "000516364540",
    "V": "002640",
    "W": "0016233640",
    "X": "0046 4006",
    "Y": "002340 2326",
    "Z": "00400646",
    "0": "103041453616050110",
    "1": "112026",
    "2": "01103041420646",
    "3": "01103041423313 3344453616 1605",
    "4": "36300444",
    "5": "400002334445361605",
    "6": "413010010516364544330304",
    "7": "004016",
    "8": "103041423313020110 1304051636454433",
    "9": "42331302011030414536 361605",
    ".": "2526",
    ",": "2516",
    "-": "1333",
    "'": "2021",
}
_NARROW = {"I": 3.4, "1": 3.8, ".": 2.6, ",": 2.6, "'": 2.4, " ": 3.2}
_WIDE = 5.9
_SMALL = 0.76


@dataclass(frozen=True)
class Line:
    """A line of lettering."""

    ink: Floats
    """float32 (height, width), 0 bare .. 1 black."""
    mask: np.ndarray
    """bool (height, width), True on the upright box of each word."""


def engrave(text: str, height: float, *, slant: float = 0.0) -> Line:
    """A line of text whose capitals are `height` pixels tall.

    Small letters become small capitals; `slant` leans the letters to the right, in heights.
    """
    unit = height / 6
    margin = 2 + round(height * 0.3)
    advances = [_advance(letter) * unit for letter in text]
    width = round(sum(advances) + abs(slant) * height) + 2 * margin
    size = (width, round(height) + 2 * margin)
    canvas = Image.new("L", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    brush = ImageDraw.Draw(canvas)
    words: list[tuple[float, float]] = []
    x, start = float(margin), float(margin)
    for letter, advance in zip(text, advances, strict=True):
        if letter == " ":
            words.append((start, x))
            start = x + advance
        scale = unit * (_SMALL if letter.islower() else 1.0)
        # A narrow letter stands in the middle of the common grid: take up half the difference.
        foot = (x - (_WIDE * scale - advance) / 2, margin + height)
        for stroke in _GLYPHS.get(letter.upper(), "").split():
            _stroke(brush, stroke, foot, scale, slant)
        x += advance
    words.append((start, x))
    ink = np.asarray(canvas.reduce(SUPERSAMPLING), np.float32) / np.float32(255)
    return Line(ink, _boxes(ink, words))


def _advance(letter: str) -> float:
    width = _NARROW.get(letter.upper(), _WIDE)
    return width * (_SMALL if letter.islower() else 1.0)


def _stroke(
    brush: ImageDraw.ImageDraw, stroke: str, foot: tuple[float, float], unit: float, slant: float
) -> None:
    """One stroke from the foot (left end of the base line), thick downwards and thin across."""
    pairs = [(int(stroke[k]), int(stroke[k + 1])) for k in range(0, len(stroke), 2)]
    at = [
        (
            round((foot[0] + unit * (x + 0.3 + slant * (6 - y))) * SUPERSAMPLING),
            round((foot[1] - unit * (6 - y)) * SUPERSAMPLING),
        )
        for x, y in pairs
    ]
    for first, last, before, after in zip(at[:-1], at[1:], pairs[:-1], pairs[1:], strict=True):
        steep = abs(after[1] - before[1]) > abs(after[0] - before[0])
        rising = (after[0] - before[0]) * (after[1] - before[1]) < 0
        weight = 1.0 if steep and not rising else 0.6
        brush.line([first, last], fill=255, width=max(2, round(unit * weight * SUPERSAMPLING)))
    if unit > 1.2:
        for (x, y), (_, row) in ((at[0], pairs[0]), (at[-1], pairs[-1])):
            if row in (0, 6):
                half = round(0.7 * unit * SUPERSAMPLING)
                brush.line([(x - half, y), (x + half, y)], fill=255, width=SUPERSAMPLING // 2)


def _boxes(ink: Floats, words: list[tuple[float, float]]) -> np.ndarray:
    mask = np.zeros(ink.shape, bool)
    for start, end in words:
        left, right = max(0, round(start) - 2), min(ink.shape[1], round(end) + 2)
        rows, columns = np.nonzero(ink[:, left:right] > 0.25)
        if len(rows):
            mask[rows.min() : rows.max() + 1, left + columns.min() : left + columns.max() + 1] = (
                True
            )
    return mask
