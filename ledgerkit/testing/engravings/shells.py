"""Spired sea shells: whorls wound about an axis, growth lines, bands, an open mouth."""

from dataclasses import dataclass

import numpy as np

from ledgerkit.testing.engravings.block import Area, Block, Colour
from ledgerkit.testing.engravings.geometry import Floats, ellipse, spline
from ledgerkit.testing.engravings.palette import muted

Random = np.random.Generator


@dataclass(frozen=True)
class Winding:
    """How one shell is wound."""

    count: int
    """Whorls, the last one included."""
    ratio: float
    """Radius of each whorl to the next, below 1."""
    flat: float
    """Height of a whorl to its radius."""
    overlap: float
    """Share of a whorl's height that the next one leaves free."""
    ribs: float
    """Growth lines round half a whorl."""
    knobs: float
    """Height of the knobs on the shoulder, in radii."""


def draw_shell(block: Block, rng: Random) -> None:
    """One shell with its spire up."""
    tall = rng.random()
    winding = Winding(
        count=int(5 + round(5 * tall)),
        ratio=float(0.58 + 0.24 * tall),
        flat=float(rng.uniform(0.5, 0.68)),
        overlap=float(rng.uniform(0.62, 0.85)),
        ribs=float(rng.uniform(9, 24)),
        knobs=float(rng.uniform(0.05, 0.12)) if rng.random() < 0.35 else 0.0,
    )
    colour, second = muted(rng), muted(rng)
    bands = rng.uniform(0.15, 0.9, int(rng.integers(0, 4)))
    centre, down, radius = 0.0, -0.8, 0.42 * winding.ratio ** (winding.count - 1)
    for turn in range(winding.count):
        last = turn == winding.count - 1
        outline = _whorl(winding, rng, (centre, down), radius, last)
        area = block.lay(outline)
        _surface(block, area, winding, (centre, down), radius, last)
        _colour(
            block,
            area,
            (down, radius, winding.flat * (2.1 if last else 1.0)),
            bands,
            (colour, second),
        )
        block.contour(outline, 1.5 if last else 1.2)
        if not last:
            down += radius * winding.flat * winding.overlap / winding.ratio * 1.05
            radius /= winding.ratio
    _mouth(block, rng, (centre, down), radius, second)


def _whorl(
    winding: Winding, rng: Random, centre: tuple[float, float], radius: float, last: bool
) -> Floats:
    x, y = centre
    half = radius * winding.flat
    if last:
        tail = radius * rng.uniform(1.5, 2.2)
        knots = [
            (-1.0, 0.0), (-0.86, -0.5), (-0.3, -0.72), (0.45, -0.66), (0.95, -0.3),
            (1.02, 0.25), (0.75, 0.85), (0.3, 1.3), (-0.35, 1.15), (-0.8, 0.62),
        ]  # fmt: skip
        outline = spline(
            [(x + radius * a, y + (half * b if b < 0 else tail * b * 0.72)) for a, b in knots],
            closed=True,
        )
    else:
        outline = ellipse((x, y), (radius, half), tilt=0.14, count=60)
    if winding.knobs:
        around = np.arctan2(outline[:, 1] - y, outline[:, 0] - x)
        bump = (0.5 + 0.5 * np.sin(around * 11 + 1)) * winding.knobs * radius
        side = np.abs(np.cos(around)) > 0.5
        upper = outline[:, 1] < y + half * 0.4
        push = (bump * side * upper)[:, None]
        outline = outline + push * np.stack([np.cos(around), np.sin(around)], axis=1)
    return outline


def _surface(
    block: Block,
    area: Area,
    winding: Winding,
    centre: tuple[float, float],
    radius: float,
    last: bool,
) -> None:
    u, v = block.coordinates(area)
    across = np.clip((u - centre[0]) / (radius * 1.02), -0.999, 0.999)
    down = (v - centre[1]) / radius
    around = np.arcsin(across) / (np.pi / 2)
    curl = 0.28 * down if not last else 0.28 * down + 0.12 * down**2 * np.sign(across)
    tone = np.clip(block.shade(area, 0.25, 0.55), 0, 1)
    seam = np.clip(1 - (down + winding.flat) * 4, 0, 1) * 0.4
    block.ruled(area, tone * 0.95 + seam + 0.06, (around + curl) * winding.ribs, 4.0)
    block.hatch(area, tone + seam - 0.42, angle=1.45, spacing=2.9, bend=2.0)


def _colour(
    block: Block,
    area: Area,
    whorl: tuple[float, float, float],
    bands: Floats,
    colours: tuple[Colour, Colour],
) -> None:
    centre, radius, flat = whorl
    block.wash(area, colours[0], 0.35 + 0.6 * block.shade(area, 0.25))
    u, v = block.coordinates(area)
    level = (v - centre + 0.14 * u) / (radius * flat)
    for band in bands:
        stripe = np.clip(1.6 - np.abs(level - (2 * band - 1)) * 14, 0, 1)
        block.wash(area, colours[1], stripe)
        block.darken(area, stripe * 0.22)


def _mouth(
    block: Block, rng: Random, centre: tuple[float, float], radius: float, colour: Colour
) -> None:
    x, y = centre
    tilt = rng.uniform(-0.35, -0.1)
    middle = (x + radius * 0.38, y + radius * 0.55)
    size = (radius * rng.uniform(0.34, 0.46), radius * rng.uniform(0.72, 0.95))
    lip = block.lay(ellipse(middle, size, tilt))
    block.heighten(lip, 0.05)
    block.wash(lip, colour, 0.3)
    block.stipple(lip, block.shade(lip) * 0.5)
    block.contour(ellipse(middle, size, tilt), 1.6)
    inside = ellipse((middle[0] - radius * 0.03, middle[1]), (size[0] * 0.62, size[1] * 0.8), tilt)
    hollow = block.lay(inside)
    u, _ = block.coordinates(hollow)
    depth = np.clip(0.95 - (u - middle[0] + size[0] * 0.6) / size[0] * 0.55, 0, 1)
    block.wash(hollow, colour, 0.8)
    block.hatch(hollow, depth, angle=tilt, spacing=3.0, bend=1.5)
    block.hatch(hollow, depth - 0.4, angle=1.2, spacing=3.0)
    block.contour(inside, 1.0)
