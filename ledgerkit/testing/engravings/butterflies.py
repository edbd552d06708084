"""Set butterflies seen from above: mirrored wings, veins, bands, eye spots, a pin."""

import numpy as np

from ledgerkit.testing.engravings.block import Block, Colour
from ledgerkit.testing.engravings.geometry import (
    Floats,
    between,
    ellipse,
    mirrored,
    points,
    resampled,
    spline,
)
from ledgerkit.testing.engravings.palette import muted

Random = np.random.Generator


def draw_butterfly(block: Block, rng: Random) -> None:
    """One butterfly, head up, the same on both sides."""
    ground, second, third = muted(rng), muted(rng), muted(rng)
    sharp = rng.uniform(-0.1, 0.14)
    fore = [
        (0.04, -0.16), (0.36, -0.52 - sharp), (0.86 + sharp, -0.72 - sharp), (0.88, -0.5),
        (0.74 - 0.6 * abs(sharp), -0.22), (0.6, 0.0), (0.3, 0.06), (0.05, 0.0),
    ]  # fmt: skip
    tail = rng.uniform(0.12, 0.4) if rng.random() < 0.4 else 0.0
    hind = [
        (0.04, -0.02), (0.36, -0.02), (0.66, 0.12), (0.7, 0.36), (0.55, 0.56),
        (0.46, 0.6 + tail), (0.38, 0.6 + tail), (0.3, 0.55), (0.15, 0.48), (0.05, 0.26),
    ]  # fmt: skip
    stretch = np.array([rng.uniform(0.85, 1.12), rng.uniform(0.85, 1.12)])
    scallop = rng.uniform(0.0, 0.02)
    marks = rng.uniform(0, 1, 8)
    for knots, base in ((hind, (0.05, 0.08)), (fore, (0.05, -0.08))):
        shaken = points(knots) + rng.uniform(-0.025, 0.025, (len(knots), 2))
        wing = spline(shaken * stretch, closed=True, steps=9)
        wing = wing + scallop * np.stack(
            [np.sin(np.arange(len(wing)) * 1.3), wing[:, 0] * 0], axis=1
        )
        _wing(block, wing, points([base]), (ground, second, third), marks)
        marks = marks[::-1]
    _body(block, rng, third)


def _wing(
    block: Block,
    outline: Floats,
    base: Floats,
    colours: tuple[Colour, Colour, Colour],
    marks: Floats,
) -> None:
    ground, second, third = colours
    for side in (outline, mirrored(outline)):
        root = base if side is outline else mirrored(base)
        area = block.lay(side)
        block.wash(area, ground, 0.9)
        u, v = block.coordinates(area)
        away = np.hypot(u - root[0, 0], v - root[0, 1])
        angle = np.arctan2(v - root[0, 1], np.abs(u - root[0, 0]))
        fade = np.minimum(0.36 - 0.3 * away, away * 1.6) + 0.15 * block.shade(area, 0.1)
        block.ruled(area, fade, angle * 24, 3.5)
        inner = between(root, side, 0.86)
        edge = block.area(side).cover.copy()
        border = block.area(inner)
        edge = _without(edge, area.window, border.cover, border.window)
        if marks[0] < 0.7:
            block.darken(area, edge * (0.45 + 0.45 * marks[1]))
        else:
            block.wash(area, second, edge)
        if marks[2] < 0.65:
            outer = block.area(between(root, side, 0.5 + 0.2 * marks[3]))
            band = _without(
                outer.cover, outer.window, *_inside(block, root, side, 0.36 + 0.2 * marks[3])
            )
            block.wash(outer, third, band)
            block.darken(outer, band * 0.4 * (marks[4] > 0.4))
        _spots(block, side, root, second, marks)
        far = resampled(side, 26)[3:20:2]
        block.strokes(
            [np.concatenate([root, between(root, tip[None], 0.98)]) for tip in far], 0.9, 0.8
        )
        block.contour(side, 1.4)


def _spots(block: Block, side: Floats, root: Floats, colour: Colour, marks: Floats) -> None:
    rim = resampled(side, 30)
    if marks[5] < 0.6:
        for place in between(root, rim[6:20:2], 0.92):
            dot = block.lay(ellipse((place[0], place[1]), (0.022, 0.022), count=14))
            block.wash(dot, (0.95, 0.9, 0.75))
    if marks[6] < 0.65:
        for k in (8, 14)[: 1 + int(marks[7] > 0.5)]:
            place = between(root, rim[k : k + 1], 0.68)[0]
            centre = (float(place[0]), float(place[1]))
            for radius, dark in ((0.085, 0.0), (0.06, 0.85), (0.025, 0.0)):
                ring = ellipse(centre, (radius, radius), count=28)
                area = block.lay(ring)
                block.wash(area, colour, 0.8)
                block.darken(area, dark)
                block.contour(ring, 0.9)


def _inside(
    block: Block, root: Floats, side: Floats, share: float
) -> tuple[Floats, tuple[slice, slice]]:
    area = block.area(between(root, side, share))
    return area.cover, area.window


def _without(
    cover: Floats, window: tuple[slice, slice], hole: Floats, hole_window: tuple[slice, slice]
) -> Floats:
    """The cover of a window less that of a smaller window on the same block."""
    left = cover.copy()
    rows = slice(hole_window[0].start - window[0].start, hole_window[0].stop - window[0].start)
    columns = slice(hole_window[1].start - window[1].start, hole_window[1].stop - window[1].start)
    left[rows, columns] *= 1 - hole
    return left


def _body(block: Block, rng: Random, colour: Colour) -> None:
    length = rng.uniform(0.34, 0.52)
    spread = rng.uniform(0.12, 0.32)
    for side in (-1.0, 1.0):
        feeler = spline([(0.02 * side, -0.3), (spread * 0.5 * side, -0.48), (spread * side, -0.66)])
        block.strokes([feeler], 1.3)
        club = ellipse((spread * side, -0.66), (0.018, 0.03), 0.4 * side, 14)
        block.darken(block.lay(club), 0.9)
    for centre, radii in (
        ((0.0, 0.02 + length * 0.5), (0.048, length * 0.55)),
        ((0.0, -0.1), (0.07, 0.14)),
        ((0.0, -0.27), (0.05, 0.05)),
    ):
        outline = ellipse(centre, radii)
        area = block.lay(outline)
        block.wash(area, colour, 0.9)
        block.hatch(
            area, block.shade(area, 0.3) + 0.2, angle=1.57 + block.pose.angle, spacing=2.8, bend=1
        )
        block.stipple(area, 0.25)
        block.contour(outline, 1.2)
    pin = ellipse((0.0, -0.1), (0.02, 0.02), count=16)
    block.heighten(block.lay(pin), 0.1)
    block.contour(pin, 1.2)
