"""Fishes in profile: overlapping scales, rayed fins, gill cover, stripes or spots."""

import numpy as np

from ledgerkit.testing.engravings.block import Area, Block, Colour
from ledgerkit.testing.engravings.geometry import Floats, between, ellipse, resampled, spline
from ledgerkit.testing.engravings.palette import muted

Random = np.random.Generator


def draw_fish(block: Block, rng: Random) -> None:
    """One fish, its head to the right unless the block mirrors it."""
    depth = float(rng.uniform(0.15, 0.4))
    colour, second, fin = muted(rng), muted(rng), muted(rng)
    jaw = rng.uniform(-0.05, 0.08)
    upper = spline(
        [(0.9, jaw), (0.62, -depth * 0.66), (0.15, -depth), (-0.4, -depth * 0.55), (-0.72, -0.075)],
        steps=14,
    )
    lower = spline(
        [
            (0.9, jaw),
            (0.6, depth * 0.62),
            (0.12, depth * 0.92),
            (-0.4, depth * 0.52),
            (-0.72, 0.075),
        ],
        steps=14,
    )
    _tail(block, rng, depth, fin)
    _edge_fins(block, rng, upper, lower, fin)
    outline = np.concatenate([upper, lower[::-1]])
    body = block.lay(outline)
    shade = _colour(block, rng, body, depth, (colour, second))
    _scales(block, rng, body, shade)
    block.contour(outline, 1.6)
    _head(block, rng, depth, jaw, (colour, second))
    _breast_fin(block, rng, depth, fin)


def _colour(
    block: Block, rng: Random, body: Area, depth: float, colours: tuple[Colour, Colour]
) -> Floats:
    u, v = block.coordinates(body)
    back = np.clip(0.55 - v / depth * 0.7, 0, 1)
    block.wash(body, colours[0], 0.25 + 0.75 * back)
    marks = _marks(rng, u, v, depth)
    block.wash(body, colours[1], marks)
    block.darken(body, marks * 0.4)
    tone: Floats = np.clip(block.shade(body, 0.12, 0.45) * 0.8 + back * 0.2, 0, 1)
    return tone


def _marks(rng: Random, u: Floats, v: Floats, depth: float) -> Floats:
    """Bars, bands along the body, spots or nothing: 0..1 at each place."""
    style = rng.random()
    pitch = rng.uniform(0.12, 0.26)
    lean = rng.uniform(-0.4, 0.4)
    marks = np.zeros_like(u)
    if style < 0.35:
        bars = np.sin((u + lean * v) * (2 * np.pi / pitch)) * 2.5 - 1.0
        marks = np.clip(bars, 0, 1) * np.clip(1.1 - v / depth, 0, 1)
    elif style < 0.6:
        marks = np.clip(np.sin(v * (2 * np.pi / (pitch * 0.7))) * 2.5 - 1.0, 0, 1)
    elif style < 0.85:
        spots = np.sin(u * (10 / pitch) + 9 * v) * np.sin(v * 30 + lean * 9) * 3 - 1.2
        marks = np.clip(spots, 0, 1) * np.clip(0.8 - v / depth, 0, 1)
    return marks


def _scales(block: Block, rng: Random, body: Area, shade: Floats) -> None:
    u, v = block.coordinates(body)
    length = rng.uniform(0.04, 0.07)
    width = length * rng.uniform(1.1, 1.5)
    column = np.floor(u / length)
    x = u / length - column
    y = v / width + 0.5 * np.mod(column, 2)
    y = y - np.rint(y)
    edge = (2 * y) ** 2 * 0.9
    sharp = block.pose.scale * length
    line = np.clip(
        (0.5 * block.line * (0.6 + 1.2 * shade)) + 0.3 - np.abs(x - edge) * sharp * 0.7, 0, 1
    )
    inside = np.mod(x - edge, 1.0)
    fade = np.clip((0.72 - u) * 12, 0, 1)
    block.darken(body, line * 0.8 * fade)
    block.hatch(body, (shade - 0.12) * (1.25 - inside), angle=0.25, spacing=2.9, bend=1.5)
    block.darken(body, np.clip(0.02 - np.abs(v + 0.03), 0, 1) * 12 * fade)


def _fan(
    block: Block, rng: Random, foot: Floats, edge: Floats, colour: Colour, spiny: float = 0.0
) -> None:
    """A fin between its foot on the body and its free edge, with rays."""
    count = 16
    inner, outer = resampled(foot, count), resampled(edge, count)
    ragged = outer.copy()
    ragged[1::2] = between(inner, outer, 1 - spiny)[1::2]
    outline = np.concatenate([inner, spline(ragged, steps=3)[::-1]])
    area = block.lay(outline)
    block.wash(area, colour, 0.8)
    block.strokes([np.stack([a, b]) for a, b in zip(inner, ragged, strict=True)], 1.0, 0.85)
    halves = between(inner[:-1], inner[1:], 0.5), between(ragged[:-1], ragged[1:], 0.5)
    block.flicks([np.linspace(a + (b - a) * 0.4, b, 4) for a, b in zip(*halves, strict=True)], 0.8)
    block.hatch(area, block.shade(area) - 0.15, angle=rng.uniform(0, 3), spacing=3.0)
    block.contour(outline, 1.3)


def _tail(block: Block, rng: Random, depth: float, colour: Colour) -> None:
    half = max(0.2, depth * rng.uniform(0.7, 1.05))
    long = rng.uniform(0.24, 0.36)
    fork = rng.uniform(-0.08, 0.2)
    foot = spline([(-0.68, -0.07), (-0.66, 0.0), (-0.68, 0.07)])
    edge = spline([(-0.7 - long, -half), (-0.7 - long + fork, 0.0), (-0.7 - long, half)])
    _fan(block, rng, foot, edge, colour, 0.05)


def _edge_fins(block: Block, rng: Random, upper: Floats, lower: Floats, colour: Colour) -> None:
    tall = rng.uniform(0.1, 0.26)
    first, last = int(rng.integers(16, 24)), int(rng.integers(38, 48))
    spiny = rng.uniform(0.02, 0.3)
    foot = upper[first:last] + np.array([0.0, 0.02])
    rise = np.sin(np.linspace(0.35, np.pi * 0.92, len(foot)))
    back = np.stack([rise * -0.06 - 0.03, -tall * rise], axis=1)
    _fan(block, rng, foot, foot + back, colour, spiny)
    for start, end, drop in ((20, 27, 0.18), (36, 49, 0.15)):
        foot = lower[start:end] - np.array([0.0, 0.02])
        fall = np.sin(np.linspace(0.6, np.pi * 0.9, len(foot)))
        _fan(
            block,
            rng,
            foot,
            foot + np.stack([fall * -0.09, drop * fall], axis=1),
            colour,
            spiny * 0.6,
        )


def _head(
    block: Block, rng: Random, depth: float, jaw: float, colours: tuple[Colour, Colour]
) -> None:
    gill = spline(
        [(0.5, -depth * 0.62), (0.4, -depth * 0.1), (0.44, depth * 0.35), (0.56, depth * 0.55)]
    )
    block.strokes([gill], 1.8)
    plate = spline([(0.56, -depth * 0.4), (0.49, 0.0), (0.54, depth * 0.35)])
    block.strokes([plate], 1.1)
    ticks = [[point, point + np.array([0.035, 0.0])] for point in resampled(gill, 22)]
    block.flicks(ticks, 1.2)
    mouth = spline([(0.895, jaw + 0.01), (0.82, jaw + 0.035), (0.76, jaw + 0.07)])
    block.strokes([mouth], 1.6)
    size = float(np.clip(depth * rng.uniform(0.15, 0.24), 0.032, 0.07))
    centre = (0.68, -depth * 0.2)
    for radius, dark, wash in ((size, 0.0, (0.92, 0.82, 0.5)), (size * 0.55, 0.95, colours[1])):
        ring = ellipse(centre, (radius, radius), count=24)
        area = block.lay(ring)
        block.wash(area, wash, 0.9)
        block.darken(area, dark)
        block.contour(ring, 1.2)


def _breast_fin(block: Block, rng: Random, depth: float, colour: Colour) -> None:
    reach = rng.uniform(0.18, 0.3)
    drop = rng.uniform(0.0, 0.12)
    foot = spline([(0.38, depth * 0.08), (0.36, depth * 0.2), (0.38, depth * 0.34)])
    edge = spline(
        [
            (0.36 - reach, drop),
            (0.3 - reach, depth * 0.3 + drop),
            (0.4 - reach, depth * 0.55 + drop),
        ]
    )
    _fan(block, rng, foot, edge, colour, 0.08)
