"""Flowering plants: a branching stem, veined leaves, petals, buds."""

import numpy as np

from ledgerkit.testing.engravings.block import Block, Colour
from ledgerkit.testing.engravings.geometry import Floats, ellipse, points, ribbon, spline, turned
from ledgerkit.testing.engravings.palette import LEAF, muted

Random = np.random.Generator


def draw_flower(block: Block, rng: Random) -> None:
    """One plant, its stem cut off below."""
    colour, heart = muted(rng), muted(rng)
    sway = rng.uniform(-0.3, 0.3)
    stem = spline([(0.0, 1.0), (sway * 0.4, 0.5), (sway, 0.0), (sway * 0.6, -0.5)])
    petals = int(rng.integers(5, 10))
    pointed = float(rng.uniform(0.0, 1.0))
    reach = rng.uniform(0.24, 0.4)
    heads = [(stem[-1], reach)]
    for side in rng.permutation([-1.0, 1.0])[: int(rng.integers(0, 3))]:
        start = stem[int(rng.integers(12, 22))]
        tip = start + np.array([side * rng.uniform(0.38, 0.55), -rng.uniform(0.3, 0.6)])
        bow = spline([start, (start + tip) / 2 + np.array([side * 0.08, 0.08]), tip])
        _stalk(block, bow, 0.028)
        heads.append((tip, reach * rng.uniform(0.55, 0.8)))
    _leaves(block, rng, stem)
    _stalk(block, stem, 0.045)
    for place, size in heads[::-1]:
        if size < reach * 0.62:
            _bud(block, (float(place[0]), float(place[1])), size, colour)
        else:
            _blossom(block, rng, place, size, (petals, pointed), (colour, heart))


def _stalk(block: Block, line: Floats, width: float) -> None:
    outline = ribbon(line, width, width * 0.6)
    area = block.lay(outline)
    block.wash(area, LEAF, 0.95)
    block.hatch(area, block.shade(area, 0.1), angle=1.3, spacing=2.6)
    block.contour(outline, 1.2)


def _leaves(block: Block, rng: Random, stem: Floats) -> None:
    length = rng.uniform(0.38, 0.62)
    breadth = rng.uniform(0.09, 0.26)
    toothed = rng.uniform(0, 0.03) if rng.random() < 0.5 else 0.0
    pairs = int(rng.integers(2, 6))
    opposite = rng.random() < 0.5
    for k, at in enumerate(np.linspace(3, 22, pairs)):
        base = stem[int(at)]
        sides = (-1.0, 1.0) if opposite else ((-1.0,) if k % 2 else (1.0,))
        for side in sides:
            angle = -np.pi / 2 + side * rng.uniform(0.6, 1.35)
            _leaf(
                block,
                base,
                (angle, side * rng.uniform(0.05, 0.3)),
                (length * (1 - 0.09 * k), breadth, toothed),
            )


def _leaf(
    block: Block, base: Floats, course: tuple[float, float], shape: tuple[float, float, float]
) -> None:
    angle, curl = course
    length, breadth, toothed = shape
    t = np.linspace(0, 1, 25)
    bow = curl * t**2
    half = breadth * np.sin(np.pi * t**0.8) * (1 - 0.25 * t) + toothed * (np.arange(25) % 2) * (
        t * (1 - t) * 4
    )
    middle = np.stack([t, bow], axis=1)
    upper, lower = (middle + sign * np.stack([t * 0, half], axis=1) for sign in (1.0, -1.0))

    def placed(outline: Floats) -> Floats:
        return turned(outline * length, angle) + base

    outline = placed(np.concatenate([upper, lower[::-1]]))
    area = block.lay(outline)
    block.wash(area, LEAF, 0.95)
    dark = block.area(placed(np.concatenate([lower, middle[::-1]])))
    block.hatch(dark, 0.4, angle=angle + 1.0, spacing=3.0, bend=1.5)
    block.hatch(area, block.shade(area) - 0.2, angle=angle - 0.6, spacing=3.2)
    veins = [placed(middle)]
    for k in range(3, 21, 3):
        for edge in (upper, lower):
            tip = _vein_end(middle, edge, k)
            bow = np.stack([middle[k], (middle[k] + edge[k + 2]) / 2, tip])
            veins.append(placed(spline(bow)))
    block.strokes(veins, 0.9)
    block.contour(outline, 1.4)


def _vein_end(middle: Floats, edge: Floats, at: int) -> Floats:
    """Where the side vein that leaves the midrib at a point ends, near the leaf's edge."""
    ahead = min(at + 3, len(edge) - 1)
    end: Floats = middle[ahead] + (edge[ahead] - middle[ahead]) * 0.85
    return end


def _blossom(
    block: Block,
    rng: Random,
    place: Floats,
    size: float,
    form: tuple[int, float],
    colours: tuple[Colour, Colour],
) -> None:
    count, pointed = form
    squash = rng.uniform(0.5, 1.0)
    lean = rng.uniform(-0.6, 0.6)
    first = rng.uniform(0, 6)
    wide = min(1.1, 4.6 / count) * size * 0.5

    def placed(outline: Floats) -> Floats:
        flat = outline * np.array([1.0, squash])
        return turned(flat, lean) + place

    order = sorted(range(count), key=lambda k: (k % 2, k))
    for k in order:
        angle = first + 2 * np.pi * k / count
        long = size * rng.uniform(0.92, 1.06)
        shoulder = (long * (0.85 - 0.2 * pointed), wide * (0.9 - 0.4 * pointed))
        half = points([(long * 0.45, wide * 0.8), shoulder])
        ends = points([(0.06 * size, 0.0)]), points([(long, 0.0)])
        knots = np.concatenate([ends[0], half * np.array([1, -1]), ends[1], half[::-1]])
        petal = placed(turned(spline(knots, closed=True, steps=8), angle))
        area = block.lay(petal)
        u, v = block.coordinates(area)
        away = np.hypot(u - place[0], v - place[1]) / size
        block.wash(area, colours[0], 0.55 + 0.5 * (1 - away))
        around = np.arctan2(v - place[1], u - place[0])
        block.ruled(
            area, 0.62 - 0.6 * away + 0.4 * (block.shade(area, 0.3) - 0.3), around * 14, 3.4
        )
        lines = [
            placed(turned([(0.2 * long, s * wide * 0.2), (0.75 * long, s * wide * 0.55)], angle))
            for s in (-1, 0, 1)
        ]
        block.flicks([spline(points(line), steps=4) for line in lines], 1.0)
        block.contour(petal, 1.4)
    disc = placed(ellipse((0.0, 0.0), (size * 0.2, size * 0.2)))
    area = block.lay(disc)
    block.wash(area, colours[1], 1.0)
    block.stipple(area, 0.25 + block.shade(area, 0.3) * 0.5)
    block.contour(disc, 1.3)


def _bud(block: Block, place: tuple[float, float], size: float, colour: Colour) -> None:
    x, y = place
    bloom = spline(
        [
            (x, y + size * 0.2),
            (x - size * 0.4, y - size * 0.4),
            (x, y - size * 1.1),
            (x + size * 0.4, y - size * 0.4),
        ],
        closed=True,
    )
    area = block.lay(bloom)
    block.wash(area, colour, 0.9)
    block.hatch(area, block.shade(area, 0.3), angle=0.2, spacing=3.0, bend=2.5)
    block.contour(bloom, 1.3)
    cup = spline(
        [
            (x - size * 0.42, y - size * 0.5),
            (x - size * 0.2, y + size * 0.15),
            (x, y + size * 0.3),
            (x + size * 0.2, y + size * 0.15),
            (x + size * 0.42, y - size * 0.5),
            (x, y - size * 0.1),
        ],
        closed=True,
    )
    green = block.lay(cup)
    block.wash(green, LEAF, 1.0)
    block.hatch(green, 0.4, angle=0.1, spacing=2.8)
    block.contour(cup, 1.2)
