"""Elevations of buildings: steps, columns, pediments, arches, towers, domes."""

import numpy as np

from ledgerkit.testing.engravings.block import Area, Block, Colour
from ledgerkit.testing.engravings.geometry import Floats, ellipse, points
from ledgerkit.testing.engravings.palette import muted

Random = np.random.Generator
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in units of the drawing."""


def draw_building(block: Block, rng: Random) -> None:
    """One front: a temple or a palace, with a tower or a dome at times."""
    stone, roof = muted(rng), muted(rng)
    half = rng.uniform(0.45, 0.8)
    storey = rng.uniform(0.35, 0.6)
    top = 0.6 - storey
    kind = rng.random()
    if kind < 0.35:
        _dome(block, half * rng.uniform(0.4, 0.6), top - 0.04, roof)
    elif kind < 0.7:
        _tower(block, rng, rng.uniform(-0.5, 0.5) * half, top + 0.05, (stone, roof))
    if rng.random() < 0.5:
        for side in (-1.0, 1.0):
            _wing(block, side, half, 0.6 - storey * 0.7, stone)
    wall = _stone(block, (-half * 0.94, top, half * 0.94, 0.62), stone, 0.5)
    block.hatch(wall, 0.34, angle=np.pi / 2 + block.pose.angle, spacing=3.2)
    if rng.random() < 0.6:
        _columns(block, (-half, top, half, 0.6), int(rng.integers(4, 9)), stone)
    else:
        _arches(block, (-half, top, half, 0.6), int(rng.integers(3, 7)), rng.random() < 0.5, stone)
    _beam(block, (-half - 0.03, top - 0.09, half + 0.03, top), stone)
    if kind >= 0.35 or rng.random() < 0.5:
        _pediment(block, half + 0.06, top - 0.09, rng.uniform(0.12, 0.26), roof)
    for step in range(int(rng.integers(2, 5))):
        edge = half + 0.05 + 0.05 * step
        tread = _stone(block, (-edge, 0.6 + 0.045 * step, edge, 0.645 + 0.045 * step), stone, 0.3)
        block.hatch(tread, 0.22 + 0.1 * (step % 2), angle=0.0, spacing=3.6)


def _rectangle(box: Box) -> Floats:
    left, top, right, bottom = box
    return points([(left, top), (right, top), (right, bottom), (left, bottom)])


def _stone(block: Block, box: Box, colour: Colour, strength: float) -> Area:
    area = block.lay(_rectangle(box))
    block.wash(area, colour, strength)
    block.contour(_rectangle(box), 1.3)
    return area


def _columns(block: Block, box: Box, count: int, colour: Colour) -> None:
    left, top, right, bottom = box
    width = (right - left) / count * 0.36
    for place in np.linspace(left + width, right - width, count):
        shaft = points(
            [
                (place - width * 0.42, top),
                (place + width * 0.42, top),
                (place + width / 2, bottom),
                (place - width / 2, bottom),
            ]
        )
        area = block.lay(shaft)
        block.wash(area, colour, 0.3)
        u, _ = block.coordinates(area)
        around = np.clip((u - place) / (width * 0.5), -1, 1)
        block.ruled(area, np.clip(0.28 + 0.5 * around, 0.05, 0.9), np.arcsin(around) * 2.2, 3.0)
        block.contour(shaft, 1.2)
        for level in (top, bottom - 0.035):
            _stone(
                block,
                (place - width * 0.68, level, place + width * 0.68, level + 0.035),
                colour,
                0.4,
            )


def _arches(block: Block, box: Box, count: int, two_rows: bool, colour: Colour) -> None:
    left, top, right, bottom = box
    pitch = (right - left) / count
    rows = [(top + (bottom - top) * 0.12, bottom)]
    if two_rows:
        middle = (top + bottom) / 2
        rows = [(top + 0.04, middle - 0.03), (middle + 0.03, bottom)]
    for row_top, row_bottom in rows:
        for k in range(count):
            place = left + pitch * (k + 0.5)
            half = min(pitch * 0.3, (row_bottom - row_top) * 0.45)
            for grow in (1.25, 1.0):
                angle = np.linspace(np.pi, 2 * np.pi, 18)
                bow = np.stack(
                    [
                        place + half * grow * np.cos(angle),
                        row_top + half + half * grow * np.sin(angle),
                    ],
                    axis=1,
                )
                opening = np.concatenate(
                    [bow, [(place + half * grow, row_bottom), (place - half * grow, row_bottom)]]
                )
                area = block.lay(opening)
                block.wash(area, colour, 0.35)
                block.contour(opening, 1.2)
            u, v = block.coordinates(area)
            block.hatch(
                area, 0.88 - (v - row_top) * 0.4, angle=np.pi / 2 + block.pose.angle, spacing=3.0
            )
            block.hatch(area, 0.6 - (u - place + half) / half * 0.3, angle=0.8, spacing=3.0)


def _beam(block: Block, box: Box, colour: Colour) -> None:
    area = _stone(block, box, colour, 0.45)
    left, top, right, bottom = box
    level = top + (bottom - top) * 0.45
    teeth = [[(x, level), (x, bottom - 0.01)] for x in np.arange(left + 0.03, right - 0.02, 0.05)]
    block.strokes([[(left, level), (right, level)], *teeth], 1.4)
    block.hatch(area, 0.18, angle=np.pi / 2 + block.pose.angle, spacing=3.2)


def _pediment(block: Block, half: float, base: float, rise: float, colour: Colour) -> None:
    for inset, strength in ((1.0, 0.3), (0.82, 0.7)):
        edge = points(
            [
                (-half * inset, base - rise * (1 - inset) * 0.4),
                (0.0, base - rise * (inset * 1.12 - 0.12)),
                (half * inset, base - rise * (1 - inset) * 0.4),
            ]
        )
        area = block.lay(edge)
        block.wash(area, colour, strength)
        block.contour(edge, 1.4)
    block.hatch(area, 0.5, angle=np.pi / 2 + block.pose.angle, spacing=3.0)
    seal = ellipse((0.0, base - rise * 0.38), (rise * 0.2, rise * 0.2), count=24)
    block.stipple(block.lay(seal), 0.4)
    block.contour(seal, 1.2)


def _dome(block: Block, radius: float, base: float, colour: Colour) -> None:
    drum = _stone(block, (-radius, base - 0.16, radius, base + 0.05), colour, 0.4)
    u, _ = block.coordinates(drum)
    block.ruled(drum, 0.3 + 0.35 * u / radius, u / radius * 12, 3.5)
    angle = np.linspace(np.pi, 2 * np.pi, 40)
    shell = np.stack(
        [radius * 0.96 * np.cos(angle), base - 0.16 + radius * 0.95 * np.sin(angle)], axis=1
    )
    area = block.lay(shell)
    block.wash(area, colour, 0.85)
    u, v = block.coordinates(area)
    width = np.sqrt(np.clip(1 - ((base - 0.16 - v) / (radius * 0.95)) ** 2, 0.02, 1)) * radius
    across = np.clip(u / width, -1, 1)
    block.ruled(area, np.clip(0.3 + 0.55 * across, 0.08, 1), np.arcsin(across) * 7, 4.0)
    block.contour(shell, 1.5)
    crest = base - 0.16 - radius * 0.95
    _stone(block, (-0.05, crest - 0.12, 0.05, crest + 0.02), colour, 0.6)
    block.flicks([np.linspace([0.0, crest - 0.1], [0.0, crest - 0.26], 4)], 3.5)


def _tower(
    block: Block, rng: Random, place: float, base: float, colours: tuple[Colour, Colour]
) -> None:
    half, tall = rng.uniform(0.1, 0.16), rng.uniform(0.45, 0.75)
    shaft = _stone(block, (place - half, base - tall, place + half, base), colours[0], 0.5)
    u, _ = block.coordinates(shaft)
    block.hatch(
        shaft, 0.25 + 0.3 * (u - place) / half, angle=np.pi / 2 + block.pose.angle, spacing=3.3
    )
    for level in np.arange(base - tall + 0.08, base - 0.2, 0.2):
        window = _rectangle((place - half * 0.3, level, place + half * 0.3, level + 0.1))
        block.darken(block.lay(window), 0.75)
        block.contour(window, 1.2)
    _beam(
        block,
        (place - half - 0.03, base - tall - 0.05, place + half + 0.03, base - tall),
        colours[0],
    )
    spire = points(
        [
            (place - half, base - tall - 0.05),
            (place, base - tall - rng.uniform(0.2, 0.5)),
            (place + half, base - tall - 0.05),
        ]
    )
    area = block.lay(spire)
    block.wash(area, colours[1], 0.9)
    u, _ = block.coordinates(area)
    block.hatch(area, 0.4 + 0.4 * (u - place) / half, angle=0.3, spacing=3.0)
    block.contour(spire, 1.4)


def _wing(block: Block, side: float, half: float, top: float, colour: Colour) -> None:
    reach = half + 0.25
    inner, outer = sorted((side * half * 0.8, side * reach))
    area = _stone(block, (inner, top, outer, 0.66), colour, 0.4)
    block.hatch(area, 0.3, angle=np.pi / 2 + block.pose.angle, spacing=3.4)
    middle = side * (half + 0.12)
    for level in np.arange(top + 0.08, 0.5, 0.2):
        window = _rectangle((middle - 0.05, level, middle + 0.05, level + 0.12))
        block.darken(block.lay(window), 0.7)
        block.contour(window, 1.3)
    _beam(block, (inner - 0.02, top - 0.05, outer + 0.02, top), colour)
